"""Files with much more than a picture: sounds, subtitles, chapters, fonts, covers, tags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet
from synthetic import draw_number, make_frame

from vsr.media.clock import output_clock, output_range
from vsr.media.copying import TimeRange
from vsr.media.decode import Decoder
from vsr.media.encode import plan_encoding
from vsr.media.mux import Writer
from vsr.media.pieces import PieceWriter
from vsr.media.probe import probe
from vsr.media.streams import plan_streams
from vsr.media.types import marks_of
from vsr.media.verify import Expected
from vsr.options import DecodeOptions, EncodeOptions

RATE = Fraction(24)
NO_FLAGS = Disposition(0)
Track = Any  # an output stream with its encoder; PyAV's stubs know no common type
SOUND_RATE = 48000
FRAME_DURATION = int(av.codec.context.Flags.frame_duration)
FONT = b"\x00\x01\x00\x00" + bytes(range(200))
ASS_HEADER = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, "
    b"PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, "
    b"StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
    b"MarginR, MarginV, Encoding\r\nStyle: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,"
    b"100,0,0,1,1,0,2,10,10,10,1\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Name, "
    b"MarginL, MarginR, MarginV, Effect, Text\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Sound:
    """An audio track: a tone, loud only in the first 10 ms of each second where `clicks`."""

    codec: str = "aac"
    language: str | None = None
    title: str | None = None
    disposition: Disposition = Disposition.default
    clicks: bool = False
    layout: str = "mono"
    tags: tuple[tuple[str, str], ...] = ()
    sample_format: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cues:
    """A subtitle track: (start, end, text) in milliseconds."""

    codec: str = "srt"
    language: str | None = None
    title: str | None = None
    disposition: Disposition = NO_FLAGS
    lines: Sequence[tuple[int, int, str]] = ((100, 400, "Hello"), (550, 801, "World"))


def make_rich_video(
    path: Path,
    *,
    frames: int = 24,
    start: Fraction = Fraction(0),
    sounds: Sequence[Sound] = (),
    cues: Sequence[Cues] = (),
    chapters: Sequence[tuple[Fraction, Fraction, str]] = (),
    font: bool = False,
    cover: bool = False,
    tags: dict[str, str] | None = None,
    title: str | None = None,
    second_video: bool = False,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Write a video at 24 frames/s with whatever is asked for; everything begins at `start`."""
    with av.open(
        str(path), "w", container_options=_options(path), metadata_errors="surrogateescape"
    ) as output:
        output.metadata.update(tags or {})
        output.set_chapters([_chapter(number, *entry) for number, entry in enumerate(chapters)])
        video = _add_video(output, size, title)
        other = _add_video(output, (32, 32), "angle") if second_video else None
        tracks = [(sound, _add_sound(output, sound)) for sound in sounds]
        texts = [(track, _add_cues(output, track)) for track in cues]
        picture = _add_cover(output, path) if cover else None
        if font:
            output.add_attachment("font.ttf", "application/x-truetype-font", FONT)
        output.start_encoding()
        if picture is not None:
            packet = av.Packet(jpeg())
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            packet.is_keyframe = True
            output.mux(packet)
        for track, stream in texts:
            _write_cues(output, stream, track, start)
        end = start + frames / RATE
        for sound, stream in tracks:
            _write_sound(output, stream, sound, start, end)
        for stream in (video, other) if other else (video,):
            for index in range(frames):
                frame = make_frame(draw_number(index, stream.width, stream.height), "yuv420p")
                frame.pts, frame.duration = round((start + index / RATE) * 24000), 1000
                frame.time_base = Fraction(1, 24000)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


def packet_hashes(path: Path, kind: str = "audio") -> list[str]:
    """Hash the payload of all packets of every stream of one kind, in stream order."""
    with av.open(str(path), metadata_errors="surrogateescape") as source:
        streams = [s for s in source.streams if s.type == kind]
        hashes = {stream.index: hashlib.sha256() for stream in streams}
        for packet in source.demux(streams):
            hashes[packet.stream.index].update(bytes(packet))
    return [found.hexdigest() for found in hashes.values()]


def packet_times(path: Path, kind: str) -> list[list[Fraction]]:
    """List the pts, in seconds, of all packets of every stream of one kind."""
    with av.open(str(path), metadata_errors="surrogateescape") as source:
        streams = [s for s in source.streams if s.type == kind]
        times: dict[int, list[Fraction]] = {stream.index: [] for stream in streams}
        for packet in source.demux(streams):
            if packet.size and packet.pts is not None:
                times[packet.stream.index].append(packet.pts * packet.time_base)
    return list(times.values())


def frame_times(path: Path) -> list[Fraction]:
    """List the pts, in seconds, of all frames of the first video stream."""
    with av.open(str(path)) as source:
        return [frame.pts * frame.time_base for frame in source.decode(video=0)]


def read_cues(path: Path) -> list[list[tuple[int, int, str]]]:
    """Read (start, end, text) in milliseconds of every subtitle track; empty cues left out."""
    with av.open(str(path)) as source:
        found: dict[int, list[tuple[int, int, str]]] = {
            s.index: [] for s in source.streams.subtitles
        }
        for packet in source.demux(source.streams.subtitles):
            texts = packet.stream.codec_context.decode2(packet) if packet.size else None
            for text in texts or ():
                words = text.dialogue.decode()
                start, last = packet.pts * packet.time_base, packet.duration * packet.time_base
                if words:
                    cue = (round(start * 1000), round((start + last) * 1000), words)
                    found[packet.stream.index].append(cue)
    return list(found.values())


