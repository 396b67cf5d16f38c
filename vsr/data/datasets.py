"""Training batches, validation clips and measured pairs out of clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.data.clips import Clip, Frames
from vsr.data.degrade import bicubic_down, blur_down
from vsr.data.layouts import ClipFiles, Protocol
from vsr.data.pictures import Picture, read_pictures
from vsr.data.real import degrade_clip
from vsr.errors import DatasetError
from vsr.options import DecodeOptions


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Frames of one clip without a scene cut among them: `first` up to but without `last`."""

    clip: Clip
    first: int
    last: int


def shots(
    clips: Sequence[Clip],
    *,
    length: int,
    side: int,
    longest: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Shot]:
    """List the shots between cuts that are long and large enough to take crops from.

    Args:
        clips: The decoded videos.
        length: Frames wanted.
        side: Crop wanted, in pixels of the truth.
        longest: Frames of a shot at most; longer ones are divided. None: any.
        progress: Told of each clip that gives none, one line each, and how many were.

    Raises:
        DatasetError: If none is.
    """
    found: list[Shot] = []
    useless = 0
    for clip in clips:
        before = len(found)
        borders = [0, *clip.cuts, len(clip.frames)]
        for first, last in pairwise(borders):
            if last - first >= length and min(clip.frames.shape[1:3]) >= side:
                found += _divided(Shot(clip=clip, first=first, last=last), length, longest)
        if len(found) == before:
            useless += 1
            most = max(last - first for first, last in pairwise(borders))
            height, width = clip.frames.shape[1:3]
            progress(
                f"left out: {clip.name} has {most} frames without a cut of {width}x{height}, "
                f"wanted {length} of {side}x{side}"
            )
    if useless:
        progress(f"{useless} of {len(clips)} clips left out: too short or too small")
    if not found:
        raise DatasetError(
            f"no clip has {length} frames between cuts and {side}x{side} pixels; "
            "take longer or larger videos, or a smaller data.length or data.crop"
        )
    return found


