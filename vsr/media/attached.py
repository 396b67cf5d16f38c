"""What frames carry beside their pixels: which of it is named, and how captions are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

CAPTIONS = "closed captions"
DOLBY_VISION = "Dolby Vision metadata"
ALPHA = "an alpha channel"
# By FFmpeg's names (libavutil/frame.h). Not here: what is kept (rotation, HDR10), what only helps
# to decode or encode (motion vectors), and what MPEG-2 writes into every file (pan-scan, GOP time).
NAMES = {
    "A53_CC": CAPTIONS,
    "DOVI_RPU_BUFFER": DOLBY_VISION,
    "DOVI_METADATA": DOLBY_VISION,
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment (HDR)",
    "AFD": "the active format description (AFD)",
    "S12M_TIMECODE": "timecodes (SMPTE ST 12-1)",
    "FILM_GRAIN_PARAMS": "film grain parameters",
    "ICC_PROFILE": "a colour profile (ICC)",
    "STEREO3D": "a stereoscopic (3D) layout",
    "SPHERICAL": "a spherical (360 degree) projection",
    "SEI_UNREGISTERED": "user data (unregistered SEI messages)",
    # AV_FRAME_DATA_LCEVC, VIEW_ID and EXIF, which PyAV 18 has no names for.
    "UNKNOWN_28": "an LCEVC enhancement layer",
    "UNKNOWN_29": "further views (stereoscopic video)",
    "UNKNOWN_31": "EXIF tags",
}
# UUIDs under which x264 and x265 sign their work; that is nobody's data.
SIGNATURES = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),
)
HINTS = {
    CAPTIONS: " (libx264, libx265 and mpeg2video would carry them)",
    DOLBY_VISION: "; a picture that was made for it alone (profile 5) will have wrong colours",
}
CARRIER_SIZE = 16


def attached(frame: VideoFrame) -> tuple[str, ...]:
    """Name what a frame carries that does not reach the output by itself."""
    entries: Iterator[Any] = iter(frame.side_data)
    found: dict[str, None] = {}
    for entry in entries:
        name = NAMES.get(entry.type.name)
        signed = entry.type.name == "SEI_UNREGISTERED" and bytes(entry)[:16] in SIGNATURES
        if name is not None and not signed:
            found[name] = None
    return tuple(found)


def caption_carrier(frame: VideoFrame, reformatter: VideoReformatter) -> VideoFrame | None:
    """Make a tiny frame that holds the closed captions of a frame; None where it has none.

    PyAV 18 lets nobody attach side data; but scaling a frame copies it, to the carrier here and
    from there to the frame for the encoder.
    """
    if CAPTIONS not in attached(frame):
        return None
    return reformatter.reformat(
        frame, CARRIER_SIZE, CARRIER_SIZE, "gray", interpolation=Interpolation.POINT, threads=1
    )


def expected_losses(names: Iterable[str], *, captions: bool) -> Iterator[str]:
    """Say before any work what will be left out.

    Args:
        names: As `attached` gives them.
        captions: Whether the encoder carries closed captions.
    """
    for name in names:
        if not (captions and name == CAPTIONS):
            yield f"will be left out: {name} of the input{HINTS.get(name, '')}"


def counted_losses(
    counts: Iterable[tuple[str, int]], *, captions: bool, captioned: int
) -> Iterator[str]:
    """Say after the work what was left out.

    Args:
        counts: Names, and how many frames of the input had each.
        captions: Whether the encoder carries closed captions.
        captioned: How many frames had captions after the filters.
    """
    for name, count in counts:
        if not (captions and name == CAPTIONS):
            yield f"left out: {name}, on {count} frames of the input"
        elif captioned < count:
            yield (
                f"{name} were on {count} frames of the input and are on {captioned} after the "
                "filters: some may be missing"
            )
