"""Counters and latencies, as sessions and listeners show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Counters that may go down, those that only grow, and how long frames took.
    Reading = tuple[dict[str, int], dict[str, int], tuple[list[tuple[float, int]], float]]

#: What there is to read without a native session.
NOTHING: Reading = {}, {}, ([], 0.0)


class Latency(NamedTuple):
    """How long frames took that ended with a result, counted in buckets that double.

    On a server from the arrival of the submit until the last result was handed over for sending; on a client
    from sending the submit, after whatever held it back, until the last result arrived. Frames that were
    dropped are not in it.

    Attributes:
        buckets: the end of each bucket in seconds, which belongs to it, and how many frames are in it and in
            none before. From 64 microseconds to 67 seconds; the last one ends at infinity.
        total: the time of all frames together, in seconds.

    """

    buckets: tuple[tuple[float, int], ...] = ()
    total: float = 0.0

    @property
    def frames(self) -> int:
        """How many frames were counted."""
        return sum(frames for _, frames in self.buckets)

    @property
    def mean(self) -> float | None:
        """The average in seconds; ``None`` without frames."""
        frames = self.frames
        return self.total / frames if frames else None

    def quantile(self, share: float) -> float | None:
        """Return the end of the bucket in which ``share`` of the frames are complete; ``None`` without any.

        ``quantile(0.99)`` says within which time 99 % of the frames were answered: at most twice the true
        value, infinity if it is above 67 s.

        Raises:
            ValueError: ``share`` is not between 0 and 1.

        """
        if not 0 <= share <= 1:
            raise ValueError(f"a share of the frames is between 0 and 1, not {share!r}; 99 % is 0.99")
        wanted, seen = share * self.frames, 0
        for end, frames in self.buckets:
            seen += frames
            if seen and seen >= wanted:
                return end
        return None

    def __repr__(self) -> str:
        half, most = self.quantile(0.5), self.quantile(0.99)
        if half is None or most is None:
            return "<no frame yet>"
        return f"<{self.frames} frames, half within {half:.3g} s, 99 % within {most:.3g} s>"


class Stats(Mapping[str, int]):
    """Counters by name, as they were when this was made.

    A read-only mapping. Calling it returns the counters as they are now, so that ``session.stats["results"]``
    and ``session.stats()`` both say what one expects.

    Attributes:
        gauges: the names of those that may go down; the others only grow.
        latency: how long frames took.

    """

    __slots__ = ("_read", "_values", "gauges", "latency")

    _values: dict[str, int]
    gauges: frozenset[str]
    latency: Latency

    def __init__(self, read: Callable[[], Reading]) -> None:
        """Read the counters."""
        now, counters, (buckets, total) = read()
        self._read = read
        self._values = {**now, **counters}
        self.gauges = frozenset(now)
        self.latency = Latency(tuple(buckets), total)

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
        return f"Stats({shown}, latency={self.latency!r})"
