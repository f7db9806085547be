#!/usr/bin/env bash
# Says in one sentence what is missing to build and test this project.
set -uo pipefail

python=${PYTHON:-python3}
cargo=${CARGO:-cargo}
missing=0

need() {
    printf 'nnrp needs %s\n' "$1" >&2
    missing=1
}

if ! command -v "$cargo" >/dev/null; then
    need "a Rust toolchain: install rustup, then 'rustup toolchain install stable'"
else
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
    have=$("$cargo" --version | sed 's/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/')
    if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
        need "Rust $wanted or newer; this is $have: 'rustup update stable'"
    fi
fi
if ! command -v cc >/dev/null; then
    need "a C compiler (cc) for the cryptography: 'apt-get install build-essential' or your system's equivalent"
fi
if ! command -v "$python" >/dev/null; then
    need "CPython 3.11 or newer; say which with 'make PYTHON=/path/to/python …'"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    need "CPython 3.11 or newer; '$python' is $("$python" --version 2>&1). Say which with 'make PYTHON=/path/to/python …'"
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    need "the venv module of $python: 'apt-get install python3-venv' or your system's equivalent"
fi
exit "$missing"
