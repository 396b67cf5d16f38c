"""The two sides of a clip that is measured: what the network gets, and the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.data.degradations import degrade_clip
from vsr.data.degrade import bicubic_down, blur_down
from vsr.data.pictures import Picture, read_pictures
from vsr.data.protocols import ClipFiles, Protocol
from vsr.errors import DatasetError
from vsr.media.decode import DecodeOptions

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
