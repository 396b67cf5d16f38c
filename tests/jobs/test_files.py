"""Which files a batch takes, and where their outputs go: none twice, none left out unsaid."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vsr.errors import ConfigError
from vsr.jobs.files import plan_files


def planned(tmp_path: Path, *given: str, container: str | None = None) -> dict[str, str]:
    """Plan inputs below a folder; give outputs as seen from the output folder."""
    out = tmp_path / "out"
    found = plan_files([str(tmp_path / name) for name in given], out, container)
    return {
        str(source.relative_to(tmp_path)): str(target.relative_to(out)) for source, target in found
    }


def touch(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()


@pytest.mark.parametrize("given", [["t1/tape.mp4", "t2/tape.mp4"], ["t1", "t2"]])
def test_files_of_one_name_from_two_inputs_get_folders(tmp_path: Path, given: list[str]) -> None:
    touch(tmp_path, "t1/tape.mp4", "t2/tape.mp4", "t2/other.mp4")
    found = planned(tmp_path, *given)
    assert found.pop("t2/other.mp4", "other.mp4") == "other.mp4"
    assert found == {"t1/tape.mp4": "t1/tape.mp4", "t2/tape.mp4": "t2/tape.mp4"}


def test_as_many_folders_are_kept_as_it_takes(tmp_path: Path) -> None:
    touch(tmp_path, "x/disc1/VTS/1.VOB", "x/disc2/VTS/1.VOB", "y/disc2/VTS/1.VOB")
    found = planned(tmp_path, "x/disc1/VTS", "x/disc2/VTS", "y/disc2/VTS")
    assert list(found.values()) == [
        "disc1/VTS/1.mkv", "x/disc2/VTS/1.mkv", "y/disc2/VTS/1.mkv",
    ]  # fmt: skip


def test_a_whole_name_that_another_has_already_is_not_taken(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.mpg", "d/a.vob", "d/a.mpg.mkv")
    found = planned(tmp_path, "d")
    assert len(set(found.values())) == 3
    assert found["d/a.vob"] == "a.vob.mkv"


def test_a_pattern_takes_what_is_in_the_folders_that_it_matches(tmp_path: Path) -> None:
    touch(tmp_path, "names/deep/a.mp4", "names/notes.txt", "nam.mp4", "other/b.mp4")
    assert planned(tmp_path, "nam*") == {
        "nam.mp4": "nam.mp4", "names/deep/a.mp4": "names/deep/a.mp4",
    }  # fmt: skip


def test_a_pattern_takes_no_outputs(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "out/a.mp4")
    assert planned(tmp_path, "*", "**/*.mp4") == {"a.mp4": "a.mp4"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("empty*", "matches only folders without a video"),
        ("empty", "has no video in it"),
        ("out", "lies in the output folder"),
        ("out/sub", "lies in the output folder"),
        ("out/*", "lies in the output folder"),
    ],
)
def test_inputs_that_leave_nothing_to_do_are_named(
    tmp_path: Path, given: str, message: str
) -> None:
    touch(tmp_path, "empty/notes.txt", "out/sub/a.mp4", "out/b.mp4")
    with pytest.raises(ConfigError, match=message):
        planned(tmp_path, given)


def test_a_file_that_cannot_be_looked_at_is_taken_to_fail_with_its_reason(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.mp4")
    os.symlink("gone.mp4", tmp_path / "d" / "b.mp4")
    assert list(planned(tmp_path, "d")) == ["d/a.mp4", "d/b.mp4"]


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_taken(tmp_path: Path) -> None:
    touch(tmp_path, "tapes/a.mp4")
    # No permission stops root, a path longer than the system takes does.
    name = "d" * 250
    depth = os.pathconf(tmp_path, "PC_PATH_MAX") // len(name) + 1
    above = os.open(tmp_path / "tapes", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=above)
        below = os.open(name, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    said: list[str] = []
    found = plan_files([str(tmp_path / "tapes")], tmp_path / "out", None, said.append)
    assert [source.name for source, _ in found] == ["a.mp4"]
    assert len(said) == 1
    assert said[0].endswith("it cannot be read: File name too long")
