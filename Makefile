# What one does with a checkout. Nothing here is needed to use cargo directly, except that the
# components must be built before the host's tests: `make test` does both.
#
# Everything is built with the release profile and for the whole workspace, so that the demo, the
# tests and the benchmark share one build of wasmtime and librdkafka (with `-p`, cargo would choose
# other features of shared dependencies and build some of them again).

.DEFAULT_GOAL := help
.PHONY: help demo demo-once demo-kafka demo-kafka-once demo-fulfilment demo-languages demo-cluster test test-cluster fuzz-api bench bench-swaps bench-kafka bench-postgres bench-hosts
.PHONY: build components fixtures languages languages-needed fulfilment-in-languages install-servers lint wasm-target first-build-note tools

# Most tests wait for something most of the time.
export RUST_TEST_THREADS ?= $(shell echo $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )))

WASM := cargo build --release --target wasm32-wasip2
FULFILMENT := -p fulfilment-orders -p fulfilment-inventory -p fulfilment-payments -p fulfilment-shipping
HAS_POSTGRES := ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null
ARGS ?=
API_CALLS ?= 20000
CLUSTER_ROUNDS ?= 300
# The demo and the tests find the built components there, whatever the user's cargo is set to.
export CARGO_TARGET_DIR := $(CURDIR)/target

help: ## Print this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: components build ## Run the saga on ports 8081 and 8082 and explain it; Ctrl-C ends it
	target/release/saga-demo walk $(ARGS)

demo-once: components build ## The same, but end after the walk; fails if any state was wrong
	target/release/saga-demo walk --once $(ARGS)

demo-kafka: components build ## Run it as two hosts over a real Kafka, which is fetched and started (needs Java 17 and Maven)
	target/release/saga-demo walk --kafka $(ARGS)

demo-kafka-once: components build ## The same, but end after the walk; fails if anything was wrong
	target/release/saga-demo walk --kafka --once $(ARGS)

demo-fulfilment: components build ## Run a saga of four participants with a payment gateway, explain it, check its books and end
	target/release/saga-demo fulfilment $(ARGS)

demo-languages: languages-needed components build fulfilment-in-languages ## The same saga with rules in Rust, TypeScript and Python, swapped under load (needs Node.js 20 and Python 3.10)
	target/release/saga-demo languages $(ARGS)

demo-cluster: components build ## Run three hosts on one PostgreSQL server, kill one, pause one, swap rules on all, check the books and end (make install-servers)
	target/release/saga-demo cluster $(ARGS)

test: fixtures build languages ## Run all tests
	@$(HAS_POSTGRES) || \
		echo "Tests on PostgreSQL are left out: there is no server (make install-servers)."
	cargo test --release --workspace

fuzz-api: fixtures build ## Send 20,000 requests made from the API documents, and check every answer (API_CALLS=N; minutes)
	API_CALLS=$(API_CALLS) API_ARGS="$(ARGS)" cargo test --release --workspace --test api -- fuzz

test-cluster: fixtures build ## Kill, pause and cut off hosts on one PostgreSQL server 300 times under load, and check the books (CLUSTER_ROUNDS=N; minutes)
	SAGA_CLUSTER_ROUNDS=$(CLUSTER_ROUNDS) cargo test --release --workspace --test it -- store::hosts::after_random_faults

bench: components build ## Measure throughput and latency on this machine (minutes; leave it idle)
	target/release/saga-bench run $(ARGS)

bench-swaps: components build ## Swap rules under load and measure what requests notice of it (minutes)
	target/release/saga-bench swaps $(ARGS)

bench-kafka: components build ## Measure two hosts over a real Kafka, next to bare clients (minutes; leave it idle)
	target/release/saga-bench run --kafka $(ARGS)

bench-postgres: components build ## Measure a host on a PostgreSQL server, next to one on SQLite (minutes; leave it idle; make install-servers)
	target/release/saga-bench run --postgres $(ARGS)

bench-hosts: components build ## Measure a hot key and swaps of rules over several hosts on one PostgreSQL server (minutes; leave it idle; make install-servers)
	target/release/saga-bench hosts $(ARGS)

