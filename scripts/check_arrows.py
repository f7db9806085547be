"""Checks that the crates depend on each other in one direction only, and on nothing they must not know.

    wire <- session <- transport <- nnrp <- python        testkit, attacks, bench: never shipped

Prints the arrows it found. Exits with 1 and one line for each arrow that points the wrong way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

#: What each crate may depend on inside the workspace, and, where the list of outsiders is part of the design,
#: outside of it. Tests may use the testkit and whatever it needs.
ALLOWED: dict[str, tuple[set[str], set[str] | None]] = {
    "nnrp-wire": (set(), {"bytes", "thiserror"}),
    "nnrp-session": ({"nnrp-wire"}, {"bytes", "foldhash", "subtle", "thiserror"}),
    "nnrp-transport": ({"nnrp-wire", "nnrp-session"}, None),
    "nnrp": ({"nnrp-wire", "nnrp-session", "nnrp-transport"}, None),
    "nnrp-python": ({"nnrp"}, None),
    "nnrp-testkit": ({"nnrp-wire", "nnrp-session", "nnrp-transport"}, None),
    "nnrp-attacks": ({"nnrp", "nnrp-testkit"}, None),
    "nnrp-bench": ({"nnrp"}, None),
    "nnrp-examples": ({"nnrp"}, None),
}


#: Where the picture is, and what is around it there.
PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
BEGIN = "<!-- drawn by scripts/check_arrows.py from cargo metadata -->\n```mermaid\n"
END = "```\n"


def picture(arrows: dict[str, list[str]]) -> str:
    """The arrows as a diagram; those that follow from others are left out."""

    def reached(name: str) -> set[str]:
        return {name}.union(*(reached(target) for target in arrows[name]))

    lines = ["graph RL"]
    for name, targets in sorted(arrows.items()):
        lines += [
            f"  {name} --> {target}"
            for target in targets
            if not any(target in reached(other) for other in targets if other != target)
        ]
    return "\n".join(lines) + "\n"


def check_picture(drawn: str, *, write: bool) -> list[str]:
    """Compares the picture on the page with `drawn`, or replaces it."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if write:
        PAGE.write_text(before + BEGIN + drawn + END + after, encoding="utf-8")
    elif shown != drawn:
        return [f"the picture in {PAGE.name} is outdated: make docs-generated"]
    return []


def main() -> int:
    """Compares `cargo metadata` with the table."""
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--no-deps", "--format-version", "1"]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    packages = json.loads(output)["packages"]
    wrong: list[str] = []
    arrows: dict[str, list[str]] = {}
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
        arrows[name] = sorted(ours)
        sys.stdout.write(f"{name:15} -> {', '.join(sorted(ours)) or '(nothing of ours)'}\n")
    wrong += check_picture(picture(arrows), write="--write" in sys.argv)
    for line in wrong:
        sys.stderr.write(f"wrong: {line}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
