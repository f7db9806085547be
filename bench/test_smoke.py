"""The suite itself works: tiny runs with the program `cargo test` builds. Nothing is said about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent
BINARY = BENCH.parent / "target" / "debug" / "nnrp-bench"
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")


def run(folder: Path, *arguments: str) -> dict:
    command = [sys.executable, str(BENCH / "run.py"), "--force", f"--binary={BINARY}", f"--output={folder}"]
    command += ["--rounds=1", "--seconds=0.1", "--warm-up=0.05", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def program():
    if not BINARY.exists():
        subprocess.run(["cargo", "build", "--quiet", "-p", "nnrp-bench"], cwd=BENCH.parent, check=True)


def test_floor_rust_and_python_are_measured_in_turns(tmp_path):
    found = run(tmp_path, "--only=tcp,python", "--sizes=64", "--modes=ping1,8", "--scenarios=none")
    measured = {(row["contender"], row["mode"]) for row in found["samples"]}
    names = ("floor-tcp", "rust-tcp", "uvloop-tcp", "asyncio-tcp")
    assert measured == {(name, mode) for name in names for mode in ("ping1", "8")}
    assert found["failures"] == []
    assert all(sample["frames"] > 0 for row in found["samples"] for sample in row["rounds"].values())
    assert "| ping-pong, both on one core |" in (tmp_path / "results.md").read_text()


def test_two_builds_are_compared(tmp_path):
    options = ("--only=tcp", "--sizes=64", "--modes=ping1", "--build=before=.", "--build=after=.")
    found = run(tmp_path, *options)
    pairs = {(row["contender"], row["reference"]) for row in found["ratios"]}
    assert ("rust-tcp@after", "rust-tcp@before") in pairs
    assert ("rust-tcp@after", "floor-tcp") in pairs


def test_a_contender_that_fails_is_told_and_does_not_end_the_run(tmp_path):
    (tmp_path / "nnrp").mkdir()
    (tmp_path / "nnrp" / "__init__.py").write_text("raise SystemExit('broken')")
    options = ("--only=python", "--sizes=64", "--modes=ping1", "--scenarios=none")
    with pytest.raises(AssertionError):
        run(tmp_path, *options, f"--python-path={tmp_path}")
    found = json.loads((tmp_path / "results.json").read_text())
    assert {row["contender"] for row in found["failures"]} == {"uvloop-tcp", "asyncio-tcp"}
    assert {row["contender"] for row in found["samples"]} == {"floor-tcp"}
