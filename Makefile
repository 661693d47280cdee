# SPDX-License-Identifier: Apache-2.0
# remora: `make help` lists what can be made.  Every target does its own set-up.

.DEFAULT_GOAL := help
.PHONY: help setup demo check lint types test fuzz bench bench-check picture wheel clean

PY := .venv/bin/python
# Namespaces and BPF need root; a checkout that belongs to a user keeps no root-owned caches.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=CI,TERM,COLORTERM,TESTSHELL env PYTHONDONTWRITEBYTECODE=1)
ARGS ?=
# Three at once on two processors: the tests of the network mostly wait.  A debugging shell wants one.
PARALLEL := $(if $(TESTSHELL),,--numprocesses 3 --dist loadfile --no-loadscope-reorder)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: ## system packages and .venv; seconds when nothing changed
	@tests/setup.sh

demo: setup ## the whole thing in namespaces, with the console (ARGS="--headless --seconds 20 --json FILE")
	@$(ROOT) $(PY) -m tests.fabric.demo $(ARGS)

lint: setup ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: setup ## mypy --strict
	@$(PY) -m mypy

check: lint types ## all that needs no root: lint, types, unit and console tests (ARGS="-k drain")
	@$(PY) -m pytest $(PARALLEL) -m "not root" tests/unit tests/tui $(ARGS)

test: lint types ## check, and the tests that need root: data plane and fabric (ARGS="-k drain")
	@$(ROOT) $(PY) -m pytest $(PARALLEL) tests $(ARGS)

fuzz: setup ## mutated frames through the data plane (ARGS="--seconds 600 --seed 7")
	@$(ROOT) $(PY) -m tests.bpf.fuzz $(ARGS)

bench: setup ## figures as a table and as JSON lines
	@$(ROOT) $(PY) -m tests.bench $(ARGS)

bench-check: setup ## is the data plane slower than it was? by hand, on an idle machine (ARGS=--renew)
	@$(ROOT) $(PY) -m tests.bench.check $(ARGS)

picture: setup ## docs/*.svg anew, from the console on the running fabric
	@$(ROOT) $(PY) -m tests.fabric.picture

wheel: setup ## dist/remora-*.whl, for edge nodes and jump hosts
	@$(PY) -m hatchling build --target wheel

clean: ## what was built; .venv stays
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
