# `make demo` shows the exporter at work without an account; `make test` runs everything.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?= --numprocesses=2 --dist=loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench fuzz tools generate release-check

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it: make PYTHON=python3.12")'
	@echo "Installing into $(VENV), once" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## watch the jobs of a simulated import API: status page and metrics on http://localhost:10530/
	@$(BIN)/zilliz-import-exporter --demo $(DEMO_ARGS)

tools: ## install Prometheus, Alertmanager and Chromium where they are missing and apt-get may be used
	@.ci/tools

test: $(STAMP) tools ## all tests, with the real Prometheus, Alertmanager and Chromium
	@$(BIN)/pytest $(PYTEST_ARGS)

lint: $(STAMP) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) ## a table of ratios: expositions, scrapes, memory, a real Prometheus
	@$(BIN)/python -m benchmarks

generate: $(STAMP) ## write anew what is generated: dashboard, references, manifests
	$(BIN)/python -m grafana.dashboard
	$(BIN)/python -m docs.generate
	$(BIN)/python -m deploy.generate

release-check: $(STAMP) ## build the distributions, install them in every documented way, scrape each; leaves them in dist/
	@$(BIN)/python -m tests.deploy.release_check

fuzz: $(STAMP) ## fuzz for FUZZ_SECONDS (60) whatever strangers write: replies, files, headers, requests
	@$(BIN)/python -m tests.fuzz
