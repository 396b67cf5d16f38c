"""The encoders of this FFmpeg build: finding, configuring and trying them; their colour tags.

H.264, H.265 and AV1 hold all colour tags in their own headers. Other codecs hold none, or one
matrix or range only, and only some containers make up for it. Colours that cannot be tagged are
converted to those that players will assume.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.reformatter import Interpolation

from vsr.color import HDR_TRANSFERS, MATRIX_NAMES, UNSPECIFIED, assumed_matrix, one_matrix
from vsr.errors import ConfigError, EncodeError
from vsr.media.containers import MUXERS, PICTURES, TargetKind, lengthen_ts
from vsr.media.filters import turn_of_matrix
from vsr.media.formats import fill_frame, packing_of, plane_format, plane_shapes
from vsr.media.matroska import DISPLAY_SIZED
from vsr.media.probe import ColorTags, VideoInfo, probe
from vsr.media.source import libav_messages
from vsr.media.types import EncodePlan, Plane, spans_full_range
from vsr.options import EncodeOptions, parse_options

# Default quality and preset: visually transparent or nearly so.
DEFAULT_CRF = {
    "libx264": 16, "libx264rgb": 16, "libx265": 18, "libvpx-vp9": 20, "libvpx": 8, "libsvtav1": 22,
}  # fmt: skip
HIGHEST_CRF = {"libx264": 51, "libx264rgb": 51, "libx265": 51}  # these clamp silently
DEFAULT_PRESET = {
    "libx264": "medium", "libx264rgb": "medium", "libx265": "medium", "libsvtav1": "8",
}  # fmt: skip
# x264 itself prints an unknown name to stderr; numbers are names too.
_SPEEDS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
    "placebo",
)  # fmt: skip
PRESETS = {"libx264": _SPEEDS, "libx264rgb": _SPEEDS, "libx265": _SPEEDS}
PARAMETERS = {
    "libx264": "x264-params", "libx264rgb": "x264-params", "libx265": "x265-params",
    "libsvtav1": "svtav1-params",
}  # fmt: skip
QUIET = {"libx265": {"log-level": "none"}}
CAPTIONS = {"libx265": {"a53cc": "1"}}  # the others write them by default
FASTER = {"libvpx-vp9": {"cpu-used": "4", "row-mt": "1"}, "ffv1": {"level": "3", "slicecrc": "1"}}
# FFmpeg's own encoders with a quantiser: nearly lossless, 2 of 1 to 31.
QUANTIZER = ("mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "msmpeg4", "h263", "flv")
LAMBDA = 118  # FF_QP2LAMBDA of libavutil/common.h
RATE_CONTROL = {"b", "crf", "qp", "cq", "q", "global_quality", "minrate", "maxrate", "rc"}
# Properties of the frames handed over, which an option would tag wrongly.
SETTLED = {
    "time_base", "pkt_timebase", "video_size", "aspect", "sar", "pixel_format", "colorspace",
    "color_range", "chroma_sample_location",
}  # fmt: skip
# Formats that people choose for video; FFmpeg has dozens more.
LISTED = (
    "h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video", "prores", "dnxhd", "ffv1", "mjpeg",
    "utvideo", "cfhd", "png",
)  # fmt: skip
_TRIED_WITH = {
    "dnxhd": {"profile": "dnxhr_hq"},  # without it only some sizes
    "libx265": {"x265-params": "log-level=none"},
}
FRAME_DURATION = int(av.codec.context.Flags.frame_duration)


def find_encoder(kind: TargetKind, name: str) -> av.Codec:
    """Look up a video encoder by its FFmpeg name, or the format's name for its usual encoder.

    Raises:
        ConfigError: There is none, it only decodes, is not for video, or the container of `kind`
            does not take its output.
    """
    codec = video_encoder(name)
    if kind.muxer == PICTURES:
        if codec.name != "png":
            raise ConfigError(
                f"pictures are written as PNG only, not with {name}; leave --codec out"
            )
    elif not _container_takes(kind.muxer, codec.name):
        others = [x for x, muxer in MUXERS.items() if _container_takes(muxer, codec.name)]
        raise ConfigError(
            f"{kind.pattern.suffix} files do not take {codec.name} video; name the output "
            f"{' or '.join(others) or 'otherwise'}, or choose another --codec"
        )
    return codec


def video_encoder(name: str) -> av.Codec:
    """Look up a video encoder for any container.

    Raises:
        ConfigError: There is none, it only decodes, or is not for video.
    """
    try:
        codec = av.Codec(name, "w")
    except UnknownCodecError as error:
        raise ConfigError(_unknown_codec(name)) from error
    if codec.type != "video":
        raise ConfigError(
            f"{name!r} encodes {codec.type}, not video; choose --codec libx264 or another video "
            "encoder"
        )
    return codec


def _unknown_codec(name: str) -> str:
    try:
        av.Codec(name, "r")
        return (
            f"this FFmpeg can only decode {name!r}; choose --codec libx264, libx265, libvpx-vp9, "
            "libsvtav1, prores_ks or ffv1"
        )
    except UnknownCodecError:
        hint = _did_you_mean(name, _video_encoders()) or "try libx264 or libx265"
        return f"this FFmpeg has no encoder {name!r}; {hint}"


def _did_you_mean(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=3)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _video_encoders() -> list[str]:
    names = []
    for name in av.codecs_available:
        with contextlib.suppress(UnknownCodecError):
            if av.Codec(name, "w").type == "video":
                names.append(name)
    return names


def _container_takes(muxer: str, codec: str) -> bool:
    with discarded(muxer) as output:
        try:
            output.add_stream(codec)
        except ValueError:
            return False
    return True


@contextlib.contextmanager
def discarded(muxer: str, **options: str) -> Iterator[av.container.OutputContainer]:
    """Open an output in memory, to be thrown away; closing it never fails."""
    output = av.open(io.BytesIO(), "w", format=muxer, container_options=options)
    try:
        yield output
    finally:
        with contextlib.suppress(av.FFmpegError, ValueError):
            output.close()


def encoder_options(
    codec: av.Codec,
    options: EncodeOptions,
    *,
    parameters: Mapping[str, str],
    limited_range: bool,
) -> dict[str, str]:
    """Merge the defaults, the needs of the plan, and the user's choices, which win.

    Args:
        codec: The encoder.
        options: Of the user; library parameters in them are merged key by key.
        parameters: Of the plan for the encoding library itself (x265-params and the like).
        limited_range: Whether samples are of limited range, for which JPEG needs permission.

    Raises:
        ConfigError: An option, or crf or preset, does not exist for this encoder, or has no such
            value.
    """
    name, known = codec.name, _known_options(codec)
    chosen = parse_options(options.encoder_option)
    for key in chosen:
        if key not in known:
            hint = _did_you_mean(key, known) or f"see ffmpeg -h encoder={name}"
            raise ConfigError(f"{name} has no option {key!r}; {hint}")
        if key in SETTLED:
            raise ConfigError(
                f"--encoder-option {key}={chosen[key]} would contradict the times, size or colours "
                "of the frames; leave it out, or use --size, --pix-fmt or --filter"
            )
    merged = FASTER.get(name, {}) | CAPTIONS.get(name, {})
    merged |= _quality_options(name, known, options.crf, bool(RATE_CONTROL & chosen.keys()))
    merged |= _preset_options(name, known, options.preset)
    if name == "mjpeg" and limited_range:
        merged["strict"] = "unofficial"
    if name in PARAMETERS:
        # "a=1:b:c=2"; a key alone switches something on in x264 and x265.
        pairs = (
            part.partition("=") for part in chosen.pop(PARAMETERS[name], "").split(":") if part
        )
        own = QUIET.get(name, {}) | dict(parameters) | {k: v or "1" for k, _, v in pairs}
        if own:
            merged[PARAMETERS[name]] = ":".join(f"{k}={v}" for k, v in own.items())
    return merged | chosen


def carries_captions(codec: av.Codec, chosen: Mapping[str, str]) -> bool:
    """Whether an encoder writes the closed captions of its frames into the stream."""
    return "a53cc" in _known_options(codec) and chosen.get("a53cc") != "0"


def _known_options(codec: av.Codec) -> set[str]:
    options = av.CodecContext.create(codec.name, "w").supported_options
    return {option.name for option in (*options.private, *options.generic)}


def _quality_options(
    name: str, known: set[str], crf: float | None, steered: bool
) -> dict[str, str]:
    """The encoder's own option for constant quality; none if the user steers the rate."""
    highest = HIGHEST_CRF.get(name, 255)
    if crf is not None and not 0 <= crf <= highest:
        raise ConfigError(f"--crf must be 0 to {highest} for {name}, not {crf:g}")
    quality = crf if crf is not None else DEFAULT_CRF.get(name)
    if "crf" in known:
        return {} if quality is None or (steered and crf is None) else {"crf": f"{quality:g}"}
    hardware = _hardware_quality(name, known, 19 if quality is None else quality)
    if hardware:
        return {} if steered and crf is None else hardware
    if crf is not None:
        raise ConfigError(
            f"{name} has no crf; leave --crf out, or steer it by --encoder-option b=BITRATE "
            "or an option of its own"
        )
    if name in QUANTIZER and not steered:
        return {"flags": "+qscale", "global_quality": str(2 * LAMBDA)}
    return {}


