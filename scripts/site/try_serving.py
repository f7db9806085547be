"""Runs `make docs-serve` as a reader does: a page and one of rustdoc are fetched, and it is stopped.

python scripts/site/try_serving.py
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("tutorial.html", "reference/rust/nnrp/index.html")
#: Seconds for a build of the site on a busy machine.
PATIENCE = 180.0


def main() -> int:
    """Starts, fetches, stops, and says what came."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    # Whoever is started in the background of a shell script ignores it, and so would what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = ["make", "--no-print-directory", "docs-serve", f"DOCS_ADDRESS={address}"]
    serving = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        for page in PAGES:
            sys.stdout.write(f"{page}: {len(fetched(f'http://{address}/{page}', serving))} bytes\n")
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        serving.wait(PATIENCE)
    return 0


def fetched(address: str, serving: subprocess.Popen[bytes]) -> bytes:
    """Fetch a page once there is somebody to ask."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310  # this machine
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if serving.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
