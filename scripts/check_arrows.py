"""Checks that the crates depend on each other in one direction only, and on nothing they must not know.

    wire <- session <- transport <- nnrp <- python        testkit, attacks, bench: never shipped

Prints the arrows it found. Exits with 1 and one line for each arrow that points the wrong way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

#: What each crate may depend on inside the workspace, and, where the list of outsiders is part of the design,
#: outside of it. Tests may use the testkit and whatever it needs.
ALLOWED: dict[str, tuple[set[str], set[str] | None]] = {
    "nnrp-wire": (set(), {"bytes", "thiserror"}),
    "nnrp-session": ({"nnrp-wire"}, {"bytes", "subtle", "thiserror"}),
    "nnrp-transport": ({"nnrp-wire", "nnrp-session"}, None),
    "nnrp": ({"nnrp-wire", "nnrp-session", "nnrp-transport"}, None),
    "nnrp-python": ({"nnrp"}, None),
    "nnrp-testkit": ({"nnrp-wire", "nnrp-session", "nnrp-transport"}, None),
    "nnrp-attacks": ({"nnrp", "nnrp-testkit"}, None),
    "nnrp-bench": ({"nnrp"}, None),
    "nnrp-examples": ({"nnrp"}, None),
}


def main() -> int:
    """Compares `cargo metadata` with the table."""
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--no-deps", "--format-version", "1"]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    packages = json.loads(output)["packages"]
    wrong: list[str] = []
    for package in packages:
        name = package["name"]
        if name not in ALLOWED:
            wrong.append(f"{name} has no row in the table of allowed arrows")
            continue
        inside, outside = ALLOWED[name]
        ours: list[str] = []
        for dependency in package["dependencies"]:
            target = dependency["name"]
            if dependency["kind"] == "dev":
                continue
            if target in ALLOWED:
                ours.append(target)
                if target not in inside:
                    wrong.append(f"{name} -> {target} points the wrong way")
            elif outside is not None and target not in outside:
                wrong.append(f"{name} -> {target}: only {', '.join(sorted(outside))} may be used there")
        sys.stdout.write(f"{name:15} -> {', '.join(sorted(ours)) or '(nothing of ours)'}\n")
    for line in wrong:
        sys.stderr.write(f"wrong: {line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