def _hardware_quality(name: str, known: set[str], quality: float) -> dict[str, str]:
    """What stands for --crf with encoders in hardware; empty for all others.

    Source: `ffmpeg -h encoder=NAME` of FFmpeg 8.
    """
    if "cq" in known:  # NVENC: variable bit rate for a quality
        return {"rc": "vbr", "cq": f"{quality:g}"}
    if name.endswith("_qsv"):  # intelligent constant quality
        return {"global_quality": f"{quality:.0f}"}
    if name.endswith("_amf"):
        levels = [key for key in ("qp_i", "qp_p", "qp_b") if key in known]
        return {"rc": "cqp", **dict.fromkeys(levels, f"{quality:.0f}")}
    if name.endswith("_videotoolbox"):  # 100 is the best
        return {"flags": "+qscale", "global_quality": f"{LAMBDA * (100 - 100 * quality / 51):.0f}"}
    return {}


def _preset_options(name: str, known: set[str], preset: str | None) -> dict[str, str]:
    if preset is None:
        return {"preset": DEFAULT_PRESET[name]} if name in DEFAULT_PRESET else {}
    if "preset" not in known:
        other = "cpu-used" if "cpu-used" in known else None
        hint = f"use --encoder-option {other}=N instead" if other else "leave --preset out"
        raise ConfigError(f"{name} has no presets; {hint}")
    speeds = PRESETS.get(name)
    if speeds and preset not in speeds and preset not in map(str, range(len(speeds))):
        raise ConfigError(f"{name} has no --preset {preset!r}; choose one of {', '.join(speeds)}")
    return {"preset": preset}


