"""Count instructions of codec, state machine and buffers, and compare them with baselines beside them.

Counts do not depend on what else a machine does, so a change of a few percent is seen::

    python tools/instructions.py          # counts, curves, comparison; fails on a change for the worse
    python tools/instructions.py --bless  # writes the counts as the new baseline

It needs valgrind. Counts of another compiler differ, so they are compared only when it is that of the
baseline; that no curve grows faster than linearly is checked in any case.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Crates with a benchmark ``benches/instructions.rs``, and its baseline ``benches/instructions.json``.
CRATES = {"nnrp-wire": "crates/wire", "nnrp-testkit": "crates/testkit"}

TOLERANCE, SLACK = 0.10, 400
"""How far a count may be above the baseline, as a part of it and in instructions: memcpy differs between
machines, and where the allocator finds memory is a matter of chance."""
STEEPER = 1.25
"""How much more an item may cost at the end of a curve than in its middle; growing buffers make it uneven."""


def build(crate: str) -> Path:
    """Build the benchmark of a crate and find it."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "-p", crate, "--bench", "instructions"]
    command.append("--no-run")
    messages = subprocess.run(
        [*command, "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    artifacts = [json.loads(line) for line in messages.stdout.splitlines()]
    return next(
        Path(one["executable"])
        for one in artifacts
        if one.get("executable") and one["target"]["name"] == "instructions"
    )


def count(program: Path) -> dict[str, int]:
    """Run the benchmark under callgrind, which writes one file for each call of the measured function."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        measured = "instructions::measured"
        command = [
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            f"--zero-before={measured}",
            f"--dump-after={measured}",
            str(program),
        ]
        names = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        counts = {}
        for number, name in enumerate(names, start=1):
            text = out.with_name(f"callgrind.{number}").read_text()
            found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            counts[name] = int(found[1]) if found else 0
        return counts


def curves(counts: dict[str, int]) -> dict[str, list[tuple[int, int]]]:
    """Gather the points of each curve: size and count."""
    found: dict[str, list[tuple[int, int]]] = {}
    for name, instructions in counts.items():
        curve, at, size = name.partition("@")
        if at:
            found.setdefault(curve, []).append((int(size), instructions))
    return found


def bend(points: list[tuple[int, int]]) -> float:
    """Say how much more an item costs in the last doubling than in the middle third of the curve.

    1 for work that is linear, about 10 for work that is quadratic.
    """

    def for_each_item(start: tuple[int, int], end: tuple[int, int]) -> float:
        return (end[1] - start[1]) / (end[0] - start[0])

    third = len(points) // 3
    middle = for_each_item(points[third], points[-1 - third])
    return for_each_item(points[-2], points[-1]) / max(middle, 1)


def show(counts: dict[str, int]) -> list[str]:
    """Print single counts and curves; returns the curves that bend upwards."""
    for name, instructions in counts.items():
        if "@" not in name:
            sys.stdout.write(f"{instructions:12,}  {name}\n")
    if not curves(counts):
        return []
    bent = []
    sizes = sorted({size for points in curves(counts).values() for size, _ in points})
    sys.stdout.write("\n" + "".join(f"{size:>10}" for size in sizes) + "  items; below, instructions\n")
    for name, points in curves(counts).items():
        row = dict(points)
        cells = "".join(f"{row.get(size, ''):>10}" for size in sizes)
        sys.stdout.write(f"{cells}  {name} (bend {bend(points):.2f})\n")
        if bend(points) > STEEPER:
            bent.append(name)
    return bent


def compare(counts: dict[str, int], before: dict[str, int]) -> list[str]:
    """Print the counts that have changed; returns those for the worse."""
    worse = []
    for name, instructions in counts.items():
        known = before.get(name)
        if known is None:
            worse.append(f"{name} is not in the baseline")
        elif abs(instructions - known) > max(TOLERANCE * known, SLACK):
            change = f"{name}: {known:,} -> {instructions:,} ({instructions / known - 1:+.1%})"
            sys.stdout.write(f"{change}\n")
            if instructions > known:
                worse.append(change)
    return worse


def check(crate: str, baseline: Path, compiler: str, bless: bool) -> list[str]:
    """Count what the benchmark of a crate does; returns what is wrong with it."""
    counts = count(build(crate))
    problems = [f"{name} grows faster than linearly" for name in show(counts)]
    if bless:
        lines = ",\n".join(f"    {json.dumps(name)}: {number}" for name, number in counts.items())
        head = f'  "compiler": {json.dumps(compiler)},\n  "instructions": {{\n{lines}\n  }}'
        baseline.write_text(f"{{\n{head}\n}}\n")
    before = json.loads(baseline.read_text())
    sys.stdout.write("\n")
    if before["compiler"] == compiler:
        problems += compare(counts, before["instructions"])
    else:
        sys.stdout.write(f"not compared: the baseline is of {before['compiler']}\n")
    return problems


def main() -> None:
    """Count and compare."""
    parser = argparse.ArgumentParser(description="Count instructions and compare them with the baselines.")
    parser.add_argument("--bless", action="store_true", help="write the counts as the new baseline")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.stdout.write("valgrind is not installed, so no instructions are counted\n")
        return
    compiler = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    problems = []
    for crate, folder in CRATES.items():
        sys.stdout.write(f"{crate}\n\n")
        baseline = ROOT / folder / "benches" / "instructions.json"
        problems += check(crate, baseline, compiler.strip(), arguments.bless)
    if problems:
        sys.exit("\n".join([*problems, "When that is meant, --bless makes these counts the baseline."]))
    sys.stdout.write("no count is worse, no curve bends upwards\n")


if __name__ == "__main__":
    main()
