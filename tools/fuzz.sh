#!/usr/bin/env bash
# Fuzzes every target for so many seconds, starting from the golden packets: tools/fuzz.sh SECONDS [target ...]
#
# Needs a nightly toolchain. cargo-fuzz is taken from build/ and put there the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
targets=("${@:2}")
# One version everywhere, so that a run means the same on every machine.
cargo_fuzz=0.13.2

if ! rustc +nightly --version; then
    echo "fuzzing needs nightly: rustup toolchain install nightly" >&2
    exit 1
fi
tools=$PWD/build/cargo-fuzz-$cargo_fuzz
[ -x "$tools/bin/cargo-fuzz" ] || cargo install --quiet --locked --root "$tools" "cargo-fuzz@$cargo_fuzz"
PATH=$tools/bin:$PATH

"${PYTHON:-python3}" fuzz/make_seeds.py >/dev/null
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
for target in "${targets[@]}"; do
    echo "==> $target, $seconds seconds"
    # Slow inputs and large memory are findings, too. -verbosity=0 leaves findings and the numbers at the end.
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=25 -rss_limit_mb=3000 \
        -verbosity=0 -print_final_stats=1
done
