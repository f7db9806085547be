#!/usr/bin/env bash
# The tests of crates/wire under Miri, which watches every access to memory: tools/miri.sh [argument of cargo test ...]
#
# The crate has no unsafe code of its own; what is looked into are its dependencies as it uses them, bytes above all. Tests
# that go the same paths with many values are left to the ordinary run: Miri is some hundred times slower.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version 2>/dev/null; then
    echo "miri is not installed: rustup toolchain install nightly && rustup component add --toolchain nightly miri rust-src" >&2
    exit 1
fi
export CARGO_TARGET_DIR=$PWD/target/miri
exec cargo +nightly miri test -p nnrp-wire --test worked_example --test references --test refusals --test rules \
    --test pieces --test texts "$@"
