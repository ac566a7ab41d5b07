PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -qq
LOCK   := $(BIN)/uv pip compile pyproject.toml --group build --universal --python-version 3.11 \
          --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet

.DEFAULT_GOAL := help
.PHONY: help install demo test soak check bench lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed ## set up .venv; the program is then .venv/bin/groundswell

demo: install ## fill a demonstration movement (once) and serve it on http://127.0.0.1:8000
	@exec $(BIN)/groundswell demo --serve

test: $(VENV)/.installed-dev ## run the whole test suite, PostgreSQL included
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadgroup

soak: $(VENV)/.installed-dev ## kill -9 under load for longer than the suite can: some 20 minutes
	@$(BIN)/python -m tests.soak

check: $(VENV)/.installed-dev ## run linters and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(VENV)/.installed-dev ## run the benchmarks
	@$(BIN)/python -m benchmarks

lock: $(BIN)/uv ## lock anew: the newest versions pyproject.toml allows
	@$(LOCK) --upgrade --extra dev --output-file requirements-dev.lock
	@$(LOCK) --upgrade --constraint requirements-dev.lock --output-file requirements.lock
	@! grep -nE '://|^-|[ =]/' requirements.lock requirements-dev.lock

clean: ## remove the environment, caches and build output; never the data in var/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "groundswell needs Python 3.11 or newer, and '$(PYTHON)' is not (or is missing)." \
	         "Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created requirements.lock pyproject.toml
	@echo "installing …"
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "installing what tests and checks need …"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

$(BIN)/uv: | $(VENV)/.created
	@$(PIP) 'uv>=0.9,<1'
