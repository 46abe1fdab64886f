# Needs Python 3.11 or later, and uses uv where there is one.
#   another Python: make setup PYTHON=python3.12        plain pip: make setup UV=

PYTHON ?= python3
UV ?= $(shell command -v uv)
BIN := .venv/bin
READY := .venv/ready

.PHONY: help setup demo test lint up down
.DEFAULT_GOAL := help

help: ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv, with `patterns` in it
	@echo 'source $(BIN)/activate   # then: patterns doctor'

demo: setup ## Summarize the sample tickets and print where the report is
	$(BIN)/patterns setup
	$(BIN)/patterns summarize examples/tickets.csv

test: setup ## Run the tests
	$(BIN)/pytest --numprocesses auto --dist loadfile

lint: setup ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

up: setup ## Start the platform: PostgreSQL, Prefect's server with its UI, all deployments
	$(BIN)/patterns up

down: setup ## Stop what was started
	$(BIN)/patterns down

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed, and $(PYTHON) is none. Name one: make setup PYTHON=python3.12" >&2; exit 1; }
ifeq ($(UV),)
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) cannot make virtual environments. Debian, Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	# The pip of older Pythons tries versions of dependencies for a quarter of an hour.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
else
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip install --quiet --python $(BIN)/python --editable '.[dev]'
endif
	@touch $(READY)
