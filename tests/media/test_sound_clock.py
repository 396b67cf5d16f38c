"""Converted sound stays in step with its own clock, where that runs on, skips or overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from synthetic import write_numbers
from synthetic_streams import enhance_nearest

from vsr.media.sound_clock import SampleClock, SoundFromZero

RATE = 48000


def numbered(first: int, samples: int = 1000) -> av.AudioFrame:
    """Make a frame whose samples are their numbers, from `first` on, told to start there."""
    numbers = np.arange(first, first + samples, dtype=np.int32)[None]
    frame = av.AudioFrame.from_ndarray(numbers, "s32", "mono")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
    return frame


def placed(times: Sequence[float | None], samples: int = 1000) -> tuple[list[tuple[int, int]], Any]:
    """Place frames told to start at these samples; list (start, first sample) of what is left."""
    clock, found = SampleClock(), []
    for number, time in enumerate(times):
        frame = numbered(samples * number, samples)
        frame.pts = None if time is None else round(time)
        kept = clock.place(frame)
        if kept is not None:
            found.append((kept.pts, int(kept.to_ndarray()[0, 0])))
    return found, clock


def test_a_coarse_clock_moves_no_sample() -> None:
    found, clock = placed([0, 1020, 1980, None, 4010, 4980])
    assert found == [(1000 * i, 1000 * i) for i in range(6)]
    assert (clock.overlapping, clock.restarted) == (0, False)


def test_a_gap_stays_a_gap() -> None:
    assert placed([0, 1000, 6000])[0] == [(0, 0), (1000, 1000), (6000, 2000)]


def test_what_overlaps_is_cut_to_the_sample() -> None:
    found, clock = placed([0, 1000, 2000, 3000, 500, 1500, 2500, 3500, 4500])
    assert found[:4] == [(0, 0), (1000, 1000), (2000, 2000), (3000, 3000)]
    assert found[4:] == [(4000, 7500), (4500, 8000)]
    assert clock.overlapping == Fraction(3500, RATE)


def test_a_slow_drift_does_not_add_up() -> None:
    found, clock = placed([990 * i for i in range(400)])
    assert max(abs(start - first * 0.99) for start, first in found) < RATE / 24
    assert Fraction(3000, RATE) < clock.overlapping < Fraction(5000, RATE)


def test_a_clock_that_begins_anew_costs_no_sound() -> None:
    found, clock = placed([20 * RATE, 20 * RATE + 1000, 0, 1000])
    assert [first for _, first in found] == [0, 1000, 2000, 3000]
    assert clock.restarted


def make_clicks(path: Path, *, late: int, jump: int) -> Path:
    """Write three seconds of sound with a click after one and after two.

    Args:
        late: Milliseconds by which the sound begins after the picture.
        jump: Milliseconds by which its clock jumps after 1.2 s of it.
    """
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=8, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound: Any = output.add_stream("aac", rate=RATE)
        sound.codec_context.layout = "mono"
        wave = np.zeros((1, 3 * RATE), np.float32)
        for second in (1, 2):
            wave[0, second * RATE : second * RATE + 100] = 0.9
        packets, last = [], -1000
        for first in [*range(0, 3 * RATE, 1024), None]:
            frame = None
            if first is not None:
                frame = av.AudioFrame.from_ndarray(wave[:, first : first + 1024], "fltp", "mono")
                frame.sample_rate, frame.pts = RATE, first
            packets += sound.encode(frame)
        for packet in packets:
            time = round(packet.pts * packet.time_base * 1000)
            time = max(time + late + (jump if time > 1200 else 0), last + 1)
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = last = time
            output.mux(packet)
        write_numbers(output, video, 24)
    return path


def clicks(path: Path) -> list[float]:
    with av.open(str(path)) as source:
        frames = list(source.decode(audio=0))
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    loud = np.flatnonzero(np.abs(wave.astype(float)) > 0.3 * 32768) / RATE
    return [float(time) for time, before in zip(loud, [-1.0, *loud], strict=False)
            if time - before > 0.1]  # fmt: skip


def test_overlapping_sound_is_cut_and_said_not_left_to_drift(tmp_path: Path) -> None:
    source = make_clicks(tmp_path / "in.mkv", late=0, jump=-300)
    _, warnings = enhance_nearest(source, tmp_path / "out.avi")
    assert clicks(tmp_path / "out.avi") == pytest.approx([1.0, 1.7], abs=0.025)
    assert [w for w in warnings if w.endswith("they overlap the sound before them")]


def test_in_avi_silence_stands_for_a_late_start_and_for_gaps(tmp_path: Path) -> None:
    source = make_clicks(tmp_path / "in.mkv", late=400, jump=500)
    enhance_nearest(source, tmp_path / "out.avi")
    assert clicks(tmp_path / "out.avi") == pytest.approx([1.4, 2.9], abs=0.005)


def test_sound_is_laid_end_to_end_from_zero() -> None:
    laid = SoundFromZero()
    pieces = [piece for first in (-2000, -400, 1200) for piece in laid.lay(numbered(first))]
    assert [piece.pts for piece in pieces] == [0, 600, 1200]
    assert [piece.samples for piece in pieces] == [600, 600, 1000]
    assert [int(piece.to_ndarray()[0, 1]) for piece in pieces] == [1, 0, 1201]


def test_a_track_that_begins_hours_late_is_not_one_frame_of_silence() -> None:
    pieces = [piece.samples for piece in SoundFromZero().lay(numbered(2 * RATE + 7))]
    assert pieces == [RATE, RATE, 7, 1000]
