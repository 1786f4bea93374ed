# Two commands do all the set-up: `make run` and `make test`. Everything is installed into ./.venv from the lock files.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
JOBS ?= auto
BIN := .venv/bin

# The tests that generate their input.
GENERATED = $(shell grep -lrE "tests\.(generated|hostile\.fuzz)" tests --include="test_*.py")

# What reads and writes Redis, and journeys that show it together.
IN_CLUSTER_MODE = tests/delivery tests/workers tests/profiles tests/erasure tests/store/test_commands.py \
  $(addprefix tests/journeys/test_,arq_command.py dead_letters.py deliver.py forget.py least_rights.py scaling.py unknown.py)

RUN_READY := .venv/.run-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
DEV_READY := .venv/.dev-$(shell cat requirements-dev.lock pyproject.toml | cksum | cut -d' ' -f1)
COMPILED := .venv/.compiled
# Tests start many processes: without bytecode on the disk, each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OFFLINE := "The packages could not be installed: is the network, or the package index of your pip, in reach? (see .venv/install.log)"

define INSTALL
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || { echo "Python 3.11 or newer is needed; name one with: make $@ PYTHON=/path/to/python3"; exit 1; }
@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv \
  || { rm -rf .venv; echo "No virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
@echo "Installing the locked packages into .venv …"
@{ $(PIP) $(3) --require-hashes --requirement $(1) && $(PIP) --no-deps --no-build-isolation --editable . ; } \
  > .venv/install.log 2>&1 || { echo $(OFFLINE); exit 1; }
@rm -f .venv/.run-* ; touch $(2)
endef

.PHONY: help run test test-clients test-databases test-faults test-redis test-cluster test-fuzz test-image test-helm test-loaded lint types compiled-unit unit format bench bench-burst bench-simulation bench-mapping bench-memory bench-syncs bench-sync-kills bench-guard bench-alerts bench-scripts bench-console bench-traces docs openapi release lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(RUN_READY) ## start everything on this machine and show sample events on their way
	@$(BIN)/attentive-gateway run $(ARGS)

test: $(DEV_READY) lint ## lint, types and all tests (about 5 minutes on two cores)
	@$(MAKE) --no-print-directory --jobs=2 types compiled-unit

lint: $(DEV_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: run make format"; exit 1; }

types: $(DEV_READY)
	@$(BIN)/mypy

compiled-unit: $(COMPILED)
	@$(MAKE) --no-print-directory unit

# Once, lest each process of the tests compiles all tests by itself. The tests report what cannot be collected.
$(COMPILED): $(DEV_READY)
	@$(BIN)/python -m pytest --collect-only --quiet > /dev/null 2>&1 || true
	@touch $@

unit: $(DEV_READY)
	@$(BIN)/python -m pytest --numprocesses=$(JOBS) --durations=10 $(ARGS)

format: $(DEV_READY) ## format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

test-clients: $(DEV_READY) ## run the published trackers against the gateway (Node.js, npm and Chromium needed)
	@bash tests/clients/install.sh
	@$(BIN)/python -m pytest tests/clients $(ARGS)

test-databases: $(DEV_READY) ## sync tables of PostgreSQL and MariaDB, from Debian's packages (1 minute)
	@if databases=$$(bash .ci/debian-databases.sh); then \
	  GATEWAY_TEST_DATABASES=$$databases $(BIN)/python -m pytest tests/databases $(ARGS); \
	else \
	  echo "Not tested with PostgreSQL and MariaDB: Debian's packages cannot be downloaded here."; \
	fi

test-faults: $(DEV_READY) ## inject each fault of docs/guarantees.md 20 times, where `make test` has 3 (7 minutes)
	@GATEWAY_TEST_STRIKES=20 $(BIN)/python -m pytest --numprocesses=$(JOBS) tests/faults/test_matrix.py tests/faults/test_cluster.py $(ARGS)

test-redis: $(DEV_READY) ## run the tests that use a server against Debian's redis-server (4 minutes)
	@redis=$$(bash .ci/debian-redis.sh) || { echo "Not tested with Debian's Redis: its packages cannot be downloaded here."; exit 0; }; \
	  PATH=$$redis:$$PATH $(MAKE) --no-print-directory unit ARGS='-m redis $(ARGS)'

test-cluster: $(DEV_READY) ## run the tests of what reads and writes Redis against a server in cluster mode (3 minutes)
	@GATEWAY_TEST_CLUSTER=1 $(MAKE) --no-print-directory unit \
	  ARGS='-m redis $(IN_CLUSTER_MODE) $(ARGS)'

test-fuzz: $(DEV_READY) ## generate all the inputs of the property tests and fuzzers, of which `make test` has a fifth (3 minutes)
	@GATEWAY_TEST_EXAMPLES=100 $(BIN)/python -m pytest --numprocesses=$(JOBS) -m hypothesis -o timeout=600 $(GENERATED) $(ARGS)

test-image: $(DEV_READY) ## run the steps of the image's build (the image's Python is needed; a minute)
	@$(BIN)/python -m pytest tests/image/build $(ARGS)

test-loaded: $(DEV_READY) ## run `make test` three times in a row, beside two busy loops
	@bash tests/loaded.sh

test-helm: $(DEV_READY) ## render the Helm chart with the real engine (Python 3.12 or newer needed, HELM_PYTHON names one)
	@bash tests/helm/install.sh
	@$(BIN)/python -m pytest tests/helm $(ARGS)

bench: $(DEV_READY) ## measure speed and memory, alternately with the baselines (under 10 minutes)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-burst: $(DEV_READY) ## send a burst against a rate limit, with orders in between (90 seconds)
	@$(BIN)/python -m benchmarks.burst $(ARGS)

bench-simulation: $(DEV_READY) ## compare a simulated burst and outage with a real one (3 minutes)
	@$(BIN)/python -m benchmarks.simulation $(ARGS)

bench-mapping: $(DEV_READY) ## measure the cost of deciding about one event (half a minute)
	@$(BIN)/python -m benchmarks.mapping $(ARGS)

bench-memory: $(DEV_READY) ## measure the memory of each item in Redis, and Redis' time for an event (a minute)
	@$(BIN)/python -m benchmarks.redis_cost $(ARGS)

bench-alerts: $(DEV_READY) ## run a hundred incidents while workers are killed and channels fail (4 minutes)
	@$(BIN)/python -m benchmarks.alerts $(ARGS)

bench-syncs: $(DEV_READY) ## measure how fast a sync reads, plans, hands over and sends a table (2 minutes)
	@$(BIN)/python -m benchmarks.syncs $(ARGS)

bench-sync-kills: $(DEV_READY) ## kill a sync of 100,000 rows a thousand times, and count what is lost and sent twice (15 minutes)
	@$(BIN)/python -m benchmarks.sync_kills $(ARGS)

bench-guard: $(DEV_READY) ## measure what the privacy guard misses and takes by mistake, into docs/privacy.md (10 minutes)
	@$(BIN)/python -m benchmarks.guard --write docs/privacy.md $(ARGS)

bench-scripts: $(DEV_READY) ## measure how long each Lua script blocks Redis at worst, into docs/operations.md (3 minutes)
	@$(BIN)/python -m benchmarks.scripts --write docs/operations.md $(ARGS)

bench-traces: $(DEV_READY) ## measure what traces cost: off, 1 % and 100 % in pairs (3 minutes)
	@$(BIN)/python -m benchmarks.traces $(ARGS)

bench-console: $(DEV_READY) ## measure the console in Chromium, and what its live view misses (3 minutes)
	@bash tests/clients/install.sh
	@$(BIN)/python -m benchmarks.console $(ARGS)

docs: $(DEV_READY) ## write the generated pages and the generated parts of the chart
	@$(BIN)/attentive-gateway settings --markdown > docs/configuration.md
	@$(BIN)/attentive-gateway mapping page docs/mapping.md
	@$(BIN)/attentive-gateway alerts page docs/alerts.md
	@$(BIN)/python -m benchmarks.scale_out docs/scale-out.md
	@$(BIN)/python -m helm.generate

openapi: $(DEV_READY) ## write openapi/gateway.yaml
	@$(BIN)/attentive-gateway openapi > openapi/gateway.yaml

release: $(DEV_READY) ## commit and tag a version: VERSION=0.2.0, and ARGS=--dry-run to look first
	@$(BIN)/python .ci/release.py $(VERSION) $(ARGS)

lock: ## renew the lock files from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --extra otel --extra rows --extra mysql --extra postgresql --group build --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file requirements.lock
	@uv pip compile pyproject.toml --extra otel --extra rows --extra mysql --extra postgresql --extra s3 --group dev \
	  --constraint requirements.lock --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file requirements-dev.lock
	@uv pip compile tests/helm/requirements.in --universal --python-version 3.12 \
	  --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file tests/helm/requirements.lock

clean: ## delete the virtual environment and all caches (not ./data)
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist

$(RUN_READY): requirements.lock pyproject.toml
	$(call INSTALL,requirements.lock,$@)

# Most of these modules are never imported. The others are compiled when they are first imported.
$(DEV_READY): requirements-dev.lock pyproject.toml
	$(call INSTALL,requirements-dev.lock,$@,--no-compile)
	@touch $(RUN_READY)
