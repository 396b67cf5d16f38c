"""Clocks of real files: splices, edit lists, missing first times, times within one tick."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import av
import numpy as np
import pytest
from av.stream import Stream
from synthetic import make_video, splice
from synthetic_streams import frame_times
from synthetic_streams import packet_times as packet_times_of

from vsr.media.clock import held_times
from vsr.media.decode import Decoder
from vsr.media.probe import probe
from vsr.media.reading import packet_times
from vsr.media.timing import DiscontinuityFixer
from vsr.media.types import PlanarFrame
from vsr.options import DecodeOptions, EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance

OPTIONS = EnhanceOptions(
    model="bicubic",
    scale=2,
    encode=EncodeOptions(preset="ultrafast"),
    inference=InferenceOptions(device="cpu"),
)
MS = Fraction(1, 1000)


def test_late_sound_at_a_splice_stays_with_its_part() -> None:
    with av.open(BytesIO(), "w", format="mpegts") as output:
        picture, sound = output.add_stream("mpeg2video", rate=25), output.add_stream("mp2")

        def packets(stream: Stream, count: int, lasts: Fraction) -> list[Any]:
            made = []
            for index in range(count):
                packet: Any = av.Packet(b"0")
                packet.stream, packet.time_base = stream, Fraction(1, 90000)
                packet.pts = packet.dts = round((1 + index * lasts) * 90000)
                packet.duration = round(lasts * 90000)
                made.append(packet)
            return made

        shown = [packets(picture, 20, Fraction(1, 25)) for _ in range(2)]
        heard = [packets(sound, 25, Fraction(4, 125)) for _ in range(2)]
        (first, second), (before, after) = shown, heard
        fixer = DiscontinuityFixer()
        for packet in (*first, *before[:-1], *second[:5], before[-1], *after, *second[5:]):
            fixer.fix(packet)
        assert len(fixer.jumps) == 1
        assert {b.pts - a.pts for a, b in pairwise(chain(*shown))} == {3600}
        assert {b.pts - a.pts for a, b in pairwise(chain(*heard))} == {2880}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_parts_of_a_recording_that_overlap_a_little_stay_in_step(
    tmp_path: Path, suffix: str
) -> None:
    options = {"bf": "2", "preset": "veryfast"}
    parts = [
        make_video(
            tmp_path / f"{begin}.ts",
            frames=20,
            rate=Fraction(25),
            codec_options=options,
            audio=["mp2"],
            container_options={"output_ts_offset": begin},
        )
        for begin in ("0", "0.8")
    ]
    source, target = splice(tmp_path / "in.ts", *parts), tmp_path / f"out.{suffix}"
    result = enhance(source, target, OPTIONS)
    times = frame_times(target)
    assert len(times) == 40
    tolerance = MS if suffix == "mkv" else Fraction(1, 90000)
    assert all(abs(b - a - Fraction(1, 25)) <= tolerance for a, b in pairwise(times))
    (sounds,) = packet_times_of(target, "audio")
    (before,) = packet_times_of(parts[0], "audio")
    late = [sounds[index] - times[frame] for index, frame in ((0, 0), (len(before), 20))]
    assert abs(late[1] - late[0]) <= Fraction(1, 25)
    assert result.report["decoding"]["repaired_pts"] == 0


def heard(path: Path, start: Fraction, stop: Fraction) -> list[tuple[int, int]]:
    """Milliseconds after a start, and checksums, of the packets of sound in a part of a film."""
    with av.open(path) as file:
        found = [packet for packet in file.demux(audio=0) if packet.size]
    return [
        (round((packet.pts * packet.time_base - start) / MS), crc32(bytes(packet)))
        for packet in found
        if start <= packet.pts * packet.time_base < stop
    ]


@pytest.mark.parametrize("clocks", [("10", "0"), ("0", "20"), ("0", "1.4")])
@pytest.mark.parametrize("start", ["1.3", "1.5", "3.7"])
def test_a_part_of_a_spliced_recording_is_that_of_the_whole(
    tmp_path: Path, clocks: tuple[str, str], start: str
) -> None:
    options = {"bf": "2", "preset": "veryfast", "g": "10"}
    parts = [
        make_video(
            tmp_path / f"{number}.ts",
            frames=frames,
            rate=Fraction(25),
            codec_options=options,
            audio=["mp2"],
            container_options={"output_ts_offset": clock},
        )
        for number, (clock, frames) in enumerate(zip(clocks, (38, 70), strict=True))
    ]
    source, part = splice(tmp_path / "in.ts", *parts), tmp_path / "part.mkv"
    lasts = Fraction("0.5")
    with Decoder(probe(source)) as frames:
        first = frames.origin + Fraction(start)
        whole = [(frame.pts * frames.time_base - first, marks(frame)) for frame in frames]
    assert len(whole) == 108
    wanted = [(time, mark) for time, mark in whole if 0 <= time < lasts]
    with Decoder(probe(source), DecodeOptions(start=Fraction(start), duration=lasts)) as frames:
        found = [(frame.pts * frames.time_base - first, marks(frame)) for frame in frames]
    assert found == wanted
    enhance(source, part, replace(OPTIONS, start=start, duration="0.5"))
    assert len(frame_times(part)) == len(wanted) >= 12
    assert frame_times(part)[0] == pytest.approx(wanted[0][0], abs=float(MS))
    copied = tmp_path / "whole.mkv"
    enhance(source, copied, OPTIONS)
    shift = min(frame_times(copied)) - (whole[0][0] + first) + first
    assert heard(part, Fraction(0), lasts) == heard(copied, shift, shift + lasts)


def marks(frame: PlanarFrame) -> int:
    """A checksum of a picture."""
    return crc32(np.ascontiguousarray(frame.planes[0]).data)


def test_frames_within_a_tick_are_spread_upwards() -> None:
    times = [Fraction(ms, 10) * MS for ms in (0, 2083, 2085, 2087, 2100, 2500)]
    kept = [0, Fraction(2083, 10) * MS, Fraction(2085, 10) * MS]
    assert held_times(times, "matroska") == [*kept, 210 * MS, 211 * MS, 250 * MS]
    assert held_times(times, "mp4") == times


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_film_with_frames_within_a_millisecond_keeps_them(tmp_path: Path, suffix: str) -> None:
    source, ticks = tmp_path / "in.mp4", [0, 400, 402, 404, 800, 1200]
    with av.open(str(source), "w") as output:
        stream = output.add_stream("libx264", rate=24, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 10000)
        for tick in ticks:
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([20 + tick % 200]) * plane.buffer_size)
            frame.pts, frame.time_base = tick, Fraction(1, 10000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    target = tmp_path / f"out.{suffix}"
    result = enhance(source, target, OPTIONS)
    exact = [Fraction(tick, 10000) for tick in ticks]
    if suffix == "mp4":
        assert frame_times(target) == exact
        return
    assert frame_times(target) == [0, 40 * MS, 41 * MS, 42 * MS, 80 * MS, 120 * MS]
    assert any("moved by up to 1.6 ms: 2" in text for text in result.warnings)


def test_times_missing_at_the_start_are_counted_back(tmp_path: Path) -> None:
    """Matroska gives reordered frames before its zero no times."""
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w", container_options={"avoid_negative_ts": "disabled"}) as output:
        video = output.add_stream("libx264", rate=25, options={"bf": "2", "g": "50"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        for index in range(30):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([20 + 7 * index]) * plane.buffer_size)
            frame.pts, frame.time_base = index - 10, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    info = probe(source)
    target = tmp_path / "out.mp4"
    enhance(source, target, OPTIONS)
    times = frame_times(target)
    assert len(times) == 30
    assert {round((b - a) / MS) for a, b in pairwise(times)} == {40}
    assert times[0] == 0
    assert info.video.start_pts == -400


def test_packets_without_times_state_none(tmp_path: Path) -> None:
    film, raw = make_video(tmp_path / "in.mp4", frames=4), tmp_path / "in.h264"
    with av.open(str(film)) as source, av.open(str(raw), "w", format="h264") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    stated = packet_times(probe(film))
    assert stated is not None
    assert len(stated[0]) == 4
    assert packet_times(probe(raw)) is None
