# The verbs of this project; `make help` lists them. Each does all the set-up it needs, and none that is done.
# PYTHON=python3.12 make test    chooses the interpreter (3.11 to 3.14).

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .bench-venv
# Three at a time: most tests wait for processes of their own, and two cores are busy then (450 s instead of 750).
# One that hangs costs its worker, and is named; stopped by a signal it might hang on in a finally clause.
SIDE_BY_SIDE := -n 3 --dist worksteal --timeout-method=thread
PYTEST_ARGS ?= $(SIDE_BY_SIDE)
# What of the tests runs on the other interpreters: what depends on the version.
OTHER_PYTEST_ARGS ?= -m 'not slow' tests/wire tests/test_kernel.py tests/engine/test_store_inside.py \
  tests/engine/test_going_on_after_errors.py tests/frames/test_statements.py tests/frames/test_differential.py \
  tests/store_states $(SIDE_BY_SIDE)

SHELL := /bin/bash
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml $(wildcard src/stillframe/*/*.c)

.PHONY: help demo test test-all test-other check bench bench-frames bench-store soak docs clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## run a real notebook, a state per cell, and branch from it
	$(BIN)/still demo

test: $(VENV)/.test ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: test test-other ## run the tests on each of Python 3.11 to 3.14 that is here

test-other: # what test-all adds: the interpreters but PYTHON
	PYTHON="$(PYTHON)" scripts/each_python $(MAKE) --no-print-directory _test-on OTHER_PYTEST_ARGS="$(OTHER_PYTEST_ARGS)"

.PHONY: _test-on
_test-on: $(VENV)/.other
	$(BIN)/python -m pytest $(OTHER_PYTEST_ARGS)

check: $(VENV)/.check ## ruff, mypy --strict, the house test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py

bench: $(VENV)/.demo $(BENCH_VENV)/.done ## measure beside snapshot-kernel and ipykernel, write docs/benchmarks.md
	$(BENCH_VENV)/bin/python -m bench --python $(abspath $(BIN))/python --write docs/benchmarks.md $(BENCH_ARGS)

bench-frames: $(VENV)/.demo $(BENCH_VENV)/.frames ## measure capture and resume beside pickle and pyteleport, write docs/benchmarks_frames.md
	$(BIN)/python -m bench.frames --peers $(abspath $(BENCH_VENV))/bin/python --write docs/benchmarks_frames.md $(BENCH_ARGS)

bench-store: $(VENV)/.demo $(BENCH_VENV)-kishu/.done ## measure a store beside plain writes, dill and Kishu, write docs/benchmarks_store.md
	$(BIN)/python -m bench.store --peers $(abspath $(BENCH_VENV)-kishu)/bin/python --write docs/benchmarks_store.md $(BENCH_ARGS)

soak: $(VENV)/.demo ## 10,000 executions, a tenth interrupted and a tenth killed; 400 captures, 100 kills; write docs/soak*.md
	$(BIN)/python -m bench.soak --write docs/soak.md $(SOAK_ARGS)
	$(BIN)/python -m bench.soak_frames --write docs/soak_frames.md $(SOAK_FRAMES_ARGS)

docs: $(VENV)/.test ## check that the docs' links and examples hold
	$(BIN)/python scripts/links.py README.md docs
	$(BIN)/python -m pytest tests -k docs

clean: ## remove everything that was made here
	rm -rf .venv .venv-3.* $(VENV) $(BENCH_VENV) $(BENCH_VENV)-kishu build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf src/*.egg-info src/stillframe/*/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Debian without python3-venv has no ensurepip; a pip from outside can install one.
%/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 15) else \
	  f"stillframe needs Python 3.11 to 3.14; $(PYTHON) is {v[0]}.{v[1]}. Choose another: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $* || { $(PYTHON) -m venv --clear --without-pip $* && $(PYTHON) -m pip --python $*/bin/python install pip; }
	$*/bin/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25.1'
	@touch $@

.PRECIOUS: %/.made

$(VENV)/.demo: $(VENV)/.made $(SOURCES)
	$(PIP) install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.check: $(VENV)/.demo
	$(PIP) install --quiet --group check --group test
	@touch $@

# torch is for one test and large, so only its CPU build is asked for, by the "+cpu" of its version; where
# no index that is set up has it, PyTorch's own is tried. Without it that test is skipped and says so.
$(VENV)/.test: $(VENV)/.demo
	$(PIP) install --quiet --group test
	@$(PIP) install --quiet --only-binary :all: 'torch==2.13.0+cpu' 2>/dev/null \
	  || $(PIP) install --quiet --only-binary :all: --retries 1 --timeout 15 'torch==2.13.0+cpu' \
	       --extra-index-url https://download.pytorch.org/whl/cpu \
	  || echo 'torch 2.13.0 (CPU) could not be installed here; its tests will be skipped.'
	@touch $@

# The other interpreters do without torch.
$(VENV)/.other: $(VENV)/.demo
	$(PIP) install --quiet --group test
	@touch $@

$(BENCH_VENV)/.done: $(BENCH_VENV)/.made
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
	  snapshot-kernel==0.2.1 'ipykernel>=7' 'jupyter-client>=8' 'numpy>=2' 'pandas>=2.2'
	@touch $@

# Kishu wants versions of its own.
$(BENCH_VENV)-kishu/.done: $(BENCH_VENV)-kishu/.made
	$(BENCH_VENV)-kishu/bin/python -m pip --disable-pip-version-check install --quiet \
	  kishu==0.3.4 'dill==0.4.*' 'numpy>=2' 'pandas>=2.2'
	@touch $@

$(BENCH_VENV)/.frames: $(BENCH_VENV)/.made
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
	  pyteleport==0.3.4 'dill==0.4.*' 'cloudpickle==3.1.*'
	@touch $@
