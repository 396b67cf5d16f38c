"""What a media file holds, as plain values, from its headers and its first frame."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import av.logging
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import AttachmentStream, Disposition, Stream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from vsr.color import UNSPECIFIED, Siting
from vsr.errors import ProbeError
from vsr.media.matroska import Crop, read_crops
from vsr.media.source import (
    DEFAULT_PICTURE_RATE,
    frame_graph,
    libav_messages,
    main_video_stream,
    open_source,
    read_packets,
    short_name,
)
from vsr.media.timing import count_back

FieldOrder = Literal["unknown", "progressive", "top-first", "bottom-first"]
StreamKind = Literal["video", "audio", "subtitle", "data", "attachment", "cover"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColorTags:
    """Colour description by the code points of ITU-T H.273."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
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
        frame_count: By the header; None where unknown.
        start_pts: First pts by the header, in ticks; None where unknown.
        duration: Seconds by the header; None where unknown.
        sample_aspect_ratio: Width over height of one pixel; None where unset.
        rotation: Display rotation in degrees counter-clockwise, as FFmpeg reports it.
        display_matrix: The nine int32 of the display matrix; None where there is none.
        color: Tags as stored; `ops.color` and the pipeline resolve what is unspecified.
        chroma_siting: Where chroma samples lie, measured on the first frame for 4:2:0 and 4:2:2.
        field_order: By codec parameters and the first frames' flags.
        hdr: Static HDR metadata of the first frame or the container; None where there is none.
        attached: What else the first frame carries, by `NAMES`; later ones may have more.
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
    chroma_siting: Siting
    field_order: FieldOrder
    hdr: HdrMetadata | None
    attached: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamInfo:
    """Any stream of the file, in container order.

    Attributes:
        details: One human phrase: "48000 Hz stereo", "640x360", "cover.jpg image/jpeg".
        disposition: Names of the flags set ("default", "forced", "attached_pic").
        tags: Stream metadata as stored.
        decodable: Whether this build has a decoder for it.
        start: Seconds by the header; None where unknown.
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
    start: Fraction | None = None


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
        gaps: Whether numbers of pictures may be missing in between.
    """

    path: Path
    format: str
    size_bytes: int
    duration: Fraction | None
    video: VideoInfo
    streams: tuple[StreamInfo, ...]
    chapters: tuple[tuple[Fraction, Fraction, str], ...]
    tags: dict[str, str]
    gaps: bool = False


AVFMT_NOTIMESTAMPS = 0x0080  # libavformat/avformat.h
MOST_FRAMES = 1000  # per second; more is a time base, or damage, taken for a rate
PROBED_PACKETS = 300  # packets of one stream read in search of a decodable frame
CENTER_SITED_CODECS = ("mjpeg", "mpeg1video", "webp")


def probe(
    path: Path | str, *, picture_rate: Fraction = DEFAULT_PICTURE_RATE, gaps: bool = False
) -> SourceInfo:
    """Read what a media file, a folder of pictures or a pattern of pictures holds.

    Reads the header and decodes one frame: only frames carry rotation, HDR metadata, interlacing
    and chroma siting. A single picture file counts as a sequence of one.

    Args:
        path: A media file, a folder, a pattern like `frames/%06d.png`, or a picture.
        picture_rate: Frames per second of pictures; media files have their own.
        gaps: Whether numbers of pictures may be missing in between.

    Raises:
        ProbeError: The path holds no video that can be read.
    """
    path = Path(path)
    container, pictures = open_source(path, gaps=gaps)
    with container:
        stream = main_video_stream(container, path)
        frame, earliest = _first(container, stream)
        if frame is None and not (stream.codec_context.width and stream.codec_context.pix_fmt):
            raise ProbeError(path, "the video stream has no decodable frame; copy the file again")
        video = _video_info(container, stream, frame, earliest)
        if pictures is not None:
            count = len(pictures)
            video = replace(
                video,
                time_base=1 / picture_rate,
                frame_rate=picture_rate,
                frame_count=count,
                start_pts=0,
                duration=count / picture_rate,
            )
        elif earliest is None and short_name(container) == "matroska":
            video = replace(video, start_pts=_counted_start(path, video))
        return SourceInfo(
            path=path,
            format="images" if pictures else short_name(container),
            size_bytes=sum(p.stat().st_size for p in pictures or [path]),
            duration=video.duration if pictures else _seconds(container.duration),
            video=video,
            streams=tuple(_stream_info(s) for s in container.streams),
            chapters=tuple(_chapters(container)),
            tags=dict(container.metadata),
            gaps=gaps,
        )


