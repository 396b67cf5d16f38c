"""A journal that cannot be read or written is one line that says what to do."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from small_disk import small_disk
from synthetic import make_video

from vsr.cli.main import main
from vsr.errors import BusyError, ConfigError, DiskError
from vsr.jobs.journal import NAME, BatchJob, open_journal

JOB = BatchJob(source="a.mp4", target="b.mp4", request="", state="queued")


def fill(folder: Path) -> None:
    """Leave no room on a disk."""
    with (folder / "full").open("wb") as file:
        for size in (2**16, 4096, 1):
            while True:
                try:
                    os.write(file.fileno(), bytes(size))
                except OSError:
                    break


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40 * 4096) as disk:
        with open_journal(disk) as journal:
            journal.put(JOB)
        fill(disk)
        said = r"the disk is full or fails \(.*; 0 KiB free\); make room"
        with pytest.raises(DiskError, match=said), open_journal(disk) as journal:
            journal.put(replace(JOB, error="long" * 100_000))
        with open_journal(disk, create=False) as journal:
            assert journal.jobs() == [JOB]


def test_a_batch_on_a_full_disk_ends_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with small_disk(tmp_path / "disk", 40 * 4096) as disk:
        fill(disk)
        command = ["batch", str(source), "--output-dir", str(disk), "--model", "bicubic"]
        assert main([*command, "--progress", "none"]) == 1
        said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.startswith(f"vsr: error: {disk / NAME}: the journal cannot be written, the disk")


@pytest.mark.parametrize("damage", ["result = '{'", "result = '[1'", "source = 1"])
def test_a_damaged_row_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    with open_journal(tmp_path) as journal:
        journal.put(JOB)
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute("drop table jobs")
    connection.execute(
        "create table jobs (source, target, request, state, attempts, error, result)"
    )
    connection.execute("insert into jobs values ('a', 'b', '', 'done', 1, null, '{}')")
    connection.execute(f"update jobs set {damage}")
    connection.commit()
    connection.close()
    assert main(["batch", "--status", str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert f"the journal '{tmp_path / NAME}' cannot be used (a row is damaged: " in said
    assert "move it away" in said


@pytest.mark.parametrize("content", [b"no database at all, but a text", b"SQLite format 3\0 cut"])
def test_another_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content * 200)
    with pytest.raises(ConfigError, match=r"cannot be used .*; move it away"):  # noqa: SIM117
        with open_journal(tmp_path) as journal:
            journal.jobs()


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    said = r"cannot be written .*; check its permissions"
    with pytest.raises(ConfigError, match=said), open_journal(tmp_path):
        pass


def test_another_program_that_keeps_it_locked_is_named(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.put(JOB)
    other = sqlite3.connect(tmp_path / NAME)
    other.execute("begin exclusive")
    said = "another program uses the journal"
    with pytest.raises(BusyError, match=said), open_journal(tmp_path) as journal:
        journal.put(JOB)
    other.close()
