"""A video, or a folder of pictures, as 8-bit RGB pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vsr.color import Siting
from vsr.errors import DecodeError
from vsr.media.decode import Decoder
from vsr.media.probe import ColorTags, SourceInfo, probe
from vsr.media.reading import describe_lost
from vsr.media.source import find_pictures
from vsr.media.types import PlanarFrame, PlaneFormat
from vsr.ops.color import ColorLayout, planes_to_rgb, resolve_layout, to_picture
from vsr.options import DecodeOptions


def color_layout(
    info: SourceInfo,
    planes: PlaneFormat,
    *,
    color: ColorTags | None = None,
    siting: Siting | None = None,
) -> tuple[ColorLayout, tuple[str, ...]]:
    """Describe planes by the tags of a stream; what is untagged goes by the source's size.

    Args:
        info: The source.
        planes: Their format, of the source or of an output made from it.
        color: Tags; the source's own by default.
        siting: Of the chroma; the source's own by default.

    Returns:
        The layout, and a sentence for each thing that was assumed.
    """
    color = color or info.video.color
    return resolve_layout(
        chroma=planes.chroma,
        bit_depth=planes.bit_depth,
        width=info.video.width,
        height=info.video.height,
        matrix_code=color.matrix,
        range_code=color.range,
        siting=siting or info.video.chroma_siting,
        full_range_format=planes.full_range,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One frame.

    Attributes:
        rgb: (H, W, 3) uint8.
        seconds: On the clock of the file.
        scene_score: libavfilter `scdet` score against the frame before, 0 to 100.
    """

    rgb: NDArray[np.uint8]
    seconds: Fraction
    scene_score: float


def read_pictures(
    path: Path, options: DecodeOptions | None = None, *, undamaged: bool = False
) -> Iterator[Picture]:
    """Decode a file as `vsr enhance` would, and round to 8 bit.

    Args:
        path: A video, a folder of pictures, or a pattern such as frames/%06d.png.
        options: What part, and through which filters.
        undamaged: Raise at the end if a frame was damaged, missing or of another size than the
            first: what is learnt from must be as it was recorded, without black bars.

    Yields:
        The frames in presentation order; one is held.

    Raises:
        MediaError: If it cannot be decoded, or is damaged.
    """
    info = probe(path)
    with Decoder(info, options or DecodeOptions()) as decoder:
        layout, _ = color_layout(info, decoder.format)
        for frame in decoder:
            yield Picture(
                rgb=to_rgb8(frame, layout),
                seconds=frame.pts * decoder.time_base,
                scene_score=frame.scene_score,
            )
        found = decoder.summary
    pictures = find_pictures(path) if undamaged else None
    if pictures is not None and found.decoded < len(pictures):
        lost = "; ".join(describe_lost(found.lost)) or "the others are empty files"
        raise DecodeError(
            path,
            f"wanted {len(pictures)} pictures, got {found.decoded}: {lost}; copy them again",
        )
    if undamaged and (found.corrupt or found.lost or found.error_count):
        raise DecodeError(
            path,
            f"wanted frames without damage, got {found.frames} of which {len(found.corrupt)} are "
            f"damaged; {found.lost_count} more are missing; copy it again",
        )
    if undamaged and found.resized:
        raise DecodeError(
            path,
            f"wanted frames of one size, got {found.resized} of {found.frames} of another than "
            "the first; cut the film where it changes, or part the pictures by size",
        )


def to_rgb8(frame: PlanarFrame, layout: ColorLayout) -> NDArray[np.uint8]:
    """Convert planes to (H, W, 3) uint8."""
    planes = [torch.from_numpy(np.array(plane, order="C")) for plane in frame.planes]
    return to_picture(planes_to_rgb(planes, layout))
