"""Who is measured: how its server and its client are started."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
BUILD = ROOT / "build" / "bench"
CERTIFICATES = BUILD / "certificates"
#: Each peer's packages in an environment of their own, made by the Makefile.
PEERS = {name: BUILD / f"venv-{name}" / "bin" / "python" for name in ("rc2", "grpc", "zmq")}


@dataclass(frozen=True)
class Build:
    """One build of the project, of which several can be compared."""

    name: str
    #: The program of ``crates/bench``, built for release.
    binary: Path
    #: An interpreter that finds the package, and the folder to find it in if it is not installed.
    python: Path
    python_path: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What its Python programs need."""
        return {"PYTHONPATH": str(self.python_path)} if self.python_path else {}


@dataclass(frozen=True)
class Contender:
    """A server and the client that loads it, without the options that say how much."""

    name: str
    server: list[str]
    client: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str | None:
        """What has to be built or installed first."""
        for command in (self.server, self.client):
            if not Path(command[0]).exists():
                return command[0]
        return None


def keep(build: Build, name: str) -> Path:
    """Copy a build, so that it can be compared with later ones by ``--build NAME=kept``."""
    target = BUILD / "kept" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy2(build.binary, target / "nnrp-bench")
    ask = [str(build.python), "-c", "import nnrp; print(nnrp.__file__)"]
    said = subprocess.run(
        ask, env={**os.environ, **build.environment}, check=True, stdout=subprocess.PIPE, text=True
    )
    package = Path(said.stdout.strip()).parent
    shutil.copytree(package, target / "python" / "nnrp", ignore=shutil.ignore_patterns("__pycache__"))
    return target


def kept(name: str, folder: Path, python: Path) -> Build:
    """Return a build that :func:`keep` copied to ``folder``; ``kept`` alone stands for the usual place."""
    if folder == Path("kept"):
        folder = BUILD / "kept" / name
    path = folder / "python"
    return Build(name, folder / "nnrp-bench", python, path if path.is_dir() else None)


def transported(command: list[str], transport: str) -> list[str]:
    """Complete a command that takes these two options."""
    return [*command, "--transport", transport, "--certificates", str(CERTIFICATES)]


def all_contenders(builds: list[Build]) -> dict[str, Contender]:
    """Every contender by its name. With several builds, those of ours have ``@BUILD`` behind their names."""
    first = builds[0]
    found: list[Contender] = []
    for transport in ("tcp", "tls", "quic"):
        name = f"floor-{transport}"
        server, client = (
            transported([str(first.binary), verb, "--kind", "floor"], transport) for verb in ("serve", "load")
        )
        found.append(Contender(name, server, client))
    for build in builds:
        suffix = f"@{build.name}" if len(builds) > 1 else ""
        found += [
            Contender(contender.name + suffix, contender.server, contender.client, contender.environment)
            for contender in of_build(build)
        ]
    found += peers(first)
    return {contender.name: contender for contender in found}


def of_build(build: Build) -> list[Contender]:
    """Return ours: the Rust server, and the Python server on both event loops, with the Rust client."""
    found = []
    for transport in ("tcp", "tls", "quic"):
        serve, load = (
            transported([str(build.binary), verb, "--kind", "ours"], transport) for verb in ("serve", "load")
        )
        found.append(Contender(f"rust-{transport}", serve, load))
        for loop in ("asyncio", "uvloop"):
            command = [str(build.python), str(BENCH / "servers" / "ours.py"), "--loop", loop]
            server = transported(command, transport)
            found.append(Contender(f"{loop}-{transport}", server, load, build.environment))
    # For comparisons with peers whose client is Python, too.
    server = transported([str(build.python), str(BENCH / "servers" / "ours.py"), "--loop", "uvloop"], "tcp")
    client = transported([str(build.python), str(BENCH / "clients" / "ours.py")], "tcp")
    found.append(Contender("python-both", server, client, build.environment))
    return found


def peers(build: Build) -> list[Contender]:
    """Return the peers. The Rust client can talk to the published package; the others have their own."""
    found = []
    for transport in ("tcp", "quic"):
        server = transported([str(PEERS["rc2"]), str(BENCH / "servers" / "rc2.py")], transport)
        client = transported([str(build.binary), "load", "--kind", "ours"], transport)
        found.append(Contender(f"rc2-{transport}", server, client))
    for name in ("grpc", "zmq"):
        server = [str(PEERS[name]), str(BENCH / "servers" / f"{name}_echo.py")]
        client = [str(PEERS[name]), str(BENCH / "clients" / f"{name}_load.py")]
        found.append(Contender(name, server, client))
    return found
