"""What to run in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from suite.contenders import Build
from suite.targets import COMPARISONS, MAX_IN_FLIGHT_BYTES, MIB, MODES, Comparison, Mode

#: Frames this large need longer until their number says something.
LARGE_BYTES, LARGE_SECONDS = 8 * MIB, 2.0


@dataclass(frozen=True)
class Cell:
    """Frames of one size in one mode."""

    size: int
    mode: Mode


@dataclass(frozen=True)
class Plan:
    """Everything that is measured."""

    comparisons: list[Comparison]
    sizes: list[int]
    modes: list[Mode]
    rounds: int
    seconds: float
    warm_up: float
    #: How many times more a measurement that others disturbed is made.
    again: int = 0

    @property
    def contenders(self) -> list[str]:
        """Who takes part, each once however many comparisons it is in."""
        names = [name for each in self.comparisons for name in (each.reference, each.contender)]
        return list(dict.fromkeys(names))

    @property
    def cells(self) -> list[Cell]:
        """Sizes and modes, without those that would hold too much memory."""
        return [
            Cell(size, mode)
            for size in self.sizes
            for mode in self.modes
            if size * mode.in_flight * mode.sessions <= MAX_IN_FLIGHT_BYTES
        ]

    def seconds_of(self, cell: Cell) -> float:
        """How long one measurement of a cell takes."""
        return max(self.seconds, LARGE_SECONDS) if cell.size >= LARGE_BYTES else self.seconds

    def turns(self) -> Iterator[tuple[Cell, int, list[str]]]:
        """Go round by round, everybody in turn: whatever changes on the machine meanwhile changes for all.

        Who begins differs from round to round.
        """
        for cell in self.cells if self.contenders else []:
            for number in range(self.rounds):
                start = number % len(self.contenders)
                yield cell, number, self.contenders[start:] + self.contenders[:start]


def comparisons(families: list[str], builds: list[Build]) -> list[Comparison]:
    """Return those of some families; of several builds each against the reference and against the first."""
    chosen = [each for each in COMPARISONS if each.family in families]
    if len(builds) == 1:
        return chosen
    found = []
    for each in chosen:
        if each.contender.startswith(("rust-", "asyncio-", "uvloop-", "python-")):
            found += [against(each, build.name, each.reference, each.title) for build in builds]
            first = f"{each.contender}@{builds[0].name}"
            found += [
                against(each, build.name, first, f"{each.contender}, {build.name} against {builds[0].name}")
                for build in builds[1:]
            ]
    return found


def against(each: Comparison, build: str, reference: str, title: str) -> Comparison:
    """Return a comparison for the contender of one build."""
    contender = f"{each.contender}@{build}"
    if reference == each.reference:
        return Comparison(each.family, f"{title} ({build})", contender, reference, each.target)
    return Comparison(each.family, title, contender, reference, lambda _size, _mode: None)


def chosen_modes(names: list[str], cores: int) -> list[Mode]:
    """Return modes by name, less those that need more cores than there are."""
    modes = [MODES[name] for name in names]
    return [mode for mode in modes if mode.cores is None or max(mode.cores) < cores]
