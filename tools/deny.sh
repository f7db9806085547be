#!/usr/bin/env bash
# Licences, sources, banned crates and known vulnerabilities of everything we link: deny.toml says what is allowed.
#
# cargo-deny is taken from build/ and put there the first time, which takes some minutes. Vulnerabilities are looked up in
# the RustSec database, which is fetched; where that is not possible they are not checked, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
# One version everywhere, so that a run means the same on every machine.
cargo_deny=0.20.2
# A clone that has not come by then does not come.
fetch_seconds=60

tools=$PWD/build/cargo-deny-$cargo_deny
# Without optimization: built in half the time, and it runs for a second.
[ -x "$tools/bin/cargo-deny" ] ||
    "$cargo" install --quiet --locked --debug --root "$tools" "cargo-deny@$cargo_deny"
deny=("$tools/bin/cargo-deny" --log-level error)
"${deny[@]}" check --hide-inclusion-graph bans licenses sources
if timeout "$fetch_seconds" "${deny[@]}" fetch db >/dev/null 2>&1; then
    "${deny[@]}" check --disable-fetch advisories
else
    echo "not checked: the database of vulnerabilities cannot be fetched from here"
fi
