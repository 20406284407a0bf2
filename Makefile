# Needs Python >= 3.11 and make. Everything is installed into .venv; run `make` for the targets.

PYTHON ?= python3
TORCH  := 2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip -qq --disable-pip-version-check

# Stamps: what is installed, and when. They are older than what they were made from, or right.
RUN_SET := $(VENV)/run-set
DEV_SET := $(VENV)/dev-set

# One thread each for torch, BLAS and OpenMP: the tests start processes of their own.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# Processes of pytest, 0 = its own. A file stays in one process, so that what its tests share, a
# demonstration for example, is made once.
JOBS       ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test quick lint types layers unit docs bench constraints clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  Without a GPU, on Linux: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo"

demo: $(RUN_SET) ## install, then make a year of fluxes of a synthetic planet in demo/
	@echo "Environment: $(VENV), $$(cat $(RUN_SET)); pyproject.toml and constraints.txt unchanged since."
	@$(BIN)/upscale demo

test: lint types layers unit ## install, then style, types, layers and all tests

quick: lint types layers ## style, types, layers, and tests of the rooms that a change touches
	@echo "Tests of what this branch changed, without those marked cluster or slow: make test runs all"
	@tests=$$($(BIN)/python tests/touched.py) || exit 1; \
	  [ -z "$$tests" ] || $(ONE_THREAD) $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile \
	  -m "not cluster and not slow" $$tests $(ARGS)

lint: $(DEV_SET) ## ruff: style and format
	@echo "Style (ruff)"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { $(BIN)/ruff format --check .; exit 1; }

types: $(DEV_SET) ## mypy, strict on upscale/
	@echo "Types (mypy)"
	@$(BIN)/mypy

layers: $(DEV_SET) ## import-linter: a room knows only what stands below it
	@echo "Layers (import-linter)"
	@$(BIN)/lint-imports --no-cache --no-logo > $(VENV)/layers.log 2>&1 \
	  && tail -n 1 $(VENV)/layers.log || { cat $(VENV)/layers.log; exit 1; }

unit: $(DEV_SET) ## pytest alone; ARGS="-k tiles" goes to pytest, JOBS=0 runs in one process
	@echo "Tests (pytest)"
	@$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

docs: $(DEV_SET) ## the site of docs/ in build/site, strict, with nothing loaded from elsewhere
	@echo "Site (mkdocs)"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@$(BIN)/python docs/offline.py build/site
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server -d build/site"

bench: $(DEV_SET) ## the benchmarks, one after the other; icechunk_store.py asks for an environment of its own
	@for file in $(filter-out benchmarks/icechunk_store.py,$(wildcard benchmarks/*.py)); do echo "$$file"; $(ONE_THREAD) $(BIN)/python "$$file" || exit 1; done

constraints: ## write constraints.txt anew from what the index offers today (takes minutes)
	@echo "Resolving all dependencies in a new environment"
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@build/constraints/bin/python -m pip install -qq --disable-pip-version-check torch==$(TORCH)
	@build/constraints/bin/python -m pip install -qq --disable-pip-version-check -e '.[train,dev,docs]' editables
	@{ sed '/^[^#]/,$$d' constraints.txt; \
	   build/constraints/bin/python -m pip freeze --exclude-editable \
	   | sed -E '/^(#|nvidia-|cuda-|triton|-e )/d; s/\+[a-z0-9.]+$$//'; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt && rm -rf build/constraints
	@echo "constraints.txt: $$(grep -c == constraints.txt) pins"

clean: ## remove results and caches; .venv stays
	@rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Expected Python >= 3.11 as $(PYTHON), found: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: venv or ensurepip is missing." >&2; \
	  echo "Debian and Ubuntu: apt install python3-venv; or name another: make PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(RUN_SET): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing torch (the largest part)"
	@$(PIP) install torch==$(TORCH)
	@echo "Installing upscale and what it needs, as pinned in constraints.txt"
	@$(PIP) install -e .
	@echo "installed $$(date '+%Y-%m-%d %H:%M')" > $@

$(DEV_SET): $(RUN_SET)
	@echo "Installing what tests, training and the site need"
	@$(PIP) install -e '.[train,dev,docs]'
	@echo "installed $$(date '+%Y-%m-%d %H:%M')" > $@
