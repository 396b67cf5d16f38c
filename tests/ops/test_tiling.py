"""Tiles: they cover, they are alike, and blending them leaves no trace."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.tiling import Merger, TileGrid, blend_weights, cut_tile, tile_grid

SIZES = [(37, 53, 24, 6), (64, 64, 32, 8), (100, 17, 20, 3), (41, 90, 30, 0), (50, 50, 13, 6)]


def merged(tiles: Iterable[Tensor], grid: TileGrid, scale: int = 1) -> Tensor:
    merger = Merger(grid, scale)
    for tile, box in zip(tiles, grid.tiles, strict=True):
        merger.add(box, tile)
    assert merger.merged is not None
    return merger.merged


@pytest.mark.parametrize(("height", "width", "tile", "margin"), SIZES)
def test_tiles_cover_the_picture_and_stay_inside(
    height: int, width: int, tile: int, margin: int
) -> None:
    covered = torch.zeros(height, width)
    for box in tile_grid(height, width, tile, margin).tiles:
        assert 0 <= box.top < box.bottom <= height
        assert 0 <= box.left < box.right <= width
        cut_tile(covered, box).add_(1)
    assert covered.min() >= 1


@pytest.mark.parametrize(("height", "width", "tile", "margin"), SIZES)
def test_tiles_are_all_of_one_size_no_larger_than_asked(
    height: int, width: int, tile: int, margin: int
) -> None:
    boxes = tile_grid(height, width, tile, margin).tiles
    sizes = {(box.bottom - box.top, box.right - box.left) for box in boxes}
    assert len(sizes) == 1
    assert max(sizes.pop()) <= tile


@pytest.mark.parametrize(("height", "width", "tile", "margin"), SIZES)
def test_neighbours_overlap_by_two_margins(height: int, width: int, tile: int, margin: int) -> None:
    grid = tile_grid(height, width, tile, margin)
    for intervals in (grid.rows, grid.columns):
        for (_, stop), (start, _) in itertools.pairwise(intervals):
            assert stop - start >= 2 * margin


@pytest.mark.parametrize(
    ("length", "tile", "margin"), [(1080, 400, 32), (1922, 256, 32), (101, 40, 8), (64, 32, 8)]
)
def test_tiles_begin_at_multiples_of_four(length: int, tile: int, margin: int) -> None:
    """Else a network that works at a quarter of the size sees another grid in every tile."""
    assert all(start % 4 == 0 for start, _ in tile_grid(length, 1, tile, margin).rows)


def test_a_small_picture_is_one_tile() -> None:
    assert len(tile_grid(20, 24, 24, 8).tiles) == 1


def test_a_tile_that_is_all_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="more than two margins"):
        tile_grid(100, 100, 16, 8)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width", "tile", "margin"), SIZES)
def test_weights_add_up_to_exactly_one(
    height: int, width: int, tile: int, margin: int, scale: int
) -> None:
    grid = tile_grid(height, width, tile, margin)
    ones = [torch.ones((b.bottom - b.top) * scale, (b.right - b.left) * scale) for b in grid.tiles]
    assert torch.equal(merged(ones, grid, scale), torch.ones(height * scale, width * scale))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_tile_weighs_nothing_outside_its_interval_and_at_its_inner_edge(scale: int) -> None:
    grid = tile_grid(100, 1, 40, 8)
    for (start, stop), weight in zip(grid.rows, blend_weights(grid.rows, scale), strict=True):
        guard = 4 * scale
        first = 0 if start == 0 else start * scale + guard
        last = 100 * scale if stop == 100 else stop * scale - guard
        assert not weight[:first].any()
        assert not weight[last:].any()
        assert (weight[first:last] >= 0).all()


@pytest.mark.parametrize(("height", "width", "tile", "margin"), SIZES)
def test_the_identity_through_tiles_is_the_identity(
    height: int, width: int, tile: int, margin: int
) -> None:
    clip = torch.rand(2, 3, height, width)
    grid = tile_grid(height, width, tile, margin)
    whole = merged((cut_tile(clip, box) for box in grid.tiles), grid)
    torch.testing.assert_close(whole, clip, atol=1e-6, rtol=0)


def blurred_and_enlarged(x: Tensor) -> Tensor:
    """A stand-in for a network: looks two pixels far, enlarges twice."""
    padded = F.pad(x[None], (2, 2, 2, 2), mode="reflect")[0]
    return F.avg_pool2d(padded, 5, 1).repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_a_local_operation_through_tiles_equals_it_on_the_whole() -> None:
    picture = torch.rand(3, 61, 83)
    grid = tile_grid(61, 83, 30, 4)
    assert len(grid.tiles) > 4
    whole = merged((blurred_and_enlarged(cut_tile(picture, box)) for box in grid.tiles), grid, 2)
    torch.testing.assert_close(whole, blurred_and_enlarged(picture), atol=1e-6, rtol=0)


def test_tiles_that_differ_are_blended_gradually() -> None:
    grid = tile_grid(1, 60, 36, 6)
    left, right = (torch.full((1, 36), value) for value in (0.0, 1.0))
    steps = merged([left, right], grid)[0].diff()
    assert (steps >= 0).all()
    assert steps.max() < 0.2


def test_the_dtype_of_the_tiles_is_kept() -> None:
    grid = tile_grid(40, 40, 24, 4)
    tiles = [torch.ones(1, 22, 22, dtype=torch.float16)] * len(grid.tiles)
    size = grid.rows[0][1]
    tiles = [tile.new_ones(1, size, size) for tile in tiles]
    assert merged(tiles, grid).dtype == torch.float16


def test_tiles_of_the_wrong_size_are_refused() -> None:
    grid = tile_grid(40, 40, 24, 4)
    with pytest.raises(ValueError, match="a tile must measure"):
        merged([torch.ones(3, 5, 5)] * len(grid.tiles), grid)
