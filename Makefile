# `make help` lists the targets. Everything is installed in .venv and everything a run writes is in .local.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# DVC's pins do not fit ours; the one test that reads our store with it calls it here.
DVC := $(VENV)/dvc
DVC_LOCK := ml_platform_tests/requirements-dvc.lock
UI_PORT ?= 3000
UPGRADE ?=
PYTEST ?=
# Files of tests are spread over this many processes; each takes about a gigabyte.
PROCESSES ?= 2

export DAGSTER_HOME := $(CURDIR)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Threads that spin while they wait make training on shared cores five times slower.
export OMP_WAIT_POLICY := PASSIVE
export DAGSTER_DISABLE_TELEMETRY := yes
export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without bytecode every process compiles a gigabyte of libraries again: 20 s to start instead of 4.
unexport PYTHONDONTWRITEBYTECODE

SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
CANDIDATES := python3 python3.11 python3.12 python3.13 python
PYTHON ?= $(shell for name in $(CANDIDATES); do \
	$$name -c '$(SUPPORTED)' 2>/dev/null && command -v $$name && break; done)

##@ Use
.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {print "\n" substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(STAMP) ## create .venv with the locked versions

.PHONY: run
run: $(STAMP) ## the whole example: from data to a deployed model
	@ml-platform run

.PHONY: ui
ui: $(STAMP) ## start Dagster's UI in the background and wait for it (UI_PORT=3000)
	@ml-platform ui --port $(UI_PORT)

.PHONY: serve
serve: $(STAMP) ## start the services of what is deployed, in the background (after a reboot, say)
	@ml-platform serve --detach

.PHONY: stop
stop: ## stop the services, the rollout supervisor and the UI
	@if [ -x $(BIN)/ml-platform ]; then ml-platform stop; ml-platform ui --stop; fi

.PHONY: demo
demo: $(STAMP) ## half a year of the example, in a folder of its own (.local/demo)
	@ml-platform demo

.PHONY: clean
clean: stop ## stop everything and delete all that runs wrote (.local)
	@rm -rf .local

##@ Develop
.PHONY: test
test: $(STAMP) ## the fast tests
	@python -m pytest -n $(PROCESSES) --dist loadfile -m "not slow" $(PYTEST)

.PHONY: test-slow
test-slow: $(STAMP) $(DVC)/.installed ## the slow tests: whole runs, kills, the UI in a browser
	@DVC_PYTHON=$(CURDIR)/$(DVC)/bin/python python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -m slow $(PYTEST)

.PHONY: test-all
test-all: $(STAMP) $(DVC)/.installed ## all tests
	@DVC_PYTHON=$(CURDIR)/$(DVC)/bin/python python -m pytest -n $(PROCESSES) --dist loadfile $(PYTEST)

.PHONY: coverage
coverage: $(STAMP) ## the fast tests, and how much of the code and its branches they reach
	@$(MAKE) test PYTEST="--cov --cov-report= $(PYTEST)"
	@coverage report
	@coverage json --quiet -o - | python -c "import json, sys; total = json.load(sys.stdin)['totals']; \
		print('branches: {covered_branches} of {num_branches}, {percent_branches_covered:.1f} %'.format(**total))"

.PHONY: lint
lint: $(STAMP) ## ruff, its format, the layers, and no secrets in what git tracks
	@ruff check .
	@ruff format --check .
	@lint-imports
	@pre-commit run --all-files detect-secrets

.PHONY: format
format: $(STAMP) ## let ruff format and sort
	@ruff check --fix --select I . && ruff format .

.PHONY: types
types: $(STAMP) ## pyright
	@pyright

.PHONY: check-defs
check-defs: $(STAMP) ## load and check the Dagster definitions and every defs.yaml
	@dg check defs

.PHONY: docs
docs: $(STAMP) ## write the tables of docs/reference again
	@python docs/reference/generate.py

.PHONY: hooks
hooks: $(STAMP) ## check lint, format and secrets before each commit
	@pre-commit install

COMPILE := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url

.PHONY: lock
lock: $(STAMP) ## resolve the lock files again (UPGRADE=--upgrade takes newer versions)
	@$(COMPILE) $(UPGRADE) pyproject.toml --extra example --extra test --extra dev --output-file requirements.lock
	@echo dvc | $(COMPILE) $(UPGRADE) - --output-file $(DVC_LOCK)

# uv installs in seconds what takes pip minutes; it is itself installed from the lock. Where it cannot be used
# (an index that only pip is configured for), pip does the same from the same hashes.
$(STAMP): requirements.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 to 3.13 with venv found: install one (Debian: apt-get install" \
		"python3 python3-venv) or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version): downloads about a gigabyte the first time"
	@$(PYTHON) -m venv $(VENV)
	@awk '/^[^ ]/ {on = /^uv==/} on' requirements.lock > $(VENV)/uv.lock
	@if python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/uv.lock \
		&& VIRTUAL_ENV=$(VENV) uv pip install --quiet --require-hashes -r requirements.lock; then :; else \
		echo "Installing with pip: this takes some minutes"; \
		python -m pip install --quiet --require-hashes -r requirements.lock; fi
	@python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "Compiling bytecode"
	@# Some packages carry templates that are no Python; those stay as they are.
	@python -m compileall -qq -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

$(DVC)/.installed: $(DVC_LOCK) $(STAMP)
	@python -m venv $(DVC)
	@VIRTUAL_ENV=$(DVC) uv pip install --quiet --require-hashes -r $(DVC_LOCK) \
		|| $(DVC)/bin/python -m pip install --quiet --require-hashes -r $(DVC_LOCK)
	@touch $@
