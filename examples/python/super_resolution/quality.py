"""How close a picture comes to the truth."""

from __future__ import annotations

import math

import numpy as np

from .photo import Plane

BORDER = 4
"""Pixels left out along each edge, where much depends on how the picture is continued beyond it."""


def psnr(truth: Plane, picture: Plane, border: int = BORDER) -> float:
    """Peak signal-to-noise ratio in dB between two planes of one shape; infinite if they agree.

    `border` pixels along each edge are left out. Raises `ValueError` if the shapes differ or nothing is left
    inside the borders.
    """
    if truth.shape != picture.shape:
        raise ValueError(f"planes of shape {truth.shape} and {picture.shape} cannot be compared")
    inner = np.s_[border : truth.shape[0] - border, border : truth.shape[1] - border]
    if truth[inner].size == 0:
        raise ValueError(f"a plane of shape {truth.shape} has nothing inside a border of {border}")
    difference = truth[inner].astype(np.float64) - picture[inner]
    error = float(np.mean(difference**2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
