# NovaCron. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= /usr/bin/python3
LAB ?= yes
PACKAGES ?= yes
UP ?=
SEED ?=
KILLS ?= 200
COMMANDS ?= 600
GUESTS ?= 100
TICK ?= 2
CHAOS ?=
TEST ?=
FUZZ ?=
COVERAGE ?= no

# Where it is set, every program a test starts is compiled anew: a third of a collector's start.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PINS := packaging/requirements
LAB_OFF := $(filter no,$(LAB))
# Files side by side: tests wait more than they compute. What a file shares, as a lab, is made once.
BESIDE := -n 4 --dist loadfile --no-loadscope-reorder
# What measures how long something takes, or watches the load of a machine: nothing runs beside it.
ALONE := tests/e2e tests/agent/test_kvm_cadence.py tests/collector/test_agent_outage.py \
	tests/collector/test_guest_changes.py
PYTEST := $(BIN)/$(if $(filter yes,$(COVERAGE)),coverage run -m )pytest
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate \
	--universal --python-version 3.11 --custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade)

# A line for each package pip gathers; all that pip says is in .venv/pip.log. The pins are complete, so
# pip looks for no dependencies: with extras it would take the newest release, which has no hash here.
define install-pinned
	@echo "Installing Python packages: $(1)"
	@$(PIP) install --require-hashes --no-deps --no-build-isolation --only-binary :all: \
	    --no-binary libvirt-python -r $(PINS)/$(1).txt 2>&1 | tee $(VENV)/pip.log \
	    | sed -un 's/^Collecting \([^ ]*\).*/  \1/p; s/^Building wheels.*: /  building /p; /^ERROR/p'
	@$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@$(PIP) check >$(VENV)/pip.log || { cat $(VENV)/pip.log; exit 1; }
endef

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

## ---- run ----

.PHONY: up
up: system-run $(VENV)/installed-run ## install what is missing and run NovaCron here (LAB=no: without the lab)
	@exec $(BIN)/novacron up $(if $(LAB_OFF),--no-lab) $(UP)

.PHONY: down
down: $(VENV)/installed-run ## stop a running NovaCron and remove the lab
	@$(BIN)/novacron down $(UP)

.PHONY: lab
lab: system-run $(VENV)/installed-run ## start the lab alone: two KVM hosts, four guests
	@$(BIN)/novacron-lab up

## ---- check ----

.PHONY: test
test: installed ## install what is missing and run the tests (TEST='-k fleet', COVERAGE=yes)
	@rm -f .coverage .coverage.*
ifneq ($(TEST),)
	@$(PYTEST) $(TEST)
else
	@$(PYTEST) -m "not chaos and not fuzz and not booted" $(addprefix --ignore ,$(ALONE)) $(BESIDE)
	@$(PYTEST) $(ALONE)
endif

.PHONY: test-slow
test-slow: installed ## the tests that take minutes: kills, full disks, wrong clocks, mutated bodies
	@$(BIN)/pytest -m "chaos or fuzz" $(BESIDE) --durations 30

.PHONY: test-packaging
test-packaging: installed system-package ## the agent's package in a fresh Debian that boots: install, run, upgrade, remove, purge
	@$(BIN)/pytest tests/packaging

.PHONY: chaos-ingest
chaos-ingest: $(VENV)/installed-dev ## 200 kills and a bad network under load: all that was acknowledged is there once (SEED=, KILLS=)
	@PYTHONPATH=tests $(BIN)/python -m chaos.ingest --kills $(KILLS) $(if $(SEED),--seed $(SEED))

.PHONY: chaos-agent
chaos-agent: $(VENV)/installed-dev ## 200 kills of novacron-agent, and of its spool: all that was on disk arrives or is in a gap (SEED=, KILLS=)
	@KILLS=$(KILLS) SEED=$(or $(SEED),1) $(BIN)/pytest tests/chaos/test_agent_kills.py tests/chaos/test_agent_spool.py -rP

.PHONY: chaos-commands
chaos-commands: installed ## 600 commands to QEMU's and libvirt's guests, and VMs made and deleted, while agents and collector are killed: each ends, and is done once at most (SEED=, COMMANDS=, CHAOS='--state postgresql')
	@PYTHONPATH=tests $(BIN)/python -m chaos.commands --commands $(COMMANDS) $(if $(SEED),--seed $(SEED)) $(CHAOS)

.PHONY: chaos-guests
chaos-guests: installed ## 100 guests, of which one hangs, during a migration, a save and a restart of libvirtd: nobody else misses a tick (GUESTS=, TICK=)
	@GUESTS=$(GUESTS) TICK=$(TICK) $(BIN)/pytest tests/agent/test_kvm_cadence.py --log-cli-level INFO

.PHONY: lint
lint: $(VENV)/installed-dev ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: $(VENV)/installed-dev ## mypy --strict
	$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/installed-dev ## the dependency rule between the packages
	$(BIN)/lint-imports

.PHONY: coverage
coverage: $(VENV)/installed-dev ## after `make test COVERAGE=yes`: 80 % of each component or it fails
	@$(BIN)/python .ci/coverage_per_component.py

