# Two commands for a newcomer: `make demo` and `make test`. Both set up what they need first.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test soak setup lint types contracts docs reference lock proto clean

BIN      := .venv/bin
PIP      := $(BIN)/python -m pip --disable-pip-version-check --no-input
JOBS     ?= 2
DEMO_ARGS ?=
TEST_ARGS ?=

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/main.stamp  ## a whole study with five data holders on this machine: a minute or two after set-up
	@$(BIN)/cohortium-sim demo $(DEMO_ARGS)

test: .venv/dev.stamp  ## the whole test suite
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(TEST_ARGS)

soak: .venv/dev.stamp  ## kill a node 200 times at every step of a release, and keep the table (some minutes)
	@PYTHONPATH=tests/support $(BIN)/python tests/support/kills.py 200 > docs/validation/killed-at-every-step.md
	@cat docs/validation/killed-at-every-step.md

setup: .venv/dev.stamp  ## .venv with everything that tests and checks need

lint: .venv/dev.stamp  ## ruff: style and likely mistakes
	@$(BIN)/ruff check --quiet . && echo "ruff: no complaints"

types: .venv/dev.stamp  ## mypy, strict
	@$(BIN)/mypy

contracts: .venv/dev.stamp  ## import-linter: who may import whom
	@$(BIN)/lint-imports --no-cache

docs: .venv/dev.stamp  ## links and commands in the documentation hold
	@$(BIN)/python -m pytest -q tests/docs

reference: .venv/dev.stamp  ## write the generated pages of docs/reference again
	@$(BIN)/python -B docs/generate

# The virtual environment. The locks agree on every version, so the development lock only adds to the main one.

.venv/bin/pip:
	@set -eu; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then \
	        echo "Making .venv with $$($$python --version)"; \
	        $$python -m venv --clear .venv || { echo "Could not make .venv. On Debian and Ubuntu, install the package python3-venv." >&2; exit 1; }; \
	        exit 0; \
	    fi; \
	done; \
	echo "Cohortium needs Python 3.11, 3.12, 3.13 or 3.14; found: $$($(or $(PYTHON),python3) --version 2>/dev/null || echo none)." >&2; \
	echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1

.venv/main.stamp: requirements.lock pyproject.toml | .venv/bin/pip
	@echo "Installing the locked libraries into .venv (about 2 minutes the first time)"
	@$(PIP) install -qq --require-hashes -r requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements-dev.lock pyproject.toml | .venv/bin/pip
	@echo "Installing the locked libraries into .venv (about 2 minutes the first time)"
	@$(PIP) install -qq --require-hashes -r requirements-dev.lock
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch .venv/main.stamp $@

# For developers of Cohortium. The locks hold versions and hashes, and no address: they install from any index.

COMPILE = $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(LOCK_ARGS)

lock: .venv/dev.stamp  ## resolve the three lock files again, together (newer versions: make lock LOCK_ARGS=--upgrade)
	$(COMPILE) pyproject.toml --group dev -o requirements-dev.lock
	$(COMPILE) pyproject.toml --group build -c requirements-dev.lock -o requirements.lock
	$(COMPILE) node/pyproject.toml protocols/pyproject.toml --group node/pyproject.toml:build -c requirements-dev.lock \
	    --no-emit-package cohortium-protocols -o node/requirements.lock

PROTO = protocols/cohortium_protocols/proto

proto: .venv/dev.stamp  ## generate the gRPC stubs from the .proto files again
	$(BIN)/python -m grpc_tools.protoc -I protocols --python_out=protocols --pyi_out=protocols \
	    --grpc_python_out=protocols $(PROTO)/*.proto

clean:  ## remove .venv and every cache
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
