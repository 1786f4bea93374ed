# Two commands do all the set-up: `make run` and `make test`. Everything is installed into ./.venv from the lock files.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

RUN_READY := .venv/.run-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
DEV_READY := .venv/.dev-$(shell cat requirements-dev.lock pyproject.toml | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OFFLINE := "The packages could not be installed: is the network, or the package index of your pip, in reach? (.venv/install.log says more)"

define INSTALL
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || { echo "Python 3.11 or newer is needed; name one with: make $@ PYTHON=/path/to/python3"; exit 1; }
@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv \
  || { rm -rf .venv; echo "No virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
@echo "Installing the locked packages into .venv …"
@{ $(PIP) --require-hashes --requirement $(1) && $(PIP) --no-deps --no-build-isolation --editable . ; } \
  > .venv/install.log 2>&1 || { echo $(OFFLINE); exit 1; }
@rm -f .venv/.run-* ; touch $(2)
endef

.PHONY: help run test test-clients test-faults test-helm lint types unit format bench bench-burst bench-mapping docs openapi release lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(RUN_READY) ## start everything on this machine and show sample events on their way
	@$(BIN)/attentive-gateway run $(ARGS)

test: $(DEV_READY) lint types unit ## lint, types and all tests

lint: $(DEV_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: run make format"; exit 1; }

types: $(DEV_READY)
	@$(BIN)/mypy

unit: $(DEV_READY)
	@$(BIN)/python -m pytest $(ARGS)

format: $(DEV_READY) ## format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

test-clients: $(DEV_READY) ## run the published trackers against the gateway (Node.js, npm and Chromium needed)
	@bash tests/clients/install.sh
	@$(BIN)/python -m pytest tests/clients $(ARGS)

test-faults: $(DEV_READY) ## break everything under load, in a table of faults (under 10 minutes)
	@$(BIN)/python -m pytest tests/faults/test_matrix.py $(ARGS)

test-helm: $(DEV_READY) ## render the Helm chart with the real engine (Python 3.12 or newer needed, HELM_PYTHON names one)
	@bash tests/helm/install.sh
	@$(BIN)/python -m pytest tests/helm $(ARGS)

bench: $(DEV_READY) ## measure speed and memory, beside what they are compared with (under 10 minutes)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-burst: $(DEV_READY) ## a burst against a limit, with orders in between (90 seconds)
	@$(BIN)/python -m benchmarks.burst $(ARGS)

bench-mapping: $(DEV_READY) ## measure what deciding about one event costs (half a minute)
	@$(BIN)/python -m benchmarks.mapping $(ARGS)

docs: $(DEV_READY) ## write the generated pages, and what is generated of the chart
	@$(BIN)/attentive-gateway settings --markdown > docs/configuration.md
	@$(BIN)/attentive-gateway mapping page docs/mapping.md
	@$(BIN)/python -m helm.generate

openapi: $(DEV_READY) ## write openapi/gateway.yaml
	@$(BIN)/attentive-gateway openapi > openapi/gateway.yaml

release: $(DEV_READY) ## commit and tag a version: VERSION=0.2.0, and ARGS=--dry-run to look first
	@$(BIN)/python .ci/release.py $(VERSION) $(ARGS)

lock: ## renew the lock files from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --extra embedded --group build --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file requirements.lock
	@uv pip compile pyproject.toml --extra embedded --group dev --constraint requirements.lock --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file requirements-dev.lock
	@uv pip compile tests/helm/requirements.in --universal --python-version 3.12 \
	  --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file tests/helm/requirements.lock

clean: ## delete the virtual environment and all caches (not ./data)
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist

$(RUN_READY): requirements.lock pyproject.toml
	$(call INSTALL,requirements.lock,$@)

$(DEV_READY): requirements-dev.lock pyproject.toml
	$(call INSTALL,requirements-dev.lock,$@)
	@touch $(RUN_READY)
