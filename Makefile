# The verbs of this repository; `make help` lists them.

PYTHON := .venv/bin/python
BOOK := $(PYTHON) -m book
QA := $(PYTHON) -m qa
LINT := .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/codespell && .venv/bin/basedpyright
PYTEST := $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4
# The environment's own Python looks for what is missing in it; where there is none, the first that fits makes it.
INSTALL := for python in $(PYTHON) python3.11 python3.12 python3.13 python3 ""; do \
        if [ -z "$$python" ]; then echo "error: Python 3.11, 3.12 or 3.13 is needed; found none" >&2; exit 1; fi; \
        if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then break; fi; \
    done; $$python -m book.install
export D2L_DATA ?= $(CURDIR)/data
# d2lbook reads and writes files in the encoding of the locale, which may have no sign for what is in them.
export PYTHONUTF8 = 1

.PHONY: help book test quick notebooks slides pdf site serve lab data record reference bench chapters contract faults mutants soak \
    coverage figures lib audit format clean
.PHONY: environment any-environment quick-environment

help: ## List the verbs
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

book: environment ## From a bare clone to the page in _build/html, then run the notebooks: make book [TABS="pytorch jax"]
	@$(BOOK) build $(TABS)

test: environment ## Lint, spelling, types, unit tests, browser tests, and every notebook against its stored outputs
	@$(LINT)
	@$(PYTEST)

quick: quick-environment ## Lint, spelling, types, and the unit tests that need PyTorch at most, in a minute
	@$(LINT)
	@$(PYTEST) -m "quick and not slow"

notebooks: any-environment ## Compile a notebook per framework into _build/notebooks
	@$(BOOK) notebooks

slides: any-environment ## Make a deck of slides per section and framework, to be shown in JupyterLab
	@$(BOOK) slides

pdf: any-environment ## Make a PDF per framework with LaTeX: make pdf [TAB=pytorch]
	@$(BOOK) pdf "$(TAB)"

site: book ## Build the page, and write it into _build/site with what a static host needs: make site [TABS="pytorch jax"]
	@$(BOOK) site

serve: book ## Build the page and serve it at http://localhost:8000
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html 8000

lab: notebooks ## Open the notebooks in JupyterLab, or one of them: make lab [NOTEBOOK=pytorch/chapter_cnn/alexnet]
	@.venv/bin/jupyter lab --notebook-dir _build/notebooks $(NOTEBOOK:%=_build/notebooks/%.ipynb)

data: any-environment ## Look for Fashion-MNIST, and fetch it if it is not here
	@$(BOOK) data

record: environment ## Run one framework in full and keep its outputs: make record TAB=pytorch [SECTION=alexnet] [LIMITS="epochs=1 images=6000"]
	@$(BOOK) record --section "$(SECTION)" "$(TAB)" $(LIMITS)

reference: environment ## Show what changed since the outputs that make test compares with, ask, and renew them: make reference [SECTION=alexnet] [WRITE=yes]
	@$(BOOK) reference --section "$(SECTION)" --write "$(WRITE)"

bench: environment ## Measure training, data, imports and builds against plain recipes and the machine: make bench [PARTS=gpu]
	@$(PYTHON) -m bench $(PARTS)

chapters: environment ## Run the sections that the helper is tested with, and renew their table
	@$(QA) chapters

contract: environment ## Show what changed in the helper's names and signatures, and renew the file that tests compare with
	@PYTHONPATH=tests $(PYTHON) -m contract.interface

faults: environment ## Make every fault happen that the tests know, and renew the table of what the user sees
	@$(QA) faults

mutants: environment ## Put in one defect after the other and see which test catches it, in an hour: make mutants [ONLY=resize] [RANDOM=40 SEED=1]
	@$(QA) mutants --random "$(RANDOM)" --seed "$(SEED)" "$(ONLY)"

soak: ## Run make test in new clones, one after the other, until one fails: make soak [RUNS=6] [UNDER="taskset --cpu-list 0"]
	@set -e; trap 'rm -rf "$$folder"' EXIT; trap 'exit 130' INT TERM; \
	for run in $$(seq $(or $(RUNS),6)); do \
	    folder=$$(mktemp -d); git clone --quiet . "$$folder/a book"; \
	    (cd "$$folder/a book" && env -u D2L_DATA $(UNDER) make test); \
	    rm -rf "$$folder"; \
	done

coverage: environment ## Show which lines and branches of the helper its tests run, at least 95 percent
	@rm -rf _build/coverage && mkdir -p _build/coverage
	@$(PYTHON) -m coverage run -m pytest -q -m helper
	@$(PYTHON) -m coverage combine -q
	@$(PYTHON) -m coverage report

figures: environment ## Draw the figures again: most in a second, lenet and filters in minutes, views and layers in a quarter or half of an hour
	@set -e; for name in alexnet two_gpus convolution pooling dropout ring timeline pipeline receptive activations training challenge result window filters training_images card lenet views layers; do \
	    echo "img/$$name.py"; $(PYTHON) img/$$name.py; \
	done

lib: any-environment ## Take what the chapter marks #@save, and the aliases of config.ini, into the helper d2l
	@$(BOOK) lib

audit: any-environment ## Look the pinned packages up in the database of known vulnerabilities: make audit [DATABASE=FOLDER]
	@$(QA) audit "$(DATABASE)"

format: any-environment ## Format and lint the Python code
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

clean: ## Remove what was built; the environment, downloaded data and _build/notebooks, where people work, stay
	@if [ -d _build ]; then find _build -mindepth 1 -maxdepth 1 ! -name notebooks ! -name compiled ! -name lock -exec rm -rf {} +; fi

# What the verbs need: the frameworks, all or those of TABS, and what makes and tests the book. What is there stays.
environment:
	@$(INSTALL) book test figures --tabs "$(TABS)"

# For what works with the frameworks that are there: after make book TABS=pytorch, make lab installs no others.
any-environment:
	@$(INSTALL) book test figures --tabs "$(TABS)" --keep

quick-environment:
	@$(INSTALL) test --tabs pytorch
