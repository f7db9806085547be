"""Counters, as sessions and listeners show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Stats(Mapping[str, int]):
    """Counters by name, as they were when this was made.

    A read-only mapping. Calling it returns the counters as they are now, so that ``session.stats["results"]``
    and ``session.stats()`` both say what one expects.

    Attributes:
        gauges: the names of those that may go down; the others only grow.

    """

    __slots__ = ("_read", "_values", "gauges")

    _values: dict[str, int]
    gauges: frozenset[str]

    def __init__(self, read: Callable[[], tuple[dict[str, int], dict[str, int]]]) -> None:
        """Read the counters: those that may go down, and those that only grow."""
        now, counters = read()
        self._read = read
        self._values = {**now, **counters}
        self.gauges = frozenset(now)

    def __call__(self) -> Stats:
        return Stats(self._read)

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: value for name, value in self._values.items() if value}
        return f"Stats({shown})"
