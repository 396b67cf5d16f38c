"""Shape and turn from file to file: display matrices, pixel aspects, alpha tags, single pixels."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from decoded import decode
from numpy.typing import NDArray
from synthetic import draw_number, make_frame, make_video, read_number

from vsr import enhance
from vsr.media.matroska import display_size, set_display_size
from vsr.media.probe import probe
from vsr.media.verify import verify
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import EnhanceResult

ONE, TOP = 1 << 16, 1 << 30


def enhanced(source: Path, target: Path, codec: str | None = None) -> EnhanceResult:
    """Enhance twice as large; the file must pass verification without the job's facts too."""
    options = EnhanceOptions(model="bicubic", scale=2, encode=EncodeOptions(codec=codec))
    result = enhance(source, target, options)
    assert verify(source, target).problems == ()
    return result


def turned(path: Path, a: int, b: int, c: int, d: int, x: int, y: int) -> Path:
    """Write an mp4, 64x48, with this matrix in its track header."""
    make_video(path, frames=3)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    values = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, x * ONE, y * ONE, TOP)
    data[place : place + 36] = struct.pack(">9i", *values)
    path.write_bytes(data)
    return path


def matrix_in(path: Path) -> tuple[int, ...]:
    data = path.read_bytes()
    place = data.index(b"tkhd") + 44
    return struct.unpack(">9i", data[place : place + 36])


TURNS = {
    "90": ((0, 1, -1, 0, 48, 0), (96, 0)),
    "180": ((-1, 0, 0, -1, 64, 48), (128, 96)),
    "270": ((0, -1, 1, 0, 0, 64), (0, 128)),
    "mirrored": ((-1, 0, 0, 1, 64, 0), (128, 0)),
    "upside down": ((1, 0, 0, -1, 0, 48), (0, 96)),
    "transposed": ((0, -1, -1, 0, 48, 64), (96, 128)),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_kept_and_its_translation_grows_with_the_picture(
    tmp_path: Path, name: str
) -> None:
    (a, b, c, d, x, y), (far, deep) = TURNS[name]
    source = turned(tmp_path / "in.mp4", a, b, c, d, x, y)
    enhanced(source, tmp_path / "out.mp4")
    wanted = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, far * ONE, deep * ONE, TOP)
    assert matrix_in(tmp_path / "out.mp4") == wanted
    enhanced(source, tmp_path / "out.mkv", "ffv1")
    found = probe(tmp_path / "out.mkv").video.display_matrix
    assert found == (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, TOP)


def test_mirroring_that_cannot_be_kept_is_reported(tmp_path: Path) -> None:
    source = turned(tmp_path / "in.mp4", 1, 0, 0, -1, 0, 48)
    notes = enhanced(source, tmp_path / "out.ts").warnings
    assert any("mirrored" in note and "mp4 or mkv" in note for note in notes)


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(16, 15), Fraction(93207, 65536)])
@pytest.mark.parametrize(("name", "codec"), [("out.mkv", "ffv1"), ("out.webm", "libvpx-vp9")])
def test_pixel_aspects_reach_matroska(
    tmp_path: Path, name: str, codec: str, aspect: Fraction
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, sample_aspect_ratio=aspect)
    notes = enhanced(source, tmp_path / name, codec).warnings
    assert not any("aspect" in note for note in notes)
    with av.open(str(tmp_path / name)) as made:
        (stream,) = made.streams.video
        assert stream.sample_aspect_ratio == aspect
        assert sum(1 for _ in made.decode(video=0)) == 3


