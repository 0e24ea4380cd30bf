# make            lists the targets
# Everything is installed into .venv from pyproject.toml, with the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENVS ?= $(VENV)/bench
BENCH_FIGURES ?= $(VENV)/bench-figures
BENCH_ROUNDS ?= 5
.DEFAULT_GOAL := help
.PHONY: help install run test faults check format bench container clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

# Installed once, and again when what is to be installed has changed.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check]'
	@touch $@

install: $(VENV)/installed ## set up .venv

run: $(VENV)/installed ## start the service on http://127.0.0.1:8000 with SQLite in ./data
	@$(BIN)/python -m service serve

# File by file, in the order of folders: the slow ones (browser, e2e) come first.
test: $(VENV)/installed ## run the tests
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

faults: $(VENV)/installed ## kill, fill and break it for two hours; figures go to docs/reliability.md
	FAULTS=$${FAULTS:-long} $(BIN)/python -m pytest -m faults tests/faults

check: $(VENV)/installed ## lints and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed ## format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

bench: $(VENV)/installed ## time training and serving beside others (wants wrk; 7 GB of environments)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt
	@mkdir -p $(BENCH_FIGURES)
	$(BIN)/python -m benchmarks.train --rounds $(BENCH_ROUNDS) --json $(BENCH_FIGURES)/train.json
	$(BIN)/python -m benchmarks.serving --rounds $(BENCH_ROUNDS) --json $(BENCH_FIGURES)/serving.json --venvs $(BENCH_VENVS) --picture docs/images/latency.svg
	$(BIN)/python -m benchmarks.binary --rounds $(BENCH_ROUNDS) --json $(BENCH_FIGURES)/binary.json
	$(BIN)/python -m benchmarks.slow_clients --rounds $(BENCH_ROUNDS) --json $(BENCH_FIGURES)/slow.json
	$(BIN)/python -m benchmarks.aims $(BENCH_FIGURES)

container: ## build the image, and prove that a container of it does what it should
	scripts/container-proof

clean: ## delete .venv and caches; ./data stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
