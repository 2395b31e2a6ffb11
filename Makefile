# The server and its checks. `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install --quiet --require-hashes
# Compiled once, also where the environment says otherwise: the tests start hundreds of processes of ours.
PYTEST := PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest
RUN := .venv/.installed-run
DEV := .venv/.installed-dev
# Checks see the settings of the tests: no home, no .env and no node of the developer's.
CHECKED := DJANGO_SETTINGS_MODULE=tests.settings .venv/bin/python

.PHONY: help run regtest buy jit pay admin test test-long bench attack soak check check-types check-shape format generate lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(RUN) ## the whole server in the foreground; Ctrl-C ends it
	@exec .venv/bin/python manage.py run

regtest: $(DEV) ## the server on a network of its own: btcd, our lnd, a buyer's lnd
	@exec .venv/bin/python -m lsp_site.running.playground

buy: $(RUN) ## a purchase on the simulated node; RAIL=onchain, PEER=offline, CLAIM=lnurl, PAY=late|short|over|twice show other ways
	@LSP_HOME="$${LSP_HOME:-.lsp}/simulated" exec .venv/bin/python manage.py buy \
	  $(if $(RAIL),--rail $(RAIL)) $(if $(PEER),--peer $(PEER)) $(if $(CLAIM),--claim $(CLAIM)) \
	  $(if $(PAY),--pay $(PAY))

jit: $(RUN) ## a first payment received over a channel that there was not, on the simulated node; TAKES=fails: it goes back
	@LSP_HOME="$${LSP_HOME:-.lsp}/simulated" exec .venv/bin/python manage.py jit $(if $(TAKES),--takes $(TAKES))

pay: $(RUN) ## pay an invoice of the server on the simulated node, with its coins: INVOICE=lnbcrt…; without it: whose node is the wallet's
	@LSP_HOME="$${LSP_HOME:-.lsp}/simulated" exec .venv/bin/python manage.py buy --invoice "$(INVOICE)"

admin: $(RUN) ## make a staff account on the server that runs; where several do, NODE=simulated, regtest or own says which
	@exec .venv/bin/python -m lsp_site.running.account $(if $(NODE),--node $(NODE))

test: check ## all checks and tests; the long ones excepted
	@$(PYTEST) -n 3 -m "not long"

test-long: check ## the same and the long ones
	@$(PYTEST)

bench: $(DEV) ## measure on the simulated node and on a real lnd, some ten minutes; writes docs/performance.md (SCALE=large: docs/large-nodes.md, SCALE=database: docs/large-databases.md, SCALE=waiting: docs/waiting-orders.md)
	@exec .venv/bin/python -m tests.bench $(if $(filter large database waiting,$(SCALE)),--$(SCALE))

attack: $(DEV) ## attackers against the server on the simulated node, ten minutes; MINUTES=2 ATTACKER=unpaid SEED=7 ADDRESSES=20 COINS=10
	@exec .venv/bin/python -m tests.attack $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ATTACKER),--attacker $(ATTACKER)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ADDRESSES),--addresses $(ADDRESSES)) $(if $(COINS),--coins $(COINS))

soak: $(DEV) ## 500 orders of mixed fates on a real lnd while processes are killed, then the books, half an hour; ORDERS=50 SEED=7
	@exec .venv/bin/python -m tests.soak $(if $(ORDERS),--orders $(ORDERS)) $(if $(SEED),--seed $(SEED))

check: $(DEV) ## style, types, imports, sizes, and that generated files are as the code says
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet . || { echo "not formatted: make format"; exit 1; }
	@$(MAKE) -j 2 check-types check-shape

check-types: $(DEV)
	@.venv/bin/python -m mypy --no-error-summary

check-shape: $(DEV)
	@.venv/bin/lint-imports --no-logo --no-cache >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@$(CHECKED) -m lightning.proto.generate --check
	@$(CHECKED) manage.py generate --check
	@$(CHECKED) -W ignore manage.py makemigrations --check --dry-run
	@$(CHECKED) manage.py check
	@$(CHECKED) -m tests.house.size

format: $(DEV) ## write the code as the checks want it
	@.venv/bin/ruff check --quiet --fix .
	@.venv/bin/ruff format --quiet .

generate: $(DEV) ## write the generated files
	@$(CHECKED) -m lightning.proto.generate
	@$(CHECKED) manage.py generate

lock: $(DEV) ## pin what requirements.in and requirements-dev.in ask for
	@uv=$$(command -v uv || echo .venv/bin/uv); [ -x "$$uv" ] || .venv/bin/python -m pip install --quiet uv; \
	$$uv pip compile --quiet --python-version 3.11 --generate-hashes requirements.in -o requirements.txt; \
	$$uv pip compile --quiet --python-version 3.11 --no-strip-markers --generate-hashes requirements-dev.in -o requirements-dev.txt

clean: ## remove what was built, except the server's own home (.lsp)
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache tests/regtest/bin tests/clients/ldk/bin
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed (3.11 or newer is needed)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing (Debian: apt install python3-venv)"; exit 1; }

$(RUN): requirements.txt | .venv/bin/python
	@echo "installing the server's dependencies"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt | .venv/bin/python
	@echo "installing the dependencies of development"
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(RUN)
