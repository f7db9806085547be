"""The parts of the demo that need no network: tiles, quality, and the worth of the committed model."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from .comparison import APART, CROP, CROPS, telling_corners
from .engine import MODEL, Engine, Tiles
from .photo import (
    HOLD_OUT,
    SCALE,
    TRAINING,
    VALIDATION,
    Photo,
    Plane,
    crop_to_even,
    double,
    enlarge,
    halve,
    load,
)
from .quality import BORDER, psnr
from .tiles import HALO, TILE, Canvas, Cutter, Grid

MODEL_BYTES_LIMIT = 300_000
LEAST_GAIN_DB = 2.5


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The committed model."""
    return Engine()


def noise(height: int, width: int) -> Plane:
    """A plane in which every pixel differs from its neighbours."""
    return np.random.default_rng(7).integers(0, 256, (height, width), np.uint8)


def stack(cutter: Cutter, grid: Grid, tile_ids: tuple[int, ...]) -> Tiles:
    """The payloads of some tiles as the server sees them."""
    side = grid.tile + 2 * HALO
    tiles = b"".join(cutter.payload(tile_id) for tile_id in tile_ids)
    return np.frombuffer(tiles, np.uint8).reshape(-1, 1, side, side)


def resolve(engine: Engine, luma: Plane, grid: Grid) -> Canvas:
    """The way of a picture through the demo, without the network."""
    cutter, canvas = Cutter(luma, grid), Canvas(grid)
    for tile_ids in grid.batches(7):
        for tile_id, residual in zip(tile_ids, engine.run(stack(cutter, grid, tile_ids)), strict=True):
            canvas.paint(tile_id, residual.tobytes())
    return canvas


def test_tile_ids_are_row_major_and_cover_the_picture() -> None:
    """A picture that is no multiple of the tile gets a last column and row that reach beyond it."""
    grid = Grid(width=70, height=33, tile=32)
    assert (grid.columns, grid.rows, len(grid)) == (3, 2, 6)
    assert [grid.corner(tile_id) for tile_id in range(6)] == [
        (0, 0),
        (32, 0),
        (64, 0),
        (0, 32),
        (32, 32),
        (64, 32),
    ]
    assert list(grid.batches(4)) == [(0, 1, 2, 3), (4, 5)]


def test_a_payload_is_the_tile_with_its_neighbourhood() -> None:
    """Inside the picture the halo is the picture, beyond it the edge is continued."""
    luma = noise(96, 96)
    cutter = Cutter(luma, Grid(96, 96))
    side = TILE + 2 * HALO
    middle = np.frombuffer(cutter.payload(4), np.uint8).reshape(side, side)
    assert np.array_equal(middle, luma[TILE - HALO : 2 * TILE + HALO, TILE - HALO : 2 * TILE + HALO])
    first = np.frombuffer(cutter.payload(0), np.uint8).reshape(side, side)
    assert np.array_equal(first[HALO:, HALO:], luma[: TILE + HALO, : TILE + HALO])
    assert set(first[:HALO, :HALO].flat) == {luma[0, 0]}


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (32 * 257, 32 * 256)])
def test_a_grid_has_between_one_and_65536_tiles(width: int, height: int) -> None:
    """Tile ids are 16 bits wide."""
    with pytest.raises(ValueError, match="tiles"):
        Grid(width, height)


def test_a_canvas_knows_what_is_missing_and_refuses_what_does_not_fit() -> None:
    """Tiles without an answer keep a residual of zero."""
    canvas = Canvas(Grid(40, 40))
    answer = np.ones((TILE * SCALE, TILE * SCALE), "<f2").tobytes()
    canvas.paint(3, answer)
    assert canvas.missing == {0, 1, 2}
    assert canvas.residual.shape == (80, 80)
    assert canvas.residual.sum() == 16 * 16
    with pytest.raises(ValueError, match="no tile 4"):
        canvas.paint(4, answer)
    with pytest.raises(ValueError, match="2 bytes"):
        canvas.paint(0, answer[:2])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 65), (64, 96)])
def test_tiles_leave_no_seams(engine: Engine, height: int, width: int) -> None:
    """Cut into tiles or in one piece, a picture of any size gets the same residual."""
    luma = noise(height, width)
    canvas = resolve(engine, luma, Grid(width, height))
    whole = engine.run(np.pad(luma, HALO, mode="edge")[None, None])[0, 0]
    assert not canvas.missing
    # Nothing but the order of additions may differ: less than an eighth of a level.
    np.testing.assert_allclose(canvas.residual, whole, atol=0.125)


def test_psnr_is_what_the_textbook_says() -> None:
    """An error of one level everywhere is 48.13 dB; what happens in the border does not count."""
    truth = np.full((32, 32), 100, np.uint8)
    assert psnr(truth, truth) == math.inf
    assert psnr(truth, truth + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    edged = truth.copy()
    edged[:BORDER] = 0
    assert psnr(truth, edged) == math.inf
    with pytest.raises(ValueError, match="shape"):
        psnr(truth, truth[:-1])
    with pytest.raises(ValueError, match="border"):
        psnr(truth[:8, :8], truth[:8, :8])


def test_interpolation_keeps_its_place() -> None:
    """Doubling does not shift the picture: what is the same in a mirror stays the same."""
    plane = noise(12, 18)
    np.testing.assert_allclose(double(plane[::-1, ::-1]), double(plane)[::-1, ::-1], atol=1e-3)
    assert double(plane).shape == (24, 36)


def test_the_photographs_are_there_and_disjoint() -> None:
    """All of them come out of the installed wheel; none is used twice."""
    names = (HOLD_OUT, VALIDATION, *TRAINING)
    assert len(set(names)) == len(names)
    for name in names:
        assert min(load(name).size) >= 300


def test_the_model_beats_bicubic_on_a_photograph_it_never_saw(engine: Engine) -> None:
    """The claim of the demo."""
    original = crop_to_even(load(HOLD_OUT))
    truth, small = Photo.from_image(original), Photo.from_image(halve(original))
    height, width = small.y.shape
    canvas = resolve(engine, small.y, Grid(width, height))
    bicubic, model = enlarge(small), enlarge(small, canvas.residual)
    assert psnr(truth.y, model.y) > psnr(truth.y, bicubic.y) + LEAST_GAIN_DB
    assert MODEL.stat().st_size < MODEL_BYTES_LIMIT

    corners = telling_corners(truth.y, bicubic.y, model.y)
    assert len(corners) == CROPS
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        assert max(abs(ax - bx), abs(ay - by)) >= APART * CROP