def _divided(shot: Shot, length: int, longest: int | None) -> list[Shot]:
    """Divide evenly into shots of `longest` frames at most, `length` at least."""
    count = shot.last - shot.first
    parts = 1 if longest is None else max(1, min(ceil(count / longest), count // length))
    borders = [shot.first + count * i // parts for i in range(parts + 1)]
    return [replace(shot, first=a, last=b) for a, b in pairwise(borders)]


def sample_batch(
    found: Sequence[Shot],
    *,
    batch: int,
    length: int,
    side: int,
    seed: tuple[int, ...],
    reverse: bool = True,
) -> Tensor:
    """Cut random clips: place, time, flips, transposition and direction of time are all drawn.

    The draw is a function of `seed` alone, so a resumed run sees what the first would have seen.

    Args:
        found: Where to cut; the chance of each grows with its number of frames.
        batch: Clips.
        length: Frames of each.
        side: Rows and columns.
        seed: For example (run seed, step, rank).
        reverse: Play half of the clips backwards.

    Returns:
        (batch, length, 3, side, side), uint8.
    """
    return torch.stack(
        [
            cut(shot.clip.frames, draw_crop(shot, length, side, rng, reverse=reverse))
            for shot, rng in picked(found, batch, seed)
        ]
    )


def sample_pairs(
    found: Sequence[Shot],
    *,
    batch: int,
    length: int,
    side: int,
    scale: int,
    seed: tuple[int, ...],
    reverse: bool = True,
) -> tuple[Tensor, Tensor]:
    """Cut random clips as `sample_batch` does, with the low-quality side of the data set.

    Args:
        found: Where to cut; all clips have an `lq`.
        batch, length, side, seed, reverse: See `sample_batch`; `side` is a multiple of `scale`.
        scale: Between the two sides.

    Returns:
        (batch, length, 3, side, side) and (batch, length, 3, side / scale, side / scale), uint8.

    Raises:
        DatasetError: If a clip has no such side, or one of another size.
    """
    pairs = []
    for shot, rng in picked(found, batch, seed):
        clip = shot.clip
        if clip.lq is None:
            raise DatasetError(f"clip '{clip.name}' has no low-quality side")
        wanted = (clip.frames.shape[0], *(size // scale for size in clip.frames.shape[1:3]))
        if clip.lq.shape[:3] != wanted:
            raise DatasetError(
                f"clip '{clip.name}': wanted {wanted} low-quality frames, rows and columns for "
                f"x{scale}, got {clip.lq.shape[:3]}; take the side of this scale"
            )
        crop = draw_crop(shot, length, side, rng, reverse=reverse, grid=scale)
        small = replace(crop, y=crop.y // scale, x=crop.x // scale, side=side // scale)
        pairs.append((cut(clip.frames, crop), cut(clip.lq, small)))
    return torch.stack([gt for gt, _ in pairs]), torch.stack([lq for _, lq in pairs])


def mirrored(clip: Tensor) -> Tensor:
    """Play (N, T, C, H, W) forth and back: (N, 2 T, C, H, W), as is done with short clips."""
    return torch.cat((clip, clip.flip(1)), 1)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Place, time and orientation of a training clip."""

    t: int
    y: int
    x: int
    length: int
    side: int
    flip_time: bool
    flip_y: bool
    flip_x: bool
    transpose: bool


def picked(
    found: Sequence[Shot], batch: int, seed: tuple[int, ...]
) -> Iterator[tuple[Shot, np.random.Generator]]:
    """Pick shots, each with a chance that grows with its number of frames."""
    rng = np.random.default_rng(seed)
    weights = np.array([shot.last - shot.first for shot in found], dtype=np.float64)
    for index in rng.choice(len(found), size=batch, p=weights / weights.sum()):
        yield found[index], rng


def draw_crop(
    shot: Shot,
    length: int,
    side: int,
    rng: np.random.Generator,
    *,
    reverse: bool,
    grid: int = 1,
) -> Crop:
    """Draw a crop of a shot; its corner is a multiple of `grid`."""
    t = rng.integers(shot.first, shot.last - length + 1)
    sizes = shot.clip.frames.shape[1:3]
    y, x = (grid * rng.integers(0, (size - side) // grid + 1) for size in sizes)
    flip_time, flip_y, flip_x, transpose = (bool(b) for b in rng.integers(0, 2, size=4))
    return Crop(
        t=int(t), y=int(y), x=int(x), length=length, side=side,
        flip_time=flip_time and reverse, flip_y=flip_y, flip_x=flip_x, transpose=transpose,
    )  # fmt: skip


def cut(frames: Frames, crop: Crop) -> Tensor:
    """Cut (T, H, W, 3) to a crop, (length, 3, side, side), uint8."""
    time, rows, columns = (
        slice(start, start + size)
        for start, size in ((crop.t, crop.length), (crop.y, crop.side), (crop.x, crop.side))
    )
    block = frames[time, rows, columns]
    block = block[:: 1 - 2 * crop.flip_time, :: 1 - 2 * crop.flip_y, :: 1 - 2 * crop.flip_x]
    if crop.transpose:
        block = block.transpose(0, 2, 1, 3)
    return torch.from_numpy(np.ascontiguousarray(block)).permute(0, 3, 1, 2)


def truth(clip: Clip, *, frames: int, scale: int) -> Tensor:
    """Take the first frames of a clip, cropped so that its sides are multiples of `scale`.

    Returns:
        (T, 3, H, W), 0 to 1.
    """
    height, width = (size // scale * scale for size in clip.frames.shape[1:3])
    return to_clip(clip.frames[slice(frames), slice(height), slice(width)])


def to_clip(frames: NDArray[np.uint8]) -> Tensor:
    """(T, H, W, 3) uint8 to (T, 3, H, W), 0 to 1."""
    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 255


# Of a clip degraded as a whole, per pixel of the truth: at the peak 82 were measured.
BYTES_PER_PIXEL = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One frame.

    Attributes:
        lq: (3, H, W), 0 to 1, of 8-bit levels.
        gt: The truth, (H times the scale, W times the scale, 3) uint8.
        scene_score: Of the truth against the frame before, 0 to 100.
    """

    lq: Tensor
    gt: NDArray[np.uint8]
    scene_score: float


def read_pairs(
    clip: ClipFiles, protocol: Protocol, scale: int, *, frames: int | None, room: int
) -> Iterator[Pair]:
    """Read a clip, and make the low-quality side where it is not on disk.

    One frame is held, except where the protocol degrades as "real": walks and codecs go over the
    whole clip, which is then held.

    Args:
        clip: Where its files are.
        protocol: Says how it is degraded.
        scale: Integer factor; the truth is cropped to a multiple of it.
        frames: How many, from the first; None for all.
        room: Bytes that a clip held as a whole may take.

    Raises:
        DatasetError: The sides do not belong together, the pictures are too small, or there is no
            room.
        MediaError: The clip cannot be decoded.
    """
    # Interlaced footage is no truth; deinterlacing it here would make one up.
    truths = islice(read_pictures(clip.gt, DecodeOptions(deinterlace="off")), frames)
    if clip.lq is not None:
        low = read_pictures(clip.lq)
        yield from (_given(clip, gt, next(low, None), scale) for gt in truths)
    elif protocol.degradation == "real":
        yield from _real(clip, truths, scale, room)
    else:
        for picture in truths:
            gt = _cropped(clip, picture, scale)
            x = to_tensor(gt)
            lq = blur_down(x) if protocol.degradation == "bd" else bicubic_down(x, scale)
            yield Pair(lq=lq, gt=gt, scene_score=picture.scene_score)


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(..., H, W, 3) uint8 to (..., 3, H, W), 0 to 1."""
    return torch.from_numpy(image).movedim(-1, -3).float() / 255


def _real(clip: ClipFiles, truths: Iterable[Picture], scale: int, room: int) -> Iterator[Pair]:
    found: list[NDArray[np.uint8]] = []
    scores = []
    for picture in truths:
        found.append(_cropped(clip, picture, scale))
        scores.append(picture.scene_score)
        each = BYTES_PER_PIXEL * found[0].shape[0] * found[0].shape[1]
        if len(found) * each > room:
            raise DatasetError(
                f"clip '{clip.name}' is degraded as a whole, and is longer than the memory holds; "
                f"take at most --frames {max(1, room // each)}, or shorter clips"
            )
    if found:
        lq = degrade_clip(to_tensor(np.stack(found)), scale, "real", name=clip.gt.name)
        for x, gt, score in zip(lq, found, scores, strict=True):
            yield Pair(lq=x, gt=gt, scene_score=score)


def _cropped(clip: ClipFiles, picture: Picture, scale: int) -> NDArray[np.uint8]:
    height, width = (side // scale * scale for side in picture.rgb.shape[:2])
    if not height or not width:
        raise DatasetError(f"clip '{clip.name}' is too small for x{scale}: '{clip.gt}'")
    return np.ascontiguousarray(picture.rgb[:height, :width])


def _given(clip: ClipFiles, gt: Picture, lq: Picture | None, scale: int) -> Pair:
    if lq is None:
        raise DatasetError(f"clip '{clip.name}': '{clip.lq}' has fewer frames than '{clip.gt}'")
    height, width = (side * scale for side in lq.rgb.shape[:2])
    gap = (gt.rgb.shape[0] - height, gt.rgb.shape[1] - width)
    if not all(0 <= side < scale for side in gap):
        raise DatasetError(
            f"clip '{clip.name}': truth of {gt.rgb.shape[1]}x{gt.rgb.shape[0]} wants "
            f"x{scale} smaller frames, '{clip.lq}' has {lq.rgb.shape[1]}x{lq.rgb.shape[0]}"
        )
    truth = np.ascontiguousarray(gt.rgb[:height, :width])
    return Pair(lq=to_tensor(lq.rgb), gt=truth, scene_score=gt.scene_score)
