"""What a batch leaves in writing: reports, a table, pages; and what a resumed one counts."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.cli.main import main
from vsr.jobs.files import plan_files, settle
from vsr.jobs.journal import BatchJob, claim, open_journal
from vsr.options import EnhanceOptions

FAST = ["--model", "bicubic", "--preset", "ultrafast"]


@pytest.fixture
def tapes(tmp_path: Path) -> Path:
    """One film, and one file that is none."""
    folder = tmp_path / "tapes"
    (folder / "side b").mkdir(parents=True)
    make_video(folder / "side b" / "good.mp4", frames=3, size=(64, 48), audio=("aac",))
    (folder / "bad.mp4").write_bytes(b"no film")
    return folder


def test_reports_and_table_of_a_batch_and_of_its_repetition(
    tmp_path: Path, tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out", tmp_path / "all.csv"
    report = out / "side b" / "good.mp4.json"
    command = ["batch", str(tapes), "--output-dir", str(out), *FAST, "--progress", "json"]
    more = ["--height", "24", "--report", "--summary", str(table)]
    assert main([*command, *more]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # That it shrinks is said before it is made.
    kinds = [event["event"] for event in events]
    shrinks = [e for e in events if e["event"] == "warning" and "32x24 of 64x48" in e["text"]]
    assert len(shrinks) == 1
    assert events.index(shrinks[0]) < kinds.index("running")
    found = json.loads(report.read_text())
    assert (found["frames"], found["verified"]) == (3, "in full")
    with table.open(newline="") as file:
        rows = {Path(row["source"]).name: row for row in csv.DictReader(file)}
    good, bad = rows["good.mp4"], rows["bad.mp4"]
    assert (good["state"], good["frames"], good["height"], good["codec"]) == (
        "done", "3", "24", "libx264"
    )  # fmt: skip
    assert good["sha256"] == found["target"]["sha256"]
    assert "32x24 of 64x48" in good["warnings"]
    assert (bad["state"], bad["frames"]) == ("failed", "")
    assert bad["error"]
    # Written again for what was done before, and kept otherwise.
    report.unlink()
    assert main([*command, *more]) == 1
    assert json.loads(report.read_text()) == found


def test_failures_of_earlier_runs_count_from_the_start(
    tmp_path: Path, tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    files, options = plan_files([str(tapes)], out, None), EnhanceOptions(model="bicubic")
    known = {Path(job.source).name: job for _, job in settle({}, files, options, retries=0)}
    with open_journal(out) as journal:
        journal.put(replace(known["bad.mp4"], state="failed", attempts=1, error="rotten"))
    command = ["batch", str(tapes), "--output-dir", str(out), "--model", "bicubic"]
    assert main([*command, "--progress", "json"]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["failed"] for event in events[:-1]} == {1}
    assert events[-1]["counts"]["failed"] == 1


def test_the_state_of_a_stopped_batch_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = BatchJob(source="a.mp4", target="b.mp4", request="", state="queued")
    for state, said in (
        ("done", "it has ended"),
        ("queued", "it has stopped; the same command does the 1 file left"),
        ("running", "it was killed or interrupted; the same command does the 1 file left"),
    ):
        with open_journal(tmp_path) as journal:
            journal.put(replace(job, state=state))
        assert main(["batch", "--status", str(tmp_path)]) == 0
        assert f"no batch is running in {tmp_path}: {said}\n" in capsys.readouterr().out
    assert main(["batch", "--status", str(tmp_path), "--progress", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["running"] is False
    with claim(tmp_path, lambda text: None):
        command = [sys.executable, "-m", "vsr", "batch", "--status", str(tmp_path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"a batch is running in {tmp_path}\n")


def test_a_page_for_each_film_and_what_all_of_them_take(
    tmp_path: Path, tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["batch", str(tapes), "--output-dir", str(out), *FAST, "--preview", "1"]
    assert main([*command, "--vary", "strength=0,1"]) == 1
    text = capsys.readouterr()
    assert "1 page, 1 failed" in text.out
    assert "1 film by strength 0: about 0:" in text.out
    assert "bad.mp4" in text.err
    page = out / "side b" / "good.mp4.html"
    assert [path for path in out.rglob("*") if path.is_file()] == [page]
    before = page.stat()
    assert main([*command, "--progress", "json"]) == 1
    assert page.stat() == before
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["counts"] == {"pages": 0, "failed": 1, "there": 1}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dry-run", "--preview", "1"], "--dry-run and --preview contradict"),
        (["--preview", "1", "--summary", "a.json"], "--preview and --summary contradict"),
        (["--preview", "1", "--report"], "--preview and --report contradict"),
        (["--vary", "clean=0,1"], "--preview, which is not given"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tapes: Path, tmp_path: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", str(tapes), "--output-dir", str(tmp_path / "out"), *flags]) == 2
    assert said in capsys.readouterr().err
