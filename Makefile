# Kiln's front door. `make help` lists the targets.
#
# KILN=/path/to/kiln  uses that binary instead of building one (air-gapped sites).
# KILLS=300                 how often `make test-durability` kills kiln at random moments.
# KILN_BASE=debian-13       builds on another base image, into out/debian-13 (docs/base-images.md).
# KILN_ARGS, VERIFY_ARGS, TEST_ARGS, BENCH_ARGS   are passed on.

SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO := scripts/cargo
BUILT_KILN := target/release/kiln

# A project that `kiln bundle import` made brings its own, and needs no network.
ifneq ($(wildcard .kiln/kiln),)
KILN ?= .kiln/kiln
KILN_OFFLINE ?= 1
export KILN_OFFLINE
endif

ifdef KILN
kiln = $(KILN)
needs_kiln =
else
kiln = $(BUILT_KILN)
needs_kiln = $(BUILT_KILN)
endif

.PHONY: help clearwater rpms rpms-all fetch bundle sbom lock plan check test test-slow test-smoke test-example test-srpm test-judges test-verify test-durability bench verify doctor schema clean $(BUILT_KILN)

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BUILT_KILN):
	@[ -x $@ ] || echo "kiln: building kiln itself; this takes some minutes the first time"
	@$(CARGO) build --quiet --release --locked -p kiln-cli

rpms: $(needs_kiln) ## build the RPMs of the default set (kiln.toml), their SBOMs and provenance into out/
	@$(kiln) build $(KILN_ARGS)
	@$(kiln) sign --if-configured

rpms-all: $(needs_kiln) ## the same for all recipes (docs/catalogue.md says how long it takes)
	@code=0; $(kiln) build --all --keep-going $(KILN_ARGS) || code=$$?; \
	[ $$code -gt 2 ] || $(kiln) sign --if-configured && exit $$code

fetch: $(needs_kiln) ## fetch everything that `make rpms` needs, for a build without network
	@$(kiln) fetch $(KILN_ARGS)

bundle: $(needs_kiln) ## everything that `make rpms` needs, in one file, for where there is no network (docs/air-gap.md)
	@mkdir -p out
	@$(kiln) bundle export out/bundle.kiln.tar $(KILN_ARGS)

sbom: rpms ## SBOMs of all recipes, CycloneDX and SPDX, in out/sbom/
	@ls out/$(KILN_BASE)/sbom/*.json

lock: $(needs_kiln) ## resolve distribution packages and write lockfiles
	@$(kiln) lock $(KILN_ARGS)

plan: $(needs_kiln) ## show what `make rpms` would do
	@$(kiln) plan $(KILN_ARGS)

doctor: $(needs_kiln) ## say whether this host can build, and what to do if not
	@$(kiln) doctor

check: ## everything static: format, lints, dependencies, recipes, schemas, tidiness
	@scripts/check

test: ## the tests that need neither root nor minutes
	@scripts/install-test-tools
	@scripts/run-tests fast $(TEST_ARGS)
	@$(CARGO) test --quiet --locked --workspace --doc

test-slow: rpms ## the tests that build real software or need root
	@scripts/install-test-tools
	@scripts/run-tests slow $(TEST_ARGS)

test-smoke: rpms ## the shorter half of test-slow: sealed builds of small recipes
	@scripts/install-test-tools
	@scripts/run-tests smoke $(TEST_ARGS)

test-example: rpms ## build recipes/examples from a git server, install what comes of it, and use it (root, minutes)
	@scripts/install-test-tools
	@scripts/run-tests example $(TEST_ARGS)

test-srpm: rpms ## rebuild source RPMs with plain rpmbuild, tests included, and compare (minutes)
	@KILN_SOURCE_RPMS="$${KILN_SOURCE_RPMS:-curl memcached}" $(CARGO) test --locked -p kiln-cli --test source_rpm -- \
	    slow_plain_rpmbuild_makes_the_packages_that_were_named --nocapture

test-judges: ## SBOMs and provenance in out/ before outside validators
	@builder/attest/judges/run --self-test
	@builder/attest/judges/run out/sbom/*.json out/provenance/*.provenance.json

bench: rpms ## measure kiln beside its peers (docs/benchmarks.md); ROWS="null sandbox" chooses rows
	@scripts/install-bench-peers
	@$(CARGO) build --quiet --release --locked -p kiln-bench
	@target/release/kiln-bench --kiln $(kiln) $(BENCH_ARGS) $(ROWS)

verify: rpms ## build everything again under other circumstances, and compare (VERIFY_ARGS="--builds pairs")
	@[ ! -x scripts/install-verify-tools ] || scripts/install-verify-tools
	@$(kiln) verify $(VERIFY_ARGS)

test-verify: rpms ## every factor by itself, and recipes that are unreproducible on purpose (many minutes)
	@scripts/install-test-tools
	@scripts/run-tests thorough $(TEST_ARGS)

test-durability: rpms ## kill kiln everywhere, fill disks, fail calls, damage things (an hour or two); KILLS=300 random kills
	@scripts/install-test-tools
	@KILLS=$(or $(KILLS),300) scripts/run-tests durability $(TEST_ARGS)

schema: $(needs_kiln) ## write docs/schema/ and docs/reference/ anew from the types
	@scripts/write-schemas $(kiln)

clearwater: $(needs_kiln) ## write docs/clearwater.md anew from the recipes
	@scripts/write-clearwater $(kiln)

clean: ## remove results; the store stays (it is .kiln/store)
	@rm -rf out
