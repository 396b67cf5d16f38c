"""Batches over files that cannot be read, have odd names, or were done with other options."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_video

from vsr.cli.main import main
from vsr.jobs.files import enqueue
from vsr.jobs.journal import BatchJob, claim, open_journal
from vsr.options import EnhanceOptions

FAST = ["--model", "bicubic", "--preset", "ultrafast", "--progress", "none"]


def named_in_latin_1(folder: Path, **facts: Any) -> Path:  # noqa: ANN401
    """Make a video whose name is not UTF-8; the test is skipped where names must be."""
    path = folder / os.fsdecode(b"caf\xe9.mp4")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    return make_video(folder / "plain.mp4", **facts).replace(path)


def test_odd_names_are_done_the_unreadable_is_named_and_other_options_harm_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tapes, out, summary = tmp_path / "tapes", tmp_path / "out", tmp_path / "summary.json"
    tapes.mkdir()
    source = named_in_latin_1(tapes, frames=2)
    (tapes / "gone.mp4").symlink_to("nowhere.mp4")
    command = ["batch", str(tapes), "--output-dir", str(out), "--summary", str(summary), *FAST]
    assert main(command) == 1
    said = capfd.readouterr()
    assert "1 done, 1 failed" in said.out
    assert f"vsr: failed: {tapes / 'gone.mp4'}: cannot be read (No such file" in said.err
    done = (out / source.name).stat()
    found = json.loads(summary.read_text())["jobs"]
    assert sorted((job["source"], job["state"]) for job in found) == [
        (str(source), "done"),
        (str(tapes / "gone.mp4"), "failed"),
    ]

    assert main([*command, "--crf", "30"]) == 1
    said = capfd.readouterr()
    assert "0 done, 2 failed" in said.out
    assert "was made with other options, or before the file changed; --overwrite" in said.err
    assert main(command) == 1
    assert "1 done (0 now), 1 failed" in capfd.readouterr().out
    assert (out / source.name).stat() == done
    assert main(["batch", "--status", str(out)]) == 1


def test_a_name_that_is_not_utf_8_is_enhanced_and_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = named_in_latin_1(tmp_path, frames=2)
    target, report = source.with_suffix(".mkv"), tmp_path / "report.json"
    command = ["enhance", str(source), str(target), "--report", str(report)]
    command += FAST[: FAST.index("--progress")]
    assert main(command) == 0
    assert r"caf\udce9.mkv: 2 frames in" in capfd.readouterr().out
    assert target.is_file()
    assert json.loads(report.read_text())["target"]["path"] == str(target)
    assert main(["info", str(target)]) == 0


FILM = "in.mp4"


def queued(
    tmp_path: Path, options: EnhanceOptions, target: str
) -> tuple[list[BatchJob], list[BatchJob]]:
    with open_journal(tmp_path) as journal:
        return enqueue(journal, [(tmp_path / FILM, tmp_path / target)], options, retries=0)


def noted(tmp_path: Path) -> BatchJob:
    with open_journal(tmp_path) as journal:
        (entry,) = journal.jobs()
    return entry


@pytest.fixture
def done(tmp_path: Path) -> BatchJob:
    """Let a journal know a film as done, and its output be there."""
    (tmp_path / FILM).write_bytes(b"film")
    (tmp_path / "out.mp4").touch()
    ((entry,), _) = queued(tmp_path, EnhanceOptions(), "out.mp4")
    entry = replace(entry, state="done", attempts=1, result={"frames": 3})
    with open_journal(tmp_path) as journal:
        journal.put(entry)
    return entry


@pytest.mark.parametrize(
    ("target", "message"), [("out.mp4", "other options"), ("else.mp4", "exists already")]
)
def test_what_is_done_is_not_forgotten_for_a_job_that_cannot_be(
    tmp_path: Path, done: BatchJob, target: str, message: str
) -> None:
    (tmp_path / target).touch()
    waiting, refused = queued(tmp_path, EnhanceOptions(strength=0.5), target)
    assert not waiting
    assert message in (refused[0].error or "")
    assert noted(tmp_path) == done
    waiting, _ = queued(tmp_path, EnhanceOptions(strength=0.5, overwrite=True), target)
    assert len(waiting) == 1


def test_what_is_done_is_not_forgotten_while_its_source_cannot_be_read(
    tmp_path: Path, done: BatchJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("vsr.work.fingerprint", refuse)
        waiting, refused = queued(tmp_path, EnhanceOptions(), "out.mp4")
    assert not waiting
    assert refused[0].state == "failed"
    assert "cannot be read, the disk fails (Input/output error)" in (refused[0].error or "")
    assert noted(tmp_path) == done
    assert queued(tmp_path, EnhanceOptions(), "out.mp4") == ([], [])


@pytest.mark.parametrize("place", ["file.mp4", "file.mp4/out"])
def test_an_output_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file.mp4").touch()
    command = ["batch", str(tmp_path / "file.mp4"), "--output-dir", str(tmp_path / place)]
    assert main([*command, *FAST]) == 2
    said = capsys.readouterr().err
    assert f"'{tmp_path / place}' cannot be made or written to (" in said
    assert "choose another --output-dir" in said


def test_an_output_folder_is_made(tmp_path: Path) -> None:
    with claim(tmp_path / "a" / "b", pytest.fail):
        assert (tmp_path / "a" / "b").is_dir()
