#!/usr/bin/env bash
# Builds crates/nnrp with every combination of its features. With --test, builds all its tests and examples as well, and runs those
# of its surface over the transports there are then; connections in memory are always there.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
for features in "" quic tcp quic,tcp qlog qlog,tcp; do
    echo "==> nnrp with features: ${features:-none}"
    "$cargo" clippy --quiet -p nnrp --no-default-features --features "$features" -- -D warnings
    if [ "${1:-}" = --test ]; then
        "$cargo" clippy --quiet -p nnrp --all-targets --no-default-features --features "$features" -- -D warnings
        "$cargo" test --quiet -p nnrp --all-targets --no-run --no-default-features --features "$features"
        # qlog changes nothing else.
        [[ $features == qlog* ]] ||
            "$cargo" test --quiet -p nnrp --lib --test api --no-default-features --features "$features"
    fi
done