def jpeg() -> bytes:
    """Make a small JPEG file."""
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 32, 32, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = make_frame(draw_number(7, 32, 32), "yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in context.encode(frame) + context.encode(None))


def enhance_nearest(
    source: Path,
    target: Path,
    *,
    options: EncodeOptions | None = None,
    time_range: TimeRange | None = None,
) -> tuple[Expected, tuple[str, ...]]:
    """Do all of an enhancement but the network: every frame twice the size, by repetition.

    Returns:
        What `verify` should be told, and the writer's warnings.
    """
    info = probe(source)
    decode = DecodeOptions(deinterlace="off", threads=1)
    with Decoder(info, decode) as frames:
        plan = plan_encoding(
            info,
            target,
            width=2 * frames.width,
            height=2 * frames.height,
            time_base=frames.time_base,
            frame_rate=frames.frame_rate,
            sample_aspect_ratio=frames.sample_aspect_ratio,
            plane_format=frames.format,
            options=options or fast_options(target),
        )
        streams = plan_streams(info, target)
        marks = marks_of(info.video, frames.format, frames.time_base)
        clock = output_clock(plan, output_range(info, plan, time_range))
        piece = target.with_name(f".{target.name}.piece")
        with (
            Writer(info, target, plan, streams, time_range=time_range) as writer,
            PieceWriter(piece, target, plan, clock) as coder,
        ):
            for frame in frames:
                time = frame.pts * frames.time_base
                if time_range is None or time_range.start <= time < (time_range.stop or time + 1):
                    planes = [plane.repeat(2, 0).repeat(2, 1) for plane in frame.planes]
                    coder.write(planes, frame.pts, frame.duration)
                    marks.add(frame)
            coder.finish()
            writer.join([piece])
            writer.publish(overwrite=True)
            piece.unlink()
            expected = Expected(
                plan=plan, streams=streams, decode=decode, time_range=time_range, marks=marks
            )
            return expected, writer.warnings


def fast_options(target: Path) -> EncodeOptions:
    """Choose the quickest settings of the default codecs."""
    if target.suffix == ".webm":
        return EncodeOptions(codec="libvpx-vp9", encoder_option=("cpu-used=8",))
    return EncodeOptions(preset="ultrafast")


def _options(path: Path) -> dict[str, str]:
    if path.suffix in (".mkv", ".webm"):
        return {"avoid_negative_ts": "disabled", "default_mode": "passthrough"}
    return {"movie_timescale": "90000"} if path.suffix in (".mp4", ".mov") else {}


def _chapter(number: int, start: Fraction, end: Fraction, title: str) -> Track:
    tick = Fraction(1, 1000)
    times = {"start": round(start / tick), "end": round(end / tick), "time_base": tick}
    return {"id": number, "metadata": {"title": title}, **times}


def _add_video(output: OutputContainer, size: tuple[int, int], title: str | None) -> Track:
    stream = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "12"})
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 24000)
    stream.codec_context.flags |= FRAME_DURATION
    stream.disposition = Disposition.default
    stream.metadata.update({"title": title} if title else {})
    return stream


def _label(stream: Track, track: Sound | Cues) -> None:
    stream.metadata.update({"language": track.language} if track.language else {})
    stream.metadata.update({"title": track.title} if track.title else {})
    stream.disposition = track.disposition


def _add_sound(output: OutputContainer, sound: Sound) -> Track:
    stream = output.add_stream(sound.codec, rate=SOUND_RATE)
    stream.codec_context.layout = sound.layout
    if sound.codec == "wmav2":
        stream.codec_context.bit_rate = 128_000
    if sound.sample_format:
        stream.codec_context.format = sound.sample_format
    _label(stream, sound)
    stream.metadata.update(dict(sound.tags))
    return stream


def _add_cues(output: OutputContainer, track: Cues) -> Track:
    stream = output.add_stream(track.codec)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    _label(stream, track)
    return stream


def _add_cover(output: OutputContainer, path: Path) -> Track:
    if path.suffix == ".mkv":
        output.add_attachment("cover.jpg", "image/jpeg", jpeg())
        return None
    stream = output.add_mux_stream("mjpeg", width=32, height=32)
    stream.time_base = Fraction(1, 90000)
    stream.disposition = Disposition.attached_pic
    return stream


def _write_cues(output: OutputContainer, stream: Track, track: Cues, start: Fraction) -> None:
    for number, (begin, end, text) in enumerate(track.lines):
        line = f"{number},0,Default,,0,0,0,,{text}".encode()
        packet = stream.codec_context.encode_subtitle(
            SubtitleSet.create(text=line, start=0, end=end - begin, pts=begin * 1000)
        )
        packet.pts = packet.dts = begin + round(start * 1000)
        packet.duration, packet.time_base, packet.stream = end - begin, Fraction(1, 1000), stream
        output.mux(packet)


def _write_sound(
    output: OutputContainer, stream: Track, sound: Sound, start: Fraction, end: Fraction
) -> None:
    total = round((end - start) * SOUND_RATE)
    time = np.arange(total) / SOUND_RATE
    wave = 8000 * np.sin(2 * np.pi * 440 * time)
    if sound.clicks:
        wave *= (time % 1) < 0.01
    channels = av.AudioLayout(sound.layout).nb_channels
    samples = np.repeat(wave.astype(np.int16)[:, None], channels, axis=1).reshape(1, -1)
    for first in range(0, total, 1024):
        part = samples[:, first * channels : (first + 1024) * channels]
        frame = av.AudioFrame.from_ndarray(part, "s16", sound.layout)
        frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
        frame.pts = round(start * SOUND_RATE) + first
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
