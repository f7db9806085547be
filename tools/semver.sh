#!/usr/bin/env bash
# Compares the public surface of the published crates with that of the last release: tools/semver.sh [BASELINE]
#
# BASELINE is a commit; without it the newest tag v*. cargo-semver-checks is taken from build/ and put there the first time: it
# compiles for many minutes, which is why this is a part of `make release-check` and not of every change.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
semver_checks=0.51.0

baseline=${1:-$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)}
if [ -z "$baseline" ]; then
    echo "not compared: there is no tag v* yet, so this is the first release (BASELINE=COMMIT compares with a commit)"
    exit 0
fi
tools=$PWD/build/cargo-semver-checks-$semver_checks
[ -x "$tools/bin/cargo-semver-checks" ] ||
    "$cargo" install --quiet --locked --debug --root "$tools" "cargo-semver-checks@$semver_checks"
"$tools/bin/cargo-semver-checks" semver-checks --baseline-rev "$baseline" -p nnrp-wire -p nnrp-session -p nnrp-transport -p nnrp
