"""The command loop of a peer: one JSON object per line in, one per line out."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from interop.peers.dialect import PACKAGE

STEP_TIMEOUT = 15.0
"""Seconds any single step may take: 8 MiB through rc2's QUIC on a busy machine takes about two."""

Command = dict[str, Any]


class Findings:
    """What a peer verified in one scenario, and what it found wrong."""

    def __init__(self) -> None:
        """Start with nothing verified."""
        self.checks = 0
        self.failures: list[str] = []

    def check(self, what: str, problems: list[str]) -> None:
        """Count one comparison; ``problems`` is empty when it holds."""
        self.checks += 1
        self.failures += [f"{what}: {problem}" for problem in problems]

    def equal(self, what: str, expected: object, actual: object) -> None:
        """Count one comparison of plain values."""
        self.check(what, [] if expected == actual else [f"expected {expected!r}, got {actual!r}"])

    async def within(self, what: str, awaitable: Awaitable[Any]) -> Any:
        """Await with a deadline, and say what was waited for when it passes."""
        try:
            return await asyncio.wait_for(awaitable, STEP_TIMEOUT)
        except TimeoutError as error:
            raise TimeoutError(f"nothing within {STEP_TIMEOUT:g} s: {what}") from error


def say(message: dict[str, object]) -> None:
    """Report one line to the test process."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def package_version() -> str:
    """The installed distribution, for the head of the matrix."""
    for name in ("nnrp-py", "nnrp"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "nnrp (not installed as a distribution)"


def _messages(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [message for inner in error.exceptions for message in _messages(inner)]
    return [f"{type(error).__name__}: {error}"]


async def serve_commands(
    run: Callable[[Command, Findings], Awaitable[None]], ready: dict[str, object]
) -> None:
    """Run scenarios one after the other until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    say({"package": PACKAGE, "version": package_version(), **ready})
    while line := await reader.readline():
        findings = Findings()
        try:
            await run(json.loads(line), findings)
        except Exception as error:  # noqa: BLE001 - whatever went wrong belongs in the report, and the next scenario still runs
            traceback.print_exc()
            findings.failures += _messages(error)
        say({"checks": findings.checks, "failures": findings.failures})
