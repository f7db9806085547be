"""Three questions that are not about frames per second, each with an answer that can be right or wrong."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from suite.cells import row, size_text
from suite.contenders import Contender
from suite.plan import Cell
from suite.process import Sample
from suite.targets import KIB, MIB, Mode

#: Measures a contender once in a cell, with further options for its client and its server.
Measure = Callable[[Contender, Cell, dict[str, int], dict[str, int]], Sample]


@dataclass
class Answer:
    """A table, and what was said in it."""

    title: str
    text: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    values: list[dict[str, object]] = field(default_factory=list)

    def markdown(self) -> Iterator[str]:
        """Return the lines of a section."""
        yield from ("", f"## {self.title}", "", self.text, "")
        yield row(*self.head)
        yield row("---", *["---:"] * (len(self.head) - 1))
        for cells in self.rows:
            yield row(*cells)


FAIRNESS = Mode("ping2", "ping-pong, a core each", 1, cores=(0, 1))
FAIRNESS_FACTOR = 3.0


def fairness(measure: Measure, contenders: dict[str, Contender], rounds: int) -> Answer:
    """How long small frames take while another session of the same client moves large ones."""
    answer = Answer(
        "Small frames beside large ones",
        f"p99 in microseconds of {size_text(4 * KIB)} frames, ping-pong, server and client on a core each, "
        f"alone and while another session of the same client moves frames of {size_text(8 * MIB)}. Median "
        f"over the rounds; the factor is that of the same round and should not be above {FAIRNESS_FACTOR:g}.",
        ["", "alone", "beside", "factor"],
    )
    cell = Cell(4 * KIB, FAIRNESS)
    names = ("floor-tcp", "rust-tcp", "uvloop-tcp", "floor-quic", "rust-quic", "uvloop-quic")
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name in names:
            alone = measure(contenders[name], cell, {}, {}).p99_us
            beside = measure(contenders[name], cell, {"background-size": 8 * MIB}, {}).p99_us
            found.setdefault(name, []).append((alone, beside))
    for name, pairs in found.items():
        alone, beside = (statistics.median(values) for values in zip(*pairs, strict=True))
        factor = statistics.median(beside / alone for alone, beside in pairs)
        met = factor <= FAIRNESS_FACTOR
        answer.rows.append([name, f"{alone:.0f}", f"{beside:.0f}", f"{factor:.1f} {'✓' if met else '✗'}"])
        answer.values.append({"contender": name, "alone_us": alone, "beside_us": beside, "factor": factor})
    return answer


SESSIONS = (1, 4, 16, 64, 256)
GROWTH_SHARE = 0.8


def growth(measure: Measure, contenders: dict[str, Contender], rounds: int) -> Answer:
    """Whether a frame costs more when there are more sessions."""
    answer = Answer(
        "More sessions",
        f"Frames of {size_text(4 * KIB)} per second of the server's CPU, in thousands, 8 in flight in "
        f"each session. With any number of sessions it should be at least {GROWTH_SHARE:g} of that with one.",
        ["", *(str(sessions) for sessions in SESSIONS), "worst / one"],
    )
    for name in ("floor-tcp", "rust-tcp", "uvloop-tcp", "floor-quic", "rust-quic", "uvloop-quic"):
        rates = []
        for sessions in SESSIONS:
            cell = Cell(4 * KIB, Mode(f"{sessions}s", f"{sessions} sessions", 8, sessions))
            samples = [measure(contenders[name], cell, {}, {}) for _ in range(rounds)]
            rates.append(statistics.median(sample.frames / sample.server_cpu for sample in samples))
        share = min(rates) / rates[0]
        cells = [f"{rate / 1000:.1f}" for rate in rates]
        answer.rows.append([name, *cells, f"{share:.2f} {'✓' if share >= GROWTH_SHARE else '✗'}"])
        answer.values.append(
            {"contender": name, "frames_per_cpu_second": dict(zip(SESSIONS, rates, strict=True))}
        )
    return answer


HELD_FRAMES = 64
MEMORY_FACTOR = 1.25


def memory(measure: Measure, contenders: dict[str, Contender], _rounds: int) -> Answer:
    """How much memory a server needs for frames it has all at once."""
    payload = HELD_FRAMES * 8 * MIB
    answer = Answer(
        "Memory",
        f"Peak resident memory of a server that takes {HELD_FRAMES} frames of {size_text(8 * MIB)} before it "
        f"answers any, in MiB, and as a multiple of those {payload // MIB} MiB, which should not be above "
        f"{MEMORY_FACTOR:g}.",
        ["", "peak", "multiple"],
    )
    cell = Cell(8 * MIB, Mode("64", "64 in flight", HELD_FRAMES))
    for name in ("rust-tcp", "rust-quic", "uvloop-tcp", "uvloop-quic"):
        # A server of its own, which has not grown by other work.
        contender = replace(contenders[name], name=f"{name}-held")
        peak = measure(contender, cell, {}, {"hold": HELD_FRAMES}).server_peak
        met = peak <= MEMORY_FACTOR * payload
        answer.rows.append([name, f"{peak / MIB:.0f}", f"{peak / payload:.2f} {'✓' if met else '✗'}"])
        answer.values.append({"contender": name, "peak_bytes": peak, "multiple": peak / payload})
    return answer


SCENARIOS = {"fairness": fairness, "growth": growth, "memory": memory}
