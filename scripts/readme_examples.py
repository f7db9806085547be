"""Runs the two programs of the README against each other, and checks that they are the examples.

    python scripts/readme_examples.py [--write]

Exits with 0 when the client printed what the server echoed. `--write` takes the examples from the README.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"<!-- runs as (\S+) -->\n```python\n(.*?)```", re.DOTALL)
EXPECTED = "(3, 7) [b'left', b'right']"
#: Longer than a cold start of the interpreter on a busy machine.
PATIENCE = 30.0


def main() -> int:
    """Compares, runs, and says what happened."""
    programs = dict(BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    if len(programs) != 2:
        sys.stderr.write("README.md should show a server and a client marked with <!-- runs as … -->\n")
        return 1
    for path, text in programs.items():
        if "--write" in sys.argv:
            (ROOT / path).write_text(text, encoding="utf-8")
        elif (ROOT / path).read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path} is not what README.md shows: run {sys.argv[0]} --write\n")
            return 1
    server, client = (ROOT / path for path in programs)
    serving = subprocess.Popen([sys.executable, server])
    try:
        printed = run_until_served(client)
    finally:
        serving.kill()
        serving.wait()
    sys.stdout.write(f"README: the client printed {printed}\n")
    return 0 if printed == EXPECTED else 1


def run_until_served(client: Path) -> str:
    """Runs the client until the server has bound its port; what it printed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        command = [sys.executable, client]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode == 0 or time.monotonic() > deadline:
            sys.stderr.write(done.stderr if done.returncode else "")
            return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
