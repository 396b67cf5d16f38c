"""Overlapping tiles of a picture, and their seamless blending."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

_STEPS = 1024  # blend weights are multiples of 1 / 1024 and add up to one without rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """A box of a picture in pixels: rows top to bottom - 1, columns left to right - 1."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TileGrid:
    """Overlapping intervals that cover the rows and the columns of a picture.

    Attributes:
        height, width: Of the picture.
        rows, columns: (start, stop) intervals in ascending order, all of one length.
    """

    height: int
    width: int
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All boxes, row by row."""
        return tuple(
            Tile(top=top, bottom=bottom, left=left, right=right)
            for top, bottom in self.rows
            for left, right in self.columns
        )


def tile_grid(height: int, width: int, tile: int, margin: int, multiple: int = 4) -> TileGrid:
    """Cover a picture with tiles of one size that overlap by at least two margins.

    Args:
        height, width: Of the picture.
        tile: Maximum side of a tile, margins included; more than two margins.
        margin: Pixels at a tile's inner edges that are blended away.
        multiple: Tiles start at multiples of it, if possible: networks that work at a quarter of
            the size need multiples of four.

    Raises:
        ValueError: A tile is all margin.
    """
    if margin < 0 or tile <= 2 * margin:
        raise ValueError(f"a tile of {tile} needs more than two margins of {margin}")
    return TileGrid(
        height=height,
        width=width,
        rows=_intervals(height, tile, margin, multiple),
        columns=_intervals(width, tile, margin, multiple),
    )


def cut_tile(x: Tensor, tile: Tile) -> Tensor:
    """View of (..., H, W) inside the tile."""
    return x[..., tile.top : tile.bottom, tile.left : tile.right]


class Merger:
    """Blends processed tiles into one picture.

    The outer quarter of an overlap, where a tile lacks context, is not used; in between weights
    change linearly. They add up to exactly one everywhere.

    Attributes:
        merged: (..., height * scale, width * scale), dtype and device of the first tile; None
            before that.
    """

    def __init__(self, grid: TileGrid, scale: int = 1) -> None:
        """Prepare the weights.

        Args:
            grid: Tiles of the unscaled picture.
            scale: Factor by which processing enlarges them.
        """
        self.merged: Tensor | None = None
        self._grid = grid
        self._scale = scale
        self._rows = self._columns = torch.empty(0)

    def add(self, box: Tile, tile: Tensor) -> None:
        """Add one tile; each of the grid's counts once.

        Args:
            box: One of `grid.tiles`.
            tile: (..., h * scale, w * scale).

        Raises:
            ValueError: It has another size.
        """
        grid, scale = self._grid, self._scale
        wanted = ((box.bottom - box.top) * scale, (box.right - box.left) * scale)
        if tuple(tile.shape[-2:]) != wanted:
            raise ValueError(f"a tile must measure {wanted}, got {tuple(tile.shape[-2:])}")
        if self.merged is None:
            size = grid.height * scale, grid.width * scale
            self.merged = tile.new_zeros(*tile.shape[:-2], *size)
            self._rows = blend_weights(grid.rows, scale, tile.device)
            self._columns = blend_weights(grid.columns, scale, tile.device)
        down = slice(box.top * scale, box.bottom * scale)
        across = slice(box.left * scale, box.right * scale)
        rows = self._rows[grid.rows.index((box.top, box.bottom)), down]
        columns = self._columns[grid.columns.index((box.left, box.right)), across]
        weighted = (rows[:, None] * columns * tile).to(self.merged.dtype)
        self.merged[..., down, across].add_(weighted)


def blend_weights(
    intervals: tuple[tuple[int, int], ...],
    scale: int = 1,
    device: torch.device | None = None,
) -> Tensor:
    """Weight of each interval at every position: (len(intervals), length * scale).

    `rise[i]` goes from 0 to 1 where interval i takes over from its predecessor. Interval i weighs
    `rise[i] - rise[i + 1]`, so all weights add up to one.
    """
    length = intervals[-1][1] * scale
    position = torch.arange(length, dtype=torch.float32, device=device) + 0.5
    rises = [torch.ones_like(position)]
    for (_, stop), (start, _) in itertools.pairwise(intervals):
        overlap = (stop - start) * scale
        first, last = start * scale + overlap / 4, stop * scale - overlap / 4
        ramp = ((position - first) / max(last - first, 1e-6)).clamp(0, 1)
        rises.append((ramp * _STEPS).round() / _STEPS)
    rises.append(torch.zeros_like(position))
    return torch.stack([a - b for a, b in itertools.pairwise(rises)])


def _intervals(length: int, tile: int, margin: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """Cover a line with the fewest tiles, starting at multiples of a number if possible."""
    if length <= tile:
        return ((0, length),)
    overlap = 2 * margin
    fewest = -(-(length - overlap) // (tile - overlap))
    for count in range(fewest, 2 * fewest + 1):
        smallest = -(-(length + (count - 1) * overlap) // count)
        for size in range(smallest + (length - smallest) % multiple, tile + 1, multiple):
            starts = [
                index * (length - size) // (count - 1) // multiple * multiple
                for index in range(count)
            ]
            if all(later - start <= size - overlap for start, later in itertools.pairwise(starts)):
                return tuple((start, start + size) for start in starts)
    size = -(-(length + (fewest - 1) * overlap) // fewest)
    starts = [index * (length - size) // (fewest - 1) for index in range(fewest)]
    return tuple((start, start + size) for start in starts)
