# The verbs of this repository, in short; `make help` lists them. Each calls `python -m book`, which does the work on every
# system, and book/verbs.py says how. The environment's own Python is asked first; where there is none, the first that fits.
BOOK := for python in .venv/bin/python $${VIRTUAL_ENV:+python} $${CONDA_PREFIX:+python} python3.11 python3.12 python3.13 python3 ""; do \
        if [ -z "$$python" ]; then echo "error: Python 3.11, 3.12 or 3.13 is needed; found none" >&2; exit 1; fi; \
        if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then break; fi; \
    done; exec $$python -m book

.PHONY: help book test quick notebooks slides pdf site serve lab data record reference bench chapters contract faults mutants soak \
    coverage figures lib audit links format clean install

help: ## List the verbs
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

book: ## From a bare clone to the page in _build/html, then run the notebooks: make book [TABS="pytorch jax"]
	@$(BOOK) book $(TABS)

test: ## Lint, spelling, types, unit tests, browser tests, and every notebook against its stored outputs
	@$(BOOK) test

quick: ## Lint, spelling, types, and the unit tests that need PyTorch at most, in a minute
	@$(BOOK) quick

notebooks: ## Compile a notebook per section and framework into _build/notebooks
	@$(BOOK) notebooks

slides: ## Make a deck of slides per section and framework, to be shown in JupyterLab
	@$(BOOK) slides

pdf: ## Make a PDF per framework with LaTeX: make pdf [TAB=pytorch]
	@$(BOOK) pdf "$(TAB)"

site: ## Build the page, and write it into _build/site with what a static host needs: make site [TABS="pytorch jax"]
	@$(BOOK) site $(TABS)

serve: ## Build the page and serve it at http://localhost:8000: make serve [TABS="pytorch jax"]
	@$(BOOK) serve $(TABS)

lab: ## Open the notebooks in JupyterLab, or one of them: make lab [NOTEBOOK=pytorch/chapter_cnn/alexnet] [ARGS=--allow-root]
	@$(BOOK) lab $(NOTEBOOK) -- $(ARGS)

data: ## Look for Fashion-MNIST, and fetch it if it is not here
	@$(BOOK) data

record: ## Run one framework in full and keep its outputs: make record TAB=pytorch [SECTION=alexnet] [LIMITS="epochs=1 images=6000"]
	@$(BOOK) record --section "$(SECTION)" "$(TAB)" $(LIMITS)

reference: ## Show what changed since the outputs that make test compares with, ask, and renew them: make reference [SECTION=alexnet] [WRITE=yes]
	@$(BOOK) reference --section "$(SECTION)" --write "$(WRITE)"

bench: ## Measure training, data, imports and builds against plain recipes and the machine: make bench [PARTS=gpu]
	@$(BOOK) bench $(PARTS)

chapters: ## Run the sections that the helper is tested with, and renew their table
	@$(BOOK) chapters

contract: ## Show what changed in the helper's names and signatures, and renew the file that tests compare with
	@$(BOOK) contract

faults: ## Make every fault happen that the tests know, and renew the table of what the user sees
	@$(BOOK) faults

mutants: ## Put in one defect after the other and see which test catches it, in an hour: make mutants [ONLY=resize] [RANDOM=40 SEED=1]
	@$(BOOK) mutants --random "$(RANDOM)" --seed "$(SEED)" "$(ONLY)"

soak: ## Run all tests in new clones, one after the other, until one fails: make soak [RUNS=6] [UNDER="taskset --cpu-list 0"]
	@$(BOOK) soak --runs "$(or $(RUNS),6)" --under "$(UNDER)"

coverage: ## Show which lines and branches of the helper its tests run, at least 95 percent
	@$(BOOK) coverage

figures: ## Draw the figures again: most in a second, lenet and filters in minutes, views and layers in half an hour
	@$(BOOK) figures

lib: ## Take what the chapter marks #@save, and the aliases of config.ini, into the helper d2l
	@$(BOOK) lib

audit: ## Look the pinned packages up in the database of known vulnerabilities: make audit [DATABASE=FOLDER]
	@$(BOOK) audit $(DATABASE)

links: ## List the links that lead out of the book and its documents, or ask for each: make links [CHECK=yes]
	@$(BOOK) links --check "$(CHECK)"

format: ## Format and lint the Python code
	@$(BOOK) format

clean: ## Remove what was built; the environment, downloaded data and _build/notebooks, where people work, stay
	@$(BOOK) clean

install: ## Install what all other verbs need, with all frameworks or some: make install [TABS="pytorch jax"]
	@$(BOOK) install $(TABS)