def _seconds(microseconds: int | None) -> Fraction | None:
    return None if microseconds is None else Fraction(microseconds, av.time_base)


def _first(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame | None, int | None]:
    """Decode a frame; return also the earliest pts of the packets read for it."""
    packets, earliest = read_packets(container, [stream]), None
    for _ in range(PROBED_PACKETS):
        try:
            packet = next(packets, None)
            if packet is not None and packet.pts is not None:
                earliest = packet.pts if earliest is None else min(earliest, packet.pts)
            if packet is None or packet.size:  # an empty one would be taken for the end
                for frame in stream.decode(packet):
                    return frame, earliest
            if packet is None:
                break
        except av.error.FFmpegError:
            # Damage is counted when the film is decoded.
            continue
    return None, earliest


def _counted_start(path: Path, video: VideoInfo) -> int | None:
    """The first time of a video whose first packets have none."""
    again, _ = open_source(path)
    with again:
        packets = read_packets(again, [again.streams[video.index]])
        _, early = count_back(packets, 1 / (video.frame_rate * video.time_base))
    return early[0] if early else video.start_pts


def _video_info(
    container: InputContainer, stream: VideoStream, frame: VideoFrame | None, earliest: int | None
) -> VideoInfo:
    context = stream.codec_context
    assert stream.time_base is not None
    facts = frame_facts(frame) if frame else FrameFacts()
    carried = dict(_side_data(frame)) if frame else {}
    matrix = carried.get("DISPLAYMATRIX")
    pixel = frame.format if frame else context.format
    assert pixel is not None
    duration = stream.duration * stream.time_base if stream.duration else None
    starts = [stream.start_time, frame.pts if frame else None]
    # For a stream without a start libavformat takes the file's, set by later or earlier sound.
    start = min((start for start in starts if start is not None), default=None)
    start = earliest if start is not None and earliest is not None and earliest > start else start
    return VideoInfo(
        index=stream.index,
        codec=context.codec.canonical_name,
        width=frame.width if frame else context.width,
        height=frame.height if frame else context.height,
        pix_fmt=pixel.name,
        bit_depth=pixel.components[0].bits,
        time_base=stream.time_base,
        frame_rate=_frame_rate(container, stream),
        frame_count=stream.frames or None,
        start_pts=start,
        # For Matroska's streams without a start, the duration is that of the file, from 0 on.
        duration=_matroska_duration(stream, start) or duration or _seconds(container.duration),
        sample_aspect_ratio=stream.sample_aspect_ratio or facts.sample_aspect_ratio,
        rotation=frame.rotation if frame else 0,
        display_matrix=struct.unpack("<9i", matrix[:36]) if matrix else None,
        color=_color_tags(stream, frame),
        chroma_siting=_chroma_siting(facts.chroma_location, context.codec.canonical_name),
        field_order=_field_order(context.field_order, facts, frame),
        hdr=_hdr(carried),
        attached=(*_layers(stream, pixel), *(attached(frame) if frame else ())),
    )


def _layers(stream: VideoStream, decoded: VideoFormat) -> tuple[str, ...]:
    """Name the alpha channel of VP8 and VP9 in WebM, which lies beside the frames."""
    beside = ("alpha_mode", "1") in ((key.lower(), text) for key, text in stream.metadata.items())
    return (ALPHA,) if beside and not any(part.is_alpha for part in decoded.components) else ()


def _frame_rate(container: InputContainer, stream: VideoStream) -> Fraction:
    rates = [stream.guessed_rate, stream.average_rate, stream.codec_context.framerate]
    if container.format.flags & AVFMT_NOTIMESTAMPS:
        # Raw streams (.h264): libavformat counts the parser's fields; the codec's header is right.
        rates.reverse()
    return next((rate for rate in rates if rate and 0 < rate <= MOST_FRAMES), Fraction(25))


def _color_tags(stream: VideoStream, frame: VideoFrame | None) -> ColorTags:
    """Tags of the frame, and of the stream where the frame has none."""
    context = stream.codec_context
    first = frame or context

    def tag(name: str) -> int:
        value: int = getattr(first, name)
        return getattr(context, name) if value == UNSPECIFIED else value

    return ColorTags(
        primaries=tag("color_primaries"),
        transfer=tag("color_trc"),
        matrix=tag("colorspace"),
        range=first.color_range or context.color_range,
    )


