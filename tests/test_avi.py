"""AVI has no times: what begins elsewhere than at zero, or is cut, stays in step all the same."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from synthetic import draw_number, make_frame

from vsr.media.verify import verify
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance

RATE, SOUND_RATE = 25, 48000
AVFMT_FLAG_GENPTS = 1


def make_film(path: Path, *, picture: float, sound: float, codec: str = "ac3") -> Path:
    """Write a film whose sound, a second long, clicks in its middle; both begin as told."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        track: Any = output.add_stream(codec, rate=SOUND_RATE)
        track.codec_context.layout = "mono"
        track.codec_context.bit_rate = 192_000
        wave = np.zeros((1, SOUND_RATE), np.float32)
        wave[0, SOUND_RATE // 2 : SOUND_RATE // 2 + 100] = 0.9
        packets = []
        for first in range(0, SOUND_RATE, 1000):
            frame = av.AudioFrame.from_ndarray(wave[:, first : first + 1000], "fltp", "mono")
            frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            frame.pts = round(sound * SOUND_RATE) + first
            packets += track.encode(frame)
        packets += track.encode(None)
        for index in range(20):
            shown = make_frame(draw_number(index), "yuv420p")
            shown.pts, shown.time_base = round(picture * 1000) + 40 * index, Fraction(1, 1000)
            packets += video.encode(shown)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def first_frame(path: Path) -> Fraction:
    """Time of the first frame of an AVI: its place."""
    with av.open(str(path)) as source:
        source.flags &= ~AVFMT_FLAG_GENPTS
        packet = next(packet for packet in source.demux(video=0) if packet.size)
        return packet.dts * packet.time_base


def click(path: Path) -> float:
    with av.open(str(path)) as source:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in source.decode(audio=0)])
    scale = 1 if wave.dtype.kind == "f" else np.iinfo(wave.dtype).max
    return float(np.flatnonzero(np.abs(wave / scale) > 0.3)[0]) / SOUND_RATE


def quickly(**chosen: str) -> EnhanceOptions:
    return EnhanceOptions(
        model="bicubic",
        scale=2,
        inference=InferenceOptions(device="cpu"),
        encode=EncodeOptions(preset="ultrafast"),
        **chosen,
    )


@pytest.mark.parametrize(
    ("name", "codec"),
    [("in.mp4", "ac3"), ("in.mkv", "mp3"), ("in.mp4", "aac"), ("in.mkv", "pcm_s16le")],
)
@pytest.mark.parametrize(("picture", "sound"), [(0, 0), (0, 0.3), (0.5, 0), (2.013, 1)])
def test_sound_that_does_not_begin_with_the_picture_stays_in_step(
    tmp_path: Path, name: str, codec: str, picture: float, sound: float
) -> None:
    source = make_film(tmp_path / name, picture=picture, sound=sound, codec=codec)
    target = tmp_path / "out.avi"
    enhance(source, target, quickly())
    apart = click(target) - float(first_frame(target))
    assert apart == pytest.approx(sound + 0.5 - picture, abs=0.035)
    found = verify(source, target)
    assert found.passed, found.problems


@pytest.mark.parametrize("start", ["0.2", "0.21", "0.333"])
def test_a_part_begins_with_its_first_frame(tmp_path: Path, start: str) -> None:
    source = make_film(tmp_path / "in.mp4", picture=0, sound=0)
    target = tmp_path / "out.avi"
    made = enhance(source, target, quickly(start=start, duration="0.4"))
    assert made.frames == 10
    assert first_frame(target) == 0
    begins = -(-Fraction(start) // Fraction(1, RATE)) / RATE
    assert click(target) == pytest.approx(0.5 - float(begins), abs=0.01)
