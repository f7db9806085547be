"""The simulated link of ``bench/simulated_link.py``, and contenders at its ends."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

from simulated_link import BITS_PER_SECOND

from suite.contenders import BENCH, BUILD, Contender
from suite.process import START_SECONDS, Program

__all__ = ["BITS_PER_SECOND", "Link", "LinkUnavailableError"]


class LinkUnavailableError(Exception):
    """No link can be made here; the text says why."""


class Link:
    """A link, while it is entered: the server's end is the first, the client's the second."""

    def __init__(self, loss: float) -> None:
        self._loss = loss

    def __enter__(self) -> Self:
        if shutil.which("nsenter") is None:
            raise LinkUnavailableError("nsenter is not installed")
        command = [sys.executable, str(BENCH / "simulated_link.py"), f"--loss={self._loss}"]
        self._program = Program(command, {}, BUILD / "logs" / "link")
        said = self._program.line(time.monotonic() + START_SECONDS)
        if "unavailable" in said:
            self._program.stop()
            raise LinkUnavailableError(said["unavailable"])
        self.spaces: list[str] = said["spaces"]
        self.addresses: list[str] = said["addresses"]
        #: Of the process that carries packets from the near end to the far one.
        self.pid = self._program.pid
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    def late_seconds(self) -> float:
        """How late it delivered a packet, at most, since this was asked last."""
        return float(self._program.ask(time.monotonic() + START_SECONDS)["late_s"])

    def within(self, end: int, command: list[str]) -> list[str]:
        """Return a command that runs at one end."""
        return ["nsenter", f"--net={self.spaces[end]}", *command]

    def across(self, contender: Contender) -> Contender:
        """Return a contender whose server is at one end and whose client is at the other."""
        host = f"--host={self.addresses[0]}"
        return replace(
            contender,
            name=f"{contender.name}-{Path(self.spaces[0]).parts[2]}",
            server=self.within(0, [*contender.server, host]),
            client=self.within(1, [*contender.client, host]),
        )