def _matroska_duration(stream: Stream, start_pts: int | None) -> Fraction | None:
    """Read the DURATION tag, "00:00:04.004000000"; FFmpeg's muxer writes the end time there."""
    text = next((v for k, v in stream.metadata.items() if k.split("-")[0] == "DURATION"), "")
    try:
        hours, minutes, seconds = (Fraction(part) for part in text.split(":"))
    except ValueError:
        return None
    start = (start_pts or 0) * (stream.time_base or 0)
    return hours * 3600 + minutes * 60 + seconds - start


def _chroma_siting(location: str, codec: str) -> Siting:
    """Map FFmpeg's chroma location; "unspecified" means the codec's own custom (H.273 and JFIF)."""
    if location == "unspecified":
        return "center" if codec in CENTER_SITED_CODECS else "left"
    known: dict[str, Siting] = {"center": "center", "topleft": "topleft"}
    return known.get(location, "left")


def _field_order(of_codec: int, facts: FrameFacts, frame: VideoFrame | None) -> FieldOrder:
    """Combine the codec's AVFieldOrder with the flags of a frame."""
    if frame is not None and frame.interlaced_frame:
        return "top-first" if facts.top_field_first else "bottom-first"
    orders: dict[int, FieldOrder] = {1: "progressive", 2: "top-first", 3: "bottom-first"}
    # 4: top coded first, bottom shown first; 5 the other way round. The order shown counts.
    orders |= {4: "bottom-first", 5: "top-first"}
    return orders.get(of_codec, "unknown")


def _hdr(carried: dict[str, bytes]) -> HdrMetadata | None:
    """Read AVMasteringDisplayMetadata (ten rationals, two flags) and AVContentLightMetadata."""
    mastering = carried.get("MASTERING_DISPLAY_METADATA")
    light = carried.get("CONTENT_LIGHT_LEVEL")
    values: dict[str, Any] = {}
    if mastering is not None:
        numbers = struct.unpack("=22i", mastering[:88])
        pairs = zip(numbers[0:20:2], numbers[1:20:2], strict=True)
        parts = [Fraction(n, d) if d else Fraction(0) for n, d in pairs]
        if numbers[20]:
            points = [(parts[i], parts[i + 1]) for i in range(0, 8, 2)]
            values |= dict(zip(("red", "green", "blue", "white"), points, strict=True))
        if numbers[21]:
            values |= {"min_luminance": parts[8], "max_luminance": parts[9]}
    if light is not None:
        most, average = struct.unpack("=2I", light[:8])
        values |= {"max_content_light": most, "max_frame_average_light": average}
    return HdrMetadata(**values) if values else None


