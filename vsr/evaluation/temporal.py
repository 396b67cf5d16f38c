"""Steadiness over time, from one 8-bit RGB frame, (H, W, 3), to the next.

Flow is OpenCV's DIS on 8-bit grey.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.metrics import Image

Flow = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Occlusion by the forward-backward test; constants of Sundaram, Brox and Keutzer, ECCV 2010.
_RELATIVE, _ABSOLUTE = 0.01, 0.5
_LEAST_SIDE = 32


def flow(reference: Image, other: Image) -> Flow:
    """Estimate where each pixel of `reference` lies in `other`.

    Returns:
        (H, W, 2), (dx, dy) in pixels.
    """
    height, width = reference.shape[:2]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [_grey(picture) for picture in (reference, other)]
    found = search.calc(greys[0], greys[1], None)  # type: ignore[call-overload]
    return cast("Flow", found[:height, :width])


def _grey(picture: Image) -> Image:
    """Grey picture, padded: DIS of OpenCV 5.0 reads outside of pictures below 16 pixels."""
    height, width = picture.shape[:2]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    below, right = (max(0, _LEAST_SIDE - side) for side in (height, width))
    return cast("Image", cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE))


def flow_difference(a: Flow, b: Flow) -> float:
    """Mean length of the difference of two flows, in pixels.

    For the flows of output and truth this is tOF (TecoGAN, Chu et al. 2020), but with DIS flow
    instead of Farneback's: not comparable with published values.
    """
    return float(np.linalg.norm(a - b, axis=-1).mean())


def visible(to_previous: Flow, to_next: Flow) -> Mask:
    """Pixels of a frame that are visible in the previous one.

    Args:
        to_previous: Flow of this frame to the previous one.
        to_next: Flow of the previous frame to this one.

    Returns:
        (H, W): whether the flow there and back ends near its start, inside the picture.
    """
    height, width = to_previous.shape[:2]
    there = _positions(height, width) + to_previous
    back = _sample(to_next, there)
    gap = ((to_previous + back) ** 2).sum(-1)
    size = (to_previous**2).sum(-1) + (back**2).sum(-1)
    inside = (there >= 0).all(-1) & (there[..., 0] <= width - 1) & (there[..., 1] <= height - 1)
    return cast("Mask", (gap < _RELATIVE * size + _ABSOLUTE) & inside)


class Warping(NamedTuple):
    """Difference between a frame and the previous one, warped by the flow of the truth.

    Attributes:
        squared: Mean square of RGB from 0 to 1; dominated by sharp edges.
        absolute: Mean absolute difference of RGB in 8-bit levels.
    """

    squared: float
    absolute: float


def warping_error(previous: Image, now: Image, to_previous: Flow, seen: Mask) -> Warping:
    """Warping error of a frame over pixels that are not occluded; 0 if all are.

    A blurred film warps better than a sharp one: compare with the warping error of the truth.

    Args:
        previous, now: Two frames of the output.
        to_previous: Flow of the truth.
        seen: `visible` of the truth.

    Source: Lai et al., "Learning blind video temporal consistency", ECCV 2018, for the square.
    """
    if not seen.any():
        return Warping(squared=0.0, absolute=0.0)
    height, width = to_previous.shape[:2]
    moved = _sample(previous.astype(np.float32), _positions(height, width) + to_previous)
    error = (moved - now.astype(np.float32))[seen]
    squared = float(((error / 255) ** 2).mean())
    return Warping(squared=squared, absolute=float(np.abs(error).mean()))


def flicker(previous_error: NDArray[np.floating], error: NDArray[np.floating]) -> float:
    """Mean absolute change of the error from one frame to the next; a constant error gives 0.

    Args:
        previous_error, error: Output minus truth, any shape, in 8-bit levels.
    """
    return float(np.abs(error - previous_error).mean())


def _positions(height: int, width: int) -> Flow:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y], axis=-1).astype(np.float32)


def _sample(values: Flow, at: Flow) -> Flow:
    return cast(
        "Flow",
        cv2.remap(
            values, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
    )
