"""Sound that changes on its way, or is damaged: seen before the work, and right in the output."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer
from synthetic import write_numbers
from synthetic_streams import enhance_nearest

from vsr.media.probe import probe
from vsr.media.sound import read_header
from vsr.media.streams import plan_streams, stream_warnings
from vsr.media.verify import verify
from vsr.media.verify_streams import check_streams

TICKS = 90_000
RAW = {"aac": "adts", "libmp3lame": "mp3"}  # the raw format of an encoder, where names differ


@dataclass(frozen=True)
class Part:
    """Half a second of 440 Hz."""

    codec: str
    rate: int = 48_000
    layout: str = "stereo"


def encoded(part: Part) -> InputContainer:
    raw, buffer = RAW.get(part.codec, part.codec), io.BytesIO()
    count = part.rate // 2
    wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(count) / part.rate)).astype(np.int16)
    channels = av.AudioLayout(part.layout).nb_channels
    samples = np.repeat(wave[:, None], channels, axis=1).reshape(1, -1)
    with av.open(buffer, "w", format=raw) as output:
        stream: Any = output.add_stream(part.codec, rate=part.rate)
        stream.codec_context.layout = part.layout
        frame = av.AudioFrame.from_ndarray(samples, "s16", part.layout)
        frame.sample_rate, frame.pts = part.rate, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    buffer.seek(0)
    return av.open(buffer, format=raw)


def packets_of(part: Part) -> list[tuple[bytes, Fraction]]:
    """List bytes and seconds of the packets."""
    with encoded(part) as source:
        return [
            (bytes(p), Fraction(p.duration or 0) * p.time_base)
            for p in source.demux(source.streams.audio[0])
            if p.size
        ]


def make_film(
    path: Path, parts: Sequence[Part], spoil: Callable[[int, bytes], bytes] | None = None
) -> Path:
    """Write a film whose one track of sound is made of these parts, one after another."""
    with encoded(parts[0]) as first, av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream_from_template(first.streams.audio[0], opaque=True)
        packets, at = [], Fraction(0)
        for number, (data, lasts) in enumerate(p for part in parts for p in packets_of(part)):
            packet = av.Packet(spoil(number, data) if spoil else data)
            packet.stream, packet.time_base = sound, Fraction(1, TICKS)
            packet.pts = packet.dts = round(at * TICKS)
            packet.duration, packet.is_keyframe = round(lasts * TICKS), True
            packets.append(packet)
            at += lasts
        write_numbers(output, video, 12 * len(parts))
        output.mux(packets)
    return path


def emptied(which: int) -> Callable[[int, bytes], bytes]:
    """Write zeros over one packet."""
    return lambda number, data: bytes(len(data)) if number == which else data


def heard(path: Path) -> tuple[int, int, list[float], float]:
    """Decode: packets refused, channels, main frequency of each half, start in seconds."""
    with av.open(str(path)) as source:
        stream = source.streams.audio[0]
        frames, refused = [], 0
        for packet in source.demux(stream):
            try:
                frames += packet.decode()
            except av.FFmpegError:
                refused += 1
        halves = [frames[: len(frames) // 2][1:-1], frames[len(frames) // 2 :][1:-1]]
        pitches = []
        for half in halves:
            same = [f for f in half if f.layout == half[-1].layout]
            same = [f for f in same if f.sample_rate == half[-1].sample_rate]
            planes = [
                f.to_ndarray()[0] if f.format.is_planar
                else f.to_ndarray()[0, :: f.layout.nb_channels]
                for f in same
            ]  # fmt: skip
            wave = np.concatenate(planes).astype(float)
            assert np.ptp(wave) > 0.1 * (2.0**31 if "s32" in same[0].format.name else 1)
            spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 18))
            # The rate by which players go: the container's.
            pitches.append(float(spectrum.argmax()) * stream.rate / (1 << 18))
        first = frames[0]
        return refused, stream.layout.nb_channels, pitches, float(first.pts * first.time_base)


@pytest.mark.parametrize(
    ("part", "coding", "channels"),
    [
        (Part("aac", 44_100, "5.1"), "AAC LC", 6),
        (Part("aac", 8_000, "mono"), "AAC LC", 1),
        (Part("ac3", 44_100, "5.1(side)"), "AC-3", 6),
        (Part("ac3", 32_000, "mono"), "AC-3", 1),
        (Part("eac3", 48_000, "5.1(side)"), "E-AC-3", 6),
        (Part("mp2", 44_100), "MPEG audio layer 2", 2),
        (Part("mp2", 24_000, "mono"), "MPEG audio layer 2", 1),
        (Part("libmp3lame", 22_050), "MPEG audio layer 3", 2),
        (Part("libmp3lame", 8_000, "mono"), "MPEG audio layer 3", 1),
    ],
)
def test_headers_tell_what_was_encoded(part: Part, coding: str, channels: int) -> None:
    codec = {"libmp3lame": "mp3"}.get(part.codec, part.codec)
    for data, _ in packets_of(part):
        header = read_header(codec, data)
        assert header
        assert (header.coding, header.rate, header.channels) == (coding, part.rate, channels)
    assert read_header(codec, data[:-1]) is None
    assert read_header(codec, b"\0" + data[1:]) is None
    assert read_header(codec, b"") is None


STEREO_THEN_MORE = (Part("aac"), Part("aac", layout="5.1"))
SLOWER_THEN_FASTER = (Part("aac", 44_100, "mono"), Part("aac"))


@pytest.mark.parametrize(
    ("source", "parts", "target", "made", "form"),
    [
        ("in.ts", STEREO_THEN_MORE, "out.mp4", "aac", ("5.1", 48_000)),
        ("in.ts", STEREO_THEN_MORE, "out.mkv", "flac", ("5.1", 48_000)),
        ("in.ts", SLOWER_THEN_FASTER, "out.mp4", "aac", ("stereo", 48_000)),
        ("in.ts", SLOWER_THEN_FASTER[::-1], "out.mov", "aac", ("stereo", 48_000)),
        ("in.ts", SLOWER_THEN_FASTER, "out.webm", "libopus", ("stereo", 48_000)),
        ("in.ts", SLOWER_THEN_FASTER, "out.avi", "pcm_s16le", ("stereo", 48_000)),
        ("in.mkv", (Part("ac3"), Part("ac3", 32_000)), "out.mp4", "aac", ("stereo", 48_000)),
        ("in.mkv", (Part("libmp3lame"), Part("libmp3lame", 44_100, "mono")),
         "out.mkv", "flac", ("stereo", 48_000)),
        ("in.ts", (Part("mp2"), Part("libmp3lame")), "out.mp4", "aac", ("stereo", 48_000)),
    ],
)  # fmt: skip
def test_sound_that_changes_is_converted_as_a_whole(
    tmp_path: Path,
    source: str, parts: Sequence[Part], target: str, made: str, form: tuple[str, int],
) -> None:  # fmt: skip
    film = make_film(tmp_path / source, parts)
    plan = plan_streams(probe(film), target)[1]
    assert (plan.action, plan.codec, (plan.layout, plan.rate)) == ("convert", made, form)
    assert "it changes from" in stream_warnings((plan,))[0]
    expected, warnings = enhance_nearest(film, tmp_path / target)
    assert warnings == ()
    assert verify(film, tmp_path / target, expected).problems == ()
    refused, channels, pitches, _ = heard(tmp_path / target)
    assert (refused, channels) == (0, av.AudioLayout(form[0]).nb_channels)
    assert pitches == pytest.approx([440, 440], abs=3)


def test_the_note_tells_where_and_why(tmp_path: Path) -> None:
    film = make_film(tmp_path / "in.ts", SLOWER_THEN_FASTER)
    (note,) = stream_warnings(plan_streams(probe(film), "out.mp4"))
    assert (
        "it changes from AAC LC at 44100 Hz, 1 channel to AAC LC at 48000 Hz, 2 channels 0.534 s "
        "after its start; all of it becomes stereo at 48000 Hz" in note
    )


@pytest.mark.parametrize("parts", [STEREO_THEN_MORE, (Part("mp2"), Part("mp2", 32_000, "mono"))])
def test_mpeg_ts_takes_every_change(tmp_path: Path, parts: Sequence[Part]) -> None:
    film, target = make_film(tmp_path / "in.ts", parts), tmp_path / "out.ts"
    assert plan_streams(probe(film), target)[1].action == "copy"
    expected, _ = enhance_nearest(film, target)
    assert verify(film, target, expected).problems == ()
    sizes = [len(data) for part in parts for data, _ in packets_of(part)]
    with av.open(str(target)) as made:
        assert [p.size for p in made.demux(audio=0) if p.size] == sizes


@pytest.mark.parametrize(
    ("source", "codec", "which", "target", "action"),
    [
        ("in.mkv", "libmp3lame", 9, "out.mp4", "convert"),
        ("in.mkv", "libmp3lame", 9, "out.mkv", "copy"),
        ("in.avi", "libmp3lame", 9, "out.avi", "convert"),
        ("in.mkv", "ac3", 5, "out.mp4", "convert"),
        ("in.mkv", "ac3", 0, "out.mov", "convert"),
        ("in.mkv", "ac3", 5, "out.mkv", "copy"),
        ("in.mkv", "ac3", 5, "out.ts", "convert"),
        ("in.mkv", "eac3", 5, "out.mp4", "convert"),
        ("in.ts", "aac", 5, "out.mp4", "convert"),
        ("in.ts", "aac", 5, "out.ts", "copy"),
    ],
)
def test_damaged_packets_are_met_in_the_plan(
    tmp_path: Path, source: str, codec: str, which: int, target: str, action: str
) -> None:
    film = make_film(tmp_path / source, [Part(codec)], emptied(which))
    plan = plan_streams(probe(film), target)[1]
    assert plan.action == action
    assert ("damaged" in plan.reason) == (action == "convert")
    expected, _ = enhance_nearest(film, tmp_path / target)
    assert verify(film, tmp_path / target, expected).problems == ()


def test_sound_without_one_whole_packet_is_left_out(tmp_path: Path) -> None:
    film = make_film(tmp_path / "in.mkv", [Part("mp2")], lambda _, data: bytes(len(data)))
    plan = plan_streams(probe(film), "out.mp4")[1]
    assert (plan.action, plan.loses) == ("drop", True)
    assert "none of its packets has a header" in plan.reason


def test_copied_sound_that_cannot_be_decoded_is_found(tmp_path: Path) -> None:
    film, target = make_film(tmp_path / "in.ts", STEREO_THEN_MORE), tmp_path / "out.mp4"
    with av.open(str(film)) as source, av.open(str(target), "w") as output:
        streams = [output.add_stream_from_template(s, opaque=True) for s in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    info, made = probe(film), probe(target)
    checks = check_streams(
        info, made, plan_streams(info, "out.ts"), None, muxer="mp4", shift=Fraction(0)
    )
    (found,) = [check for check in checks if check.name == "audio 1 packets"]
    count = len(packets_of(STEREO_THEN_MORE[1]))
    assert not found.passed
    assert f"{count} of {2 * count} packets cannot be decoded, in the source 0" in found.detail
