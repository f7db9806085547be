"""The programs of the page about moving from the published package run, the first one on both packages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from networks import free_port

PAGE = Path(__file__).parents[2] / "docs" / "from-rc2.md"
PROGRAMS = dict(re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
EXPECTED = "(3, 7) [b'left', b'right']"


def output(interpreter, program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAMS[program].replace("PORT = 4533", f"PORT = {free_port()}"))
    done = subprocess.run([interpreter, path], capture_output=True, text=True, timeout=50, check=False)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("program", ["before", "after"])
def test_it_runs_here(program, tmp_path):
    assert output(sys.executable, program, tmp_path) == EXPECTED


def test_the_first_runs_on_the_published_package(tmp_path, monkeypatch):
    published = os.environ.get("NNRP_RC2_PYTHON")
    if published is None:
        pytest.skip("NNRP_RC2_PYTHON does not say where the published package is installed")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert output(published, "before", tmp_path) == EXPECTED
