"""The plan for every stream of the source in the target container.

Every stream is tried alone against the target's own muxer, in memory, because one that it refuses
fails the header of the whole file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import av
from av.packet import Packet
from av.stream import Stream

from vsr.errors import ConfigError, MuxError
from vsr.media.containers import CODECS, DISPOSITIONS, LABELS, PICTURES, target_kind
from vsr.media.encoders import discarded
from vsr.media.probe import SourceInfo, StreamInfo
from vsr.media.sound import (
    TAKES_UNCOMPRESSED,
    Setup,
    SoundScan,
    decoded_forms,
    largest_form,
    plan_sound,
    scan_sound,
    silent_frame,
)
from vsr.media.source import libav_messages, open_source
from vsr.options import SoundChoice

Action = Literal["enhance", "copy", "convert", "attach", "drop"]

TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}
STYLED_SUBTITLES = {"ass", "ssa"}
TEXT_FORMAT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "srt", "webm": "webvtt"}
# The old Macintosh table of the mov muxer knows one of the two ISO 639-2 codes of a language.
MOV_LANGUAGES = {
    "fre": "fra", "deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi",
    "sqi": "alb", "rum": "ron", "cze": "ces", "slo": "slk", "mkd": "mac", "hye": "arm",
    "kat": "geo",
}  # fmt: skip
# These write codes of three letters, or their numbers in a table; others are lost.
SPELLS_LANGUAGES = ("mp4", "mov", "mpegts")
# Tags that describe the old file, or that muxers write themselves; compared in lower case.
STALE_STREAM_TAGS = (
    "duration", "encoder", "handler_name", "vendor_id", "_statistics", "bps", "number_of_",
    "source_id", "name", "filename", "mimetype",
)  # fmt: skip
_TOO_LATE = (
    "it begins too late in the file for FFmpeg to read its form; cut the file before it, and "
    "enhance the parts"
)
# AVI counts sound from zero: the most, in seconds, that copied sound may start apart.
AVI_SLACK = Fraction(1, 40)
STALE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPlan:
    """The plan for one stream.

    Attributes:
        index: In the source.
        action: "enhance" the main video; "copy" packet for packet; "convert" to `codec`;
            "attach" to the header; "drop".
        codec: Of the source, or the encoder that converts it.
        layout: FFmpeg name of the channels of converted sound; otherwise empty.
        rate: Its samples per second, or the nearest that its encoder takes; otherwise 0.
        reason: A sentence for everything that is neither enhanced nor copied.
        loses: Whether the output lacks something of the source, which is a warning.
        lost_labels: Phrases for the labels that the container does not hold.
    """

    index: int
    kind: str
    action: Action
    codec: str
    layout: str = ""
    rate: int = 0
    reason: str = ""
    loses: bool = False
    lost_labels: tuple[str, ...] = ()


def plan_streams(
    info: SourceInfo,
    target: str | os.PathLike[str],
    *,
    begins: Fraction = Fraction(0),
    sound: SoundChoice = "copy",
) -> tuple[StreamPlan, ...]:
    """Plan every stream of `info`, in its order.

    Args:
        info: The source.
        target: Its extension is the container.
        begins: Seconds on the source's clock at which the output starts.
        sound: What is asked for.

    Raises:
        ConfigError: The target's container does not hold such sound.
        MuxError: The target's extension is unknown, or the source can no longer be opened.
    """
    kind = target_kind(target)
    if sound == "pcm" and kind.muxer not in (*TAKES_UNCOMPRESSED, PICTURES):
        raise ConfigError(
            f"--sound pcm: {kind.pattern.suffix} files hold no uncompressed sound; name the output "
            ".mkv, .mov, .mp4 or .avi"
        )
    if info.format == PICTURES:
        return (_planned(info.streams[0], "enhance"),) if info.streams else ()
    if kind.muxer == PICTURES:
        return tuple(
            _planned(stream, "enhance")
            if stream.index == info.video.index
            else _drop(stream, "pictures hold neither sound nor text")
            for stream in info.streams
        )
    muxer = kind.muxer
    try:
        source, _ = open_source(info.path)
        with source, libav_messages():
            plans = [
                _plan(info, stream, source.streams[stream.index], muxer, begins, sound)
                for stream in info.streams
            ]
            scans = _scan(info, plans, muxer)
            return tuple(
                _labelled(
                    _heard(info, plan, stream, source.streams[stream.index], muxer, scans, sound),
                    stream,
                    muxer,
                )
                for plan, stream in zip(plans, info.streams, strict=True)
            )
    except (av.FFmpegError, OSError) as error:
        raise MuxError(info.path, f"the streams cannot be read: {error}") from error


def mend_stream(info: SourceInfo, plan: StreamPlan, muxer: str, why: str) -> StreamPlan:
    """Plan a stream anew that a container did not hold as planned: converted, or left out.

    Args:
        info: The source.
        plan: What failed.
        muxer: Of the target.
        why: What failed about it.

    Raises:
        MuxError: The source can no longer be opened.
    """
    stream = next(stream for stream in info.streams if stream.index == plan.index)
    if plan.action == "copy" and plan.kind == "audio" and stream.decodable:
        try:
            source, _ = open_source(info.path)
            with source, libav_messages():
                converted = _convert_audio(stream, source.streams[stream.index], muxer)
        except (av.FFmpegError, OSError) as error:
            raise MuxError(info.path, f"the streams cannot be read: {error}") from error
        if converted.action == "convert":
            reason = f"{converted.reason}; copied, it would be wrong ({why})"
            return _labelled(replace(converted, reason=reason, loses=True), stream, muxer)
    if plan.action == "copy" and stream.codec in TEXT_SUBTITLES and muxer in TEXT_FORMAT:
        return _labelled(
            _convert(stream, TEXT_FORMAT[muxer], f"copied, it would be wrong ({why})", loses=True),
            stream,
            muxer,
        )
    return _drop(stream, f"{muxer} files cannot hold it ({why})")


def stream_warnings(plans: tuple[StreamPlan, ...]) -> tuple[str, ...]:
    """Sentences about what the output will not hold of the streams."""
    lost = [
        f"{plan.kind} stream {plan.index} loses its {', '.join(plan.lost_labels)}: the output's "
        "container does not hold it"
        for plan in plans
        if plan.lost_labels
    ]
    return (*(plan.reason for plan in plans if plan.loses), *lost)


def container_warnings(info: SourceInfo, target: str | os.PathLike[str]) -> tuple[str, ...]:
    """Sentences about what the target's container does not hold of the whole file."""
    muxer = target_kind(target).muxer
    if muxer == PICTURES:
        return ("pictures hold no times: only their order is kept",)
    count = len(info.chapters)
    if count and "chapters" not in LABELS[muxer]:
        return (f"{muxer} files hold no chapters: {count} are left out (mp4 and mkv hold them)",)
    return ()


