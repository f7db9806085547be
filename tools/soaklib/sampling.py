"""What a process uses, measured by itself.

Linux only: ``/proc`` is where the numbers are.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from nnrp.adapters import create_tcp_server_configuration, serve_tcp

__all__ = ["Sampler", "baseline", "say", "settle"]

_PROC = Path("/proc/self")
_PAGE = os.sysconf("SC_PAGE_SIZE")

#: How long the last connections may take to let go of what they hold: twice the drain time, and some.
_SETTLE_SECONDS = 20.0
_SETTLE_STEP = 0.1


def say(**news: Any) -> None:
    """Tell the script that started this process something, as one line."""
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def _resident_bytes() -> int:
    return int((_PROC / "statm").read_text(encoding="ascii").split()[1]) * _PAGE


#: All of them ``size_t``, in the order of the C structure.
_MALLINFO_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _MallInfo(ctypes.Structure):
    """What glibc's ``mallinfo2`` returns."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO_FIELDS)


def _mallinfo() -> Any:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return None
    library.mallinfo2.restype = _MallInfo
    return library.mallinfo2


_MALLINFO = _mallinfo()


def _allocated_bytes() -> int:
    """What native code has allocated and not freed; 0 where the allocator does not say."""
    if _MALLINFO is None:
        return 0
    info = _MALLINFO()
    return int(info.uordblks + info.hblkhd)


def _count(folder: str) -> int:
    return len(list((_PROC / folder).iterdir()))


async def baseline(sampler: Sampler) -> dict[str, Any]:
    """What a process uses before its first session, with the package's native runtime started."""
    async with serve_tcp("127.0.0.1", 0, create_tcp_server_configuration()):
        pass
    return sampler.sample()


class Sampler:
    """Measures this process again and again."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._started = time.monotonic()

    def sample(self) -> dict[str, Any]:
        """What is used now."""
        return {
            "seconds": round(time.monotonic() - self._started, 3),
            "resident_bytes": _resident_bytes(),
            "allocated_bytes": _allocated_bytes(),
            "python_blocks": sys.getallocatedblocks(),
            "descriptors": _count("fd"),
            "threads": _count("task"),
            "tasks": len(asyncio.all_tasks()),
            "counters": dict(self._counters),
        }

    async def run(self, interval: float) -> None:
        """Report every ``interval`` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            say(sample=self.sample())


def _library_objects() -> dict[str, int]:
    """Objects of the package's sessions and connections that are still alive, by class."""
    gc.collect()
    alive = Counter(type(thing).__name__ for thing in gc.get_objects() if _is_ours(type(thing)))
    return dict(alive)


def _is_ours(kind: type) -> bool:
    named = kind.__name__.endswith(("Connection", "Session", "Listener", "Subscription", "Operation"))
    return named and kind.__module__.partition(".")[0] == "nnrp"


async def settle(sampler: Sampler, before: dict[str, Any]) -> dict[str, Any]:
    """What is still used when nothing goes on any more; waits until it is no more than ``before``.

    A transport that was closed lingers until its peer has closed too, so this takes a while.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        now = {**sampler.sample(), "objects": _library_objects()}
        grown = any(now[what] > before[what] for what in ("descriptors", "tasks")) or now["objects"]
        if not grown or time.monotonic() > deadline:
            return now
        await asyncio.sleep(_SETTLE_STEP)
