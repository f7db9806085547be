#!/usr/bin/env bash
# The tests of crates/wire under Miri, which watches every access to memory: tools/miri.sh [argument of cargo test ...]
#
# The crate has no unsafe code of its own; what is looked into are its dependencies as it uses them, bytes above all. Tests
# that only repeat the same paths many thousand times are left to the ordinary run, because Miri is some hundred times slower.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version 2>/dev/null; then
    echo "miri is not installed: rustup toolchain install nightly && rustup component add --toolchain nightly miri rust-src" >&2
    exit 1
fi
# The golden packets are files, and a few cases of each property are as good as many: Miri sees paths, not values.
export MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 CARGO_TARGET_DIR=$PWD/target/miri
exec cargo +nightly miri test -p nnrp-wire --lib --test worked_example --test references --test refusals --test rules \
    --test pieces --test texts --test properties "$@"
