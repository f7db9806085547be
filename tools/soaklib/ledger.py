"""What a session has asked for, and what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from nnrp.client import Result
from nnrp.core import ResultHintReason

from soaklib.asking import Ask, is_answer, token_count

__all__ = ["Ledger"]

#: Longer than any answer takes on a machine that is not broken.
_PATIENCE = 30.0


@dataclass
class _Entry:
    ask: Ask
    #: What ends the wait for the frame.
    done: asyncio.Event = field(default_factory=asyncio.Event)
    #: Parts of the answer so far.
    parts: int = 0
    #: The session ends while the frame waits: a drop is what it has to get, whatever it asked for.
    leaving: bool = False
    cancelled: bool = False


class Ledger:
    """The frames of one session.

    Every frame has to be answered once: by what it asked for, by a drop if the server left, by nothing if it
    was cancelled. Whatever is not so is a fault, and is said with the number of the frame.
    """

    def __init__(self, name: str, counters: Counter[str], faults: list[str]) -> None:
        self._name = name
        self._counters = counters
        self._faults = faults
        self._frames: dict[int, _Entry] = {}
        self._next = 1

    def open(self, ask: Ask) -> int:
        """Note a frame that is about to be submitted; its number."""
        frame_id = self._next
        self._next += 1
        self._frames[frame_id] = _Entry(ask)
        self._counters["submitted"] += 1
        return frame_id

    def withdraw(self, frame_id: int) -> None:
        """The frame was cancelled: nothing may come for it any more."""
        entry = self._frames[frame_id]
        if not entry.done.is_set():
            entry.cancelled = True
            entry.done.set()
            self._counters["cancelled"] += 1

    def server_leaves(self) -> None:
        """The server was asked to leave: whatever is not answered gets a drop."""
        for entry in self._frames.values():
            entry.leaving = not entry.done.is_set()

    def deliver(self, result: Result) -> None:
        """A result has come."""
        frame_id = result.frame_id
        entry = self._frames.get(frame_id)
        if entry is None:
            self.fault(f"a result of frame {frame_id}, which was never submitted")
        elif entry.cancelled:
            self.fault(f"a result of frame {frame_id}, which was cancelled")
        elif entry.done.is_set():
            self.fault(f"a second answer to frame {frame_id}")
        elif result.is_drop and (entry.leaving or entry.ask is Ask.DROP):
            self._dropped(entry, result)
        elif not is_answer(result, entry.ask, entry.parts):
            self.fault(f"part {entry.parts} of frame {frame_id} ({entry.ask.name}) is not what it has to be")
        else:
            entry.parts += 1
            if entry.ask is not Ask.TOKENS or entry.parts == token_count(frame_id):
                self._answered(entry)

    def _dropped(self, entry: _Entry, result: Result) -> None:
        wanted = ResultHintReason.SUPERSEDED
        if entry.ask is Ask.DROP and not entry.leaving and result.drop_reason is not wanted:
            self.fault(f"frame {result.frame_id} was dropped for {result.drop_reason!r}, not {wanted!r}")
        self._counters["dropped"] += 1
        self._answered(entry)

    def _answered(self, entry: _Entry) -> None:
        entry.done.set()
        self._counters["answered"] += 1

    async def settled(self, frame_ids: list[int]) -> None:
        """Wait until all of these are answered; a fault if they are not."""
        try:
            async with asyncio.timeout(_PATIENCE):
                for frame_id in frame_ids:
                    await self._frames[frame_id].done.wait()
        except TimeoutError:
            self.fault(f"frames {self._open()} have no answer after {_PATIENCE:g} s")

    def close(self, *, abandoned: bool) -> None:
        """The session is over; ``abandoned`` if this side ended it without waiting."""
        still_open = self._open()
        if abandoned:
            self._counters["abandoned"] += len(still_open)
        elif still_open:
            self.fault(f"frames {still_open} were never answered")

    def is_done(self, frame_id: int) -> bool:
        """Whether nothing more is to come for a frame."""
        return self._frames[frame_id].done.is_set()

    def fault(self, text: str) -> None:
        """Something that must not be."""
        self._counters["faults"] += 1
        self._faults.append(f"{self._name}: {text}")

    def _open(self) -> list[int]:
        return [frame_id for frame_id, entry in self._frames.items() if not entry.done.is_set()]
