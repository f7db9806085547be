"""Checks that what users link builds with the oldest compiler we promise, as far as that is known without it.

Compares the `rust-version` of every crate we link with our own. That our own code uses nothing newer of
the standard library is clippy's lint `incompatible_msrv`, a part of `make lint`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

#: What users link: the Rust crate and the Python module.
PUBLISHED = ("nnrp", "nnrp-python")

Version = tuple[int, ...]


def version(text: str) -> Version:
    """The numbers of a version."""
    return tuple(int(part) for part in text.split("."))


def linked(metadata: dict[str, Any]) -> set[str]:
    """The ids of all crates that the published ones depend on, tests aside."""
    ids = {package["id"] for package in metadata["packages"] if package["name"] in PUBLISHED}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found: set[str] = set()
    while ids:
        node = nodes[ids.pop()]
        found.add(node["id"])
        for dependency in node["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            if kinds != {"dev"} and dependency["pkg"] not in found:
                ids.add(dependency["pkg"])
    return found


def main() -> int:
    """Names every crate that asks for more than we promise."""
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    crates = linked(metadata)
    packages = [package for package in metadata["packages"] if package["id"] in crates]
    (ours,) = {package["rust_version"] for package in packages if package["name"] in PUBLISHED}
    newer = [p for p in packages if p["rust_version"] and version(p["rust_version"]) > version(ours)]
    for package in newer:
        name = f"{package['name']} {package['version']}"
        sys.stderr.write(f"{name} needs Rust {package['rust_version']}, we promise {ours}\n")
    silent = sum(package["rust_version"] is None for package in packages)
    sys.stdout.write(f"Rust {ours}: {len(packages)} crates, {silent} of which do not say what they need\n")
    return 1 if newer else 0


if __name__ == "__main__":
    sys.exit(main())
