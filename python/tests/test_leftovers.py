"""A test that fails makes no other fail."""

import subprocess
import sys
from pathlib import Path

from programs import ENVIRONMENT, PATIENCE

TESTS = """
import asyncio, gc, programs
from leftovers import pytest_runtest_makereport, pytest_runtest_protocol

async def test_that_fails():
    async with programs.running("sleep", "3600", stdout=asyncio.subprocess.PIPE) as process:
        print("process", process.pid)
        file, coroutine = open(__file__), asyncio.sleep(1)
        assert not "this is what fails"

def test_that_collects():
    gc.collect()
"""


def test_what_a_failed_test_leaves_is_thrown_away(tmp_path):
    (tmp_path / "conftest.py").write_text(TESTS)
    (tmp_path / "test_both.py").write_text("from conftest import *")
    options = ("-c", Path(__file__).parents[1] / "pyproject.toml", "-p", "no:cacheprovider", "-q")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=ENVIRONMENT,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "this is what fails" in done.stdout
    (process,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("process "))
    assert not Path("/proc", process).exists()
