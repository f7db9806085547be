"""Work for a build that learns from it (profile-guided optimisation): our server and client at work.

`maturin build --pgo` runs this with the instrumented package installed (``pgo-command`` in
`python/pyproject.toml`), then builds again with what was counted. Every transport, small frames and large
ones, alone and many at once; errors and rare paths stay uncounted on purpose: they are what is to be moved
out of the way.

    python bench/training.py [--seconds 0.3]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

BENCH = Path(__file__).resolve().parent
KIB = 1024
SIZES = (64, 4 * KIB, 64 * KIB, 1024 * KIB)
#: Sessions, and frames in flight in each.
LOADS = ((1, 1), (1, 8), (1, 64), (16, 8))
#: Beyond this many bytes on their way nothing new is learned, and a small machine has no room.
MOST_IN_FLIGHT = 16 * 1024 * KIB
#: A measurement takes a second; whoever takes this long hangs.
PATIENCE_SECONDS = 60


def main() -> None:
    """Runs a server for each transport, and its clients one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="how long each load takes (default: 0.3)")
    seconds = parser.parse_args().seconds
    loads = [
        (size, sessions, in_flight)
        for size in SIZES
        for sessions, in_flight in LOADS
        if size * sessions * in_flight <= MOST_IN_FLIGHT
    ]
    with tempfile.TemporaryDirectory(prefix="nnrp-training-") as folder:
        certificates = Path(folder)
        make_certificate(certificates)
        for transport in ("tcp", "tls", "quic"):
            common = ["--loop=asyncio", f"--transport={transport}", f"--certificates={certificates}"]
            server = subprocess.Popen(
                [sys.executable, str(BENCH / "servers" / "ours.py"), *common],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            with server, ended(server):
                port = json.loads(server.stdout.readline())["port"]
                for size, sessions, in_flight in loads:
                    frames = load(common, port, size, sessions, in_flight, seconds)
                    what = f"{transport} {size:>9,} B, {sessions:>2} x {in_flight:>2} in flight"
                    print(f"{what}: {frames:,} frames", flush=True)  # noqa: T201  # for whoever waits
                # The server ends by itself, since only then is written what was counted.
                server.communicate(timeout=PATIENCE_SECONDS)
            if server.returncode:
                raise SystemExit(f"the server over {transport} ended with {server.returncode}")


@contextlib.contextmanager
def ended(server: subprocess.Popen[str]) -> Iterator[None]:
    """Leaves no server behind that somebody would wait for."""
    try:
        yield
    except BaseException:
        server.kill()
        raise


def load(common: list[str], port: int, size: int, sessions: int, in_flight: int, seconds: float) -> int:
    """Runs one client; returns how many frames it counted."""
    told = [f"--port={port}", f"--size={size}", f"--sessions={sessions}", f"--in-flight={in_flight}"]
    command = [
        sys.executable,
        str(BENCH / "clients" / "ours.py"),
        *common,
        *told,
        f"--seconds={seconds}",
        "--warm-up=0",
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS + seconds, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])["frames"]


def make_certificate(folder: Path) -> None:
    """Writes the two files that servers and clients of the benchmarks expect."""
    command = [sys.executable, "-m", "nnrp", "cert", "make", str(folder)]
    # From elsewhere: where maturin starts this, the sources would be found instead of what is installed.
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=PATIENCE_SECONDS)
    (folder / "cert.pem").rename(folder / "certificate.pem")
    (folder / "key.pem").rename(folder / "private_key.pem")


if __name__ == "__main__":
    main()
