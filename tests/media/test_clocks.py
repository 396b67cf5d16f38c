"""Clocks of real files: splices, edit lists, missing first times, times within one tick."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from synthetic import make_video
from synthetic_streams import frame_times

from vsr.media.clock import held_times
from vsr.media.probe import probe
from vsr.media.reading import packet_times
from vsr.media.timing import DiscontinuityFixer
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance

OPTIONS = EnhanceOptions(
    model="bicubic",
    scale=2,
    encode=EncodeOptions(preset="ultrafast"),
    inference=InferenceOptions(device="cpu"),
)
MS = Fraction(1, 1000)


def test_late_sound_at_a_splice_stays_with_its_part() -> None:
    class Packet:
        def __init__(self, kind: str, index: int, seconds: Fraction, lasts: Fraction) -> None:
            self.time_base = Fraction(1, 90000)
            self.pts = self.dts = round(seconds / self.time_base)
            self.duration = round(lasts / self.time_base)
            self.stream = type("Stream", (), {"type": kind, "index": index})

    step, block = Fraction(1, 25), Fraction(4, 125)
    video = [Packet("video", 0, 1 + i * step, step) for i in range(20)]
    sound = [Packet("audio", 1, 1 + i * block, block) for i in range(25)]
    again = [Packet("video", 0, 1 + i * step, step) for i in range(20)]
    sound_again = [Packet("audio", 1, 1 + i * block, block) for i in range(25)]
    order = [*video, *sound[:-1], *again[:5], sound[-1], *sound_again, *again[5:]]
    fixer = DiscontinuityFixer()
    for packet in order:
        fixer.fix(packet)  # type: ignore[arg-type]
    assert len(fixer.jumps) == 1
    shown = [packet.pts for packet in (*video, *again)]
    heard = [packet.pts for packet in (*sound, *sound_again)]
    assert {b - a for a, b in pairwise(shown)} == {3600}
    assert {b - a for a, b in pairwise(heard)} == {2880}


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


def test_planned_times_are_none_where_packets_have_none(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=4)
    stated = packet_times(probe(source))
    assert stated is not None
    assert len(stated[0]) == 4
