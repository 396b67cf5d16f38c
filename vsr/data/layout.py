"""Where media values meet colour: what the integers of a file's planes mean."""

from __future__ import annotations

from vsr.media.frames import PlaneFormat
from vsr.media.probe import ChromaSiting, ColorTags, SourceInfo
from vsr.ops.color import ColorLayout, resolve_layout


def color_layout(
    info: SourceInfo,
    planes: PlaneFormat,
    *,
    color: ColorTags | None = None,
    siting: ChromaSiting | None = None,
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
