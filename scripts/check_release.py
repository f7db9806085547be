"""Checks what has to be true of the sources before a release: one version everywhere, also in the changelog.

    python scripts/check_release.py [VERSION]

VERSION is what is to be released: the changelog needs a heading with its date. Without it one version
everywhere is enough, and what is not released yet may be under "Unreleased".
"""

from __future__ import annotations

import datetime as dt
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNRELEASED = re.compile(r"^## Unreleased\n\n- ", re.MULTILINE)


def read(path: str) -> str:
    """A file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")


def versions() -> dict[str, str]:
    """Every place that states the version."""
    workspace = tomllib.loads(read("Cargo.toml"))["workspace"]
    found = {"Cargo.toml, workspace.package": workspace["package"]["version"]}
    for name, dependency in workspace["dependencies"].items():
        if isinstance(dependency, dict) and {"path", "version"} <= dependency.keys():
            found[f"Cargo.toml, dependency {name}"] = dependency["version"]
    for package in tomllib.loads(read("Cargo.lock"))["package"]:
        if package["name"] == "nnrp":
            found["Cargo.lock, nnrp"] = package["version"]
    project = tomllib.loads(read("python/pyproject.toml"))["project"]
    if "version" in project:
        found["python/pyproject.toml"] = project["version"]
    for path in ("python/nnrp/__init__.py", "python/nnrp/_version.py"):
        if (ROOT / path).exists():
            stated = re.search(r'^__version__\s*=\s*"([^"]+)"', read(path), re.MULTILINE)
            if stated:
                found[path] = stated[1]
    return found


def problems(wanted: str | None) -> list[str]:
    """A sentence for everything that is not so."""
    found = versions()
    version = wanted or found["Cargo.toml, workspace.package"]
    wrong = [f"{place} says {stated}, not {version}" for place, stated in found.items() if stated != version]
    heading = re.search(rf"^## {re.escape(version)} - (\S+)$", read("CHANGELOG.md"), re.MULTILINE)
    if heading is None and wanted is None and UNRELEASED.search(read("CHANGELOG.md")):
        return wrong
    if heading is None:
        wrong.append(f"CHANGELOG.md has no heading '## {version} - YYYY-MM-DD'")
    else:
        try:
            dt.date.fromisoformat(heading[1])
        except ValueError:
            wrong.append(f"CHANGELOG.md: {heading[1]!r} is not a date")
    return wrong


def main() -> int:
    """Says what is wrong."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    wrong = problems(wanted)
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    if not wrong:
        where = "and the changelog has it" if wanted else "and the changelog has what changed"
        sys.stdout.write(f"{versions()['Cargo.toml, workspace.package']}: one version everywhere, {where}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
