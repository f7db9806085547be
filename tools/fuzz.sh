#!/usr/bin/env bash
# Fuzzes every target for so many seconds, starting from the golden packets: tools/fuzz.sh SECONDS [target ...]
#
# Needs a nightly toolchain and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
targets=("${@:2}")

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzzing needs nightly and cargo-fuzz: rustup toolchain install nightly && cargo install cargo-fuzz" >&2
    exit 1
fi
"${PYTHON:-python3}" fuzz/make_seeds.py >/dev/null
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
for target in "${targets[@]}"; do
    echo "==> $target, $seconds seconds"
    # Slow inputs and large memory are findings, too. -verbosity=0 leaves findings and the numbers at the end.
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=25 -rss_limit_mb=3000 \
        -verbosity=0 -print_final_stats=1
done