.PHONY: fuzz
fuzz: $(VENV)/installed-dev ## mutated OTLP and remote-write bodies by the million, honest ones among them (FUZZ='--otlp 9999')
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run $(or $(FUZZ),--otlp 1000000 --remote-write 200000)

.PHONY: light-agent
light-agent: system-run wheel ## an agent's host gets the agent alone, and its tests pass there
	@PYTHON=$(PYTHON) .ci/light-agent

.PHONY: wheel
wheel: $(VENV)/installed-dev ## build the wheel and look whether all is in it
	@$(BIN)/python .ci/wheel.py

## ---- package ----

.PHONY: agent-deb
agent-deb: system-package $(VENV)/installed-dev ## dist/novacron-agent_VERSION_ARCH.deb: the agent for Debian hosts
	@$(BIN)/python packaging/deb/build_agent.py

## ---- measure ----

.PHONY: bench-ingest
bench-ingest: system-bench $(VENV)/installed-dev ## points per CPU second from OTLP to committed rows; bench/out/ingest.json
	@$(BIN)/python bench/ingest.py

.PHONY: bench-store
bench-store: system-bench $(VENV)/installed-dev ## queries, bytes and writes beside VictoriaMetrics (real traces, too: NOVACRON_BENCH_DATA=folder); bench/out/store.json
	@$(BIN)/python bench/store.py

.PHONY: bench-readers
bench-readers: $(VENV)/installed-dev ## 32 readers and endless queries beside ingest, and a killed store; bench/out/readers.json
	@$(BIN)/python bench/readers.py

.PHONY: bench-agent
bench-agent: system-bench $(VENV)/installed-dev ## CPU of a tick with 100 guests beside Debian's exporter, memory of an agent that joined; bench/out/agent.json
	@PYTHONPATH=tests $(BIN)/python bench/agent.py

.PHONY: bench-panels
bench-panels: $(VENV)/installed-dev ## CPU of each panel's query over 2,000 VMs; bench/out/panels.json
	@$(BIN)/python bench/panels.py

.PHONY: bench-fleet
bench-fleet: $(VENV)/installed-dev ## how soon Fleet with 2,000 VMs is usable, beside an empty Dash page; bench/out/fleet.json
	@$(BIN)/python bench/fleet.py

.PHONY: soak-prometheus
soak-prometheus: installed ## ten minutes of Debian's Prometheus writing here, both restarted again and again
	@SOAK_PROMETHEUS_S=600 $(BIN)/pytest tests/collector/test_prometheus.py --log-cli-level=INFO

.PHONY: bench-idle
bench-idle: $(VENV)/installed-dev ## memory of 10,000 idle connections, plain and with mTLS; bench/out/idle.json
	@$(BIN)/python bench/idle.py

.PHONY: bench-commands
bench-commands: installed ## from an order to libvirt, 200 starts and 50 creates beside plain scripts, memory of 10,000 held polls; bench/out/commands.json
	@PYTHONPATH=tests $(BIN)/python bench/commands.py

## ---- house-keeping ----

.PHONY: requirements
requirements: $(VENV)/installed-dev ## pin what pyproject.toml asks for (UPGRADE=yes: to the newest)
	$(COMPILE) pyproject.toml --extra dev --extra kvm --group build -o $(PINS)/dev.txt
	$(COMPILE) pyproject.toml --extra all --extra kvm -c $(PINS)/dev.txt -o $(PINS)/run.txt
	$(COMPILE) pyproject.toml --extra kvm -c $(PINS)/dev.txt -o $(PINS)/agent.txt
	$(COMPILE) --group agent-test -c $(PINS)/dev.txt -o $(PINS)/agent-test.txt
	$(COMPILE) --group build -c $(PINS)/dev.txt -o $(PINS)/build.txt

.PHONY: clean
clean: ## remove what was built here, the virtual environment included
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

## ---- how it is installed ----

.PHONY: installed system-run system-test system-bench system-package
installed: system-test $(VENV)/installed-dev

system-run:
	@$(if $(filter no,$(PACKAGES)),:,packaging/debian-packages/install run $(if $(LAB_OFF),,lab))

system-test:
	@$(if $(filter no,$(PACKAGES)),:,packaging/debian-packages/install run lab test package)

system-bench:
	@$(if $(filter no,$(PACKAGES)),:,packaging/debian-packages/install run lab bench)

system-package:
	@$(if $(filter no,$(PACKAGES)),:,packaging/debian-packages/install run package)

$(VENV)/installed-build: $(PINS)/build.txt
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "NovaCron needs Python 3.11 or later")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --require-hashes --no-deps --only-binary :all: -r $(PINS)/build.txt
	@touch $@

$(VENV)/installed-run: $(VENV)/installed-build $(PINS)/run.txt pyproject.toml
	$(call install-pinned,run)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-build $(PINS)/dev.txt pyproject.toml
	$(call install-pinned,dev)
	@touch $@ $(VENV)/installed-run
