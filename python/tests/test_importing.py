"""What importing the package costs: little time, no thread, no modules that few need."""

import os
import subprocess
import sys

import pytest

#: Milliseconds of CPU time. It is about 20 on a machine with nothing else to do; ten times that is a mistake.
GENEROUS = 200
RUNS = 5


@pytest.fixture
def run(tmp_path):
    """Run some lines in a fresh interpreter that keeps what it has compiled, as an installed package does."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(*lines):
        command = [sys.executable, "-c", "\n".join(lines)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    return run


@pytest.mark.parametrize("module", ["nnrp", "nnrp.server", "nnrp.client.transport"])
def test_importing_is_quick(run, module):
    measure = (
        "import asyncio, time",
        "begun = time.process_time()",
        f"import {module}",
        "print(1000 * (time.process_time() - begun))",
    )
    run(*measure)  # compiles
    assert min(float(run(*measure)) for _ in range(RUNS)) < GENEROUS


def test_importing_starts_no_thread(run):
    tasks = "os.listdir('/proc/self/task')" if os.path.exists("/proc/self/task") else "[0]"  # noqa: PTH110
    assert run(
        "import os, threading, nnrp.server, nnrp.client.transport, nnrp.adapters",
        f"print(threading.active_count(), len({tasks}))",
    ).split() == ["1", "1"]


def test_importing_loads_only_what_is_needed(run):
    loaded = run("import sys, nnrp", "print(*sys.modules)").split()
    assert {"asyncio", "nnrp.adapters", "nnrp.server", "nnrp.client"}.isdisjoint(loaded)
    dear = ("pathlib", "urllib", "ipaddress", "hashlib", "numpy", "nnrp.client.session", "nnrp.inspect")
    dear += ("nnrp.core._result", "nnrp.core._bodies", "nnrp.core._hello_extensions", "nnrp.core.messages")
    more = run(
        "import sys, asyncio",
        "before = set(sys.modules)",
        "import nnrp.server",
        "print(*set(sys.modules) - before)",
    ).split()
    assert [name for name in more if name in dear] == []
