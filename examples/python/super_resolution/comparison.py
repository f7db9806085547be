"""The side-by-side picture: what was sent, enlarged by interpolation, by the model, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .photo import SCALE, Plane

CROPS = 3
"""How many details are shown."""
CROP = 64
"""Side of a detail in pixels of the full picture."""
APART = 1.5
"""Distance between two details, in sides of a detail."""
ZOOM = 3
"""A pixel of a detail is shown as a block of this many pixels each way, unsmoothed."""

MARGIN = 16
GAP = 6
TEXT_SIZE = 15
BACKGROUND = (24, 26, 31)
TEXT = (235, 236, 240)
MUTED = (150, 154, 165)
MARK = (255, 196, 61)

Corner = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Column:
    """One way to show the picture: a title, a line below it, and the picture at full size."""

    title: str
    subtitle: str
    image: Image.Image


def telling_corners(truth: Plane, plain: Plane, better: Plane) -> list[Corner]:
    """The top left corners (x, y) of the `CROPS` squares in which `better` beats `plain` by most.

    They lie at least `APART` squares from each other, so that they show different things, and come in the
    order from top to bottom.
    """
    reference = truth.astype(np.float64)
    gain = (plain - reference) ** 2 - (better - reference) ** 2
    height, width = gain.shape
    side_y, side_x = min(CROP, height), min(CROP, width)
    # Sums over all squares by way of cumulative sums, looked at in steps of a quarter square.
    total = np.pad(gain.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = (
        total[side_y:, side_x:]
        - total[:-side_y, side_x:]
        - total[side_y:, :-side_x]
        + total[:-side_y, :-side_x]
    )
    step = CROP // 4
    candidates = [(x, y) for y in range(0, sums.shape[0], step) for x in range(0, sums.shape[1], step)]
    candidates.sort(key=lambda corner: -sums[corner[1], corner[0]])
    chosen: list[Corner] = []
    for x, y in candidates:
        if all(max(abs(x - a), abs(y - b)) >= APART * CROP for a, b in chosen):
            chosen.append((x, y))
        if len(chosen) == CROPS:
            break
    return sorted(chosen, key=lambda corner: corner[1])


def compose(sent: Image.Image, columns: list[Column], corners: list[Corner], caption: str) -> Image.Image:
    """The picture as it was sent, with the details marked, beside the details in each column."""
    font, bold = ImageFont.load_default(TEXT_SIZE), ImageFont.load_default(TEXT_SIZE + 3)
    cell = CROP * ZOOM
    heading = 2 * TEXT_SIZE + 3 * GAP
    left = sent.width + 2 * MARGIN
    width = left + len(columns) * (cell + GAP) - GAP + MARGIN
    rows = max(len(corners) * (cell + GAP) - GAP, sent.height)
    sheet = Image.new("RGB", (width, MARGIN + heading + rows + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN + heading

    draw.text((MARGIN, MARGIN), "sent", TEXT, bold)
    draw.text((MARGIN, MARGIN + TEXT_SIZE + 2 * GAP), f"{sent.width} x {sent.height} pixels", MUTED, font)
    sheet.paste(sent, (MARGIN, top))
    for x, y in corners:
        x0, y0 = MARGIN + x // SCALE, top + y // SCALE
        draw.rectangle((x0, y0, x0 + CROP // SCALE, y0 + CROP // SCALE), outline=MARK, width=2)
    draw.multiline_text((MARGIN, top + sent.height + GAP), caption, MUTED, font, spacing=GAP)

    for index, column in enumerate(columns):
        x0 = left + index * (cell + GAP)
        draw.text((x0, MARGIN), column.title, TEXT, bold)
        draw.text((x0, MARGIN + TEXT_SIZE + 2 * GAP), column.subtitle, MUTED, font)
        for row, (x, y) in enumerate(corners):
            detail = column.image.crop((x, y, x + CROP, y + CROP)).resize(
                (cell, cell), Image.Resampling.NEAREST
            )
            sheet.paste(detail, (x0, top + row * (cell + GAP)))
    return sheet
