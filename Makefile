# make run: a fresh machine to a printed result. make test: the same to a tested one.

PYTHON ?= python3
MODE ?= grpc
LOAD ?= 1000
# Units of each product: far above what LOAD orders can ask for.
STOCK ?= 1000000
# 0 lets the system choose: nobody else needs to find a run that ends by itself, and the default ports
# of gRPC lie where the system takes those of outgoing connections.
BASE_PORT ?= 0
# A directory of its own: what run_all.py keeps in dados by itself is not begun anew.
DATA ?= dados/make-run

# Three tests at a time: most of them wait for services, not for a processor.
PYTEST_ARGS ?= -n 3 --dist worksteal

# Compiled once, not at each start of each service: the suite starts hundreds of them.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
DEV_PACKAGES := $(VENV)/.packages-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help run test check clean
.DEFAULT_GOAL := help
# A stamp of an install that failed half way must not stay.
.DELETE_ON_ERROR:

help:
	@echo "make run    environment, packages, the shop, $(LOAD) concurrent checkouts, the audit"
	@echo "            (MODE=grpc|http|grpc-threads|http-threads LOAD=1000 STOCK=1000000 DATA=dados/make-run; DATA is begun anew)"
	@echo "make test   environment, packages, the whole test suite"
	@echo "make check  format, lint, types, import contracts, generated code, diagrams and the page of commands up to date"
	@echo "make clean  remove the environment, the databases and what tools left behind"

run: $(PACKAGES)
	$(BIN)/python run_all.py --mode $(MODE) --load $(LOAD) --stock $(STOCK) --fresh --data-dir $(DATA) --base-port $(BASE_PORT)

test: $(PACKAGES)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(DEV_PACKAGES)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --follow-imports=silent run_all.py gerador_dados.py
	$(BIN)/lint-imports
	$(BIN)/python -m proto.generate --check
	$(BIN)/python -m common.diagrams --check
	$(BIN)/python -m docs.commands --check

clean:
	rm -rf $(VENV) dados ecommerce.db .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) must be Python 3.11 or newer; name another with PYTHON=..." >&2; exit 1; }
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "make: $(PYTHON) cannot make an environment; on Debian: apt install python3-venv" >&2; exit 1; }

$(PACKAGES): requirements.txt | $(BIN)/python
	@echo "installing the packages of requirements.txt"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV_PACKAGES): requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "installing the packages of requirements-dev.txt"
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(PACKAGES)
