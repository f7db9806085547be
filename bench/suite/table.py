"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from suite.cells import row, size_text
from suite.plan import Cell, Plan
from suite.process import Sample
from suite.results import Results
from suite.targets import CPU_TARGETS, MIB, Comparison


def markdown(results: Results, plan: Plan) -> str:
    """Everything: how it was measured, a table for each comparison, CPU, memory, and the numbers behind."""
    lines = [*_head(results, plan)]
    for each in plan.comparisons:
        lines += _comparison(results, plan, each)
    lines += _cpu(results, plan)
    for answer in results.answers:
        lines += answer.markdown()
    lines += _numbers(results, plan)
    return "\n".join(lines) + "\n"


def _head(results: Results, plan: Plan) -> Iterator[str]:
    about = results.about
    yield "# Benchmarks"
    yield ""
    yield (
        f"{about['date']}, {about['machine']}, {about['cores']} cores, Linux {about['kernel']}, "
        f"CPython {about['python']}. {plan.rounds} rounds of {plan.seconds:g} s per cell, everybody in turn."
    )
    yield ""
    yield (
        "Ratios are frames per second divided by those of the other in the same round: the median over the "
        "rounds, with the lowest and the highest in brackets. ✓ and ✗ say whether the median reaches the "
        "target beside it."
    )
    if suspects := results.suspects():
        yield ""
        if about.get("precedence"):
            yield (
                f"It had precedence over other work, of which there was some during {suspects} measurements."
            )
            return
        yield (
            f"**{suspects} measurements were taken while other processes used more than a tenth of a core.** "
            "Do not trust them much."
        )


def _comparison(results: Results, plan: Plan, each: Comparison) -> Iterator[str]:
    yield ""
    yield f"## {each.title}"
    yield ""
    yield "| | " + " | ".join(map(size_text, plan.sizes)) + " |"
    yield "| --- |" + " ---: |" * len(plan.sizes)
    for mode in plan.modes:
        cells = [_ratio(results, plan, each, Cell(size, mode)) for size in plan.sizes]
        if any(cells):
            yield row(mode.text, *cells)


def _ratio(results: Results, plan: Plan, each: Comparison, cell: Cell) -> str:
    if cell not in plan.cells:
        return ""
    for name in (each.contender, each.reference):
        if (name, cell) in results.failures:
            return f"{name} failed"
    found = results.ratio(each.contender, each.reference, cell)
    if found is None:
        return ""
    text = f"{found.median:.2f} ({found.lowest:.2f}–{found.highest:.2f})"  # noqa: RUF001  # a range
    target = each.target(cell.size, cell.mode.name)
    if target is None:
        return text
    return f"{text} {'✓' if found.median >= target else '✗'} {target:.2f}"


def _cpu(results: Results, plan: Plan) -> Iterator[str]:
    rows = []
    for each in CPU_TARGETS:
        for cell in plan.cells:
            ours = results.median(each.contender, cell, server_us)
            if ours is None or not each.applies(cell.size, cell.mode.name):
                continue
            if each.factor is not None:
                found = results.ratio(each.contender, each.reference, cell, server_us)
                if found is None:
                    continue
                met, text = found.median <= each.factor, f"{found.median:.2f} x"
            else:
                met, text = ours <= (each.microseconds or 0.0), f"{ours:.1f} us"
            values = (each.contender, cell.mode.name, size_text(cell.size), f"{ours:.1f}")
            rows.append(row(*values, f"{text} {'✓' if met else '✗'}", each.text))
    if rows:
        yield ""
        yield "## CPU of the Python server per frame"
        yield ""
        yield "| | | size | us | | target |"
        yield "| --- | --- | ---: | ---: | ---: | ---: |"
        yield from rows


def _numbers(results: Results, plan: Plan) -> Iterator[str]:
    yield ""
    yield "## The numbers behind"
    yield ""
    yield (
        "Medians over the rounds. GB/s counts payload in one direction; CPU is in seconds per 1,000 frames; "
        "the peak is the server's resident memory."
    )
    yield ""
    yield "| | | size | frames/s | GB/s | p50 us | p99 us | CPU server | CPU client | peak MiB |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for cell in plan.cells:
        for name in plan.contenders:
            yield from _row(results, name, cell)


def _row(results: Results, name: str, cell: Cell) -> Iterator[str]:
    start = (name, cell.mode.name, size_text(cell.size))
    if (name, cell) in results.failures:
        yield row(*start, f"failed: {results.failures[name, cell]}", *[""] * 6)
    rate = results.median(name, cell, lambda it: it.rate)
    if rate is None:
        return
    yield row(
        *start,
        f"{rate:,.0f}",
        f"{rate * cell.size / 1e9:.2f}",
        f"{results.median(name, cell, lambda it: it.p50_us):.1f}",
        f"{results.median(name, cell, lambda it: it.p99_us):.1f}",
        f"{results.median(name, cell, lambda it: it.server_cpu / it.frames * 1000):.4f}",
        f"{results.median(name, cell, lambda it: it.client_cpu / it.frames * 1000):.4f}",
        f"{results.median(name, cell, lambda it: it.server_peak / MIB):.0f}",
    )


def server_us(sample: Sample) -> float:
    """Microseconds of CPU the server used per frame."""
    return sample.server_cpu / sample.frames * 1e6