def _stream_info(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    cover = bool(stream.disposition & Disposition.attached_pic)
    kinds: dict[str, StreamKind] = {"audio": "audio", "subtitle": "subtitle"}
    kinds |= {"video": "cover" if cover else "video", "attachment": "attachment"}
    tags, unit = dict(stream.metadata), stream.time_base or Fraction(1, 1000)
    codec, details = _codec_and_details(stream)
    return StreamInfo(
        index=stream.index,
        kind=kinds.get(stream.type, "data"),
        codec=codec,
        time_base=unit,
        details=details,
        language=stream.language or tags.get("language"),
        title=tags.get("title") or tags.get("name"),
        disposition=tuple(flag.name for flag in stream.disposition if flag.name),
        tags=tags,
        decodable=context is not None,
        start=stream.start_time * unit if stream.start_time is not None else None,
    )


def _codec_and_details(stream: Stream) -> tuple[str, str]:
    context: Any = stream.codec_context
    if isinstance(stream, AttachmentStream):
        codec = (stream.mimetype or "unknown").split("/")[-1]
        return codec, f"{stream.name or 'unnamed'} {stream.mimetype or ''}".strip()
    if context is None:  # without a decoder only data streams have a name
        return getattr(stream, "name", None) or "unknown", ""
    details = ""
    if stream.type == "video":
        details = f"{context.width}x{context.height}"
    elif stream.type == "audio":
        details = f"{context.sample_rate} Hz {context.layout.name}"
    return str(context.codec.canonical_name), details


def _chapters(container: InputContainer) -> Iterator[tuple[Fraction, Fraction, str]]:
    for chapter in container.chapters():
        unit = chapter["time_base"] or Fraction(1, 1000)
        title = chapter["metadata"].get("title", "")
        yield chapter["start"] * unit, chapter["end"] * unit, title


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
    """Read the facts of one frame from libavfilter's showinfo."""
    with libav_messages(av.logging.INFO) as messages:
        graph = frame_graph(frame, "showinfo=checksum=0")
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


# PyAV 18 raises ValueError for a frame with any side data that its enumeration lacks, as FFmpeg 8.1
# attaches to photographs (EXIF) and stereo video (view ids).
_UNNAMED = range(len(SideDataType), 40)


def _side_data(frame: VideoFrame) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a frame's side data; kinds that PyAV cannot read as "31", empty."""
    try:
        entries: Iterator[Any] = iter(frame.side_data)
    except ValueError:
        graph = frame_graph(frame, *(f"sidedata=mode=delete:type={kind}" for kind in _UNNAMED))
        graph.vpush(frame)
        entries = iter(graph.vpull().side_data)
        yield from ((str(kind), b"") for kind in _UNNAMED if _has_side_data(frame, kind))
    yield from ((entry.type.name, bytes(entry)) for entry in entries)


def _has_side_data(frame: VideoFrame, kind: int) -> bool:
    graph = frame_graph(frame, f"sidedata=mode=select:type={kind}")
    graph.vpush(frame)
    try:
        graph.vpull()
    except av.error.BlockingIOError:
        return False
    return True


CAPTIONS = "closed captions"
DOLBY_VISION = "Dolby Vision metadata"
ALPHA = "an alpha channel"
# By FFmpeg's names (libavutil/frame.h). Left out: what is kept (rotation, HDR10), what only helps
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
    # AV_FRAME_DATA_LCEVC, VIEW_ID and EXIF, for which PyAV 18 has no names.
    "28": "an LCEVC enhancement layer",
    "29": "further views (stereoscopic video)",
    "31": "EXIF tags",
}
# UUIDs of the user data in which x264 and x265 name themselves.
SIGNATURES = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),
)
HINTS = {
    CAPTIONS: " (libx264, libx265 and mpeg2video carry them)",
    DOLBY_VISION: "; a picture made for it alone (profile 5) will have wrong colours",
}
CARRIER_SIZE = 16


def attached(frame: VideoFrame) -> tuple[str, ...]:
    """Names of what a frame carries that does not reach the output by itself."""
    kinds = [
        kind
        for kind, data in _side_data(frame)
        if kind in NAMES and not (kind == "SEI_UNREGISTERED" and data[:16] in SIGNATURES)
    ]
    return tuple(dict.fromkeys(NAMES[kind] for kind in kinds))


def caption_carrier(frame: VideoFrame, reformatter: VideoReformatter) -> VideoFrame | None:
    """Make a tiny frame that holds the closed captions of a frame; None if it has none.

    PyAV 18 cannot attach side data, but scaling a frame copies it: to the carrier here, and from
    there to the frame for the encoder.
    """
    if CAPTIONS not in attached(frame):
        return None
    return reformatter.reformat(
        frame, CARRIER_SIZE, CARRIER_SIZE, "gray", interpolation=Interpolation.POINT, threads=1
    )


def expected_losses(names: Iterable[str], *, captions: bool) -> Iterator[str]:
    """Sentences, before any work, about what will be left out.

    Args:
        names: Of `attached`.
        captions: Whether the encoder carries closed captions.
    """
    for name in names:
        if not (captions and name == CAPTIONS):
            yield f"will be left out: {name} of the input{HINTS.get(name, '')}"


def counted_losses(
    counts: Iterable[tuple[str, int]], *, captions: bool, captioned: int
) -> Iterator[str]:
    """Sentences, after the work, about what was left out.

    Args:
        counts: Names, and the number of frames of the input with each.
        captions: Whether the encoder carries closed captions.
        captioned: Number of frames with captions after the filters.
    """
    for name, count in counts:
        if not (captions and name == CAPTIONS):
            yield f"left out: {name}, on {count} frames of the input"
        elif captioned < count:
            yield (
                f"{name} were on {count} frames of the input and are on {captioned} after the "
                "filters: some may be missing"
            )


def crop_of(info: SourceInfo) -> Crop | None:
    """How players crop the video that is enhanced; None if they do not."""
    if info.format != "matroska":
        return None
    videos = [stream.index for stream in info.streams if stream.kind == "video"]
    return dict(zip(videos, read_crops(info.path), strict=False)).get(info.video.index)
