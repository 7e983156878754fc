# Everything a newcomer or a CI machine runs. `make` alone lists the targets.
# The only thing needed beforehand is a python3 of version 3.11 or newer; the rest goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-slow check lint crash generate generated-is-current bench bench-quick bench-postgres bench-scale model simulate fuzz lock audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "holdfast needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP) ## run a real workflow through both services, kill one of them, see it survive
	$(BIN)/python -m examples.audit.demo

test: test-fast test-slow ## run the whole suite

test-fast: $(STAMP) ## run all tests but the storms and sweeps
	@# Two at a time, a file to each. One hash seed, so that both give the same tests the same names.
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

# Slow tests that watch no clock.
UNHURRIED = $(addprefix tests/,benchmarks models power security simulation testing)

test-slow: $(STAMP) ## run the storms and sweeps; one after the other, if time tells whether they pass
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -m slow -n 2 --dist loadfile $(UNHURRIED)
	$(BIN)/python -m pytest -m slow $(UNHURRIED:%=--ignore=%) --durations=12

crash: $(STAMP) ## kill store and runtime everywhere, judge what is left (7 minutes; CRASH=--nightly: hours)
	$(BIN)/python -m tests.crash $(CRASH)

lint: $(STAMP) ## style, types, import rules, the contract and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy holdfast store_service runtime_service
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/hadolint --failure-threshold info Dockerfile

generated-is-current: $(STAMP) ## fail when holdfast/v1 is not what protos/ gives
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/generate.sh "$$out" \
	  && diff -r -x __pycache__ "$$out/holdfast/v1" holdfast/v1 && echo "holdfast/v1 is current"

check: lint generated-is-current test ## everything that CI runs

generate: $(STAMP) ## write holdfast/v1 anew from protos/
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/generate.sh

bench: $(STAMP) ## measure, as ratios against floors of this machine; `--help` of it has more
	$(BIN)/python -m benchmarks --save

bench-quick: $(STAMP) ## the same in under a minute
	$(BIN)/python -m benchmarks --quick

bench-postgres: $(STAMP) ## the workloads of `make bench` on PostgreSQL, against its own commits
	$(BIN)/python -m benchmarks --postgres --save

bench-scale: $(STAMP) ## measure a store with very much in it, and replicas, on both engines: half an hour
	$(BIN)/python -m benchmarks.scale --save

model: $(STAMP) ## look at every state of the model of lease, guard and redelivery (needs spin and gcc)
	$(BIN)/python -m models

simulate: $(STAMP) ## play every schedule of small runs, with one fault, and long ones by seeds
	$(BIN)/python -m tests.simulation

fuzz: $(STAMP) ## bytes at every method of both services, guided by coverage, for FUZZ_SECONDS (60)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python -m tests.security.fuzz -max_total_time=$(or $(FUZZ_SECONDS),60) -rss_limit_mb=1024 -timeout=20

lock: $(STAMP) ## write the locks anew: every package of the image and of its build, with version and hashes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[audit]'
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --no-header --extra crypto --extra jwt --extra otel --extra postgres --extra zstd --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --no-header --all-build-deps --only-build-deps --output-file requirements-build.lock pyproject.toml

audit: $(STAMP) ## look every package of the image up in the advisory database (where it can be reached)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/audit.sh

.PHONY: storm
storm: $(STAMP) ## networks, clocks, pauses and load at a size beyond the suite's (some minutes)
	HOLDFAST_NETWORK_RUNS=20 HOLDFAST_READERS=1000 HOLDFAST_MESSAGES=100000 HOLDFAST_FACTS=20000 HOLDFAST_PAUSE_SECONDS=5 \
	  $(BIN)/python -m pytest --timeout 900 -s tests/network tests/clocks tests/load

.PHONY: soak
soak: $(STAMP) ## half of what the machine can do, for SECONDS (3600), with a fault every 30 s; does anything grow? (SOAK=--postgres)
	$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),3600) --save $(SOAK)

.PHONY: storm-replicas
storm-replicas: $(STAMP) ## kill and freeze 3 stores and 3 runtimes over PostgreSQL 2,000 times (half an hour; STORM="--kills 200")
	$(BIN)/python -m tests.replicas $(STORM)
	HOLDFAST_DATABASE_ROUNDS=10 $(BIN)/python -m pytest -s tests/replicas/test_failing_database.py

mutate: $(STAMP) ## change the rules and replay in small ways, and see whether a test fails (an hour; SEED draws others)
	for package in store_service.rules runtime_service.replay; do \
	  $(BIN)/python -m tests.mutation map --package $$package \
	  && $(BIN)/python -m tests.mutation run --package $$package --seed $(or $(SEED),1) --count 200 \
	  && $(BIN)/python -m tests.mutation run --package $$package --seed $(or $(SEED),1) --again --tests-seconds 40 || exit 1; done
	$(BIN)/python -m tests.mutation report

clean: ## remove what the other targets made
	rm -rf $(VENV) .holdfast .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
