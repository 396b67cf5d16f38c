"""MPEG program streams: recordings cut off in the middle of a packet keep their times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import draw_number, make_video, read_number

from vsr.media.decode import Decoder
from vsr.media.probe import probe

RATE = Fraction(25)
FRAMES = 30


def noisy(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """A number under noise, so that each frame takes more than a pack of 2048 bytes."""
    noise = np.random.default_rng(index).integers(-40, 40, (height, width, 3))
    return np.clip(draw_number(index, width, height) * 0.6 + 50 + noise, 0, 255).astype(np.uint8)


def numbered(path: Path) -> dict[int, Fraction]:
    """Times of the frames that can be read, by their numbers."""
    found: dict[int, Fraction] = {}
    with Decoder(probe(path)) as frames:
        for frame in frames:
            luma: NDArray[Any] = frame.planes[0]
            found[read_number(np.dstack([luma] * 3))] = frame.pts * frames.time_base
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(
        tmp_path_factory.mktemp("ps") / "whole.mpg",
        frames=FRAMES,
        size=(96, 64),
        codec="mpeg2video",
        rate=RATE,
        codec_options={"bf": "2", "g": "9", "qmin": "1", "qmax": "1"},
        audio=["mp2"],
        picture=noisy,
    )


@pytest.mark.parametrize("at", [0.013, 0.07, 0.151, 0.222, 0.35])
def test_without_its_start_every_frame_keeps_its_time(
    tmp_path: Path, whole: Path, at: float
) -> None:
    data, times = whole.read_bytes(), numbered(whole)
    assert len(times) == FRAMES
    cut = tmp_path / "cut.mpg"
    cut.write_bytes(data[int(len(data) * at) :])
    found = numbered(cut)
    assert len(found) >= FRAMES / 3
    assert found == {number: times[number] for number in found}
