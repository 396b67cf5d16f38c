"""Outputs get their name when they are whole; errors and full disks leave nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import make_video

from vsr.errors import DiskError, MuxError
from vsr.files import write_error
from vsr.media.clock import output_clock
from vsr.media.containers import target_kind
from vsr.media.encode import plan_encoding
from vsr.media.mux import Writer
from vsr.media.pictures import PictureFolder, PictureWriter
from vsr.media.pieces import PieceWriter
from vsr.media.probe import SourceInfo, probe
from vsr.media.streams import plan_streams
from vsr.media.types import PlaneFormat
from vsr.options import EncodeOptions

YUV420 = PlaneFormat(name="yuv420p", chroma="420", bit_depth=8)


def grey_piece(writer: Writer, path: Path) -> Path:
    """Write a piece of one grey frame."""
    with PieceWriter(path, writer.target, writer.plan, output_clock(writer.plan, None)) as piece:
        piece.write(grey_planes(), 0, 1000)
        piece.finish()
    return path


def open_writer(source: Path, target: Path) -> Writer:
    info = probe(source)
    plan = plan_encoding(
        info,
        target,
        width=64,
        height=48,
        time_base=info.video.time_base,
        frame_rate=info.video.frame_rate,
        sample_aspect_ratio=None,
        plane_format=YUV420,
        options=EncodeOptions(preset="ultrafast"),
    )
    return Writer(info, target, plan, plan_streams(info, target))


def grey_planes(value: int = 128) -> list[np.ndarray]:
    return [np.full(shape, value, np.uint8) for shape in ((48, 64), (24, 32), (24, 32))]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("publishing") / "film.mkv")


def test_hidden_until_published(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with open_writer(film, target) as writer:
        piece = grey_piece(writer, tmp_path / "piece")
        writer.join([piece])
        piece.unlink()
        assert not target.exists()
        assert writer.partial.exists()
        writer.publish(overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_an_error_leaves_nothing_behind(film: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(film, tmp_path / "out.mp4") as writer:  # noqa: PT012
        assert writer.partial.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_leaving_before_publishing_leaves_nothing_behind(film: Path, tmp_path: Path) -> None:
    with open_writer(film, tmp_path / "out.mp4") as writer:
        piece = grey_piece(writer, tmp_path / "piece")
        writer.join([piece])
    assert list(tmp_path.iterdir()) == [piece]


def test_a_target_that_came_meanwhile_is_not_overwritten(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with open_writer(film, target) as writer:
        writer.join([grey_piece(writer, tmp_path / "piece")])
        target.write_bytes(b"precious")
        with pytest.raises(MuxError, match="exists by now"):
            writer.publish(overwrite=False)
    assert target.read_bytes() == b"precious"


def test_no_frames_are_an_error(film: Path, tmp_path: Path) -> None:
    with open_writer(film, tmp_path / "out.mp4") as writer, pytest.raises(MuxError, match="no fra"):
        writer.join([])
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    sys.path[:0] = sys.argv[3:]
    from synthetic_streams import enhance_nearest
    from vsr.errors import MuxError
    from vsr.options import EncodeOptions
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        enhance_nearest(Path(sys.argv[1]), Path(sys.argv[2]), options=EncodeOptions(crf=0))
    except MuxError as error:
        print(error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    """A limit on file sizes stands in for the disk: the system answers EFBIG instead of ENOSPC."""
    source = make_video(tmp_path / "in.mp4", frames=40)
    target = tmp_path / f"out{suffix}"
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(source), str(target), *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the file is too large for this disk or for a limit on file sizes" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_full_disk_names_the_free_space(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full, open("/dev/full", "wb") as device:  # noqa: PT012
        device.write(b"x" * 100_000)
        device.flush()
    error = write_error(tmp_path / "out.mp4", full.value)
    assert isinstance(error, DiskError)
    assert re.search(r"[KMG]iB free", str(error))


def picture_writer(info: SourceInfo, target: str, planes: PlaneFormat) -> PictureWriter:
    plan = plan_encoding(
        info,
        target,
        width=33,
        height=17,
        time_base=Fraction(1, 24),
        frame_rate=Fraction(24),
        sample_aspect_ratio=None,
        plane_format=planes,
    )
    pattern = target_kind(target).pattern
    return PictureWriter(pattern.parent.with_name("waiting"), pattern, plan)


@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_hold_every_sample(film: Path, tmp_path: Path, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    random = np.random.default_rng(1)
    frames = [random.integers(0, 1 << bits, (3, 17, 33), dtype) for _ in range(3)]
    layout = PlaneFormat(name="gbrp" if bits == 8 else "gbrp16le", chroma="rgb", bit_depth=bits)
    writer = picture_writer(probe(film), f"{tmp_path}/frames/", layout)
    for index, planes in enumerate(frames):
        writer.write(tuple(planes), index, 1)
    writer.finish()
    PictureFolder(writer.folder, writer.target).publish(overwrite=False)
    paths = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in paths] == ["000001.png", "000002.png", "000003.png"]
    for path, planes in zip(paths, frames, strict=True):
        with av.open(str(path)) as picture:
            found = next(picture.decode(video=0)).to_ndarray(
                format="rgb24" if bits == 8 else "rgb48le"
            )
        np.testing.assert_array_equal(found, planes.transpose(1, 2, 0))


def test_pictures_join_a_folder_and_replace_only_their_own_names(
    film: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("000001.png", "000002.png", "notes.txt"):
        (folder / name).write_text("old")
    layout = PlaneFormat(name="gbrp", chroma="rgb", bit_depth=8)
    writer = picture_writer(probe(film), f"{folder}/", layout)
    writer.write((np.zeros((17, 33), np.uint8),) * 3, 0, 1)
    writer.finish()
    finished = PictureFolder(writer.folder, writer.target)
    with pytest.raises(MuxError, match="--overwrite"):
        finished.publish(overwrite=False)
    finished.publish(overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["000001.png", "notes.txt"]
    assert (folder / "notes.txt").read_text() == "old"
