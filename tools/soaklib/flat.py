"""Whether a quantity stays what it is while it is watched.

A process under load breathes: its memory goes up and down with what happens to be in flight. A line fitted
by least squares follows single samples far out; the Theil-Sen line, the median of the slopes between all
pairs of samples, does not notice them as long as they are fewer than three in ten. The test asks how much the
quantity grew along that line over the time that was watched, and whether that is more than chance and an
allocator that is still finding its size explain.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import median
from typing import Any

__all__ = ["Verdict", "judge", "theil_sen"]

#: Pairs grow with the square of the samples; beyond this many, neighbours are merged into their median.
_POINTS = 400
_FEWEST = 5


@dataclass(frozen=True)
class Verdict:
    """What was found about one quantity of one process."""

    what: str
    flat: bool
    #: Samples after the warm-up, and the time they span.
    samples: int
    seconds: float
    median: float
    #: Along the Theil-Sen line, over the whole time.
    growth: float
    #: More than this is not flat.
    allowed: float
    per_hour: float

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def theil_sen(points: list[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    return median(slopes) if slopes else 0.0


def _merged(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = -(-len(points) // _POINTS)
    if step <= 1:
        return points
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    return [(median(p[0] for p in group), median(p[1] for p in group)) for group in groups]


def judge(what: str, points: list[tuple[float, float]], *, warm_up: float, allowed: float) -> Verdict:
    """Whether the values of ``points`` (seconds, value) grew by no more than ``allowed`` after ``warm_up``.

    Raises:
        ValueError: there are too few samples to say.

    """
    watched = [point for point in points if point[0] >= warm_up]
    if len(watched) < _FEWEST:
        raise ValueError(f"{what}: {len(watched)} samples after {warm_up:g} s of warm-up say nothing")
    seconds = watched[-1][0] - watched[0][0]
    slope = theil_sen(_merged(watched))
    growth = slope * seconds
    return Verdict(
        what=what,
        flat=growth <= allowed,
        samples=len(watched),
        seconds=round(seconds, 1),
        median=median(value for _, value in watched),
        growth=round(growth, 2),
        allowed=round(allowed, 2),
        per_hour=round(slope * 3600, 2),
    )