def add_video_stream(output: av.container.OutputContainer, plan: EncodePlan) -> av.VideoStream:
    """Add the planned video stream to an output without a header yet."""
    _quieten(plan.codec)
    stream = output.add_stream(plan.codec, rate=plan.frame_rate, options=dict(plan.options))
    assert isinstance(stream, av.VideoStream)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pix_fmt
    time_base = plan.constant_interval or plan.time_base
    context.time_base = stream.time_base = time_base
    context.flags |= FRAME_DURATION
    context.color_primaries, context.color_trc = plan.color.primaries, plan.color.transfer
    context.colorspace, context.color_range = plan.color.matrix, plan.color.range
    if plan.sample_aspect_ratio is not None:
        context.sample_aspect_ratio = plan.sample_aspect_ratio
    if plan.display_matrix is not None:
        stream.set_display_matrix(plan.display_matrix)
    if plan.codec_tag is not None:
        context.codec_tag = plan.codec_tag
    if plan.constant_interval is not None:  # without timestamps frames cannot be reordered
        context.max_b_frames = 0
    return stream


def _quieten(codec: str) -> None:
    if codec == "libsvtav1":  # what it prints to stderr; 1 is errors
        os.environ.setdefault("SVT_LOG", "1")


@contextlib.contextmanager
def scheduling_kept() -> Iterator[None]:
    """Leave the scheduling of this process as it was, while encoders are opened.

    Where it may, as root in a container, SVT-AV1 makes the calling thread and its own real-time
    ones (SCHED_FIFO 99). Whatever they start inherits that, and one that waits in a loop then takes
    its processor for good.
    """
    if sys.platform != "linux":  # elsewhere Python cannot set it
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in os.listdir("/proc/self/task"):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(int(thread), policy, priority)


