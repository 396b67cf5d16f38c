"""Batches of good and bad files: what is done, what is said, what a second run does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from synthetic import cut_file, make_video

from vsr.cli.main import main
from vsr.errors import ConfigError
from vsr.jobs import local
from vsr.jobs.files import enqueue, plan_files
from vsr.jobs.journal import NAME, BatchJob, open_journal
from vsr.options import EnhanceOptions

FAST = ["--model", "bicubic", "--preset", "ultrafast", "--progress", "none"]


def frames(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def states(folder: Path) -> dict[str, str]:
    with open_journal(folder, create=False) as journal:
        return {Path(entry.source).name: entry.state for entry in journal.jobs()}


def test_good_files_are_done_bad_ones_named_and_a_second_run_does_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tapes = tmp_path / "tapes"
    (tapes / "side b").mkdir(parents=True)
    make_video(tapes / "one.mp4", frames=3, size=(32, 24), color=(6, 6, 6, 1))
    make_video(tapes / "side b" / "two.avi", frames=4, size=(32, 24), codec="mpeg4")
    (tapes / "empty.mp4").write_bytes(b"")
    cut_file(make_video(tapes / "rotten.mp4", frames=9), 0.3)
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    command = ["batch", str(tapes), "--output-dir", str(out), "--summary", str(summary), *FAST]
    command += ["--workers", "2", "--retries", "1"]
    assert main(command) == 1
    text = capfd.readouterr()
    assert frames(out / "one.mp4") == 3
    assert frames(out / "side b" / "two.avi") == 4
    assert f"2 done, 2 failed; in {out}, 1 with notes\n" in text.out
    assert f"vsr: failed: {tapes / 'empty.mp4'}: the file is empty" in text.err
    assert f"vsr: failed: {tapes / 'rotten.mp4'}: the mp4/mov has no index" in text.err
    found = {Path(job["source"]).name: job for job in json.loads(summary.read_text())["jobs"]}
    assert found["one.mp4"]["report"]["verified"] == "in full"
    assert found["rotten.mp4"]["attempts"] == 2
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        ".vsr-batch.lock", ".vsr-batch.sqlite", "one.mp4", "two.avi",
    ]  # fmt: skip

    before = (out / "one.mp4").stat()
    assert main(command) == 1
    assert (out / "one.mp4").stat() == before
    assert f"2 done (0 now), 2 failed; in {out}, 1 with notes\n" in capfd.readouterr().out
    assert main(["batch", "--status", str(out)]) == 1
    assert "empty.mp4" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("workers", "given", "limit"),
    [(2, [], 500), (1, [], None), (2, ["--memory-limit", "700"], 700)],
)
def test_workers_share_the_memory_unless_they_are_given_a_limit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    given: list[str],
    limit: int | None,
) -> None:
    free = 2 * 500.5 * 2**20 / 0.7
    monkeypatch.setattr("vsr.inference.plan.free_memory", lambda device: int(free))
    make_video(tmp_path / "in.mp4", frames=1, size=(32, 24))
    summary = tmp_path / "summary.json"
    command = ["batch", str(tmp_path / "in.mp4"), "--output-dir", str(tmp_path / "out"), *FAST]
    command += ["--device", "cpu", "--workers", str(workers), "--summary", str(summary), *given]
    assert main(command) == 0
    (job,) = json.loads(summary.read_text())["jobs"]
    assert job["report"]["options"]["inference"]["memory_limit"] == limit


@pytest.mark.parametrize(
    ("asked", "gpus", "sharers"),
    [("auto", 0, [3, 3, 3]), ("cpu", 2, [3, 3, 3]), ("auto", 2, [2, 1, 2]), ("cuda:1", 2, [3] * 3)],
)
def test_workers_share_with_those_on_the_same_device(
    monkeypatch: pytest.MonkeyPatch, asked: str, gpus: int, sharers: list[int]
) -> None:
    monkeypatch.setattr("vsr.devices._gpus", lambda: ("cuda", gpus))
    monkeypatch.setattr("vsr.devices._misfit", lambda index: "")
    assert [local._sharers(asked, index, 3) for index in range(3)] == sharers


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_device_that_is_not_there_is_wrong_usage_not_a_fault_of_each_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: str
) -> None:
    make_video(tmp_path / "in.mp4", frames=1)
    command = ["batch", str(tmp_path / "in.mp4"), "--output-dir", str(tmp_path / "out"), *FAST]
    assert main([*command, "--device", "cuda:63", "--workers", workers]) == 2
    text = capfd.readouterr()
    assert "device cuda:63 wanted" in text.err
    assert "failed" not in text.out
    assert states(tmp_path / "out") == {"in.mp4": "queued"}


def started(command: list[str], until: Path) -> subprocess.Popen[str]:
    """Start a command, as a terminal would, and wait until a file is there."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not until.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


