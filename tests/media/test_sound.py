"""Converted sound: what it keeps is kept bit for bit, what it loses is said."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import write_numbers
from synthetic_streams import enhance_nearest

from vsr.media.probe import probe
from vsr.media.sound import SampleClock, SoundFromZero
from vsr.media.streams import StreamPlan, plan_streams, stream_warnings

# FFmpeg's name of a sample format: what to draw from, how many bits lie unused at the bottom.
SAMPLES: dict[str, tuple[type[np.generic], int]] = {
    "s16": (np.int16, 0), "s32": (np.int32, 0), "s24": (np.int32, 8), "flt": (np.float32, 0),
}  # fmt: skip


def noise(kind: str, channels: int) -> NDArray[Any]:
    """Draw a tenth of a second of samples that use every bit."""
    dtype, unused = SAMPLES[kind]
    rng = np.random.default_rng(5)
    shape = (1, 4800 * channels)
    if kind == "flt":
        return rng.uniform(-1, 1, shape).astype(dtype)
    limit = 1 << (8 * np.dtype(dtype).itemsize - 1)
    return (rng.integers(-limit, limit, shape) >> unused << unused).astype(dtype)


def make_sound(path: Path, codec: str, kind: str, layout: str) -> NDArray[Any]:
    """Write a film of three frames with noise.

    Returns:
        The samples.
    """
    samples = noise(kind, av.AudioLayout(layout).nb_channels)
    packed = "s32" if kind == "s24" else kind
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound: Any = output.add_stream(codec, rate=48000)
        sound.codec_context.layout = layout
        if packed in [f.name for f in sound.codec_context.codec.audio_formats or ()]:
            sound.codec_context.format = packed
        frame = av.AudioFrame.from_ndarray(samples, packed, layout)
        frame.sample_rate, frame.pts = 48000, 0
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
        write_numbers(output, video, 3)
    return samples


def read_sound(path: Path) -> tuple[str, str, NDArray[Any]]:
    """Read codec, channels and samples of the sound, interleaved."""
    with av.open(str(path)) as source:
        stream = source.streams.audio[0]
        frames = [
            frame.to_ndarray() if not frame.format.is_planar else frame.to_ndarray().T
            for frame in source.decode(stream)
        ]
        samples = np.concatenate([frame.reshape(1, -1) for frame in frames], axis=1)
        return stream.codec_context.name, stream.codec_context.layout.name, samples


def sound_plan(source: Path, target: str) -> StreamPlan:
    return next(p for p in plan_streams(probe(source), target) if p.kind == "audio")


@pytest.mark.parametrize(
    ("source", "codec", "kind", "layout", "target", "action", "made"),
    [
        ("in.mkv", "flac", "s24", "mono", "out.avi", "convert", "pcm_s24le"),
        ("in.mkv", "flac", "s16", "stereo", "out.avi", "convert", "pcm_s16le"),
        ("in.mkv", "pcm_s24le", "s24", "stereo", "out.avi", "copy", "pcm_s24le"),
        ("in.mkv", "pcm_f32le", "flt", "5.1(side)", "out.avi", "copy", "pcm_f32le"),
        ("in.mov", "pcm_s32be", "s32", "mono", "out.avi", "convert", "pcm_s32le"),
        ("in.mov", "pcm_f32be", "flt", "stereo", "out.mkv", "convert", "pcm_f32le"),
        ("in.mkv", "flac", "s24", "5.1(side)", "out.mov", "convert", "alac"),
        ("in.mkv", "flac", "s16", "quad", "out.mov", "convert", "pcm_s16le"),
        ("in.avi", "pcm_s16le", "s16", "4 channels", "out.mp4", "convert", "flac"),
        ("in.avi", "pcm_s24le", "s24", "6 channels", "out.mp4", "convert", "flac"),
    ],
)
def test_lossless_sound_keeps_every_bit(
    tmp_path: Path,
    source: str, codec: str, kind: str, layout: str,
    target: str, action: str, made: str,
) -> None:  # fmt: skip
    samples = make_sound(tmp_path / source, codec, kind, layout)
    plan = sound_plan(tmp_path / source, target)
    assert (plan.action, plan.codec, plan.loses) == (action, made, False)
    _, warnings = enhance_nearest(tmp_path / source, tmp_path / target)
    found, _, kept = read_sound(tmp_path / target)
    assert (found, warnings) == (made, ())
    assert np.array_equal(kept, samples)


def test_channels_that_an_encoder_lacks_are_left_out_and_named_not_mixed(tmp_path: Path) -> None:
    make_sound(tmp_path / "in.avi", "pcm_s16le", "s16", "10 channels")
    plan = sound_plan(tmp_path / "in.avi", "out.mp4")
    assert plan.action == "drop"
    assert "(10 channels) at 48000 Hz fit no encoder for mp4" in stream_warnings((plan,))[0]
    enhance_nearest(tmp_path / "in.avi", tmp_path / "out.mp4")
    assert [stream.kind for stream in probe(tmp_path / "out.mp4").streams] == ["video"]


@pytest.mark.parametrize(
    ("layout", "made"), [("5.1(side)", "5.1"), ("5.0(side)", "5.0"), ("3.0", "3.0")]
)
def test_side_channels_become_back_ones_for_opus(tmp_path: Path, layout: str, made: str) -> None:
    make_sound(tmp_path / "in.mkv", "ac3", "flt", layout)
    target = tmp_path / "out.webm"
    enhance_nearest(tmp_path / "in.mkv", target)
    codec, found, _ = read_sound(target)
    assert (codec.removeprefix("lib"), found) == ("opus", made)


def test_bits_that_go_are_named(tmp_path: Path) -> None:
    make_sound(tmp_path / "in.nut", "pcm_s64le", "s32", "stereo")
    plan = sound_plan(tmp_path / "in.nut", "out.avi")
    assert (plan.action, plan.codec) == ("convert", "pcm_s32le")
    assert "32 bits of each sample are kept" in stream_warnings((plan,))[0]


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
