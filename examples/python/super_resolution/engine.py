"""The model: tiles in, residuals out. Knows nothing of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]

from .photo import SCALE
from .tiles import HALO

MODEL = Path(__file__).parent / "model" / "espcn2x.onnx"

Tiles: TypeAlias = npt.NDArray[np.uint8]
"""Luma tiles with their halos, of the shape (tiles, 1, height + 2 * HALO, width + 2 * HALO)."""
Residuals: TypeAlias = npt.NDArray[np.float16]
"""What the enlarged tiles lack, in luma levels, of the shape (tiles, 1, SCALE * height, SCALE * width)."""


class Engine:
    """An ONNX Runtime session on the CPU. One instance serves any number of threads at once."""

    def __init__(self, model: Path = MODEL, *, threads: int = 1) -> None:
        """Load the model; `threads` is how many cores one `run` may use.

        One thread each is right for a server: frames are computed side by side, and a core that works on a
        second frame is better used than one that waits for the others at the end of every layer.
        """
        runtime: Any = onnxruntime  # which says too little about its types
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.name = model.stem

    def run(self, tiles: Tiles) -> Residuals:
        """Compute all tiles; blocks until it is done. The interpreter lock is released meanwhile."""
        residuals: Residuals
        (residuals,) = self._session.run(["residual"], {"luma": tiles})
        count, _, height, width = tiles.shape
        expected = (count, 1, SCALE * (height - 2 * HALO), SCALE * (width - 2 * HALO))
        if residuals.shape != expected:
            raise ValueError(f"the model gave the shape {residuals.shape} instead of {expected}")
        return residuals
