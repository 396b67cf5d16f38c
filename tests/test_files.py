"""What is written whole is on the disk before it gets its name, so a power cut leaves no husk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from synthetic import make_video

from vsr import files
from vsr.data.clips import open_clip
from vsr.files import give_name, whole, write_durably
from vsr.models.checkpoints import save_weights
from vsr.training.checkpoint import save_checkpoint

WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "bytes": lambda target, _: write_durably(target, b"text"),
    "weights": lambda target, _: save_weights(target, {"a": torch.ones(3)}, {"name": "x"}, {}),
    "checkpoint": lambda target, _: save_checkpoint(
        target, step=1, shape={"name": "x"}, parts={"net": torch.nn.Linear(1, 1)}
    ),
    "clip": lambda target, video: open_clip(video, target.parent),
}


def test_the_longest_name_that_a_file_may_have_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".json")
    write_durably(path, b"text")
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    video = make_video(tmp_path / "a.mp4", frames=2)
    folder = tmp_path / "out"
    folder.mkdir()
    synced: set[int] = set()
    renamed: list[Path] = []
    sync, replace = os.fsync, os.replace

    def note_sync(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    def note_name(part: Path, path: Path) -> None:
        assert os.stat(part).st_ino in synced
        replace(part, path)
        renamed.append(Path(path))

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_name)
    WRITERS[kind](folder / "target", video)
    assert sorted(renamed) == sorted(folder.iterdir())
    assert folder.stat().st_ino in synced


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_has_the_mode_that_the_umask_leaves(kind: str, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", frames=2)
    (tmp_path / "out").mkdir()
    before = os.umask(0o026)
    try:
        WRITERS[kind](tmp_path / "out" / "target", video)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o640}


def test_what_is_not_finished_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    with suppress(KeyboardInterrupt), whole(path) as part:
        part.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_text("half of a longer one")
    with whole(tmp_path / "a", alone=True) as part:
        part.write_text("all")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "all")]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with whole(path) as one, whole(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_a_finished_part_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_text("all")
    give_name(tmp_path / "a.part", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


HOLD = """
import sys, time
from pathlib import Path
from vsr import files
lock = files.take(Path(sys.argv[1]), print)
print("held" if lock else "refused", flush=True)
time.sleep(600)
"""


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not files.is_taken(path)
    assert not path.exists()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert files.is_taken(path)
    assert files.take(path, pytest.fail) is None
    holder.kill()
    holder.communicate(timeout=60)
    assert not files.is_taken(path)
    lock = files.take(path, pytest.fail)
    assert lock is not None
    lock.close()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    said: list[str] = []
    lock = files.take(tmp_path / "lock", said.append)
    assert lock is not None
    lock.close()
    assert f"{tmp_path} is on a file system without locks ({os.strerror(code)})" in said[0]
    assert not files.is_taken(tmp_path / "lock")


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.take(tmp_path / "missing" / "lock", pytest.fail)
