"""Training batches and validation clips out of frame stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vsr.data.clips import Clip
from vsr.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Frames of one clip without a scene cut among them: `first` up to but without `last`."""

    clip: Clip
    first: int
    last: int


def stretches(clips: Sequence[Clip], *, length: int, side: int) -> list[Stretch]:
    """List the stretches between cuts that are long and large enough to take crops from.

    Args:
        clips: The decoded videos.
        length: Frames wanted.
        side: Crop wanted, in pixels of the truth.

    Raises:
        DatasetError: If none is.
    """
    found = []
    for clip in clips:
        borders = [0, *clip.cuts, len(clip.frames)]
        for first, last in pairwise(borders):
            if last - first >= length and min(clip.frames.shape[1:3]) >= side:
                found.append(Stretch(clip=clip, first=first, last=last))
    if not found:
        raise DatasetError(
            f"no clip has {length} frames between cuts and {side}x{side} pixels; "
            "take longer or larger videos, or a smaller data.length or data.crop"
        )
    return found


def sample_batch(
    found: Sequence[Stretch], *, batch: int, length: int, side: int, seed: tuple[int, ...]
) -> Tensor:
    """Cut random clips: place, time, flips, transposition and direction of time are all drawn.

    The draw is a function of `seed` alone, so a resumed run sees what the first would have seen.

    Args:
        found: Where to cut; the chance of each grows with its number of frames.
        batch: Clips.
        length: Frames of each.
        side: Rows and columns.
        seed: For example (run seed, step, rank).

    Returns:
        (batch, length, 3, side, side), uint8.
    """
    rng = np.random.default_rng(seed)
    weights = np.array([stretch.last - stretch.first for stretch in found], dtype=np.float64)
    picks = rng.choice(len(found), size=batch, p=weights / weights.sum())
    return torch.stack([_crop(found[i], length, side, rng) for i in picks])


def _crop(stretch: Stretch, length: int, side: int, rng: np.random.Generator) -> Tensor:
    frames = stretch.clip.frames
    t = rng.integers(stretch.first, stretch.last - length + 1)
    y, x = (rng.integers(0, size - side + 1) for size in frames.shape[1:3])
    cut = frames[t : t + length, y : y + side, x : x + side]
    flip_time, flip_y, flip_x, transpose = rng.integers(0, 2, size=4)
    cut = cut[:: 1 - 2 * flip_time, :: 1 - 2 * flip_y, :: 1 - 2 * flip_x]
    if transpose:
        cut = cut.transpose(0, 2, 1, 3)
    return torch.from_numpy(np.ascontiguousarray(cut)).permute(0, 3, 1, 2)


def truth(clip: Clip, *, frames: int, scale: int) -> Tensor:
    """Take the first frames of a clip, cropped so that its sides are multiples of `scale`.

    Returns:
        (T, 3, H, W), 0 to 1.
    """
    height, width = (size // scale * scale for size in clip.frames.shape[1:3])
    cut = clip.frames[:frames, :height, :width]
    return torch.from_numpy(cut.copy()).permute(0, 3, 1, 2).float() / 255
