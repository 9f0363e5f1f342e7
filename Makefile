# `make` alone lists the targets.
.DEFAULT_GOAL := help
CARGO ?= cargo

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## builds, starts the engine with the example channels and a made-up hospital
	$(CARGO) build
	target/debug/medway demo

web: ## builds the dashboard (needs Node.js); the next build of the engine takes it in
	cd web && npm ci --no-audit --no-fund --silent && npm run check && npm run build

check: ## formats, lints, tidy test (seconds; before every commit)
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test -q --test tidy

test: setup ## everything: unit, integration, crash, peers
	scripts/test.sh

test-all: setup ## the same with hundreds of crash rounds and long soaks
	MEDWAY_TEST_ALL=1 scripts/test.sh

bench: ## the benchmarks, each against its own limit; writes target/bench.json
	$(CARGO) bench --bench bench

screenshots: setup ## pictures of each page, light and dark, both languages, in target/screenshots
	cd web && npm run --silent build
	$(CARGO) build
	node web/tests/screenshots.mjs

bench-web: setup ## the dashboard with a million messages stored, each figure against its limit
	cd web && npm run --silent build
	$(CARGO) build --release
	MEDWAY_BINARY=target/release/medway node web/tests/bench.mjs

setup: ## installs what the tests need (peers from the package registries)
	scripts/setup.sh

generate: ## writes the JSON Schema, the reference docs and the types of the dashboard anew
	MEDWAY_ACCEPT=1 $(CARGO) test -q --test it generated::
	cd web && npm ci --no-audit --no-fund --silent && npm run --silent types

accept: ## takes changed snapshots, after you have read them
	INSTA_UPDATE=always $(CARGO) test -q --test it

.PHONY: help run web check test test-all bench screenshots bench-web setup generate accept
