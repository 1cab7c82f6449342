# `make demo` shows the exporter at work without an account; `make test` runs everything.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# What running needs, and what everything else needs as well.
PACKAGE := $(VENV)/.installed
STAMP := $(VENV)/.installed-dev
PYTEST_ARGS ?= --numprocesses=2 --dist=loadfile
# The one on the PATH, else one that is built once.
HELM ?= $(or $(shell command -v helm),$(BIN)/helm)
HELM_MODULE := helm.sh/helm/v3/cmd/helm@v3.18.4
CHART := deploy/helm/zilliz-import-exporter

.DEFAULT_GOAL := help
.PHONY: help demo test lint chart chart-check bench fuzz tools generate release-check

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(PACKAGE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it: make PYTHON=python3.12")'
	@echo "Installing into $(VENV), once" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(STAMP): $(PACKAGE)
	@echo "Installing the development kit into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(PACKAGE) ## watch the jobs of a simulated import API: status page and metrics on http://localhost:10530/
	@$(BIN)/zilliz-import-exporter --demo $(DEMO_ARGS)

tools: ## install Prometheus, Alertmanager and Chromium where they are missing and apt-get may be used
	@.ci/tools

test: $(STAMP) tools ## all tests, with the real Prometheus, Alertmanager and Chromium
	@$(BIN)/pytest $(PYTEST_ARGS)

lint: $(STAMP) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/helm: | $(STAMP)
	@command -v go >/dev/null || { echo "Go builds helm, and is not here: install Go 1.24 or later, or helm 3" >&2; exit 1; }
	@echo "Building helm into $(BIN), once: about a minute" >&2
	@GOBIN=$(abspath $(BIN)) go install $(HELM_MODULE)

chart: $(HELM) ## package the Helm chart, with the rules and dashboards of this tree, into dist/
	@$(HELM) package --destination dist $(CHART)

chart-check: $(STAMP) $(HELM) ## render the Helm chart for several sets of values, check it against the schemas, run its demo
	@PATH="$(abspath $(dir $(HELM))):$$PATH" $(BIN)/pytest tests/deploy/chart_check.py

bench: $(STAMP) ## a table of ratios: expositions, scrapes, memory, a real Prometheus
	@$(BIN)/python -m benchmarks

generate: $(STAMP) ## write anew what is generated: dashboard, references, manifests
	$(BIN)/python -m grafana.dashboard
	$(BIN)/python -m docs.generate

release-check: $(STAMP) ## build the distributions, install them in every documented way, scrape each; leaves them in dist/
	@$(BIN)/python -m tests.deploy.release_check

fuzz: $(STAMP) ## fuzz for FUZZ_SECONDS (60) whatever strangers write: replies, files, headers, requests
	@$(BIN)/python -m tests.fuzz
