"""What was measured, and the ratios that follow from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from suite.plan import Cell
from suite.process import SUSPECT, Sample
from suite.scenarios import Answer
from suite.targets import MODES, Comparison

#: More than anybody has the patience for; keeps apart the rounds of runs that are put together.
ROUNDS_OF_A_RUN = 1_000_000


@dataclass(frozen=True)
class Ratio:
    """Same-round ratios of one comparison in one cell."""

    median: float
    lowest: float
    highest: float


@dataclass
class Results:
    """Samples by contender and cell, one for each round."""

    about: dict[str, Any]
    samples: dict[tuple[str, Cell], dict[int, Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, Cell], str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    def add(self, name: str, cell: Cell, number: int, sample: Sample) -> None:
        """Take a sample."""
        self.samples.setdefault((name, cell), {})[number] = sample

    def fail(self, name: str, cell: Cell, why: str) -> None:
        """Note that a contender did not get through a round."""
        self.failures[name, cell] = why

    def median(self, name: str, cell: Cell, value: Callable[[Sample], float]) -> float | None:
        """Median over the rounds of something measured."""
        samples = self.samples.get((name, cell), {}).values()
        return statistics.median(map(value, samples)) if samples else None

    def ratio(
        self,
        contender: str,
        reference: str,
        cell: Cell,
        value: Callable[[Sample], float] = lambda it: it.rate,
    ) -> Ratio | None:
        """Divide what both measured in the same round, for each round both got through."""
        ours, theirs = self.samples.get((contender, cell), {}), self.samples.get((reference, cell), {})
        ratios = [value(ours[number]) / value(theirs[number]) for number in ours.keys() & theirs.keys()]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def suspects(self) -> int:
        """How many samples were taken while others used more than a tenth of a core."""
        return sum(
            sample.disturbance > SUSPECT for rounds in self.samples.values() for sample in rounds.values()
        )

    def take(self, path: Path, run: int) -> None:
        """Add what run number ``run`` wrote. Its rounds are others than those of other runs."""
        document = json.loads(path.read_text())
        for name in ("rounds", "seconds"):
            self.about[name] = max(self.about[name], document["about"][name])
        for each in document["samples"]:
            cell = Cell(each["size"], MODES[each["mode"]])
            for number, values in each["rounds"].items():
                self.add(each["contender"], cell, run * ROUNDS_OF_A_RUN + int(number), Sample(**values))
        for each in document["failures"]:
            self.fail(each["contender"], Cell(each["size"], MODES[each["mode"]]), each["why"])
        self.answers += [Answer(**values) for values in document["answers"]]

    def write(self, path: Path, comparisons: list[Comparison]) -> None:
        """Write everything as JSON."""
        rows = [
            {
                "contender": name,
                "size": cell.size,
                "mode": cell.mode.name,
                "rounds": {number: asdict(sample) for number, sample in sorted(rounds.items())},
            }
            for (name, cell), rounds in self.samples.items()
        ]
        ratios = []
        for each in comparisons:
            for cell in dict.fromkeys(cell for _, cell in self.samples):
                if found := self.ratio(each.contender, each.reference, cell):
                    target = each.target(cell.size, cell.mode.name)
                    key = {"contender": each.contender, "reference": each.reference}
                    where = {"size": cell.size, "mode": cell.mode.name}
                    ratios.append({**key, **where, **asdict(found), "target": target})
        failures = [
            {"contender": name, "size": cell.size, "mode": cell.mode.name, "why": why}
            for (name, cell), why in self.failures.items()
        ]
        answers = [asdict(answer) for answer in self.answers]
        document = {
            "about": self.about,
            "ratios": ratios,
            "answers": answers,
            "samples": rows,
            "failures": failures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")
