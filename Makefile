# `make search` and `make test` are all a newcomer needs: each target installs first where it must.

.DEFAULT_GOAL := help
.PHONY: help install search test test-ray test-rest lint bench clean
MAKEFLAGS += --no-print-directory

BIN   := .venv/bin
STAMP := .venv/.installed
PIP   := $(BIN)/python -m pip install -qq --disable-pip-version-check
USABLE := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c '$(USABLE)' 2>/dev/null && echo $$python && break; done)
WHOLE = $(if $(filter output-sync,$(.FEATURES)),--output-sync=line)  # not mixed up line by line
RAY_BENCHMARKS = faults fused_search quality_at_budget scale shared_prefixes soak warm_slots
BENCHMARKS = $(patsubst benchmarks/%.py,%,$(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))

# $(call tiny,PREFIX,NAMES): each of the benchmarks in its tiny form
define tiny
	@for name in $(2); do \
		output=$$($(1) $(BIN)/python -m benchmarks.$$name --tiny 2>&1) || { \
			echo "$$output"; echo "test: benchmarks.$$name --tiny FAILED"; exit 1; }; \
		echo "test: benchmarks.$$name --tiny: $$(echo "$$output" | tail -n 1)"; \
	done
endef

help:  ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1@/p' Makefile | while IFS=@ read -r name text; do \
		printf 'make %-8s %s\n' "$$name" "$$text"; done

install: $(STAMP)  ## make .venv, with the versions of constraints.txt
	@:

search: $(STAMP)  ## run the embedded search; ARGS="--trials 20" is passed on
	@$(BIN)/thaw search unfreeze_timing $(ARGS)

test: lint  ## lint, tests, each benchmark in its tiny form, the commands in the docs
	@$(MAKE) -j 2 $(WHOLE) test-ray test-rest

# What starts Ray waits more than it computes; the rest takes what that leaves, at a low priority.
test-ray: $(STAMP)
	@echo "test: pytest, with Ray (20 minutes)"
	@$(BIN)/python -m pytest -q -m "ray and not gpu"
	$(call tiny,,$(RAY_BENCHMARKS))
	@if [ -e tests/doc_check.py ]; then echo "test: docs"; $(BIN)/python -m tests.doc_check; fi

test-rest: $(STAMP)
	@echo "test: pytest, without Ray (beside it)"
	@nice -n 15 $(BIN)/python -m pytest -q -m "not ray and not gpu"
	$(call tiny,nice -n 15,$(filter-out $(RAY_BENCHMARKS),$(BENCHMARKS)))

lint: $(STAMP)  ## ruff, mypy, and known weaknesses of the pinned packages
	@echo "lint: ruff check"
	@$(BIN)/ruff check -q
	@echo "lint: ruff format"
	@$(BIN)/ruff format -q --check || { echo "to format: $(BIN)/ruff format"; exit 1; }
	@echo "lint: mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "lint: audit"
	@$(BIN)/python -m tests.audit

bench: $(STAMP)  ## run each benchmark in full
	@failed=; for name in $(BENCHMARKS); do \
		echo "bench: $$name"; $(BIN)/python -m benchmarks.$$name || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "bench: failed:$$failed"; exit 1; }

clean:  ## remove .venv and caches; results stay
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The second try is for a download that broke off; it goes on with what pip has cached.
$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(USABLE)' 2>/dev/null || { \
		echo "thaw needs Python 3.11 or newer with venv; found: $(or $(PYTHON),none)." \
			"Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(BIN)/python -c '$(USABLE)' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv
	@echo "install: .venv (about 6 GB, a few minutes)"
	@$(PIP) --upgrade pip || true  # a newer one resolves in half the time
	@$(PIP) -c constraints.txt -e '.[dev]' || $(PIP) -c constraints.txt -e '.[dev]'
	@touch $@
