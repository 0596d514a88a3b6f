# The verbs of this repository; `make help` lists them.

PYTHON := .venv/bin/python
BOOK := $(PYTHON) -m book
QA := $(PYTHON) -m qa
LINT := .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/codespell && .venv/bin/basedpyright
PYTEST := $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4
export D2L_DATA ?= $(CURDIR)/data
# d2lbook reads and writes files in the encoding of the locale, which may have no sign for what is in them.
export PYTHONUTF8 = 1

.PHONY: help book test quick notebooks slides pdf serve lab data record reference bench chapters contract faults mutants soak \
    coverage figures lib audit format clean

help: ## List the verbs
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

book: .venv/installed ## From a bare clone to the page in _build/html: environment, data, notebooks, HTML
	@$(BOOK) build

test: .venv/installed ## Lint, spelling, types, unit tests, browser tests, and every notebook against its stored outputs
	@$(LINT)
	@$(PYTEST)

quick: $(or $(wildcard .venv/installed),.venv/quick) ## Lint, spelling, types, and the unit tests that need PyTorch at most, in a minute
	@$(LINT)
	@$(PYTEST) -m "quick and not slow"

notebooks: .venv/installed ## Compile a notebook per framework into _build/notebooks
	@$(BOOK) notebooks

slides: .venv/installed ## Make a deck of slides per section and framework, to be shown in JupyterLab
	@$(BOOK) slides

pdf: .venv/installed ## Make a PDF per framework with LaTeX: make pdf [TAB=pytorch]
	@$(BOOK) pdf "$(TAB)"

serve: book ## Build the page and serve it at http://localhost:8000
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html 8000

lab: notebooks ## Open the notebooks in JupyterLab, or one of them: make lab [NOTEBOOK=pytorch/chapter_cnn/alexnet]
	@.venv/bin/jupyter lab --notebook-dir _build/notebooks $(NOTEBOOK:%=_build/notebooks/%.ipynb)

data: .venv/installed ## Look for Fashion-MNIST, and fetch it if it is not here
	@$(BOOK) data

record: .venv/installed ## Run one framework in full and keep its outputs: make record TAB=pytorch [SECTION=alexnet] [LIMITS="epochs=1 images=6000"]
	@$(BOOK) record --section "$(SECTION)" "$(TAB)" $(LIMITS)

reference: .venv/installed ## Show what changed since the outputs that make test compares with, ask, and renew them: make reference [WRITE=yes]
	@$(BOOK) reference --write "$(WRITE)"

bench: .venv/installed ## Measure training, data, imports and builds against plain recipes and the machine: make bench [PARTS=gpu]
	@$(PYTHON) -m bench $(PARTS)

chapters: .venv/installed ## Run the sections that the helper is tested with, and renew their table
	@$(QA) chapters

contract: .venv/installed ## Show what changed in the helper's names and signatures, and renew the file that tests compare with
	@PYTHONPATH=tests $(PYTHON) -m contract.interface

faults: .venv/installed ## Make every fault happen that the tests know, and renew the table of what the user sees
	@$(QA) faults

mutants: .venv/installed ## Put in one defect after the other and see which test catches it, in an hour: make mutants [ONLY=resize] [RANDOM=40 SEED=1]
	@$(QA) mutants --random "$(RANDOM)" --seed "$(SEED)" "$(ONLY)"

soak: ## Run make test in new clones, one after the other, until one fails: make soak [RUNS=6] [UNDER="taskset --cpu-list 0"]
	@set -e; trap 'rm -rf "$$folder"' EXIT; trap 'exit 130' INT TERM; \
	for run in $$(seq $(or $(RUNS),6)); do \
	    folder=$$(mktemp -d); git clone --quiet . "$$folder/a book"; \
	    (cd "$$folder/a book" && env -u D2L_DATA $(UNDER) make test); \
	    rm -rf "$$folder"; \
	done

coverage: .venv/installed ## Show which lines and branches of the helper its tests run, at least 95 percent
	@rm -rf _build/coverage && mkdir -p _build/coverage
	@$(PYTHON) -m coverage run -m pytest -q -m helper
	@$(PYTHON) -m coverage combine -q
	@$(PYTHON) -m coverage report

figures: .venv/installed ## Draw the figures again: most in a second, filters in minutes, views in half an hour
	@set -e; for name in alexnet timeline pipeline receptive activations filters views; do \
	    echo "img/$$name.py"; $(PYTHON) img/$$name.py; \
	done

lib: .venv/installed ## Take what the chapter marks #@save, and the aliases of config.ini, into the helper d2l
	@$(BOOK) lib

audit: .venv/installed ## Look the pinned packages up in the database of known vulnerabilities
	@$(QA) audit

format: .venv/installed ## Format and lint the Python code
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

clean: ## Remove what was built; the environment, downloaded data and _build/notebooks, where people work, stay
	@if [ -d _build ]; then find _build -mindepth 1 -maxdepth 1 ! -name notebooks ! -name compiled ! -name lock -exec rm -rf {} +; fi

# The exact versions are those of constraints.txt. What older environments have as d2l is this project's former name.
.venv/installed: EXTRAS := pytorch,tensorflow,mxnet,jax,book,test,figures
.venv/quick: EXTRAS := pytorch,test
.venv/installed .venv/quick: pyproject.toml constraints.txt
	@set -e; for python in python3.11 python3.12 python3; do \
	    if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then break; fi; \
	    python=; \
	done; \
	if [ -z "$$python" ]; then echo "error: Python 3.11 or 3.12 is needed; found neither" >&2; exit 1; fi; \
	echo "Installing $(EXTRAS) into .venv, once: all of it takes 5 to 9 GB and three to ten minutes."; \
	$$python -m venv .venv; \
	if $(PYTHON) -m pip list --disable-pip-version-check --editable --format freeze | grep -q '^d2l=='; then \
	    $(PYTHON) -m pip uninstall --quiet --yes d2l && rm -rf d2l.egg-info; \
	fi; \
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --editable '.[$(EXTRAS)]'
	@touch $@