def start_encoding(output: av.container.OutputContainer) -> None:
    """Open the encoders of all streams."""
    with scheduling_kept():
        output.start_encoding()


def make_frame(
    plan: EncodePlan,
    planes: tuple[Any, ...],
    pts: int,
    duration: int,
    captions: av.VideoFrame | None = None,
) -> av.VideoFrame:
    """Make a frame with tags and times from planes; see `formats.fill_frame`.

    Args:
        captions: A frame whose side data is taken over; see `probe.caption_carrier`.
    """
    base = None
    if captions is not None:
        base = captions.reformat(
            plan.width, plan.height, plan.planes.name, interpolation=Interpolation.POINT
        )
        base.pict_type = 0  # the encoder would be forced to use the source's
    frame = fill_frame(planes, plan.pix_fmt, plan.width, plan.height, base)
    frame.pts, frame.duration = pts, duration
    frame.time_base = plan.constant_interval or plan.time_base
    frame.color_primaries, frame.color_trc = plan.color.primaries, plan.color.transfer
    frame.colorspace, frame.color_range = plan.color.matrix, plan.color.range
    return frame


def try_encoder(kind: TargetKind, plan: EncodePlan) -> None:
    """Open the encoder once, in memory; encode a black frame too if it is hardware.

    Raises:
        ConfigError: It ignores or refuses one of its options.
        EncodeError: It cannot be opened otherwise.
    """
    if kind.muxer == PICTURES:
        return
    try:
        with libav_messages(av.logging.WARNING) as messages, discarded(plan.muxer) as output:
            stream = add_video_stream(output, plan)
            start_encoding(output)
            ignored = set(stream.codec_context.options) & set(plan.options)
            if _is_hardware(stream.codec_context.codec):
                output.mux(stream.encode(black_frame(plan)))
                output.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        reason = refusal(plan, error)
        if any(map(_is_about_options, (reason, *messages))):
            raise ConfigError(reason) from error
        raise EncodeError(kind.pattern, reason) from error
    complaints = [text.strip() for text in messages if _is_about_options(text)]
    if ignored or complaints:
        what = ", ".join(sorted(ignored)) or "; ".join(complaints)
        raise ConfigError(f"{plan.codec} does not know all of its options: {what}; correct them")


def _is_hardware(codec: av.Codec) -> bool:
    flags = av.codec.codec.Capabilities.hardware | av.codec.codec.Capabilities.hybrid
    return bool(codec.capabilities & flags)


def _is_about_options(text: str) -> bool:
    words = (
        "Error parsing option", "Unknown option", "Invalid value for", "Error setting option",
        "Error setting preset/tune", "Undefined constant", "Unable to parse",
    )  # fmt: skip
    return any(word in text for word in words)


