# Everything goes through here; `make help` lists it. Needs Python 3.13 and make, installs the rest into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test unit-tests other-tests test-iam prove torture demo audit lint types format validate build clean

PYTHON ?= $(shell command -v python3.13 || command -v python3)
BIN := .venv/bin
export SAM_CLI_TELEMETRY := 0
unexport PYTHONDONTWRITEBYTECODE # dozens of processes would compile the same modules again

# Options of `make run`, given as `make run PORT=4000 TICK=5`.
RUN_OPTIONS := PORT PROVIDERS INTEGRATIONS FUNCTIONS ACCESS_TTL TICK HTTPS ALLOW_LOOPBACK_PROVIDERS JSON BUILT ROTATION GRACE RETURN_URLS
export $(RUN_OPTIONS)

# The processor that Lambda shall have, and this machine's, by Lambda's names.
ARCHITECTURE ?= arm64
MACHINE := $(patsubst aarch64,arm64,$(shell uname -m))
BUILT_HERE := $(if $(filter-out 0 no false off,$(BUILT)),.aws-sam/built-$(MACHINE))
# Folders too: a file that is gone has no date.
BUILT_FROM := template.yaml uv.lock dev/roots.py dev/trim.py $(shell find layers functions -not -path '*/__pycache__*')

# Every line and branch of these is tested; of the whole layer at least 95 %.
LAYER := layers/consentry/consentry
CORE := $(LAYER)/oauth/*,$(LAYER)/connect/*,$(LAYER)/refresh/*,$(LAYER)/web/*,$(LAYER)/read.py,$(LAYER)/record.py,$(LAYER)/bearer.py
CORE := $(CORE),$(LAYER)/source.py,$(LAYER)/clients.py,$(LAYER)/listing.py,$(LAYER)/sharing.py,$(LAYER)/signed.py,$(LAYER)/testing.py
CORE := $(CORE),$(LAYER)/http.py,$(LAYER)/network.py,$(LAYER)/addresses.py,$(LAYER)/tokens.py,$(LAYER)/envelope.py,$(LAYER)/model.py,$(LAYER)/errors.py

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Options of `make run`:'
	@echo '  PORT=3000                   first of four ports (0: any free ones)'
	@echo '  PROVIDERS=dir               more provider files (docs/providers.md)'
	@echo '  INTEGRATIONS=file.json      client ids and secrets to register (docs/local.md)'
	@echo '  FUNCTIONS=dir               your functions, each folder in it with an app.py (docs/local.md)'
	@echo '  ACCESS_TTL=1800 TICK=60     seconds: how long tokens live, how often refreshing is looked at'
	@echo '  ROTATION=rotates GRACE=0    how the authorization server treats refresh tokens'
	@echo '  HTTPS=1                     serve the API with a generated certificate authority'
	@echo '  ALLOW_LOOPBACK_PROVIDERS=1  let provider files name servers on this machine'
	@echo '  JSON=1                      one line of JSON when ready'
	@echo '  BUILT=1                     run what `make build` makes for deployment (also: make demo BUILT=1)'

run: .venv/synced $(BUILT_HERE) ## the whole application on this machine; Ctrl-C stops it
	@exec $(BIN)/python -m dev run

demo: .venv/synced $(BUILT_HERE) ## the whole story without a browser, told in text
	@exec $(BIN)/python -m dev.demo

test: .venv/synced lint ## everything that CI runs
	@echo 'types, unit tests and all others at once; each says how it ended (alone: make types unit-tests other-tests)'
	@$(MAKE) --no-print-directory -j $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) types audit unit-tests other-tests

unit-tests: .venv/synced ## what needs nothing but this process, and how much of the layer it reaches (part of test)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit --cov --cov-report=
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='$(CORE)'

other-tests: .venv/synced ## emulators, the running stack, browsers, proofs in the size that fits (part of test)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests --ignore=tests/unit # much of it waits

test-iam: .venv/synced ## the roles, judged by a second implementation of IAM (part of test)
	$(BIN)/python -m pytest tests/contract/test_second_judge.py

prove: .venv/synced ## every proof at its full size, hours (SEED=0 N=1000000 schedules, ONLY=name of one)
	$(BIN)/python -m tests.prove --seed $(or $(SEED),0) --schedules $(or $(N),1000000) $(if $(ONLY),--only $(ONLY))

torture: .venv/synced ## what happens to grants in the field, done to this store (STORE=consentry, or docs/torture.md)
	$(BIN)/python -m torture $(or $(STORE),consentry)

audit: .venv/synced ## known vulnerabilities in what uv.lock names
	$(BIN)/python -m tests.infrastructure.audit

lint: .venv/synced ## style, layers, and whether uv.lock is what pyproject.toml asks for
	$(BIN)/uv lock --check --quiet || { echo 'uv.lock is not what pyproject.toml asks for: run .venv/bin/uv lock' >&2; exit 2; }
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: .venv/synced ## mypy, strict
	$(BIN)/mypy

format: .venv/synced ## put the source into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

validate: .venv/synced ## the template, as SAM sees it
	$(BIN)/sam validate --lint

build: .venv/synced ## what would be deployed (ARCHITECTURE=arm64 or x86_64), and how large it is
	@case "$(ARCHITECTURE)" in arm64|x86_64) ;; *) \
		echo "ARCHITECTURE must be arm64 or x86_64, not '$(ARCHITECTURE)'" >&2; exit 2;; esac
	@rm -f .aws-sam/built-*
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	@$(BIN)/python -m dev.pin $(ARCHITECTURE)
	@$(BIN)/python -m dev.sizes
	@touch .aws-sam/built-$(ARCHITECTURE)

.aws-sam/built-$(MACHINE): $(BUILT_FROM)
	$(MAKE) build ARCHITECTURE=$(MACHINE) PROVIDERS= # those of `make run` come from its own folder
	@echo 'this build is for $(MACHINE), without PROVIDERS: run `make build` as you deploy before `sam deploy`'

clean: ## remove what running and building left here
	rm -rf .local .aws-sam .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/synced: pyproject.toml uv.lock
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
		|| { echo 'Python 3.13 is needed and was not found: install it, or name it with make PYTHON=/path/to/python3.13' >&2; exit 2; }
	@test -x $(BIN)/uv || { echo 'making .venv'; "$(PYTHON)" -m venv .venv && $(BIN)/python -m pip install --quiet uv; } \
		|| { echo 'uv could not be installed: is the package index reachable?' >&2; rm -rf .venv; exit 2; }
	@echo 'installing what uv.lock names'
	@$(BIN)/uv sync --quiet --frozen --python $(BIN)/python \
		|| { echo 'the packages could not be installed: is the package index reachable?' >&2; exit 2; }
	@touch $@
