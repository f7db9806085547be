"""Photographs in, pictures out: loading, the 2x degradation, and the way back by bicubic interpolation.

All photographs ship inside the wheel of scikit-image and are read from there, so nothing is downloaded. The
model is fitted on `TRAINING`, its size and the length of the fit were chosen on `VALIDATION`, and `HOLD_OUT`
is the photograph of the demo, which the fit never sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane: TypeAlias = npt.NDArray[np.uint8]
FloatPlane: TypeAlias = npt.NDArray[np.float32]

HOLD_OUT = "astronaut.png"
VALIDATION = "camera.png"
TRAINING = ("coffee.png", "chelsea.png", "rocket.jpg", "ihc.png", "gravel.png", "brick.png", "grass.png")

SCALE = 2
"""How much larger the super-resolved picture is, in each direction."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture as three planes of one shape: full-range BT.601 luma and both chromas, 0 to 255."""

    y: Plane
    cb: Plane
    cr: Plane

    @classmethod
    def from_image(cls, image: Image.Image) -> Photo:
        """The planes of a Pillow image of any mode."""
        planes = image.convert("RGB").convert("YCbCr").split()
        return cls(*(np.asarray(plane) for plane in planes))

    def to_image(self) -> Image.Image:
        """The picture in RGB."""
        planes = [Image.fromarray(plane) for plane in (self.y, self.cb, self.cr)]
        return Image.merge("YCbCr", planes).convert("RGB")


def load(source: str | Path) -> Image.Image:
    """Open a photograph as RGB.

    `source` is a path, or one of the names in this module. Raises `OSError` if it cannot be read as a
    picture.
    """
    if source in (HOLD_OUT, VALIDATION, *TRAINING):
        with as_file(files("skimage") / "data" / str(source)) as path:
            return _read(path)
    return _read(Path(source))


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def crop_to_even(image: Image.Image) -> Image.Image:
    """Leave out the last column and row where needed, so that half the size is a whole number of pixels."""
    return image.crop((0, 0, image.width // SCALE * SCALE, image.height // SCALE * SCALE))


def halve(image: Image.Image) -> Image.Image:
    """The low-resolution picture that is sent: half the size, by an antialiased bicubic filter.

    Pillow widens the bicubic kernel (a = -0.5) by the scale when it shrinks a picture. The model is fitted on
    pictures made by this same function.
    """
    return image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.BICUBIC)


def double(plane: Plane) -> FloatPlane:
    """One plane at twice the size by bicubic interpolation, neither rounded nor clipped."""
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.BICUBIC))


def to_levels(plane: FloatPlane) -> Plane:
    """Round to the 256 levels of a picture."""
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def enlarge(small: Photo, luma_residual: FloatPlane | None = None) -> Photo:
    """The picture at twice the size: bicubic in all planes, plus what the model found missing in the luma."""
    luma = double(small.y)
    if luma_residual is not None:
        luma = luma + luma_residual
    return Photo(to_levels(luma), to_levels(double(small.cb)), to_levels(double(small.cr)))
