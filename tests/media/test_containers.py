from __future__ import annotations

import os
from pathlib import Path

import pytest

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
    with pytest.raises(MuxError, match=r"wanted a video file \(\.mp4"):
        target_kind(name)


def test_an_empty_name_is_not_taken_for_pictures_in_this_folder() -> None:
    with pytest.raises(ConfigError, match="got an empty one"):
        target_kind("")


@pytest.mark.parametrize("name", ["%s.png", "%d%d.png", "%%.png"])
def test_a_pattern_needs_one_number(name: str) -> None:
    with pytest.raises(MuxError, match="one number"):
        target_kind(f"frames/{name}")


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
    with pytest.raises(MuxError, match="leads nowhere"):
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
