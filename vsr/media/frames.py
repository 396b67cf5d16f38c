"""Frames as integer planes: what decoding gives and encoding takes. No RGB, no float, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Chroma = Literal["gray", "420", "422", "444", "440", "411", "410", "rgb"]
Plane = NDArray[np.uint8] | NDArray[np.uint16]
Captions = VideoFrame


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaneFormat:
    """How the planes of a frame are laid out.

    Attributes:
        name: FFmpeg name of this planar pixel format ("yuv420p10le").
        chroma: Subsampling; "gray" has one plane, "rgb" three full planes in the order R, G, B.
        bit_depth: 8 to 16; more than 8 bits lie in the low bits of a uint16.
        full_range: True where the name itself says so ("yuvj420p"); tags decide otherwise.
    """

    name: str
    chroma: Chroma
    bit_depth: int
    full_range: bool = False


def spans_full_range(planes: PlaneFormat, range_code: int) -> bool:
    """Tell whether planes count from 0 to their largest code, by layout and range tag.

    Untagged grey and RGB do, as swscale and `ops.color` read them; untagged YUV does not.

    Args:
        planes: Their layout.
        range_code: 0 unspecified, 1 limited, 2 full.
    """
    untagged_full = planes.full_range or planes.chroma in ("gray", "rgb")
    return range_code == 2 or (range_code == 0 and untagged_full)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanarFrame:
    """One picture in presentation order.

    Attributes:
        planes: (H, W) arrays, luma first (or R, G, B); read-only views are allowed.
        format: Their layout.
        pts: Presentation time in ticks of the stream's (or the filter's) time base.
        duration: Ticks until the next frame is due; 0 where unknown.
        scene_score: Score of libavfilter's `scdet` against the previous frame, 0 to 100; 0 for the
            first.
        corrupt: The decoder marked this frame as damaged.
        captions: A tiny frame that holds the closed captions; see `attached.caption_carrier`.
    """

    planes: tuple[Plane, ...]
    format: PlaneFormat
    pts: int
    duration: int
    scene_score: float = 0.0
    corrupt: bool = False
    captions: Captions | None = None