def lost_labels(stream: StreamInfo, muxer: str) -> tuple[str, ...]:
    """Labels of a stream that a container does not hold, as phrases."""
    lost = []
    if not holds_language(muxer, stream):
        lost.append(f"language {stream.language}")
    title = stream_tags(stream).get("title")
    if title and "title" not in LABELS[muxer]:
        lost.append(f"title {title!r}")
    flags = set(stream.disposition) - DISPOSITIONS[muxer] - {"default", "attached_pic"}
    return (*lost, *(f"disposition {flag}" for flag in sorted(flags)))


def holds_language(muxer: str, stream: StreamInfo) -> bool:
    """Whether a container holds the language of a stream, if it has one."""
    if stream.language in (None, "und"):
        return True
    if "language" not in LABELS[muxer] or (muxer == "mpegts" and stream.kind == "video"):
        return False
    written = written_language(muxer, stream.language or "und")
    return muxer not in SPELLS_LANGUAGES or _keeps_language(muxer, written)


def written_language(muxer: str, code: str) -> str:
    """Code that is written for a language."""
    return MOV_LANGUAGES.get(code, code) if muxer == "mov" else code


@lru_cache
def _keeps_language(muxer: str, language: str) -> bool:
    """Whether silence written in this language is read with it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer, metadata_errors="surrogateescape") as output:
        stream: Any = output.add_stream("aac", rate=48000)
        stream.metadata["language"] = language
        output.mux(stream.encode(silent_frame("fltp", "stereo", 1024, 48000)))
        output.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, format=muxer, metadata_errors="surrogateescape") as read:
        return bool(read.streams[0].language == language)


def _planned(
    stream: StreamInfo,
    action: Action,
    codec: str = "",
    reason: str = "",
    *,
    loses: bool = False,
    layout: str = "",
    rate: int = 0,
) -> StreamPlan:
    return StreamPlan(
        index=stream.index,
        kind=stream.kind,
        action=action,
        codec=codec or stream.codec,
        layout=layout,
        rate=rate,
        reason=reason,
        loses=loses,
    )


def _plan(
    info: SourceInfo,
    stream: StreamInfo,
    av_stream: Stream,
    muxer: str,
    begins: Fraction,
    sound: SoundChoice,
) -> StreamPlan:
    if stream.index == info.video.index:
        return _planned(stream, "enhance")
    if stream.kind == "cover":
        return _plan_cover(stream, av_stream, muxer)
    if stream.kind == "attachment":
        if muxer == "matroska":
            return _planned(stream, "attach")
        return _drop(stream, f"{muxer} files hold no attachments (mkv files do)")
    if remade := _remade(info, stream):
        return _planned(stream, "drop", reason=remade)
    if stream.kind == "video" and (muxer == "avi") != (info.format == "avi"):
        # AVI counts frames in decoding order, all others hold the time of each.
        return _drop(stream, "its packets, unlike sound, do not go from other files to avi or back")
    # To start with the picture in AVI, sound has to be cut, or to wait in silence.
    apart = stream.start is not None and abs(stream.start - begins) > AVI_SLACK
    if muxer == "avi" and stream.kind == "audio" and apart:
        if not stream.decodable:
            return _drop(stream, "it does not start with the picture, which avi files cannot hold")
        return _convert_audio(stream, av_stream, muxer, sound=sound)
    packed = sound == "pcm" and stream.kind == "audio" and not stream.codec.startswith("pcm_")
    if packed and stream.decodable:
        return _convert_audio(stream, av_stream, muxer, sound=sound)
    if stream.codec in CODECS.get(muxer, {stream.codec}) and can_copy(av_stream, muxer):
        return _planned(stream, "copy")
    if stream.kind == "audio" and stream.decodable:
        return _convert_audio(stream, av_stream, muxer, sound=sound)
    if stream.kind == "subtitle" and stream.codec in TEXT_SUBTITLES and muxer in TEXT_FORMAT:
        styled = stream.codec in STYLED_SUBTITLES
        note = "text and times stay, elaborate styling goes" if styled else "text and times stay"
        return _convert(stream, TEXT_FORMAT[muxer], note, loses=styled)
    context: Any = av_stream.codec_context
    if stream.kind == "video" and context is not None and not context.width:
        return _drop(stream, _TOO_LATE)
    return _drop(stream, f"{muxer} files cannot hold it")


def _labelled(plan: StreamPlan, stream: StreamInfo, muxer: str) -> StreamPlan:
    if plan.action == "drop" or stream.kind in ("cover", "attachment"):
        return plan
    return replace(plan, lost_labels=lost_labels(stream, muxer))


def _drop(stream: StreamInfo, why: str) -> StreamPlan:
    return _planned(stream, "drop", reason=f"{_name(stream)} is left out: {why}", loses=True)


def _convert(
    stream: StreamInfo, codec: str, note: str, *, loses: bool, layout: str = "", rate: int = 0
) -> StreamPlan:
    reason = f"{_name(stream)} is converted to {codec}: {note}"
    return _planned(stream, "convert", codec, reason, loses=loses, layout=layout, rate=rate)


def _plan_cover(stream: StreamInfo, av_stream: Stream, muxer: str) -> StreamPlan:
    if muxer == "matroska":  # as a stream it would be one more video track there
        reason = f"{_name(stream)} becomes an attached picture, as is usual in mkv files"
        return _planned(stream, "attach", reason=reason)
    if muxer == "mp4" and can_copy(av_stream, muxer):
        return _planned(stream, "copy")
    return _drop(stream, f"{muxer} files hold no cover pictures")


def _convert_audio(
    stream: StreamInfo,
    av_stream: Stream,
    muxer: str,
    setups: Sequence[Setup] = (),
    why: str = "",
    *,
    sound: SoundChoice = "copy",
) -> StreamPlan:
    context: Any = av_stream.codec_context
    form = None
    if len(setups) > 1:
        form = largest_form(decoded_forms(context.name, setups))
    plan = plan_sound(context, muxer, form, pcm=sound == "pcm")
    rate, channels = form or (context.sample_rate, context.layout)
    if plan is None and not rate:
        return _drop(stream, _TOO_LATE)
    if plan is None:
        return _drop(
            stream,
            f"its channels ({channels.name}) at {rate} Hz fit no encoder for "
            f"{muxer} files, and are not mixed to fewer; mkv files hold most sound unconverted",
        )
    whole = ""
    if len(setups) > 1:
        whole = (
            f"{_changes(setups)}; all of it becomes {channels.name} at {rate} Hz, the most of its "
            "parts, so that nothing is mixed down or cut off; "
        )
    return _convert(
        stream, plan.codec, why + whole + plan.note,
        loses=plan.loses or bool(whole), layout=plan.layout, rate=plan.rate,
    )  # fmt: skip


def _changes(setups: Sequence[Setup]) -> str:
    first, second, *more = setups
    at = ""
    if first.start is not None and second.start is not None:
        at = f" {float(second.start - first.start):.3f} s after its start"
    further = f", and {len(more)} more times" if more else ""
    return f"it changes from {first.name} to {second.name}{at}{further}"


def _scan(info: SourceInfo, plans: Sequence[StreamPlan], muxer: str) -> dict[int, SoundScan]:
    """Read the sound that is kept; samples without a codec have nothing to read."""
    codecs = {stream.index: stream.codec for stream in info.streams if stream.decodable}
    sound = {
        plan.index: plan.action
        for plan in plans
        if plan.kind == "audio"
        and plan.action in ("copy", "convert")
        and not codecs.get(plan.index, "pcm_").startswith("pcm_")
    }
    copied = [index for index, action in sound.items() if action == "copy"]
    return scan_sound(info.path, sound, copied, muxer)


def _heard(
    info: SourceInfo,
    plan: StreamPlan,
    stream: StreamInfo,
    av_stream: Stream,
    muxer: str,
    scans: Mapping[int, SoundScan],
    sound: SoundChoice,
) -> StreamPlan:
    """Plan sound anew by what its packets say."""
    scan = scans.get(plan.index)
    if scan is None:
        return plan
    copied, why = plan.action == "copy", ""
    if scan.refused:
        why = f"{scan.refused}, and {muxer} files cannot hold such; "
    elif copied and scan.damaged and not _holds_damaged(info.format, muxer):
        why = f"the headers of {scan.damaged} packets are damaged, and {muxer} files need them; "
    # Packets in MPEG-TS describe themselves.
    changes = len(scan.setups) > 1 and not (copied and muxer == "mpegts")
    if scan.damaged and not scan.setups and (why or not copied):
        return _drop(stream, "none of its packets has a header that can be read")
    if why or changes:
        return _convert_audio(stream, av_stream, muxer, scan.setups, why, sound=sound)
    return plan


def _holds_damaged(source: str, muxer: str) -> bool:
    """Whether damaged packets of sound are read from a container as they were from the source.

    FFmpeg's readers find the borders of packets by their headers, each in its own way; that of AVI
    counts them for the times.
    """
    return source == muxer in ("matroska", "mpegts")


def _name(stream: StreamInfo) -> str:
    track = " track" if stream.kind in ("audio", "subtitle", "video") else ""
    known = [word for word in (stream.codec, stream.language, stream.title) if word]
    return f"{stream.kind}{track} {stream.index} ({', '.join(known)})"


def _remade(info: SourceInfo, stream: StreamInfo) -> str:
    """Reason why an MP4 data track is not copied: the muxer makes it again; empty if none."""
    if stream.kind != "data":
        return ""
    if "timecode" in stream.tags:
        return "the timecode track is written again from the timecode tag"
    if stream.codec == "bin_data" and info.format == "mov" and info.chapters:
        return "the track of chapter names is written again from the chapters"
    return ""


def can_copy(stream: Stream, muxer: str) -> bool:
    """Whether a container takes this stream unconverted, by writing a file with it alone.

    Some muxers refuse only at the end: MP4 needs the layout of PCM's channels there, which AVI
    does not hold.
    """
    try:
        with discarded(muxer, strict="normal") as output:
            copy = output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
            if stream.codec_context is not None and stream.codec_context.name.startswith("pcm_"):
                output.mux(_silence(copy))
            output.close()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _silence(stream: Stream) -> Packet[Stream]:
    """Packet of samples whose size any number of channels and bits divides."""
    packet = Packet(bytes(8 * 2520))
    packet.stream, packet.time_base = stream, Fraction(1, 48000)
    packet.pts = packet.dts = 0
    packet.duration = 2520
    return packet


def stream_tags(stream: StreamInfo) -> dict[str, str]:
    """Tags to write for a stream: all but those that describe the old file.

    The MP4 demuxer calls a track's title `name`; the muxer writes only `title`.
    """
    kept = {
        key: value
        for key, value in stream.tags.items()
        if not key.lower().startswith(STALE_STREAM_TAGS)
    }
    title = stream.tags.get("title") or stream.tags.get("name") or stream.title
    return kept | ({"title": title} if title else {})


def enhanced_tags(stream: StreamInfo) -> dict[str, str]:
    """Tags to write for the enhanced stream, which has no alpha channel."""
    return {k: v for k, v in stream_tags(stream).items() if k.lower() != "alpha_mode"}


def container_tags(info: SourceInfo) -> dict[str, str]:
    """Tags of the container to write: all but those that describe the old file."""
    # AVI calls the program that wrote it "software", others "encoder".
    stale = (*STALE_TAGS, "software") if info.format == "avi" else STALE_TAGS
    return {key: value for key, value in info.tags.items() if key.lower() not in stale}
