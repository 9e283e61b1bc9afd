# The two commands of a newcomer are `make demo` and `make test`; both set everything up first.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.complete
KFP_STAMP := .venv-kfp/.complete
WORKER_STAMP := .venv-worker/.complete
IMAGE_STAMP := .tools/image.complete
SOURCES = $(shell find hub_tfx kubeflow pipelines -type f -not -name '*.pyc')
BEAM_VERSION := $(shell sed -nE 's/.*"apache-beam.*==([0-9.]+)".*/\1/p' pyproject.toml)
FAKE_GCS_VERSION := 1.52.2
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
# What tests start: databases for ML Metadata, a web server for published modules.
SYSTEM_PACKAGES := mariadb-server postgresql nginx-light bubblewrap strace
PIP_COMPILE := $(UV) pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version 3.10 pyproject.toml

export PYTHONHASHSEED ?= 0
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup system-deps browser kfp engines image-root demo demo-retrain demo-image test test-long test-engines test-all mutants lint bench lock clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv from requirements.lock

system-deps: PACKAGES := $(SYSTEM_PACKAGES)
system-deps:  ## install the servers and tools that tests use, on Debian, as root
browser: PACKAGES := chromium
browser:  ## install the browser that tests drive, on Debian, as root
system-deps browser:
	@missing=$$(for package in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; done); \
	install="apt-get install -y --no-install-recommends "$$missing; \
	if [ -z "$$missing" ]; then echo "make: $(PACKAGES): installed"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		export DEBIAN_FRONTEND=noninteractive; apt-get update && $$install; \
	else echo "make: run as root: apt-get update && $$install" >&2; exit 1; fi

kfp: $(KFP_STAMP)  ## make .venv-kfp, which compiles for Kubeflow Pipelines

engines: .tools/prism .tools/fake-gcs-server $(WORKER_STAMP) image-root  ## build Prism and a fake of GCS, with Go, .venv-worker, which has only our wheel, and image-root

image-root: $(IMAGE_STAMP)  ## build what kubeflow/Dockerfile builds into .tools/image, without a container engine

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

.tools/prism: pyproject.toml
	@command -v go >/dev/null || { \
		echo "make: Prism, Beam's portable engine, is built with Go: put go on the PATH (Debian: apt-get install golang)" >&2; exit 1; }
	@echo "make: building Prism $(BEAM_VERSION), some minutes the first time"
	GOBIN=$(CURDIR)/.tools go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM_VERSION)
	@touch $@

# Unlike the emulator of the lock, it obeys create-if-absent.
.tools/fake-gcs-server: Makefile
	@command -v go >/dev/null || { \
		echo "make: fake-gcs-server is built with Go: put go on the PATH (Debian: apt-get install golang)" >&2; exit 1; }
	@echo "make: building fake-gcs-server $(FAKE_GCS_VERSION)"
	GOBIN=$(CURDIR)/.tools go install github.com/fsouza/fake-gcs-server@v$(FAKE_GCS_VERSION)
	@touch $@

# Not from the lock: that the wheel runs with what it asks for is half of what this environment shows.
# Without build/, from which setuptools would pack modules that are gone.
$(WORKER_STAMP): $(STAMP) $(SOURCES)
	@rm -rf build .tools/wheel
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python 3.10 $(@D)
	$(UV) build --quiet --wheel --no-build-isolation --python $(PYTHON) --out-dir .tools/wheel
	UV_COMPILE_BYTECODE=1 $(UV) pip install --quiet --python $(@D)/bin/python --reinstall-package hub-tfx \
		--build-constraints build-constraints.txt --constraints requirements.lock .tools/wheel/*.whl
	@rm -rf build
	@touch $@

$(IMAGE_STAMP): requirements-image.lock build-constraints.txt pyproject.toml $(SOURCES) | $(filter .tools/%,$(UV))
	@rm -rf .tools/image
	@python=$$($(UV) python find --system 3.10) && for stage in dependencies product user stand_in; do \
		UV=$(UV) PYTHON=$$python kubeflow/build_image.sh $$stage .tools/image || exit 1; done
	@touch $@

demo: $(STAMP)  ## the main job on real input, in a few minutes
	@$(PYTHON) -m demo

demo-retrain: $(STAMP)  ## the retraining loop on three spans, and its history
	@$(PYTHON) -m demo.retrain

demo-image: $(STAMP)  ## an image module of the digits 0-4, transferred to 5-9
	@$(PYTHON) -m demo.digits

# Three workers on two cores: a third of the time a test waits for a process or a disk.
test: $(STAMP)  ## the tests, without the long and slow ones and those of `make engines`
	$(PYTHON) -m pytest -n 3 --dist loadfile -m "not long and not slow and not engines"

test-long: $(STAMP)  ## tests that take many seconds each
	$(PYTHON) -m pytest -n 3 --dist loadfile -m "long and not slow and not engines"

test-engines: $(STAMP)  ## the tests of `make engines`
	$(PYTHON) -m pytest -n 2 --dist loadfile -m engines

# Where Go is missing the tests of Prism say so and skip.
test-all: $(WORKER_STAMP) $(IMAGE_STAMP) $(if $(shell command -v go),.tools/prism .tools/fake-gcs-server)  ## all tests
	$(PYTHON) -m pytest -n 2 --dist loadfile

mutants: $(STAMP)  ## take promises of docs/security.md away one by one: a named test must fail for each
	$(PYTHON) tests/mutants/run_mutants.py

lint: $(STAMP)  ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(STAMP)  ## benchmarks: embedding against bare loops and peers, a growing repository; some 45 minutes
	$(PYTHON) -m benchmarks.whole image --peers
	$(PYTHON) -m benchmarks.whole transformer --sweep
	$(PYTHON) -m benchmarks.whole text
	$(PYTHON) -m benchmarks.embed_text --peers
	$(PYTHON) -m benchmarks.embed_images --peers
	$(PYTHON) -m benchmarks.embed_transformer
	$(PYTHON) -m benchmarks.embed_incremental
	$(PYTHON) -m benchmarks.embed_scale
	$(PYTHON) -m benchmarks.repository_scale
	$(PYTHON) -m benchmarks.catalogue_scale
	$(PYTHON) -m benchmarks.history_scale
	$(PYTHON) -m benchmarks.resolve_speed
	$(PYTHON) -m benchmarks.serve_load

lock: | $(filter .tools/%,$(UV))  ## resolve the lock files again from pyproject.toml
	$(PIP_COMPILE) --extra bench --extra dev --output-file requirements.lock
	$(PIP_COMPILE) --extra kfp --output-file requirements-kfp.lock
	$(PIP_COMPILE) --extra az --extra gcs --extra kubeflow --extra s3 --extra signing --constraints requirements.lock --output-file requirements-image.lock

clean:  ## remove what make made
	rm -rf $(VENV) .venv-kfp .venv-worker .tools build demo/out
