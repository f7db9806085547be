#!/usr/bin/env bash
# Builds crates/nnrp with every combination of its features. With --test, runs its tests over the transports it then has.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
for features in "" quic tcp quic,tcp qlog qlog,tcp; do
    echo "==> nnrp with features: ${features:-none}"
    "$cargo" clippy --quiet -p nnrp --no-default-features --features "$features" -- -D warnings
    # Without a transport there is a connection in memory, which the other three try; qlog changes nothing else.
    if [ "${1:-}" = --test ] && [ -n "$features" ] && [[ $features != qlog* ]]; then
        "$cargo" test --quiet -p nnrp --lib --test api --no-default-features --features "$features"
    fi
done
