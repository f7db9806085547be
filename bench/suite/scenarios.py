"""Questions that are not about frames per second, each with an answer that can be right or wrong."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from suite.cells import row, size_text
from suite.contenders import Contender
from suite.link import BITS_PER_SECOND, Link, LinkUnavailableError
from suite.plan import Cell
from suite.process import MeasurementError, Sample
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


def _frames_per_cpu_second(sample: Sample) -> float:
    # A server that did nothing at all, its clients waiting for something that was lost, has carried nothing.
    return sample.frames / sample.server_cpu if sample.server_cpu else 0.0


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
            rates.append(statistics.median(_frames_per_cpu_second(sample) for sample in samples))
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


LOSS = 0.01
GOODPUT_SHARE = 0.9
#: Of each measurement over the link: some hundred round trips after the start has been slow.
LINK_SECONDS, LINK_WARM_UP = 4, 1
#: When the link delivers later than this, the machine stood still, and a measurement is made again, so often
#: at most. Its own clock ticks in quarters of a millisecond.
LATE_SECONDS = 0.008
LATE_AGAIN = 3
LARGE = Cell(MIB, Mode("8", "8 in flight", 8))
SMALL = Cell(4 * KIB, Mode("8", "8 in flight", 8))


def link(measure: Measure, contenders: dict[str, Contender], _rounds: int) -> Answer:
    """What is left of it all over a link with a distance, and over one that loses packets."""
    answer = Answer(
        "Over a link",
        f"A simulated link of {BITS_PER_SECOND // 1_000_000} Mbit/s with a round trip of 20 ms. Goodput: "
        f"what payloads of {size_text(LARGE.size)}, 8 in flight, take of the link in one direction while as "
        f"much goes the other way; without loss it should be at least {GOODPUT_SHARE:g}. Small frames: p50 "
        f"and p99 in milliseconds of {size_text(SMALL.size)}, 8 in flight, with {LOSS:.0%} of packets lost "
        f"each way, alone and beside frames of {size_text(LARGE.size)} in the same session; over QUIC p99 "
        "should be below that over TCP with TLS.",
        ["", "goodput", f"with {LOSS:.0%} loss", "small, p50", "p99", "small beside large, p50", "p99"],
    )
    try:
        samples, late = over_the_link(measure, contenders)
    except LinkUnavailableError as error:
        return replace(answer, text=f"Not measured: {error}.", head=[""])
    for name in dict.fromkeys(name for name, _ in samples):
        shares = [
            samples[name, kind].rate * LARGE.size * 8 / BITS_PER_SECOND for kind in ("goodput", "lossy")
        ]
        cells = [f"{shares[0]:.2f} {'✓' if shares[0] >= GOODPUT_SHARE else '✗'}", f"{shares[1]:.2f}"]
        value: dict[str, object] = {"contender": name, "goodput": shares[0], "lossy_goodput": shares[1]}
        for kind in ("small", "beside"):
            sample, rival = samples.get((name, kind)), samples.get((name.replace("-quic", "-tls"), kind))
            if sample is None or rival is None:
                cells += ["", ""]
                continue
            verdict = "" if rival is sample else " ✓" if sample.p99_us < rival.p99_us else " ✗"
            cells += [f"{sample.p50_us / 1000:.0f}", f"{sample.p99_us / 1000:.0f}{verdict}"]
            value[f"{kind}_p50_us"], value[f"{kind}_p99_us"] = sample.p50_us, sample.p99_us
        answer.rows.append([name, *cells])
        answer.values.append(value)
    if late:
        of_all = f"{late} of {len(samples)} measurements"
        answer.text += f" In {of_all} the link was late by more than {LATE_SECONDS * 1000:.0f} ms."
    return answer


def over_the_link(
    measure: Measure, contenders: dict[str, Contender]
) -> tuple[dict[tuple[str, str], Sample], int]:
    """Measure everybody over a link without loss, and over one with it; and how often the link was late.

    Raises:
        LinkUnavailableError: this machine lets us make none.

    """
    timing = {"seconds": LINK_SECONDS, "warm-up": LINK_WARM_UP}
    kinds: dict[str, tuple[float, Cell, dict[str, int]]] = {
        "goodput": (0.0, LARGE, {}),
        "lossy": (LOSS, LARGE, {}),
        "small": (LOSS, SMALL, {}),
        "beside": (LOSS, SMALL, {"beside-size": LARGE.size}),
    }
    samples, late = {}, 0
    for loss in (0.0, LOSS):
        with Link(loss) as made:
            for name in ("floor-tls", "rust-tls", "floor-quic", "rust-quic"):
                contender = made.across(contenders[name])
                for kind, (wanted, cell, options) in kinds.items():
                    # A floor has frames of one size in a session.
                    if wanted == loss and not (kind == "beside" and name.startswith("floor-")):
                        once = partial(measure, contender, cell, {**timing, **options}, {})
                        samples[name, kind], in_time = over_one_in_time(made, once)
                        late += not in_time
    return samples, late


def over_one_in_time(link: Link, once: Callable[[], Sample]) -> tuple[Sample, bool]:
    """Measure until the link was in time, a few times at most; the one it was least late in counts."""
    tries: list[tuple[float, Sample]] = []
    for _ in range(1 + LATE_AGAIN):
        link.late_seconds()
        try:
            sample = once()
        except MeasurementError:
            # Once it has to get through; then what there is counts.
            if not tries:
                raise
            break
        tries.append((link.late_seconds(), sample))
        if tries[-1][0] <= LATE_SECONDS:
            break
    late, sample = min(tries, key=lambda found: found[0])
    return sample, late <= LATE_SECONDS


SCENARIOS = {"fairness": fairness, "growth": growth, "memory": memory, "link": link}
