"""What FFmpeg knows of a frame and PyAV 18 does not tell, or not without help."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av.filter
import av.logging
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from vsr.media.source import libav_messages

# libavfilter/vf_showinfo.c: "... fmt:yuv420p cl:left sar:8/9 s:720x480 i:B iskey:1 type:I"
FRAME_LINE = re.compile(r" cl:(\w+) sar:(\d+)/(\d+) s:\d+x\d+ i:([PTB]) ")
RATE_LINE = re.compile(r"config in .*frame_rate: (\d+)/(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFacts:
    """Properties of one frame.

    Attributes:
        chroma_location: FFmpeg's name ("left", "center", "topleft", "unspecified", ...).
        sample_aspect_ratio: None where unset.
        top_field_first: Meaningful for interlaced frames.
        frame_rate: Of the filter link it came through; None where unknown.
    """

    chroma_location: str = "unspecified"
    sample_aspect_ratio: Fraction | None = None
    top_field_first: bool = False
    frame_rate: Fraction | None = None


def frame_facts(frame: VideoFrame) -> FrameFacts:
    """Read the facts of one frame by sending it through a graph of its own."""
    graph = av.filter.Graph()
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
    color = f":colorspace={frame.colorspace}:range={frame.color_range}"
    nodes = [
        graph.add("buffer", size + color),
        graph.add("showinfo", "checksum=0"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes)
    with libav_messages(av.logging.INFO) as messages:
        graph.configure()
        graph.vpush(frame)
        graph.vpull()
    return parse_facts(messages)


def parse_facts(messages: Iterable[str]) -> FrameFacts:
    """Read the first frame's facts from showinfo's messages."""
    text = "\n".join(messages)
    frame, rate = FRAME_LINE.search(text), RATE_LINE.search(text)
    if rate is not None and "0" in rate.groups():  # 0/1 is unknown, 1/0 variable
        rate = None
    if frame is None:
        return FrameFacts()
    location, width, height, field = frame.groups()
    return FrameFacts(
        chroma_location=location,
        sample_aspect_ratio=Fraction(int(width), int(height)) if int(width) else None,
        top_field_first=field == "T",
        frame_rate=Fraction(int(rate[1]), int(rate[2])) if rate else None,
    )


def side_data(frame: VideoFrame, name: str) -> bytes | None:
    """Read one entry of a frame's side data by FFmpeg's name ("DISPLAYMATRIX"), as stored."""
    entries: Iterator[Any] = iter(frame.side_data)
    return next((bytes(data) for data in entries if data.type.name == name), None)


def _unknown_side_data(cls: type[SideDataType], value: object) -> SideDataType:
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    found: SideDataType = member
    return found


# PyAV 18 raises ValueError for a frame with any side data that its enumeration lacks, as
# FFmpeg 8.1 attaches to photographs (EXIF) and stereo video (view ids): give those a name.
SideDataType._missing_ = classmethod(_unknown_side_data)  # type: ignore[method-assign, assignment]
