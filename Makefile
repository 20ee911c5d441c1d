# The commands of this tree; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
WEB := kioskd/web

# Devices of this machine for the demo; one that is not named is simulated.
CAMERA ?=
MICROPHONE ?=
SPEAKER ?=
SCANNER ?=
PRINTER ?=
REAL ?=
CONFIG ?= /etc/kioskd/kioskd.toml
PYTEST_ARGS ?=
# Two workers: one for the heavy tests (Chromium, whole calls), the other for all others; see
# tests/conftest.py. More gain nothing: the heavy ones take the longest.
JOBS ?= $(shell echo $$(( $$(nproc) > 1 ? 2 : 1 )))
FAULTS_ARGS ?=
ATTACKS_ARGS ?=
CANARY_ARGS ?=
SOAK_CALLS ?=
SOAK_SCANS ?=
SECONDS ?= 60
SEED ?=
LINE ?=
SIZE ?=
RTT ?=
CALLS ?=
# Where the extra `bench` is installed: without it there is no score of speech and no plot.
BENCH_PYTHON ?= $(BIN)/python

.PHONY: help setup demo run web test lint web-check pytest faults doctor-score attacks exposure canary soak fuzz bench bench-setup bench-lines bench-cpu bench-loss man lock clean

help: ## List what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## Install what is missing: Debian packages, .venv, web pages
	@scripts/setup.sh test

demo: ## Run a whole kiosk here; CAMERA= MICROPHONE= SPEAKER= SCANNER= PRINTER= or REAL=1 take real devices
	@scripts/setup.sh demo
	@exec $(BIN)/kioskd demo \
		$(if $(CAMERA),--camera '$(CAMERA)') \
		$(if $(MICROPHONE),--microphone '$(MICROPHONE)') \
		$(if $(SPEAKER),--speaker '$(SPEAKER)') \
		$(if $(SCANNER),--scanner '$(SCANNER)') \
		$(if $(PRINTER),--printer '$(PRINTER)') \
		$(if $(filter-out 0 no,$(REAL)),--real)

run: ## Run the daemon of a kiosk with CONFIG=path/to/kioskd.toml
	@exec $(BIN)/kioskd run --config '$(CONFIG)'

web: ## Build the web pages
	@cd $(WEB) && { [[ -d node_modules ]] || npm ci --no-audit --no-fund; } && npm run build

test: setup lint web-check pytest ## Check everything: style, types, layers, web pages, tests (PYTEST_ARGS= for pytest)

lint: ## Check the Python code: style, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy bench
	$(BIN)/lint-imports

web-check: ## Check the web pages: types, style, tests
	cd $(WEB) && npm run --silent check && npm run --silent test

pytest: ## Run the tests only, where there are two cores by two workers (JOBS=1 for one after the other)
	$(BIN)/pytest $(if $(filter-out 1,$(JOBS)),--numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder) $(PYTEST_ARGS)

faults: ## Inject every fault of the matrix into the real stacks (FAULTS_ARGS= for pytest, as in -k printer)
	@$(BIN)/python -m tests.faults $(FAULTS_ARGS)

doctor-score: ## Inject the faults again and see what doctor names first (DOCTOR_ARGS= for pytest)
	@$(BIN)/python -m tests.faults.doctor_score $(DOCTOR_ARGS)

exposure: ## How far systemd thinks that each of our units is confined (goal: 2.0 at most)
	@$(BIN)/python scripts/exposure.py

attacks: ## A hostile broker and hostile agents: what each tries, and what gets through (ATTACKS_ARGS= for pytest)
	@$(BIN)/python -m tests.attacks $(ATTACKS_ARGS)

soak: ## A thousand short calls and two hundred scans, and what stays behind (SOAK_CALLS= SOAK_SCANS=)
	@SOAK_CALLS='$(SOAK_CALLS)' SOAK_SCANS='$(SOAK_SCANS)' $(BIN)/python -m tests.soak

canary: ## Marked visits in every state, and what is left of them in files, logs and memory
	@$(BIN)/python -m tests.canary $(CANARY_ARGS)

fuzz: ## Mutated documents and messages against what reads them (SECONDS= SEED=)
	@SECONDS='$(SECONDS)' SEED='$(SEED)' $(BIN)/python -m tests.fuzz

bench: ## Measure a visit, a call's set-up, what a worker process and proofs cost, the loop's lag while devices are frozen, the voice on bad lines
	$(BIN)/python -m bench.visit
	$(BIN)/python -m bench.setup
	$(BIN)/python -m bench.worker
	$(BIN)/python -m bench.proofs
	$(BIN)/python -m bench.lag
	$(BIN)/python -m bench.sound

man: ## Man pages and shell completion from the commands' help: build/man, build/completion
	@$(BIN)/python -m scripts.manuals build

bench-lines: ## The same call over bad lines: stock aiortc, kioskd, Chromium (LINE=adsl512 for one; SEED=)
	@$(BENCH_PYTHON) -m bench.lines $(if $(LINE),--line '$(LINE)') $(if $(SEED),--seed '$(SEED)')

bench-setup: ## From an agent's claim to sound and picture at both ends, beside two pages in Chromium (RTT=60 in ms, CALLS=10)
	@$(BIN)/python -m bench.setup --rtt '$(or $(RTT),60)' --calls '$(or $(CALLS),10)'

bench-cpu: ## CPU of the kiosk's end of a call: kioskd, stock aiortc, GStreamer, libwebrtc (SIZE=1280x720)
	@$(BIN)/python -m bench.cpu --size '$(or $(SIZE),640x480)'

bench-loss: ## Slices, intra refresh and VP8's resilience on a line that loses packets (SEEDS=4)
	@$(BIN)/python -m bench.loss '$(or $(SEEDS),4)'

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: ## Renew the locked versions (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv (https://docs.astral.sh/uv/)" >&2; exit 1; }
	$(LOCK) --upgrade --extra dev pyproject.toml -o requirements.lock
	echo 'setuptools>=77' | $(LOCK) --upgrade - -o scripts/build.lock

clean: ## Remove what was made here: .venv, web pages, caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache ./*.egg-info
	rm -rf $(WEB)/node_modules $(WEB)/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.NOTPARALLEL:
