# Every command sets up what it needs first; a set-up that is current costs a fraction of a second.
.DEFAULT_GOAL := help
.PHONY: help demo test check lint types floors bench format setup cluster lock clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## stop an intruder in a lab on this machine (root): real packets, real decisions; ARGS=--pause to decide yourself
	@$(BIN)/firebreak demo $(ARGS)

test: setup cluster ## run the tests with real parts (root); ARGS='-k lease' chooses
	@$(BIN)/python -m pytest $(ARGS)

check: lint types floors ## lint, format, types and floors

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

floors: setup
	@$(BIN)/lint-imports --no-logo

bench: setup ## measure time to contain, captures and uploads, each beside its baseline (root)
	@$(BIN)/firebreak bench $(ARGS)

format: setup ## format the code and apply the lint fixes that are safe
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

setup: ## install what is missing: Debian packages (root), .venv, the locked Python packages
	@deploy/bootstrap

# Where it can't be provided, pytest says at its end which tests that costs; under CI=true they fail.
cluster: setup ## build kube-apiserver and etcd for the tests (Go; five minutes the first time) unless they are there
	@deploy/cluster/build >/dev/null && deploy/cluster/crds/fetch >/dev/null || true

lock: ## write requirements.lock and the judge's anew from pyproject.toml and deploy/judge
	@deploy/lock

clean: ## remove .venv and caches; var/ (ledger, evidence) stays
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
