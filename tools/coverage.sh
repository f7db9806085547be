#!/usr/bin/env bash
# Which lines of crates/wire are reached: by what comes from a peer alone (golden packets, their damage and, when a folder
# is given, fuzz corpora), and by all tests of the crate.
#
#     tools/coverage.sh [fuzz/corpus]
#
# It needs llvm-profdata and llvm-cov, from `rustup component add llvm-tools` or a package of LLVM 19 or newer (llvm-19 on
# Debian). The report of single lines is left in build/coverage.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 0 ] || NNRP_CORPUS=$(realpath "$1")
export NNRP_CORPUS=${NNRP_CORPUS:-}
[ -n "$NNRP_CORPUS" ] || unset NNRP_CORPUS

tool() {
    local found
    for found in "$(rustc --print sysroot)"/lib/rustlib/*/bin/"$1" $(compgen -c "$1-" | sort -Vr) "$1"; do
        command -v "$found" && return
    done
    echo "coverage needs $1: rustup component add llvm-tools, or a package of LLVM 19 or newer" >&2
    return 1
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

out=$PWD/build/coverage
rm -rf "$out" && mkdir -p "$out"
export CARGO_TARGET_DIR=$PWD/target/coverage RUSTFLAGS="-C instrument-coverage"
LLVM_PROFILE_FILE=$out/build-%p.profraw cargo test --quiet -p nnrp-wire --lib --tests --no-run
mapfile -t tests < <(cargo test -p nnrp-wire --lib --tests --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')

# Writes the report of one group of test programs: name, then the programs.
report() {
    local name=$1 objects=() test
    shift
    for test in "$@"; do
        (cd crates/wire && LLVM_PROFILE_FILE="$out/$name-%p-%m.profraw" "$test" --quiet >/dev/null)
        objects+=(--object "$test")
    done
    "$profdata" merge --sparse "$out/$name"-*.profraw --output "$out/$name.profdata"
    local from=("${objects[@]:1}" --instr-profile "$out/$name.profdata" --ignore-filename-regex '(registry|rustc|crates/wire/tests)/')
    printf '\n%s: lines, missed, reached\n' "$name"
    "$cov" report "${from[@]}" --show-region-summary=false --show-branch-summary=false --show-functions=false 2>/dev/null |
        awk '/\.rs|^TOTAL/ {print $1, $(NF-2), $(NF-1), $NF}' | column -t
    "$cov" show "${from[@]}" --format=text >"$out/$name.txt" 2>/dev/null
}

mapfile -t replay < <(printf '%s\n' "${tests[@]}" | grep '/replay-')
report replay "${replay[@]}"
report all "${tests[@]}"
