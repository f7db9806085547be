"""A gate that tasks of any loop and thread can wait at."""

from __future__ import annotations

import asyncio
import threading


class Gate:
    """Open or closed; tasks wait while it is closed."""

    __slots__ = ("_lock", "_open", "_waiting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = True
        self._waiting: list[asyncio.Future[None]] = []

    def close(self) -> None:
        """Make tasks wait."""
        with self._lock:
            self._open = False

    def open(self) -> None:
        """Let all tasks through."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_release, future)

    async def wait(self) -> None:
        """Return when the gate is open. Cancel-safe."""
        while not self._open:
            with self._lock:
                if self._open:
                    return
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
            await future


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
