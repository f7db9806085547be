"""Starts the peers, gives them work, and never waits without a deadline."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from interop.model import Package, Scenario, Transport

REPOSITORY = Path(__file__).resolve().parent.parent

START_TIMEOUT = 30.0
"""Seconds until a peer must have reported its listeners; rc2 imports in under two."""
SCENARIO_TIMEOUT = 90.0
"""Seconds until both peers must have reported a scenario; their own deadline per step is far below."""
GRACE = 2.0
"""Seconds a peer still has once the other one failed: it may be waiting for what will never come."""
STOP_TIMEOUT = 5.0
"""Seconds a peer may take to leave after its input ended, before it is killed."""
LOG_LINES = 60
"""Last lines of a peer's log shown with a failure."""

RC2_PYTHON = "NNRP_RC2_PYTHON"

Report = dict[str, Any]
Mailbox = queue.Queue[tuple["Peer", bytes]]


class PeerError(AssertionError):
    """A peer did not start, died, hung or reported a failure."""


def _environment(python: str) -> dict[str, str]:
    """Return the environment of a peer; a search path of ours would show the published peer our package."""
    left_out = set() if python == sys.executable else {"PYTHONPATH"}
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**inherited, "PYTHONFAULTHANDLER": "1"}


class Peer:
    """One peer process and its log."""

    def __init__(self, role: str, python: str, arguments: list[str], mailbox: Mailbox) -> None:
        """Start ``interop.peers.<role>``; its reports go to ``mailbox``, an empty one when it has ended."""
        self.role = role
        self.ready: Report = {}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process = subprocess.Popen(
            [python, "-m", f"interop.peers.{role}", *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(python),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader = threading.Thread(target=self._read, args=(mailbox,), daemon=True)
        self._reader.start()

    def _read(self, mailbox: Mailbox) -> None:
        for line in self._stdout:
            mailbox.put((self, line))
        mailbox.put((self, b""))

    def command(self, command: dict[str, Any]) -> None:
        """Give the peer a scenario to run. That it is gone is noticed when its report is awaited."""
        with suppress(BrokenPipeError):
            self._stdin.write(json.dumps(command).encode() + b"\n")
            self._stdin.flush()

    def log(self) -> str:
        """The end of what the peer wrote to standard error."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join((f"--- log of the {self.role} ---", *lines))

    def stop(self) -> None:
        """End the process, by force if it does not go by itself."""
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT)
        self._reader.join(STOP_TIMEOUT)
        self._stdout.close()
        self._log.close()


@dataclass
class Bench:
    """The peers of one test run, started when first needed and replaced after a failure."""

    directory: Path
    pythons: dict[Package, str]
    versions: dict[Package, str] = field(default_factory=dict)
    _peers: dict[tuple[str, Package], Peer] = field(default_factory=dict)
    _mailbox: Mailbox = field(default_factory=queue.Queue)

    @classmethod
    def from_environment(cls, directory: Path) -> Bench:
        """Find both interpreters and make the certificates."""
        rc2 = os.environ.get(RC2_PYTHON)
        if not rc2:
            raise PeerError(
                f"{RC2_PYTHON} is not set: make a virtual environment, install interop/requirements.txt "
                f"into it, and set {RC2_PYTHON} to its python"
            )
        command = [rc2, str(REPOSITORY / "interop" / "certificates.py"), str(directory)]
        try:
            subprocess.run(command, check=True, timeout=START_TIMEOUT)
        except (OSError, subprocess.SubprocessError) as error:
            raise PeerError(f"{RC2_PYTHON}={rc2} cannot make certificates: {error}") from error
        return cls(directory, {"rc2": rc2, "ours": sys.executable})

    def run(self, scenario: Scenario, client: Package, server: Package, transport: Transport) -> int:
        """Run one cell of the matrix; the number of verified facts, or ``PeerError``."""
        __tracebackhide__ = True  # the peers' logs say more
        peers = [self._peer("server", server), self._peer("client", client)]
        command = {
            "scenario": scenario.name,
            "transport": transport,
            "ports": peers[0].ready["ports"],
            "peer": server,
        }
        for peer in peers:
            peer.command(command)
        reports = self._reports(peers, SCENARIO_TIMEOUT)
        problems = [
            f"{peer.role}: {failure}" for peer, report in reports.items() for failure in report["failures"]
        ]
        problems += [f"{peer.role}: no report" for peer in peers if peer not in reports]
        if problems:
            logs = [peer.log() for peer in peers]
            self._discard(("server", server), ("client", client))
            raise PeerError("\n".join((*problems, *logs)))
        return sum(report["checks"] for report in reports.values())

    def stop(self) -> None:
        """End all peers."""
        self._discard(*tuple(self._peers))

    def _reports(self, peers: list[Peer], timeout: float) -> dict[Peer, Report]:
        """What these peers report until the deadline, which a failing or ended one brings close."""
        reports: dict[Peer, Report] = {}
        waiting = set(peers)
        deadline = time.monotonic() + timeout
        while waiting:
            try:
                peer, line = self._mailbox.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if peer not in waiting:
                continue  # the last words of a peer that was replaced
            waiting.remove(peer)
            if line:
                reports[peer] = json.loads(line)
            if not line or reports[peer].get("failures"):
                deadline = min(deadline, time.monotonic() + GRACE)
        return reports

    def _peer(self, role: str, package: Package) -> Peer:
        key = (role, package)
        if key not in self._peers:
            peer = self._peers[key] = Peer(role, self.pythons[package], [str(self.directory)], self._mailbox)
            peer.ready = self._reports([peer], START_TIMEOUT).get(peer, {})
            if peer.ready.get("package") != package:
                log = peer.log()
                self._discard(key)
                raise PeerError(
                    f"{self.pythons[package]} does not run a {role} of {package}: {peer.ready}\n{log}"
                )
            self.versions[package] = peer.ready["version"]
        return self._peers[key]

    def _discard(self, *keys: tuple[str, Package]) -> None:
        """Whatever state a failed scenario left behind must not reach the next one."""
        for key in keys:
            self._peers.pop(key).stop()
