"""The results as pictures: ours against the floors, and Python against its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.cells import size_text
from suite.plan import Cell, Plan
from suite.results import Results
from suite.targets import MODES, Mode

#: Shown next to each other: what one frame takes, and what goes through.
SHOWN = ("ping1", "64")
AGAINST_FLOORS = {
    "rust-tcp": ("floor-tcp", "Rust, TCP", "#1f5fa8"),
    "rust-tls": ("floor-tls", "Rust, TLS", "#5b93cf"),
    "rust-quic": ("floor-quic", "Rust, QUIC", "#a9c8ea"),
    "uvloop-tcp": ("floor-tcp", "Python, TCP", "#c2571a"),
    "uvloop-quic": ("floor-quic", "Python, QUIC", "#eba06f"),
}
PEERS = {
    "uvloop-tcp": ("nnrp, TCP", "#c2571a"),
    "uvloop-quic": ("nnrp, QUIC", "#eba06f"),
    "zmq": ("pyzmq", "#6b7a3a"),
    "grpc": ("grpc.aio", "#3a7a76"),
    "rc2-tcp": ("nnrp-py 1.0.0rc2, TCP", "#7d7d7d"),
    "rc2-quic": ("nnrp-py 1.0.0rc2, QUIC", "#bdbdbd"),
}
DOTS_PER_INCH = 130


def charts(results: Results, plan: Plan, folder: Path) -> None:
    """Draw what there is to draw as ``bench-floors.png`` and ``bench-peers.png``.

    Raises:
        ImportError: matplotlib is not installed.

    """
    import matplotlib as mpl  # noqa: PLC0415  # the numbers come without it, too

    mpl.use("Agg")
    modes = [MODES[name] for name in SHOWN if MODES[name] in plan.modes]
    folder.mkdir(parents=True, exist_ok=True)
    names = set(plan.contenders)
    floors = [name for name, (floor, *_) in AGAINST_FLOORS.items() if {name, floor} <= names]
    if floors and modes:
        _draw(folder / "bench-floors.png", modes, plan, "times the floor", _ratios(results, floors), line=1.0)
    peers = [name for name in PEERS if name in names]
    if modes and len(peers) > len(names & {"uvloop-tcp", "uvloop-quic"}):
        _draw(folder / "bench-peers.png", modes, plan, "frames per second", _rates(results, peers), line=None)


#: Label, colour and height of each bar of a group.
Bars = dict[str, tuple[str, Any]]


def _ratios(results: Results, names: list[str]) -> Bars:
    def height(name: str) -> Any:
        floor = AGAINST_FLOORS[name][0]

        def of(cell: Cell) -> float:
            found = results.ratio(name, floor, cell)
            return found.median if found else 0.0

        return of

    return {AGAINST_FLOORS[name][1]: (AGAINST_FLOORS[name][2], height(name)) for name in names}


def _rates(results: Results, names: list[str]) -> Bars:
    def height(name: str) -> Any:
        return lambda cell: results.median(name, cell, lambda it: it.rate) or 0.0

    return {PEERS[name][0]: (PEERS[name][1], height(name)) for name in names}


def _draw(path: Path, modes: list[Mode], plan: Plan, label: str, bars: Bars, line: float | None) -> None:
    """Draw a panel for each mode with a group of bars for each size."""
    from matplotlib import pyplot as plt  # noqa: PLC0415  # as above

    figure, panels = plt.subplots(1, len(modes), figsize=(5.5 * len(modes), 3.8), sharey=True, squeeze=False)
    width = 0.8 / len(bars)
    for panel, mode in zip(panels[0], modes, strict=True):
        for number, (name, (colour, height)) in enumerate(bars.items()):
            places = [index + (number - (len(bars) - 1) / 2) * width for index in range(len(plan.sizes))]
            heights = [height(Cell(size, mode)) for size in plan.sizes]
            panel.bar(places, heights, width * 0.95, label=name, color=colour)
        if line is not None:
            panel.axhline(line, color="black", linewidth=0.8, linestyle=":")
        else:
            panel.set_yscale("log")
        panel.set_xticks(range(len(plan.sizes)), [size_text(size) for size in plan.sizes])
        panel.set_title(mode.text, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel(label)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(len(bars), 6), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)
