"""Splices of unlike recordings: all frames come like the first, right in colour and shape."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from decoded import decode
from numpy.typing import NDArray
from synthetic import make_pictures, make_video, read_number, splice

from vsr.data.pictures import color_layout
from vsr.media.frames import PlanarFrame
from vsr.media.probe import probe
from vsr.ops.color import planes_to_rgb

RATE = Fraction(25)
SD, HD = (6, 6, 6, 1), (1, 1, 1, 1)  # tags of BT.601 and BT.709
FULL_HD = (1, 1, 1, 2)
RED = (208, 64, 32)


def red(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), RED, np.uint8)


def part(path: Path, color: tuple[int, int, int, int] | None, width: int = 64) -> Path:
    size = (width, width * 3 // 4)
    return make_video(path, frames=4, rate=RATE, size=size, color=color, picture=red)


def shown(frame: PlanarFrame, path: Path) -> list[int]:
    """Give the RGB of the picture's middle, by the tags of the whole file."""
    layout, _ = color_layout(probe(path), frame.format)
    rgb = planes_to_rgb([torch.from_numpy(plane.copy()) for plane in frame.planes], layout)
    return [round(float(value) * 255) for value in rgb[:, rgb.shape[1] // 2, rgb.shape[2] // 2]]


@pytest.mark.parametrize(
    ("first", "then", "width", "words"),
    [
        (SD, HD, 64, "colour matrix BT.601 to BT.709"),
        (HD, SD, 64, "colour matrix BT.709 to BT.601"),
        (HD, FULL_HD, 64, "colour range limited to full"),
        (SD, FULL_HD, 128, "colour matrix BT.601 to BT.709, colour range limited to full"),
    ],
)
def test_colours_stay_right_where_the_tags_change(
    tmp_path: Path,
    first: tuple[int, int, int, int],
    then: tuple[int, int, int, int],
    width: int,
    words: str,
) -> None:
    path = splice(
        tmp_path / "both.ts", part(tmp_path / "a.ts", first), part(tmp_path / "b.ts", then, width)
    )
    frames, summary, _ = decode(path)
    assert len(frames) == 8
    for frame in frames:
        assert shown(frame, path) == pytest.approx(RED, abs=3)
    (note,) = summary.warnings
    assert words in note
    assert "4 in all" in note


def test_colours_are_those_of_the_file_where_decoding_starts_late(tmp_path: Path) -> None:
    path = splice(tmp_path / "ab.ts", part(tmp_path / "a.ts", SD), part(tmp_path / "b.ts", HD))
    frames, _, _ = decode(path, start=5 / RATE)
    assert len(frames) == 3
    assert shown(frames[0], path) == pytest.approx(RED, abs=3)


def test_untagged_frames_of_the_same_size_are_left_as_they_are(tmp_path: Path) -> None:
    path = splice(tmp_path / "ab.ts", part(tmp_path / "a.ts", HD), part(tmp_path / "b.ts", None))
    frames, summary, _ = decode(path)
    assert len(frames) == 8
    assert summary.warnings == ()


def test_a_change_that_comes_again_is_said_once(tmp_path: Path) -> None:
    small = make_video(tmp_path / "s.ts", frames=4, rate=RATE)
    large = make_video(tmp_path / "l.ts", frames=4, rate=RATE, size=(128, 96))
    frames, summary, _ = decode(splice(tmp_path / "slsl.ts", small, large, small, large))
    assert [read_number(frame.planes[0]) for frame in frames] == [0, 1, 2, 3] * 4
    (note,) = summary.warnings
    assert "0.160 s after its start (size 64x48 to 128x96); such frames, 8 in all" in note


@pytest.mark.parametrize(("first", "then"), [("rgb24", "gray"), ("gray", "rgb24")])
def test_pictures_of_different_formats_come_in_the_first_ones(
    tmp_path: Path, first: str, then: str
) -> None:
    make_pictures(tmp_path / "p", frames=2, pix_fmt=first)
    frames, summary, _ = decode(make_pictures(tmp_path / "p", frames=2, first=3, pix_fmt=then))
    assert [read_number(frame.planes[0]) for frame in frames] == [0, 1, 0, 1]
    (note,) = summary.warnings
    assert f"pixel format {first} to {then}" in note