def test_the_pixel_aspect_of_a_second_video_track_reaches_matroska(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with (
        av.open(str(make_video(tmp_path / "a.mkv", frames=3))) as first,
        av.open(str(make_video(tmp_path / "b.mkv", frames=3, codec="ffv1"))) as second,
        av.open(str(source), "w") as both,
    ):
        tracks = [both.add_stream_from_template(x.streams.video[0]) for x in (first, second)]
        for film, track in zip((first, second), tracks, strict=True):
            for packet in film.demux(video=0):
                if packet.size:
                    packet.stream = track
                    both.mux(packet)
    assert set_display_size(source, 1, Fraction(16, 15))
    enhanced(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as made:
        one, two = made.streams.video
        assert one.sample_aspect_ratio in (None, 1)
        assert two.sample_aspect_ratio == Fraction(16, 15)


def test_display_sizes_are_pixels_where_these_are_whole() -> None:
    assert display_size(720, 576, Fraction(16, 15)) == (768, 576, 0)
    assert display_size(720, 480, Fraction(8, 9)) == (640, 480, 0)
    assert display_size(64, 48, Fraction(4, 5)) == (64, 60, 0)
    assert display_size(720, 480, Fraction(32, 27)) == (16, 9, 3)


@pytest.mark.parametrize("audio", [(), ("aac", "aac")])
def test_a_display_size_moves_nothing_behind_the_tracks(
    tmp_path: Path, audio: tuple[str, ...]
) -> None:
    path = make_video(tmp_path / "a.mkv", frames=30, codec="ffv1", audio=audio)
    before = path.read_bytes()
    assert set_display_size(path, 0, Fraction(16, 15))
    after = path.read_bytes()
    cluster = before.index(b"\x1f\x43\xb6\x75")
    assert after[cluster:] == before[cluster:]
    assert probe(path).video.sample_aspect_ratio == Fraction(16, 15)
    with av.open(str(path)) as film:
        film.seek(800_000)
        assert next(film.decode(video=0)).time <= 0.8
    frames, summary, _ = decode(path)
    assert [read_number(frame.planes[0]) for frame in frames] == list(range(30))
    assert not summary.errors


def test_files_of_another_structure_keep_their_bytes(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2)
    before = path.read_bytes()
    assert not set_display_size(path, 0, Fraction(16, 15))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "codec", "held"),
    [
        ("out.avi", "mpeg4", Fraction(64, 45)),
        ("out.ts", "libx264", Fraction(46603, 32768)),
        ("out.avi", "ffv1", None),
    ],
)
def test_pixel_aspects_are_rounded_in_the_plan(
    tmp_path: Path, name: str, codec: str, held: Fraction | None
) -> None:
    aspect = Fraction(93207, 65536)
    source = make_video(tmp_path / "in.mp4", frames=3, sample_aspect_ratio=aspect)
    notes = enhanced(source, tmp_path / name, codec).warnings
    assert probe(tmp_path / name).video.sample_aspect_ratio == held
    (note,) = [note for note in notes if "pixel aspect" in note]
    assert "93207/65536" in note
    assert str(held) in note if held else "mp4 or mkv" in note


def test_the_aspects_of_mpeg2_are_few(tmp_path: Path) -> None:
    """MPEG-2 stores 4:3, 16:9, 2.21:1 or square pixels (H.262, table 6-3)."""
    source = make_video(
        tmp_path / "in.avi", frames=3, codec="mpeg4", rate=Fraction(25), size=(176, 144),
        sample_aspect_ratio=Fraction(16, 15),
    )  # fmt: skip
    notes = enhanced(source, tmp_path / "out.ts", "mpeg2video").warnings
    assert probe(tmp_path / "out.ts").video.sample_aspect_ratio == Fraction(12, 11)
    assert any("16/15 as 12/11" in note and "2.3 % wider" in note for note in notes)


def test_a_film_without_alpha_is_not_tagged_with_it(tmp_path: Path) -> None:
    source = tmp_path / "in.webm"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["alpha_mode"] = "1"
        for index in range(3):
            frame = make_frame(draw_number(index), "yuv420p")
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert b"\x53\xc0\x81\x01" in source.read_bytes()
    for name in ("out.webm", "out.mkv"):
        notes = enhanced(source, tmp_path / name).warnings
        assert any("alpha" in note for note in notes)
        assert b"\x53\xc0" not in (tmp_path / name).read_bytes()
        tags = probe(tmp_path / name).streams[0].tags
        assert "alpha_mode" not in {key.lower() for key in tags}


@pytest.mark.parametrize("size", [(1, 63), (64, 1), (1, 1)])
def test_pictures_one_pixel_wide_or_high(tmp_path: Path, size: tuple[int, int]) -> None:
    def waves(index: int, width: int, height: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[0:height, 0:width]
        grey = 120 + 60 * np.sin((x + y + 2 * index) / 6)
        return np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=-1)

    source = make_video(
        tmp_path / "in.avi", frames=3, size=size, codec="rawvideo", pix_fmt="bgr24", picture=waves
    )
    enhanced(source, tmp_path / "out.mp4", "libx264rgb")
    for index, frame in enumerate(decode(tmp_path / "out.mp4")[0]):
        assert frame.planes[0].shape == (2 * size[1], 2 * size[0])
        small = frame.planes[1].reshape(size[1], 2, size[0], 2).mean((1, 3))
        error = small - waves(index, *size)[..., 1]
        assert (error**2).mean() < 255**2 / 1000  # 30 dB
