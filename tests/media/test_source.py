"""Pictures are found, ordered and decoded as a video."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import synthetic

from vsr.errors import ProbeError
from vsr.media.decode import Decoder
from vsr.media.probe import probe
from vsr.media.source import find_pictures
from vsr.options import DecodeOptions


def numbers(path: Path, **options: Fraction) -> list[int]:
    with Decoder(probe(path), DecodeOptions(**options)) as decoder:  # type: ignore[arg-type]
        return [synthetic.read_number(np.stack(frame.planes, -1)) for frame in decoder]


@pytest.mark.parametrize("name", ["%06d.png", "shot_%d.png", "a%%b_%03d.png"])
@pytest.mark.parametrize("first", [0, 1, 997])
def test_folder_and_pattern_give_pictures_by_number(tmp_path: Path, name: str, first: int) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=12, first=first, name=name)
    assert numbers(folder) == list(range(12))
    if "%%" not in name:
        assert numbers(folder / name) == list(range(12))


def test_pictures_have_the_rate_asked_for(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=6)
    assert probe(folder).video.frame_rate == 24
    info = probe(folder, picture_rate=Fraction(30000, 1001))
    assert (info.format, info.video.frame_count, info.video.codec) == ("images", 6, "png")
    assert info.video.duration == Fraction(6006, 30000)
    with Decoder(info) as decoder:
        frames = list(decoder)
    times = [frame.pts * decoder.time_base for frame in frames]
    assert times == [Fraction(1001 * i, 30000) for i in range(6)]
    assert {frame.duration * decoder.time_base for frame in frames} == {Fraction(1001, 30000)}


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "depth"),
    [
        ("png", "png", "rgb24", 8),
        ("png", "png", "rgb48be", 16),
        ("png", "png", "gray", 8),
        ("png", "png", "gray16be", 16),
        ("tiff", "tif", "rgb24", 8),
        ("tiff", "tiff", "rgb48le", 16),
        ("mjpeg", "jpg", "yuvj420p", 8),
        ("bmp", "bmp", "bgr24", 8),
    ],
)
def test_kinds_and_depths_of_pictures(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, depth: int
) -> None:
    folder = synthetic.make_pictures(
        tmp_path / "in", frames=3, name=f"%04d.{suffix}", codec=codec, pix_fmt=pix_fmt
    )
    assert len(probe(folder).streams) == 1
    with Decoder(probe(folder)) as decoder:
        frames = list(decoder)
    assert decoder.format.bit_depth == depth
    assert [synthetic.read_number(frame.planes[0]) for frame in frames] == [0, 1, 2]
    if decoder.format.chroma == "rgb":
        expected = synthetic.draw_number(2).astype(int) * (257 if depth == 16 else 1)
        assert np.array_equal(np.stack(frames[2].planes, -1), expected)


def test_a_gap_names_the_missing_picture(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=6)
    (folder / "000004.png").unlink()
    with pytest.raises(ProbeError, match=r"000004\.png is missing among pictures 1 to 6"):
        probe(folder)
    with pytest.raises(ProbeError, match=r"000004\.png"):
        probe(folder / "%06d.png")


def test_a_gap_is_named_where_more_digits_follow(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=3, name="f%04d_v2.png")
    (folder / "f0002_v2.png").unlink()
    with pytest.raises(ProbeError, match=r"f0002_v2\.png is missing among pictures 1 to 3"):
        probe(folder / "f%04d_v2.png")


def test_two_pictures_of_one_number_are_refused(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=3, name="%d.png")
    (folder / "01.png").write_bytes((folder / "1.png").read_bytes())
    with pytest.raises(ProbeError, match=r"1\.png and .*1\.png have one number"):
        probe(folder)


def test_pattern_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="no pictures match this pattern"):
        probe(tmp_path / "no_%03d.png")


def test_mixed_kinds_are_refused(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=2)
    synthetic.make_pictures(folder, frames=2, name="%06d.bmp", codec="bmp", pix_fmt="bgr24")
    with pytest.raises(ProbeError, match=r"several kinds \(\.bmp, \.png\)"):
        probe(folder)
    assert numbers(folder / "%06d.png") == [0, 1]


def test_names_without_numbers_are_ordered_as_people_do(tmp_path: Path) -> None:
    for name in ("b2x.png", "b10x.png", "b\u00b2x.png", "a.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = find_pictures(tmp_path)
    assert found is not None
    assert [path.name for path in found] == ["a.png", "b2x.png", "b10x.png", "b\u00b2x.png"]


def test_one_picture_is_a_sequence_of_one(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=1, name="50%%_%d.png")
    (picture,) = folder.iterdir()
    assert numbers(picture) == [0]
    assert probe(picture).video.frame_count == 1


def test_start_and_duration_choose_pictures(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=72)
    assert numbers(folder, start=Fraction(2), duration=Fraction(1, 2)) == list(range(48, 60))


def test_a_broken_picture_is_counted_and_the_others_given(tmp_path: Path) -> None:
    folder = synthetic.make_pictures(tmp_path / "in", frames=5)
    (folder / "000003.png").write_bytes(b"no picture")
    with Decoder(probe(folder)) as decoder:
        frames = list(decoder)
    read = [synthetic.read_number(np.stack(frame.planes, -1)) for frame in frames]
    assert read == [0, 1, 3, 4]
    assert [(run.count, run.start) for run in decoder.summary.lost] == [(1, Fraction(2, 24))]


def make_animation(path: Path, frames: int = 5) -> Path:
    return synthetic.make_video(
        path, frames=frames, codec="apng", pix_fmt="rgb24", format="apng", rate=Fraction(10)
    )


def test_an_animated_png_is_a_film(tmp_path: Path) -> None:
    animation = make_animation(tmp_path / "film.png")
    info = probe(animation)
    assert (info.format, info.video.frame_rate) == ("apng", 10)
    assert numbers(animation) == [0, 1, 2, 3, 4]


def test_an_animated_png_among_pictures_is_named(tmp_path: Path) -> None:
    make_animation(tmp_path / "1.png")
    with pytest.raises(
        ProbeError, match=r"1\.png is an animated PNG among still pictures; use it as its own input"
    ):
        probe(tmp_path)


def test_an_animated_webp_is_not_called_damaged(tmp_path: Path) -> None:
    head = b"RIFF\x00\x07\x00\x00WEBPVP8X\x0a\x00\x00\x00\x12" + bytes(40)
    (tmp_path / "a.webp").write_bytes(head)
    with pytest.raises(ProbeError, match=r"animated WebP.*magick a\.webp -coalesce frames/"):
        probe(tmp_path / "a.webp")


@pytest.mark.parametrize("name", ["film.mkv", "picture.png"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ProbeError, match=r"is a pipe or device.*save it to a file"):
        probe(tmp_path / name)


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(palette_png())
    with Decoder(probe(picture)) as decoder:
        (frame,) = decoder
    assert [plane[0].tolist() for plane in frame.planes] == [[255, 0], [0, 128], [10, 200]]


def palette_png() -> bytes:
    """Write a 2x1 PNG with a palette of two colours by hand: no encoder at hand makes one."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)
    colours = bytes((255, 0, 10, 0, 128, 200))
    rows = zlib.compress(bytes((0, 0, 1)))
    parts = chunk(b"IHDR", header) + chunk(b"PLTE", colours) + chunk(b"IDAT", rows)
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")