def refusal(plan: EncodePlan, error: Exception) -> str:
    """Sentence about why an encoder cannot be used, and what to do."""
    log = getattr(error, "log", None)
    reason = log[2].strip().rstrip(".") if log else str(error)
    rate = f"{float(plan.frame_rate):.5g} frames/s"
    picture = f"{plan.width}x{plan.height} {plan.pix_fmt}, {rate}"
    shown = ", ".join(f"{key}={value}" for key, value in plan.options.items())
    if _is_hardware(av.Codec(plan.codec, "w")):
        there = ", ".join(x.name for x in list_encoders(hardware=True) if not x.trouble)
        advice = (
            "it needs its own hardware and driver: choose --codec "
            f"{there or 'libx264 or libx265'} instead (`vsr info --encoders` tries all)"
        )
    else:
        advice = "correct the options or the size, or choose another --codec or --pix-fmt"
    return f"{plan.codec} cannot be used for {picture} ({shown}): {reason}; {advice}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderFacts:
    """An encoder of this FFmpeg build.

    Attributes:
        name: As --codec takes it.
        format: What it makes.
        hardware: Whether it needs more than the processor.
        depths: Bits per sample that it takes.
        pix_fmts: Pixel formats that it takes.
        trouble: Why it encodes nothing on this machine; empty if it does.
    """

    name: str
    format: str
    hardware: bool
    depths: tuple[int, ...]
    pix_fmts: tuple[str, ...]
    trouble: str


def list_encoders(*, hardware: bool = False) -> list[EncoderFacts]:
    """List the encoders of the formats in `LISTED`; each encodes a frame to see if it works.

    Args:
        hardware: Those in hardware only.
    """
    found = []
    for codec in sorted({av.Codec(name, "w").name for name in _video_encoders()}):
        facts = av.Codec(codec, "w")
        if facts.canonical_name not in LISTED or (hardware and not _is_hardware(facts)):
            continue
        layouts = {x.name: plane_format(x.name) for x in facts.video_formats or ()}
        usable = {name: layout for name, layout in layouts.items() if layout is not None}
        found.append(
            EncoderFacts(
                name=codec,
                format=facts.canonical_name,
                hardware=_is_hardware(facts),
                depths=tuple(sorted({layout.bit_depth for layout in usable.values()})),
                pix_fmts=tuple(usable),
                trouble=_trouble(codec, next(iter(usable), "nv12")),
            )
        )
    return found


def _trouble(name: str, pix_fmt: str) -> str:
    """Encode one grey frame; the reason if it fails."""
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 192, pix_fmt
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.options = _TRIED_WITH.get(name, {})
    _quieten(name)
    try:
        with libav_messages() as messages, scheduling_kept():
            frame = av.VideoFrame(320, 192, pix_fmt)
            frame.pts = 0
            context.encode(frame)
            context.encode(None)
    except (av.FFmpegError, ValueError) as error:
        return messages[0].strip().rstrip(".") if messages else str(error)
    return ""


def black_frame(plan: EncodePlan) -> av.VideoFrame:
    """Make a first frame with which to try an encoder."""
    return make_frame(plan, flat_planes(plan, 0), 0, 1)


def flat_planes(plan: EncodePlan, code: int) -> tuple[Plane, ...]:
    """Planes of a picture in which every sample has one code."""
    dtype = np.uint8 if plan.planes.bit_depth == 8 else np.uint16
    shapes = plane_shapes(plan.planes, plan.width, plan.height)
    return tuple(np.full(shape, code, dtype) for shape in shapes)


TAGS_ALL = ("h264", "hevc", "av1")
BT2020_PRIMARIES = 9
_USUAL_POINTS = {1: (1, 1), 5: (5, 6), 6: (6, 6)}  # matrix: primaries and transfer of its standard