def interrupted(command: list[str], until: Path) -> tuple[int, str, str]:
    """Press Ctrl-C once a file is there: all processes of the terminal hear it."""
    process = started(command, until)
    os.killpg(process.pid, signal.SIGINT)
    output, error = process.communicate(timeout=300)
    return process.returncode, output, error


def test_interrupted_it_parks_what_it_is_at_says_so_and_does_what_is_left(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=3)
    make_video(tmp_path / "b.mp4", frames=120)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vsr", "batch", str(tmp_path / "*.mp4"), "--output-dir"]
    command += [str(out), *FAST, "--piece", "16"]
    code, output, error = interrupted(command, out / ".b.mp4.vsr" / "000000.json")
    assert code == 130
    assert "Traceback" not in error
    assert "b.mp4: " in error
    assert "finished frames are kept in" in error
    assert "1 done, 1 queued" in output
    assert states(out) == {"a.mp4": "done", "b.mp4": "queued"}
    assert (out / ".b.mp4.vsr").is_dir()
    done = (out / "a.mp4").stat()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 done" in again.stdout
    assert (out / "a.mp4").stat() == done
    assert frames(out / "b.mp4") == 120
    with open_journal(out) as journal:
        assert journal.jobs()[1].result["resumed"] > 0
        assert journal.jobs()[1].attempts == 1


def test_the_status_tells_work_from_what_a_kill_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "a.mp4", frames=200)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vsr", "batch", str(tmp_path / "a.mp4"), "--output-dir"]
    command += [str(out), *FAST, "--piece", "16"]
    process = started(command, out / ".a.mp4.vsr" / "000000.json")
    os.killpg(process.pid, signal.SIGSTOP)  # it must not end while it is asked about
    assert main(["batch", "--status", str(out)]) == 0
    told = capsys.readouterr().out
    assert f"vsr: running: {tmp_path / 'a.mp4'}\n" in told
    assert "0 done, 1 running\n" in told
    assert main(command[3:]) == 2
    assert "another vsr batch is running in" in capsys.readouterr().err
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert main(["batch", "--status", str(out)]) == 0
    told = capsys.readouterr().out
    assert f"vsr: interrupted: {tmp_path / 'a.mp4'}\n" in told
    assert "0 done, 1 interrupted\n" in told
    assert main(command[3:]) == 0
    assert frames(out / "a.mp4") == 200


def test_interrupted_while_its_workers_load_it_ends_without_a_traceback(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=3)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vsr", "batch", str(tmp_path / "a.mp4"), "--output-dir"]
    code, _, error = interrupted([*command, str(out), *FAST], out / NAME)
    assert code == 130
    assert "Traceback" not in error
    assert list(states(out)) in ([], ["a.mp4"])


