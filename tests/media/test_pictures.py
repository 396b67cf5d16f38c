"""Pictures in and out: numbers that stay, files that cannot be decoded, films that are turned."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from decoded import decode
from numpy.typing import NDArray
from synthetic import draw_number, make_pictures, make_video, read_number

from vsr import enhance
from vsr.errors import ProbeError
from vsr.media.pictures import PictureFolder
from vsr.media.verify import Expected, verify
from vsr.options import DecodeOptions, EnhanceOptions
from vsr.pipeline import EnhanceResult

BICUBIC = EnhanceOptions(model="bicubic", scale=2)


def picture(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def enhanced(source: Path, folder: Path, options: EnhanceOptions = BICUBIC) -> EnhanceResult:
    result = enhance(source, f"{folder}/", options)
    assert verify(source, folder).problems == ()
    return result


def numbers_in(folder: Path) -> dict[str, int]:
    """The number that each picture shows, by its name."""
    return {path.name: read_number(picture(path)) for path in sorted(folder.iterdir())}


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": data[:40], "text": b"no picture"}[how])


@pytest.mark.parametrize("how", ["empty", "cut", "text"])
@pytest.mark.parametrize("bad", [1, 3, 5])
def test_a_picture_that_cannot_be_decoded_leaves_its_number_free(
    tmp_path: Path, bad: int, how: str
) -> None:
    source = make_pictures(tmp_path / "in", frames=5, name="f%04d.png")
    spoil(source / f"f000{bad}.png", how)
    result = enhanced(source, tmp_path / "out")
    assert numbers_in(tmp_path / "out") == {
        f"{number:06d}.png": number - 1 for number in range(1, 6) if number != bad
    }
    assert f"pictures that cannot be decoded, 1 in all: f000{bad}.png" in result.warnings
    enhance(source, tmp_path / "film.mp4", BICUBIC)
    frames, _, _ = decode(tmp_path / "film.mp4")
    shown = [(frame.pts - frames[0].pts, read_number(frame.planes[0])) for frame in frames]
    step = frames[1].pts - frames[0].pts if bad != 2 else 0
    first = shown[0][1]
    assert all(at == (number - first) * step for at, number in shown)


def test_numbers_count_from_the_start_that_was_asked_for(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=6)
    spoil(source / "000004.png", "empty")
    options = EnhanceOptions(model="bicubic", scale=2, start="0.0833", duration="0.2")
    enhance(source, f"{tmp_path}/out/", options)
    assert numbers_in(tmp_path / "out") == {"000001.png": 2, "000003.png": 4, "000004.png": 5}
    expected = Expected(decode=DecodeOptions(start=Fraction("0.0833"), duration=Fraction("0.2")))
    assert verify(source, tmp_path / "out", expected).problems == ()


def test_no_picture_that_decodes_is_an_error(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=2)
    for path in source.iterdir():
        spoil(path, "cut")
    with pytest.raises(ProbeError):
        enhance(source, f"{tmp_path}/out/", BICUBIC)


def test_moving_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Killed after older pictures were removed and one was moved."""
    for name in ("000001.png", "000003.png"):
        make_pictures(tmp_path / "waiting", frames=1, first=int(name[:6]))
    (tmp_path / "out").mkdir()
    (tmp_path / "waiting" / "000001.png").rename(tmp_path / "out" / "000001.png")
    assert PictureFolder(tmp_path / "waiting", tmp_path / "out" / "%06d.png").move(2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000001.png",
        "000003.png",
    ]


TURNS = {
    "90 clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "90 counter-clockwise": ((0, -1, 1, 0), np.rot90),
    "180": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda x: np.swapaxes(x, 0, 1)),
}


@pytest.mark.parametrize("name", TURNS)
def test_pictures_of_a_turned_film_are_turned(tmp_path: Path, name: str) -> None:
    (a, b, c, d), turn = TURNS[name]
    path = make_video(
        tmp_path / "in.mp4", frames=2, pix_fmt="yuv444p", sample_aspect_ratio=Fraction(1)
    )
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    one = 1 << 16
    struct.pack_into(">9i", data, place, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    notes = enhanced(path, tmp_path / "out").warnings
    assert any("turned as the input asks" in note for note in notes)
    for index in range(2):
        made = picture(tmp_path / "out" / f"{index + 1:06d}.png").astype(float)
        wanted = turn(draw_number(index)).astype(float)
        assert made.shape == (2 * wanted.shape[0], 2 * wanted.shape[1], 3)
        small = made.reshape(wanted.shape[0], 2, wanted.shape[1], 2, 3).mean((1, 3))
        assert np.abs(small - wanted).mean() < 8
