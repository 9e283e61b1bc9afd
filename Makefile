# The two commands of a newcomer are `make demo` and `make test`; both set everything up first.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.complete
KFP_STAMP := .venv-kfp/.complete
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
PIP_COMPILE := $(UV) pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version 3.10 pyproject.toml

export PYTHONHASHSEED ?= 0
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup kfp demo test test-all lint bench lock clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv from requirements.lock

kfp: $(KFP_STAMP)  ## make .venv-kfp, which compiles for Kubeflow Pipelines

# From / because pyenv would obey our .python-version here, and stop where it has no 3.10.
.tools/uv/bin/uv: requirements-uv.txt
	@cd / && python3 -m pip --version >/dev/null 2>&1 || { \
		echo "make: needs uv, or a python3 with pip to fetch it (Debian: apt-get install python3-pip)" >&2; exit 1; }
	@echo "make: fetching uv into .tools"
	@cd / && PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --upgrade \
		--no-warn-script-location --target $(CURDIR)/.tools/uv --require-hashes --requirement $(CURDIR)/requirements-uv.txt
	@touch $@

$(STAMP): requirements.lock
$(KFP_STAMP): requirements-kfp.lock
$(STAMP) $(KFP_STAMP): build-constraints.txt pyproject.toml | $(filter .tools/%,$(UV))
	@$(UV) python find 3.10 >/dev/null 2>&1 || $(UV) python install 3.10 || { \
		echo "make: no Python 3.10 here, and uv could not install one: put python3.10 on the PATH" >&2; exit 1; }
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python 3.10 $(@D)
	UV_COMPILE_BYTECODE=1 $(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes \
		--build-constraints build-constraints.txt $(filter %.lock,$^)
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## the main job on real input, in a few minutes
	@$(PYTHON) -m demo

test: $(STAMP)  ## the tests, without the slow ones
	$(PYTHON) -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(STAMP)  ## all tests
	$(PYTHON) -m pytest -n 2 --dist loadfile

lint: $(STAMP)  ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(STAMP)  ## benchmarks: ratios against a bare loop
	$(PYTHON) -m benchmarks.embed_text

lock: | $(filter .tools/%,$(UV))  ## resolve the lock files anew from pyproject.toml
	$(PIP_COMPILE) --extra demo --extra dev --output-file requirements.lock
	$(PIP_COMPILE) --extra kfp --output-file requirements-kfp.lock

clean:  ## remove what make made
	rm -rf $(VENV) .venv-kfp .tools demo/out
