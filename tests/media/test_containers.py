"""Targets that can be written, and those that are refused."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic import make_pictures, make_video

from vsr.cli.main import main
from vsr.errors import ConfigError, MuxError
from vsr.media.containers import check_target, partial_path, pictures_in, target_kind


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_bytes(b"film")
    return path


@pytest.mark.parametrize(
    ("name", "muxer"),
    [("a.mp4", "mp4"), ("a.MKV", "matroska"), ("a.ts", "mpegts"), ("a/%04d.png", "images")],
)
def test_the_extension_tells_the_container(name: str, muxer: str) -> None:
    assert target_kind(name).muxer == muxer


def test_a_last_slash_means_a_folder_of_pictures() -> None:
    assert target_kind("frames/").pattern == Path("frames/%06d.png")


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.srt"])
def test_unknown_extensions_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(MuxError, match=r"name a video file \(\.mp4"):
        target_kind(name)


def test_an_empty_name_is_not_taken_for_pictures_in_this_folder() -> None:
    with pytest.raises(ConfigError, match="name of the output is empty"):
        target_kind("")


@pytest.mark.parametrize("name", ["%s.png", "%d%d.png", "%%.png"])
def test_a_pattern_needs_one_number(name: str) -> None:
    with pytest.raises(MuxError, match="one number"):
        target_kind(f"frames/{name}")


def test_a_pattern_that_would_pad_with_spaces_is_refused() -> None:
    with pytest.raises(MuxError, match=r"write %05d, so that numbers begin with zeros"):
        target_kind("frames/%5d.png")


def test_a_folder_whose_pictures_hold_the_input_is_refused(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "in", frames=3)
    with pytest.raises(MuxError, match="holds the input itself"):
        check_target(folder / "000002.png", f"{folder}/", overwrite=True)


def test_the_input_itself_is_refused(source: Path) -> None:
    with pytest.raises(MuxError, match="is the input itself"):
        check_target(source, source, overwrite=True)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_the_input_by_a_link_is_refused(source: Path, link: object) -> None:
    other = source.with_name("other.mp4")
    assert callable(link)
    link(source, other)
    with pytest.raises(MuxError, match="is the input itself"):
        check_target(source, other, overwrite=True)


def test_an_existing_output_needs_overwrite(source: Path) -> None:
    target = source.with_name("out.mp4")
    target.touch()
    with pytest.raises(MuxError, match="--overwrite"):
        check_target(source, target, overwrite=False)
    assert check_target(source, target, overwrite=True).muxer == "mp4"


def test_a_missing_folder_is_named(source: Path) -> None:
    with pytest.raises(MuxError, match=r"folder .*missing does not exist; create it"):
        check_target(source, source.parent / "missing" / "out.mp4", overwrite=False)


def test_a_file_in_the_place_of_the_folder_is_named(source: Path) -> None:
    with pytest.raises(MuxError, match="is no folder"):
        check_target(source, source / "out.mp4", overwrite=False)


def test_a_dangling_link_is_refused(source: Path) -> None:
    target = source.with_name("out.mp4")
    target.symlink_to(source.parent / "nowhere.mp4")
    with pytest.raises(MuxError, match="link to nothing"):
        check_target(source, target, overwrite=True)


def test_an_unwritable_folder_is_refused(source: Path) -> None:
    # Even root cannot create files in /proc.
    with pytest.raises(MuxError, match=r"cannot be written|does not exist"):
        check_target(source, "/proc/self/out.mp4", overwrite=False)


def test_a_name_too_long_for_its_temporary_sibling_is_refused(source: Path) -> None:
    with pytest.raises(MuxError, match="longer than"):
        check_target(source, source.with_name("x" * 248 + ".mp4"), overwrite=False)


def test_the_partial_file_is_hidden_and_beside_the_target(tmp_path: Path) -> None:
    partial = partial_path(tmp_path / "out.mp4")
    assert (partial.parent, partial.name) == (tmp_path, ".out.mp4.part")


def test_a_folder_with_pictures_needs_overwrite(source: Path) -> None:
    folder = source.with_name("frames")
    folder.mkdir()
    (folder / "notes.txt").touch()
    assert check_target(source, f"{folder}/", overwrite=False).muxer == "images"
    (folder / "000001.png").touch()
    with pytest.raises(MuxError, match="--overwrite"):
        check_target(source, f"{folder}/", overwrite=False)


def test_the_folder_of_the_input_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "000001.png").touch()
    with pytest.raises(MuxError, match="holds the input pictures"):
        check_target(tmp_path / "%06d.png", f"{tmp_path}/", overwrite=True)


def test_only_names_that_the_pattern_makes_count(tmp_path: Path) -> None:
    for name in ("f_0002.png", "f_0010.png", "f_3.png", "g_0004.png", "f_0005.jpg"):
        (tmp_path / name).touch()
    found = [path.name for path in pictures_in(tmp_path / "f_%04d.png")]
    assert found == ["f_0002.png", "f_0010.png"]


FAST = ["--model", "bicubic", "--preset", "ultrafast", "--progress", "none"]
EVALUATE = ["evaluate", "--model", "bicubic", "--data", ".", "--protocol", "folder-bi"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enhance", "in.mpg", "out.mp4", "--report", "in.mpg", *FAST], "holds something else"),
        (["enhance", "in.mpg", "out.mp4", "--report", "link.json", *FAST], "holds something else"),
        (["enhance", "in.mpg", "out.mp4", "--report", "out.mp4", *FAST], "name of a film"),
        (["enhance", "in.mpg", "out/", "--report", "out/000000.png", *FAST], "name of a film"),
        (["enhance", "in.mpg", "out.mp4", "--report", "my.srt", *FAST], "holds something else"),
        (["enhance", "in.mpg", "out.mp4", "--report", "in.mpg", "--dry-run"], "contradict each"),
        (["batch", "in.mpg", "--output-dir", "o", "--summary", "in.mpg", *FAST], "something else"),
        (["batch", "in.mpg", "--output-dir", "o", "--summary", "o/in.mkv", *FAST], "name of a"),
        (["batch", "--status", "o", "--summary", "in.mpg"], "holds something else"),
        ([*EVALUATE, "--markdown", "in.mpg"], "--markdown writes text"),
    ],
)
def test_a_record_is_not_written_over_a_film(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    film = make_video(tmp_path / "in.mpg", frames=2, codec="mpeg2video", rate=Fraction(25))
    before = film.read_bytes()
    (tmp_path / "link.json").symlink_to("in.mpg")
    (tmp_path / "my.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert film.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_record_is_not_written_to_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    arguments = ["enhance", str(source), str(tmp_path / "out.mp4"), "--report", str(tmp_path)]
    assert main([*arguments, *FAST]) == 1
    assert "is a folder, and --report writes a file" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [source]


@pytest.mark.parametrize("held", ["", '{"frames": 1}\n'])
def test_an_earlier_report_or_an_empty_file_is_replaced(tmp_path: Path, held: str) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    report = tmp_path / "report"
    report.write_text(held)
    arguments = ["enhance", str(source), str(tmp_path / "out.mp4"), "--report", str(report)]
    assert main([*arguments, *FAST]) == 0
    assert json.loads(report.read_text())["frames"] == 2
