"""Converted sound: what it keeps is kept bit for bit, what it loses is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import write_numbers
from synthetic_streams import enhance_nearest

from vsr.media.probe import probe
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
