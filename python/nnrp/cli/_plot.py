"""The picture of a load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from nnrp.cli._common import FAILED, Failure, optional
from nnrp.cli._load import PERCENTILES

if TYPE_CHECKING:
    from pathlib import Path

    from nnrp.cli._load import Tally

__all__ = ["plot", "require"]

#: Bars of the histogram.
_BINS: Final = 60

#: Latencies beyond this percentile would press the others into one bar: they are counted beside the picture.
_SHOWN: Final = 99.5

_MARKED: Final = (50.0, 99.0)


def require(path: Path) -> None:
    """See to it that a plot can be drawn.

    Raises:
        Failure: matplotlib is missing, or cannot write such a file.

    """
    canvas = _figure()[1]
    kind = path.suffix.lstrip(".").lower()
    if kind not in canvas.get_supported_filetypes():
        raise Failure(
            f"--plot cannot write {path.name}: a name that ends with .png, .svg or .pdf will do", FAILED
        )


def _figure() -> tuple[Any, Any]:
    # Without pyplot: there is no window to open, and no state to keep.
    figure = optional("matplotlib.figure", "--plot").Figure(figsize=(9, 6.5), layout="constrained")
    return figure, optional("matplotlib.backends.backend_agg", "--plot").FigureCanvasAgg(figure)


def plot(path: Path, tally: Tally, title: str) -> None:
    """Draw a latency histogram above the throughput over time.

    Raises:
        OSError: the file cannot be written.

    """
    figure, _ = _figure()
    figure.suptitle(title, fontsize=10)
    above, below = figure.subplots(2, 1)
    if tally.latencies:
        limit = 1000 * tally.percentile(_SHOWN)
        shown = [1000 * one for one in tally.latencies if 1000 * one <= limit]
        above.hist(shown, bins=_BINS, color="#4878a8")
        for percent in _MARKED:
            value = 1000 * tally.percentile(percent)
            above.axvline(value, color="#b04030", linewidth=1)
            above.annotate(
                f" p{percent:g} {value:.2f} ms",
                (value, 1),
                xycoords=("data", "axes fraction"),
                verticalalignment="top",
                fontsize=8,
            )
    above.set_xlabel(f"latency in ms, up to p{_SHOWN:g}")
    above.set_ylabel("frames")
    below.plot(*zip(*tally.curve, strict=True), color="#4878a8") if tally.curve else None
    below.set_ylim(bottom=0)
    below.set_xlabel("seconds")
    below.set_ylabel("frames per second")
    percentiles = ", ".join(
        f"p{percent:g} {1000 * tally.percentile(percent):.2f}" for percent in PERCENTILES if tally.answered
    )
    below.set_title(f"{tally.answered} frames, latency in ms: {percentiles}", fontsize=8)
    figure.savefig(path, dpi=120)
