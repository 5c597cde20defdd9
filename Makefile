# One target is one command; `make help` lists them. Needs Python 3.11+ and make, nothing else.
PYTHON  ?= python3
PROFILE ?= embedded
SEEDS   ?=
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
LETTERS := a b c d e f g h i
ASK     := --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup $(addprefix ablation-,$(LETTERS)) ablations benchmark tables report compare test lint bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make ablation-a … ablation-i   run one table of the paper and print it"
	@echo "  variables: PROFILE=smoke|embedded|paper (now $(PROFILE)), SEEDS=n (now: the profile's)"

setup: $(READY) ## make .venv with the pinned dependencies

# torch first, so that nothing else drags in another build of it.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; say which one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the pinned dependencies (a minute or two)"
	@$(BIN)/pip install -q "$$(grep '^torch==' requirements.txt)"
	@$(BIN)/pip install -q -r requirements.txt
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# A table is printed even where a trial failed: its cell then says why, and the exit code of the run is kept.
$(addprefix ablation-,$(LETTERS)): ablation-%: $(READY)
	@$(BIN)/harness run ablation_$* $(ASK); code=$$?; \
	 test $$code -ge 2 || $(BIN)/harness tables ablation_$* $(ASK) || code=$$?; exit $$code

ablations: $(READY) ## all nine tables; trials shared between tables run once
	@$(BIN)/harness run $(addprefix ablation_,$(LETTERS)) $(ASK); code=$$?; \
	 test $$code -ge 2 || $(BIN)/harness tables $(addprefix ablation_,$(LETTERS)) $(ASK) || code=$$?; exit $$code

benchmark: $(READY) ## every system of the benchmark tables on the embedded dataset, 3 seeds, by one recipe (hours)
	@$(BIN)/harness run benchmark --profile benchmark $(if $(SEEDS),--seeds $(SEEDS)); code=$$?; \
	 test $$code -ge 2 || $(BIN)/harness tables benchmark --profile benchmark || code=$$?; exit $$code

tables: $(READY) ## render all tables from what is there (shipped baselines on a fresh clone); runs nothing
	@$(BIN)/harness tables --profile $(PROFILE)

report: $(READY) ## reports/index.html: tables, figures, any two rows compared
	@$(BIN)/harness report --profile $(PROFILE)

compare: $(READY) ## VARIANT=my_module.py BASELINE=dsa: run what is missing, compare, render
	@$(BIN)/harness compare --variant "$(VARIANT)" --baseline "$(BASELINE)" $(ASK)

test: $(READY) ## all tests that need no GPU
	@$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY) ## ruff, mypy, and the arrows between packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(READY) ## measured speeds (never part of the tests)
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock: $(READY) ## renew requirements.txt from requirements.in
	@$(BIN)/pip install -q --upgrade -r requirements.in
	@$(BIN)/pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' > requirements.txt

clean: ## remove rendered reports and caches; never results or data
	@rm -rf reports/tables reports/figures reports/index.html .pytest_cache .ruff_cache .mypy_cache