build: first-build-note ## Build the host, the demo and the benchmarks
	cargo build --release --workspace

components: wasm-target ## Build the rule components customer (three builds of it), order, and those of the fulfilment saga
	$(WASM) -p customer -p order -p customer-cautious -p customer-faulty $(FULFILMENT)

fixtures: wasm-target
	$(WASM) -p customer -p order -p customer-cautious -p customer-faulty $(FULFILMENT) -p booking -p mischief -p chameleon -p veteran

HAS_NODE := node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null
HAS_PYTHON := python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null

# Where one is missing, its tests say so; on CI they fail.
languages: ## Install what the SDKs of other languages need (TypeScript: Node.js 20 with npm; Python: 3.10 with venv)
	@if $(HAS_NODE); then \
		cd sdk/typescript && { test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund; }; \
	else echo "Rules in TypeScript are left out: there is no Node.js 20 with npm."; fi
	@if $(HAS_PYTHON); then \
		cd sdk/python && { test .venv/.saga-installed -nt pyproject.toml || { \
			python3 -m venv .venv && .venv/bin/python -m pip --disable-pip-version-check install --quiet -e '.[build,test]' && \
			touch .venv/.saga-installed; }; }; \
	else echo "Rules in Python are left out: there is no Python 3.10 with venv."; fi

install-servers: ## Install the PostgreSQL server that tests start (Debian, Ubuntu; as root)
	@$(HAS_POSTGRES) || { \
		apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends postgresql >/dev/null; }

languages-needed:
	@missing=0; \
	$(HAS_NODE) || { missing=1; echo "Node.js 20 or later with npm is missing: install it (Debian, Ubuntu: nodejs and npm; others: https://nodejs.org)."; }; \
	$(HAS_PYTHON) || { missing=1; echo "Python 3.10 or later with venv is missing: install it (Debian, Ubuntu: python3 and python3-venv; others: https://python.org)."; }; \
	exit $$missing

# By the SDKs' own build commands, as a project of an author is.
fulfilment-in-languages: languages-needed languages
	cd demo/fulfilment/inventory/typescript && \
		node $(CURDIR)/sdk/typescript/bin/saga-sdk.mjs build --out $(CARGO_TARGET_DIR)/languages/inventory-typescript.wasm
	for participant in inventory shipping; do \
		sdk/python/.venv/bin/python -m saga_sdk build -C demo/fulfilment/$$participant/python \
			-o $(CARGO_TARGET_DIR)/languages/$$participant-python.wasm || exit 1; done

lint: tools ## Check the formatting, and run clippy with warnings as errors
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

# The program itself installs the target (`saga doctor --fix`), so it is built first, but only if the target is missing,
# or is that of another compiler, as after an update.
wasm-target: tools
	@trial=$$(mktemp -d) && { \
		echo | rustc --target wasm32-wasip2 --crate-type lib --crate-name trial --emit metadata --out-dir "$$trial" - 2>/dev/null; \
		works=$$?; rm -r "$$trial"; test $$works -eq 0; } || \
		{ $(MAKE) build && target/release/saga doctor --fix; }

first-build-note: tools
	@test -e target/release/saga || \
		echo "The first build compiles wasmtime, OpenSSL, SQLite and librdkafka: about 10 minutes on two cores."

# SQLite, OpenSSL, zstd, curl and librdkafka are compiled from bundled sources: C and C++, with cmake (librdkafka)
# and perl (OpenSSL).
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust (stable), for example with rustup."; exit 1; } >&2
	@test -n "$$CC$$CXX" || { command -v cc && command -v c++; } >/dev/null || { \
		echo "A C or C++ compiler is missing: install gcc and g++ (Debian, Ubuntu: build-essential) or clang."; exit 1; } >&2
	@command -v cmake >/dev/null || { echo "cmake is missing: install it (the package is called cmake everywhere)."; exit 1; } >&2
	@command -v perl >/dev/null || { echo "perl is missing: install it (Debian, Ubuntu: perl; Fedora: perl-core)."; exit 1; } >&2
