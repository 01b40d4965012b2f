# The two commands are `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3.11
export LAKEHOUSE_CACHE ?= $(CURDIR)/.lakehouse/cache
BIN := $(LAKEHOUSE_CACHE)/venv/main/bin
HERE := JAVA_HOME=$(LAKEHOUSE_CACHE)/java-home PYTHONPATH=$(CURDIR)
CORES := $(shell nproc)
# Processes that share the tests out, each with a stack of its own, of up to 6 GB. Those beyond the cores begin late.
TEST_STACKS ?= $(shell awk '/MemTotal/ { n = int($$2 / 7e6); print (n < 1 ? 1 : (n > 3 ? 3 : n)) }' /proc/meminfo)
# So many of the dearest files have their turn in a run, drawn by its seed.
TURNS ?= 1
PYTEST := $(HERE) $(BIN)/python -m pytest $(if $(SEED),--seed $(SEED)) $(PYTEST_ARGS)
QUICK := tests/unit tests/properties
UV := $(LAKEHOUSE_CACHE)/tools/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help install install-tests demo test test-all test-quick screenshots lint check-java format lock up down

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: ## Install everything this checkout runs on; what is there already is skipped.
	@$(PYTHON) infra/bootstrap.py

install-tests:
	@$(PYTHON) infra/bootstrap.py --with-tests

demo: install ## Run the whole lakehouse on real and generated events, and check the result.
	@bin/lakehouse demo

test: install-tests test-quick check-java ## Install what is needed and test everything, the dearest files in turns; SEED=n repeats a run's, PYTEST_ARGS is passed on.
	$(PYTEST) --turns $(TURNS) -n $(TEST_STACKS) --dist loadfile --no-loadscope-reorder $(addprefix --ignore ,$(QUICK)) tests

test-all: ## The same with every file, whose turn it is or not.
	@$(MAKE) test TURNS=99

test-quick: install lint ## What needs no services, for whoever is editing: style, types, units, properties.
	$(PYTEST) -n $(CORES) --dist worksteal $(QUICK)

screenshots: install-tests ## Remake the pictures that the docs show, from a real Airflow in Chromium.
	LAKEHOUSE_CORE=follower $(HERE) $(BIN)/python -m pytest tests/e2e --screenshots docs/images -k "operator"

lint: ## Style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(HERE) $(BIN)/lint-imports

check-java: ## The tests of the Java connectors.
	$(HERE) mvn -q -B -f connectors/pom.xml test -Dlakehouse.python=$(BIN)/python

format: ## Format the Python code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Lock the dependencies of pyproject.toml, with hashes, into requirements/.
	$(COMPILE) pyproject.toml --extra main --extra dev -o requirements/main.txt
	$(COMPILE) pyproject.toml --extra flink -o requirements/flink.txt
	$(COMPILE) pyproject.toml --extra build -o requirements/build.txt

up: install ## Start the local stack.
	@bin/lakehouse up

down: ## Stop the local stack.
	@bin/lakehouse down