def test_folders_keep_their_tree_and_clashing_names_are_kept_apart(tmp_path: Path) -> None:
    names = ["a.mpg", "x/a.avi", "x/a.mkv", "x/b.WMV", "x/notes.txt", ".hidden.mp4", "out/a.mkv"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "out"
    found = plan_files([str(tmp_path)], out, ".mkv")
    assert [
        (str(s.relative_to(tmp_path)), str(target.relative_to(out))) for s, target in found
    ] == [
        ("a.mpg", "a.mkv"),
        ("x/a.avi", "x/a.avi.mkv"),
        ("x/a.mkv", "x/a.mkv.mkv"),
        ("x/b.WMV", "x/b.mkv"),
    ]


def test_containers_that_can_be_written_are_kept(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mpg", "c.ts"):
        (tmp_path / name).touch()
    out = tmp_path / "o"
    targets = [target for _, target in plan_files([str(tmp_path / "*")], out, None)]
    assert targets == [out / "a.mp4", out / "b.mkv", out / "c.ts"]


@pytest.mark.parametrize("container", ["mov", ".mov"])
def test_a_container_is_known_with_and_without_its_dot(tmp_path: Path, container: str) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2, size=(32, 24))
    to = ["--output-dir", str(tmp_path / "o"), "--container", container]
    assert main(["batch", str(source), *to, *FAST]) == 0
    assert (tmp_path / "o" / "in.mov").is_file()


def test_a_file_is_the_same_however_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tapes").mkdir()
    (tmp_path / "tapes" / "a.mp4").touch()
    wanted = [(tmp_path / "tapes" / "a.mp4", tmp_path / "out" / "a.mkv")]
    for cwd, given, out in (
        (tmp_path, ["tapes"], "out"),
        (tmp_path, ["./tapes/a.mp4", "tapes"], str(tmp_path / "out")),
        (tmp_path / "tapes", ["a.mp4", "*.mp4", "../tapes/a.mp4"], "../out"),
    ):
        monkeypatch.chdir(cwd)
        assert plan_files(given, Path(out), ".mkv") == wanted


@pytest.mark.parametrize("given", ["none.mp4", "no*.mp4", "."])
def test_inputs_that_are_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        plan_files([given], tmp_path / "out", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["batch"], "--output-dir"),
        (["batch", "in.mp4"], "--output-dir"),
        (["batch", "in.mp4", "--output-dir", "o", "--container", "doc"], "--container"),
        (["batch", "in.mp4", "--output-dir", "o", "--workers", "0"], "--workers"),
        (["batch", "in.mp4", "--output-dir", "o", "--crf", "1000"], "--crf must be 0 to 51"),
        (["batch", "--status", "nowhere"], "no journal"),
        (["batch", "in.mp4", "--output-dir", "closed"], "'closed' cannot be made or written to"),
    ],
)
def test_wrong_usage_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").touch()
    (tmp_path / "closed" / ".vsr-batch.lock").mkdir(parents=True)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def queue(tmp_path: Path, options: EnhanceOptions, retries: int = 0) -> list[BatchJob]:
    with open_journal(tmp_path) as journal:
        files = [(tmp_path / "in.mp4", tmp_path / "out.mp4")]
        return enqueue(journal, files, options, retries=retries)[0]


def note(tmp_path: Path, entry: BatchJob) -> None:
    with open_journal(tmp_path) as journal:
        journal.put(entry)


@pytest.mark.parametrize(
    ("state", "attempts", "output", "left"),
    [
        ("queued", 0, False, 1),
        ("running", 1, False, 1),
        ("running", 1, True, 0),
        ("done", 1, True, 0),
        ("done", 1, False, 1),
        ("failed", 1, False, 0),
    ],
)
def test_what_is_left_follows_from_the_journal(
    tmp_path: Path, state: str, attempts: int, output: bool, left: int
) -> None:
    (tmp_path / "in.mp4").write_bytes(b"film")
    (entry,) = queue(tmp_path, EnhanceOptions())
    note(tmp_path, BatchJob(**{**_fields(entry), "state": state, "attempts": attempts}))
    if output:
        (tmp_path / "out.mp4").touch()
    assert len(queue(tmp_path, EnhanceOptions())) == left


def test_retries_other_options_and_other_files_are_tried_again(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(b"film")
    (entry,) = queue(tmp_path, EnhanceOptions())
    failed = BatchJob(**{**_fields(entry), "state": "failed", "attempts": 1, "error": "no"})
    note(tmp_path, failed)
    assert len(queue(tmp_path, EnhanceOptions(), retries=1)) == 1
    note(tmp_path, failed)
    assert len(queue(tmp_path, EnhanceOptions(strength=0.5))) == 1
    note(tmp_path, failed)
    (tmp_path / "in.mp4").write_bytes(b"another")
    assert len(queue(tmp_path, EnhanceOptions())) == 1


def _fields(entry: BatchJob) -> dict[str, object]:
    return {name: getattr(entry, name) for name in ("source", "target", "request")}