def settle_color(kind: TargetKind, plan: EncodePlan) -> EncodePlan:
    """Adapt the colours of a plan to the tags that the finished file can hold.

    Args:
        kind: Of the target.
        plan: With the colours wanted in `color`.

    Returns:
        The plan; where the file holds fewer tags, `told` are those, `color` is how players read
        them, and a warning states the difference.

    Raises:
        ConfigError: Tags of HDR or BT.2020 would be lost, without which the picture looks wrong.
        EncodeError: The encoder opens, but refuses a frame.
    """
    try:
        return _settled(kind, plan)
    except av.FFmpegError as error:
        raise EncodeError(kind.pattern, refusal(plan, error)) from error


def _settled(kind: TargetKind, plan: EncodePlan) -> EncodePlan:
    if kind.muxer == PICTURES or av.Codec(plan.codec, "w").canonical_name in TAGS_ALL:
        return plan
    for wanted in (plan.color, _filled(plan.color)):
        told = _written(plan, wanted)
        if _holds(told, wanted, plan):
            return replace(plan, color=wanted, told=told.color)
    color = _taken_for(told, plan)
    told = _written(plan, color)
    _refuse_hdr(kind, plan, told.color)
    return replace(
        plan,
        color=color,
        told=told.color,
        warnings=(*plan.warnings, _difference(kind, plan, color, told.color)),
    )


def _written(plan: EncodePlan, color: ColorTags) -> VideoInfo:
    """Write one black frame with these tags, and probe it."""
    plan = replace(plan, color=color)
    with tempfile.TemporaryDirectory(prefix="vsr-") as folder:
        path = Path(folder) / "frame"
        with av.open(str(path), "w", format=plan.muxer) as output:
            stream = add_video_stream(output, plan)
            start_encoding(output)
            for packet in (*stream.encode(black_frame(plan)), *stream.encode(None)):
                packet.dts = packet.pts  # x265 leaves it undefined for a single frame
                output.mux(packet)
        if plan.muxer == "mpegts":
            lengthen_ts(path)
        return probe(path).video


def _filled(color: ColorTags) -> ColorTags:
    """Add primaries and transfer to a matrix: MP4 and MOV tag all three or none."""
    primaries, transfer = _USUAL_POINTS.get(color.matrix, (UNSPECIFIED, UNSPECIFIED))
    return replace(
        color,
        primaries=primaries if color.primaries == UNSPECIFIED else color.primaries,
        transfer=transfer if color.transfer == UNSPECIFIED else color.transfer,
    )


def _holds(told: VideoInfo, wanted: ColorTags, plan: EncodePlan) -> bool:
    """Whether no wanted tag is lost, and the planes are read as they are made."""
    meant = _taken_for(told, replace(plan, color=wanted))
    return (
        wanted.primaries in (told.color.primaries, UNSPECIFIED)
        and wanted.transfer in (told.color.transfer, UNSPECIFIED)
        and one_matrix(meant.matrix) == one_matrix(wanted.matrix)
        and meant.range == (wanted.range or meant.range)
    )


def _taken_for(told: VideoInfo, plan: EncodePlan) -> ColorTags:
    """Tags by which a player reads a file."""
    packing = packing_of(told.pix_fmt)
    planes = packing.format if packing else plan.planes
    full = spans_full_range(planes, told.color.range)
    color = replace(plan.color, range=2 if full else 1)
    if planes.chroma in ("gray", "rgb"):
        return color
    untagged = told.color.matrix == UNSPECIFIED
    by_size = assumed_matrix(told.width, told.height)
    return replace(color, matrix=by_size if untagged else told.color.matrix)


def _refuse_hdr(kind: TargetKind, plan: EncodePlan, told: ColorTags) -> None:
    wanted = plan.color
    lost = []
    if wanted.transfer in HDR_TRANSFERS and told.transfer != wanted.transfer:
        lost.append("HDR (PQ or HLG)")
    if wanted.primaries == BT2020_PRIMARIES and told.primaries != wanted.primaries:
        lost.append("BT.2020 primaries")
    if lost:
        raise ConfigError(
            f"the input has {' and '.join(lost)}, which {plan.codec} in {kind.pattern.suffix} "
            "cannot tag, so that players would show wrong colours; name the output .mkv, or "
            "choose --codec libx265"
        )


