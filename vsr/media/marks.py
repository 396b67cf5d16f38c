"""A few numbers per frame: when it is shown, how bright it is, how much of it has changed.

Two passes over the same film, before and after enhancement, have nearly the same ones; a black,
green, frozen, missing or misplaced frame shows.
"""

from __future__ import annotations

from array import array
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vsr.media.frames import PlanarFrame, Plane, PlaneFormat, spans_full_range
from vsr.media.h273 import BT709_WEIGHTS, luma_weights
from vsr.media.probe import VideoInfo

# Samples looked at per row and column: enough to see a picture, nothing to compute.
GRID = 64


class FrameMarks:
    """Collect the marks of frames in presentation order; some 30 bytes each.

    Attributes:
        time_base: Seconds per tick of the pts.
        luma_weights: Shares of red and of blue in luma; unused where the planes are RGB.
        pts: One per frame.
        last_duration: Of the newest frame, in ticks; 0 where unknown.
        means: Mean of each plane, 0 to 1, three per frame (luma alone counts for grey).
        changes: Mean absolute luma difference to the frame before, 0 to 1; 0 for the first.
    """

    def __init__(
        self,
        time_base: Fraction,
        *,
        full_range: bool = False,
        luma_weights: tuple[float, float] = BT709_WEIGHTS,
    ) -> None:
        """Start before the first frame; range and weights as the tags of the stream say."""
        self.time_base = time_base
        self.luma_weights = luma_weights
        self.pts = array("q")
        self.last_duration = 0
        self.means = array("f")
        self.changes = array("f")
        self.chroma = ""
        self._full_range = full_range
        self._previous: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.pts)

    def add(self, frame: PlanarFrame) -> None:
        """Take in the next frame."""
        self.chroma = frame.format.chroma
        full = self._full_range or frame.format.full_range or frame.format.chroma == "rgb"
        small = [
            _sampled(
                plane, frame.format, luma=index == 0 or frame.format.chroma == "rgb", full=full
            )
            for index, plane in enumerate(frame.planes)
        ]
        luma = small[1 if frame.format.chroma == "rgb" else 0]
        self.pts.append(frame.pts)
        self.last_duration = frame.duration
        self.means.extend(float(part.mean()) for part in (small * 3)[:3])
        self.changes.append(_difference(luma, self._previous))
        self._previous = luma

    def seconds(self, index: int) -> Fraction:
        """Give the time of a frame."""
        return self.pts[index] * self.time_base

    def mean(self, index: int) -> tuple[float, float, float]:
        """Give the mean R, G and B of a frame, 0 to 1; of grey, three times its brightness."""
        first, second, third = self.means[3 * index : 3 * index + 3]
        if self.chroma == "rgb":
            return first, second, third
        if self.chroma == "gray":
            return first, first, first
        kr, kb = self.luma_weights
        red = first + 2 * (1 - kr) * (third - 0.5)
        blue = first + 2 * (1 - kb) * (second - 0.5)
        return red, (first - kr * red - kb * blue) / (1 - kr - kb), blue


def marks_of(video: VideoInfo, planes: PlaneFormat, time_base: Fraction) -> FrameMarks:
    """Begin the marks of a film, its planes read by its tags.

    Args:
        video: The film.
        planes: Layout of the frames to come, which a filter may have changed.
        time_base: Seconds per tick of their pts.
    """
    return FrameMarks(
        time_base,
        full_range=spans_full_range(planes, video.color.range),
        luma_weights=luma_weights(video),
    )


def _difference(luma: NDArray[np.float32], before: NDArray[np.float32] | None) -> float:
    if before is None or before.shape != luma.shape:
        return 0.0
    return float(np.abs(luma - before).mean())


def _sampled(plane: Plane, layout: PlaneFormat, *, luma: bool, full: bool) -> NDArray[np.float32]:
    """Pick a grid of samples, scaled so that 0 is black and 1 white (chroma: 0.5 is neutral)."""
    rows, columns = (max(1, extent // GRID) for extent in plane.shape)
    unit = float(1 << (layout.bit_depth - 8))
    values: NDArray[np.float32] = plane[rows // 2 :: rows, columns // 2 :: columns].astype(
        np.float32
    )
    if full:
        return values / np.float32((1 << layout.bit_depth) - 1)
    return (values / np.float32(unit) - np.float32(16)) / np.float32(219 if luma else 224)
