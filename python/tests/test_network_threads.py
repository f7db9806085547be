"""How many threads serve the network."""

import os
import subprocess
import sys

import pytest
from programs import ENVIRONMENT, PATIENCE, command

#: A thread has the name of the one that started it until it has given itself its own.
PROGRAM = """
from pathlib import Path
def count():
    names = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return sum(name.startswith("nnrp-io") for name in names)
async def main():
    async with network.pair():
        for _ in range(500):
            if count() == WANTED:
                break
            await asyncio.sleep(0.01)
        print(count())
asyncio.run(main())
"""


def run(threads, expected=0):
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "NNRP_NETWORK_THREADS"}
    if threads is not None:
        environment["NNRP_NETWORK_THREADS"] = threads
    return subprocess.run(
        command(PROGRAM.replace("WANTED", str(expected)), "tcp"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment,
    )


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")


@pytest.mark.parametrize(
    ("wanted", "threads"), [(None, 1 if len(os.sched_getaffinity(0)) <= 2 else 2), ("3", 3)]
)
def test_as_many_as_the_machine_or_the_variable_says(wanted, threads):
    done = run(wanted, threads)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [str(threads)], "")


@pytest.mark.parametrize("wanted", ["0", "257", "two", ""])
def test_what_is_no_such_number_is_refused(wanted):
    done = run(wanted)
    assert done.returncode == 1
    assert f'NNRP_NETWORK_THREADS must be a number between 1 and 256, not "{wanted}"' in done.stderr
