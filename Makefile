# Customer 360 lakehouse. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOLS := $(CURDIR)/.tools
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/bin/uv)
RUN := $(UV) run --frozen --no-sync
SYNCED := .venv/.synced
# Two processes (tests/conftest.py says what each has): while Flink in one starts or waits, the other works.
WORKERS := -n 2 --no-loadscope-reorder

export C360_SCALE ?= 0.1
# Nothing this project runs reports home.
export GX_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Without cached bytecode every process compiles 2,500 modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-streaming demo up down status test test-unit lint format type-check client faults bench docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

$(TOOLS)/bin/uv: uv-bootstrap.txt
	@echo "uv is not on PATH: installing it into .tools/"
	@python3 -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r uv-bootstrap.txt
	@touch $@

$(SYNCED): pyproject.toml uv.lock | $(if $(filter $(TOOLS)/bin/uv,$(UV)),$(TOOLS)/bin/uv)
	@$(UV) sync --frozen --quiet --extra api
	@touch $@

setup: $(SYNCED) ## Install everything the project needs into its own folder

setup-streaming: setup ## Fetch Kafka, the schema registry and Flink ahead of their first start
	@$(RUN) c360 fetch

demo: setup ## Generate a company, build its Customer 360, show it; leaves the Dagster UI up
	@$(RUN) python -m c360_assets.demo

up: setup ## Start the local engines and the Dagster UI in the background
	@$(RUN) c360 up

down: setup ## Stop everything this folder started
	@$(RUN) c360 down

status: setup ## Show what is running
	@$(RUN) c360 status

test: setup ## Run the test suite that CI runs (unit, integration, end to end)
	@$(RUN) pytest -m "not bench" $(WORKERS)

test-unit: setup ## Run the tests that need no engine (seconds)
	@$(RUN) pytest tests/unit $(WORKERS)

faults: setup ## Run only the kill, full-disk and lock tests
	@$(RUN) pytest -m faults

bench: setup setup-streaming ## Measure; figures go to docs/benchmarks.md
	@$(RUN) python -m tests.bench.bench_ingest --scale 1
	@$(RUN) python -m tests.bench.bench_gold --scale 1
	@$(RUN) python -m tests.bench.bench_upsert
	@$(RUN) python -m tests.bench.bench_streams --events 2000000 --peers
	@$(RUN) python -m tests.bench.bench_shop_decode
	@$(RUN) python -m tests.bench.bench_producer
	@$(RUN) python -m tests.bench.bench_stream_latency
	@$(RUN) python -m tests.bench.bench_feature_jobs --job sales-aggregations --orders 100000 --peers
	@$(RUN) python -m tests.bench.bench_feature_jobs --job all --orders 50000
	@$(RUN) python -m tests.bench.bench_feature_latency --source kafka --rate 500 --seconds 20
	@$(RUN) python -m tests.bench.bench_feature_latency --source postgres --rate 500 --seconds 20
	@$(RUN) python -m tests.bench.bench_api --customers 50000 --seconds 3 --rounds 1

lint: setup ## Check style
	@$(RUN) ruff check . && $(RUN) ruff format --check .

format: setup ## Apply the style
	@$(RUN) ruff check --fix . ; $(RUN) ruff format .

type-check: setup ## Check types strictly
	@$(RUN) mypy

client: setup ## Generate the API's Python client from its OpenAPI document
	@$(RUN) python -m api.clientgen

docs: setup ## Build the documentation into site/
	@$(UV) run --frozen --group docs mkdocs build --strict

clean: down ## Stop everything and remove local data (not the caches)
	@rm -rf .c360 site
