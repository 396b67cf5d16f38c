"""The shape of pixels: the container's word counts, filters keep it, and splices may change it."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from decoded import decode
from numpy.typing import NDArray
from synthetic import make_video, splice

RATE = Fraction(25)


def plain(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 150, np.uint8)


def shaped(path: Path, aspect: Fraction) -> Path:
    return make_video(path, frames=4, rate=RATE, sample_aspect_ratio=aspect, picture=plain)


@pytest.mark.parametrize(
    ("aspect", "rows", "columns"),
    [(Fraction(4, 3), slice(8, 36), slice(0, 64)), (Fraction(3, 4), slice(0, 48), slice(8, 52))],
)
def test_shapes_stay_right_where_the_pixel_aspect_changes(
    tmp_path: Path, aspect: Fraction, rows: slice, columns: slice
) -> None:
    square, other = shaped(tmp_path / "a.ts", Fraction(1)), shaped(tmp_path / "b.ts", aspect)
    frames, summary, decoder = decode(splice(tmp_path / "ab.ts", square, other))
    assert decoder.sample_aspect_ratio == 1
    assert [int(frame.planes[0][0, 0]) < 20 for frame in frames] == [False] * 4 + [True] * 4
    luma = frames[5].planes[0]
    inside = luma[rows, columns].astype(int)
    assert abs(inside - int(frames[0].planes[0][24, 32])).max() < 12
    assert (luma < 20).sum() == 64 * 48 / 4
    (note,) = summary.warnings
    assert f"pixel aspect 1:1 to {aspect.numerator}:{aspect.denominator}" in note
    assert "black bars" in note


def test_the_pixel_aspect_is_that_of_the_frames_where_decoding_starts_late(tmp_path: Path) -> None:
    first, then = (shaped(tmp_path / f"{n}.ts", Fraction(4, n)) for n in (4, 3))
    _, summary, decoder = decode(splice(tmp_path / "ab.ts", first, then), start=5 / RATE)
    assert decoder.sample_aspect_ratio == Fraction(4, 3)
    assert summary.warnings == ()


def with_container_aspect(path: Path, width: int, height: int) -> Path:
    """Set the pixel aspect that an mp4 states; the codec's stays."""
    data = path.read_bytes()
    place = data.index(b"pasp") + 4
    path.write_bytes(data[:place] + struct.pack(">II", width, height) + data[place + 8 :])
    return path


@pytest.mark.parametrize(
    ("field_order", "options"),
    [
        (None, {}),
        (None, {"filter_chain": "null"}),
        (None, {"filter_chain": "scale=32:48,scale=64:48"}),
        ("tff", {}),
        ("tff", {"deinterlace": "off", "filter_chain": "null"}),
    ],
)
def test_the_containers_pixel_aspect_counts_and_passes_filters(
    tmp_path: Path, field_order: str | None, options: dict[str, str]
) -> None:
    path = make_video(
        tmp_path / "a.mp4", frames=4, rate=RATE, sample_aspect_ratio=Fraction(3, 2),
        field_order=field_order,
    )  # fmt: skip
    frames, summary, decoder = decode(with_container_aspect(path, 3, 4), **options)
    assert len(frames) == 4
    assert decoder.sample_aspect_ratio == Fraction(3, 4)
    assert summary.warnings == ()
