"""The cropping that Matroska asks players for is found and said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.cli.info import describe
from vsr.media.cropping import Crop, crop_notes, crop_of, read_crops
from vsr.media.probe import probe


def make_cropped(path: Path) -> Path:
    """Write a film whose colour element is replaced by cropping: 8 pixels left, 4 at the top."""
    make_video(path, frames=2, size=(64, 48), color=(1, 1, 1, 1), audio=["flac"])
    data = bytearray(path.read_bytes())
    # With its length, of one byte, and its first child: two bytes alone may lie in a random number.
    found = re.search(rb"\x55\xb0[\x81-\xfe]\x55[\xb1-\xbd]", data)
    assert found is not None
    start = found.start()
    length = 3 + (data[start + 2] & 0x7F)
    crops = b"\x54\xcc\x81\x08" + b"\x54\xbb\x81\x04"
    void = length - len(crops) - 2
    data[start : start + length] = crops + bytes([0xEC, 0x80 | void]) + bytes(void)
    path.write_bytes(data)
    return path


def test_cropping_is_named_with_the_filter_that_does_it(tmp_path: Path) -> None:
    info = probe(make_cropped(tmp_path / "in.mkv"))
    assert crop_of(info) == Crop(left=8, top=4)
    (note,) = crop_notes(info, None)
    assert "players hide 8 px left, 4 px top" in note
    assert "--filter crop=iw-8:ih-4:8:4 " in note
    assert "  hidden    8 px left, 4 px top (crop=iw-8:ih-4:8:4)" in describe(info)


def test_filters_that_crop_are_left_to_the_user(tmp_path: Path) -> None:
    info = probe(make_cropped(tmp_path / "in.mkv"))
    assert crop_notes(info, "crop=iw-8:ih-4:8:4") == ()


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4"])
def test_a_film_without_cropping_is_not_said_to_have_it(tmp_path: Path, name: str) -> None:
    info = probe(make_video(tmp_path / name, frames=2))
    assert crop_of(info) is None
    assert crop_notes(info, None) == ()


@pytest.mark.parametrize("kept", [0, 3, 60, 300])
def test_a_file_that_is_cut_short_has_no_cropping(tmp_path: Path, kept: int) -> None:
    path = make_cropped(tmp_path / "in.mkv")
    path.write_bytes(path.read_bytes()[:kept])
    assert all(crop is None for crop in read_crops(path))