def _difference(kind: TargetKind, plan: EncodePlan, made: ColorTags, told: ColorTags) -> str:
    wanted = plan.color
    parts = []
    if one_matrix(made.matrix) != one_matrix(wanted.matrix):
        parts.append(f"converted to {MATRIX_NAMES[one_matrix(made.matrix)]}")
    if wanted.range and made.range != wanted.range:
        parts.append(f"converted to {'full' if made.range == 2 else 'limited'} range")
    lost = [
        name
        for name in ("primaries", "transfer")
        if getattr(wanted, name) not in (getattr(told, name), UNSPECIFIED)
    ]
    if lost:
        parts.append(f"without tags of {' and '.join(lost)}")
    return f"{plan.codec} in {kind.pattern.suffix} cannot tag the colours of the input: " + (
        ", ".join(parts)
    )


# Encoders that store a pixel aspect by itself; others, as of MPEG-2, store that of the picture.
_ANY_SIZE = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx")
SMALL = 64  # pixels; a frame of this size takes no time to encode


def settle_shape(kind: TargetKind, plan: EncodePlan) -> EncodePlan:
    """Adapt pixel aspect and turn of a plan to what the finished file can hold.

    Args:
        kind: Of the target.
        plan: With the aspect and the display matrix wanted.

    Returns:
        The plan; where a codec or a container rounds or loses them, with those that will be read,
        and a warning.

    Raises:
        EncodeError: The encoder opens, but refuses a frame.
    """
    aspect, matrix = plan.sample_aspect_ratio, plan.display_matrix
    if kind.muxer == PICTURES:
        held = aspect if aspect == 1 else None
        return replace(plan, sample_aspect_ratio=held, warnings=_shape_warnings(kind, plan, held))
    if matrix is None and (aspect in (None, 1) or kind.muxer in DISPLAY_SIZED):
        return plan
    small = replace(plan, width=SMALL, height=SMALL) if plan.codec in _ANY_SIZE else plan
    try:
        found = _written(small, plan.color)
    except av.FFmpegError as error:
        raise EncodeError(kind.pattern, refusal(plan, error)) from error
    # Matroska holds any, by `set_display_size`, and its word counts more than the stream's.
    held = aspect if kind.muxer in DISPLAY_SIZED else found.sample_aspect_ratio
    warnings = _shape_warnings(kind, plan, held)
    if turn_of_matrix(found.display_matrix) != turn_of_matrix(matrix):
        warnings += (
            f"{kind.pattern.suffix} cannot hold how the input is turned or mirrored: the picture "
            "will not be upright; write mp4 to keep it",
        )
    return replace(
        plan,
        sample_aspect_ratio=aspect if aspect in (None, 1) else held,
        display_matrix=found.display_matrix,
        warnings=warnings,
    )


def _shape_warnings(kind: TargetKind, plan: EncodePlan, held: Fraction | None) -> tuple[str, ...]:
    wanted, held = plan.sample_aspect_ratio or Fraction(1), held or Fraction(1)
    if held == wanted:
        return plan.warnings
    ratio = float(held / wanted)
    change = f"{abs(ratio - 1) * 100:.2g} % {'wider' if ratio > 1 else 'narrower'}"
    if held == 1:
        where = "in PNG pictures" if kind.muxer == PICTURES else f"in {kind.pattern.suffix}"
        sentence = (
            f"{plan.codec} {where} cannot hold the pixel aspect of {wanted}: the picture will "
            f"look {change}; write mp4 or mkv to keep it"
        )
    else:
        sentence = (
            f"{plan.codec} stores the pixel aspect of {wanted} as {held}: the picture is {change}"
        )
    return (*plan.warnings, sentence)
