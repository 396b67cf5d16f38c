"""What a media file holds, as plain values. `vsr info` prints these; nothing here decodes a film."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

ChromaSiting = Literal["left", "center", "topleft"]
FieldOrder = Literal["unknown", "progressive", "top-first", "bottom-first"]
StreamKind = Literal["video", "audio", "subtitle", "data", "attachment", "cover"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColorTags:
    """Colour description by the code points of ITU-T H.273; 2 (range: 0) means unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0  # 0 unspecified, 1 limited, 2 full


@dataclass(frozen=True, kw_only=True, slots=True)
class HdrMetadata:
    """HDR10 static metadata (SMPTE ST 2086 and CTA-861.3), exact as stored.

    Attributes:
        red, green, blue, white: Chromaticities (x, y) of the mastering display, or None.
        min_luminance, max_luminance: cd/m2, or None.
        max_content_light, max_frame_average_light: cd/m2, or None.
    """

    red: tuple[Fraction, Fraction] | None = None
    green: tuple[Fraction, Fraction] | None = None
    blue: tuple[Fraction, Fraction] | None = None
    white: tuple[Fraction, Fraction] | None = None
    min_luminance: Fraction | None = None
    max_luminance: Fraction | None = None
    max_content_light: int | None = None
    max_frame_average_light: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """The video stream that is enhanced.

    Attributes:
        index: Stream index in the container.
        codec: FFmpeg decoder name ("h264").
        width, height: Coded picture size in pixels, before rotation and sample aspect.
        pix_fmt: FFmpeg pixel format name of decoded frames.
        bit_depth: Bits per component.
        time_base: Seconds per tick of all pts of this stream.
        frame_rate: Nominal frames per second (best guess; timestamps, not this, rule the output).
        frame_count: As the header claims; None where it does not say.
        start_pts: First pts by the header, in ticks; None where unknown.
        duration: Seconds by the header; None where unknown.
        sample_aspect_ratio: Width over height of one pixel; None where unset.
        rotation: Display rotation in degrees counter-clockwise, as FFmpeg reports it.
        display_matrix: The nine int32 of the display matrix; None where there is none.
        color: Tags as stored; `ops.color` and the pipeline resolve what is unspecified.
        chroma_siting: Where chroma samples lie, measured on the first frame for 4:2:0 and 4:2:2.
        field_order: By codec parameters and the first frames' flags.
        hdr: Static HDR metadata of the first frame or the container; None where there is none.
    """

    index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    bit_depth: int
    time_base: Fraction
    frame_rate: Fraction
    frame_count: int | None
    start_pts: int | None
    duration: Fraction | None
    sample_aspect_ratio: Fraction | None
    rotation: int
    display_matrix: tuple[int, ...] | None
    color: ColorTags
    chroma_siting: ChromaSiting
    field_order: FieldOrder
    hdr: HdrMetadata | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamInfo:
    """Any stream of the file, in container order.

    Attributes:
        details: One human phrase: "48000 Hz stereo", "640x360", "cover.jpg image/jpeg".
        disposition: Names of the flags set ("default", "forced", "attached_pic").
        tags: Stream metadata as stored.
        decodable: Whether this build has a decoder for it.
    """

    index: int
    kind: StreamKind
    codec: str
    time_base: Fraction
    details: str
    language: str | None
    title: str | None
    disposition: tuple[str, ...]
    tags: dict[str, str]
    decodable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceInfo:
    """A media file as found on disk.

    Attributes:
        path: The file, folder of pictures, or printf pattern of pictures.
        format: FFmpeg demuxer name, shortened to its first word ("mov", "matroska", "mpegts"),
            or "images".
        size_bytes: Size on disk (sum over pictures).
        duration: Seconds by the container's header; None where unknown.
        video: The stream to enhance.
        streams: All streams, the enhanced one included.
        chapters: (start, end, title) in seconds.
        tags: Container metadata.
    """

    path: Path
    format: str
    size_bytes: int
    duration: Fraction | None
    video: VideoInfo
    streams: tuple[StreamInfo, ...]
    chapters: tuple[tuple[Fraction, Fraction, str], ...]
    tags: dict[str, str]
