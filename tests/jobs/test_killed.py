"""Batches that are killed, told to end, or meet another process at work: nothing has failed."""

from __future__ import annotations

import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
from synthetic import make_video

from vsr import files
from vsr.cli.main import main
from vsr.jobs import local
from vsr.jobs.journal import open_journal
from vsr.models.zoo import loader
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.work import lock_path

FAST = ["--model", "bicubic", "--preset", "ultrafast", "--progress", "none"]
OPTIONS = EnhanceOptions(model="bicubic", encode=EncodeOptions(preset="ultrafast"))

# Spawned workers import this file as well.
SILENT = """
import sys, time
from pathlib import Path
from vsr.jobs import local
from vsr.options import EnhanceOptions

def busy(source, *_, **__):
    source.touch()
    time.sleep(600)

local._do = busy

if __name__ == "__main__":
    worker = local._hire(0, 1, EnhanceOptions(model="bicubic"))
    worker.pipe.send((sys.argv[1], sys.argv[1] + ".out", False))
    time.sleep(600)
"""


def test_a_worker_that_has_nothing_to_say_ends_with_its_batch(tmp_path: Path) -> None:
    begun, script = tmp_path / "begun", tmp_path / "silent.py"
    script.write_text(SILENT)
    command = [sys.executable, str(script), str(begun)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as batch:
        deadline = time.monotonic() + 120
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        batch.kill()
        assert begun.exists()
        assert batch.stdout is not None
        ready, _, _ = select.select([batch.stdout], [], [], 30)
        # The pipe ends with the last process that has it.
        assert ready, "the worker goes on"
        assert batch.stdout.read() == b""


def test_told_to_end_it_parks_what_it_is_at_as_after_ctrl_c(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=200)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vsr", "batch", str(tmp_path / "a.mp4"), "--output-dir"]
    command += [str(out), *FAST, "--piece", "16"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / ".a.mp4.vsr" / "000000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.terminate()
    told, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "0 done, 1 queued" in told
    assert "finished frames are kept in" in said
    assert "Traceback" not in said
    with open_journal(out) as journal:
        (entry,) = journal.jobs()
    assert (entry.state, entry.attempts) == ("queued", 0)


@pytest.mark.parametrize("ends", [True, False])
def test_an_output_that_is_locked_is_waited_for_and_handed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    source, target = make_video(tmp_path / "in.mp4", frames=2), tmp_path / "out.mp4"
    lock_path(target).parent.mkdir()
    lock = files.take(lock_path(target), pytest.fail)
    assert lock is not None
    if ends:
        threading.Timer(0.4, lock.close).start()
    else:
        monkeypatch.setattr(local, "_WAIT_FOR_LOCK", 0.2)
    here, there = Pipe()
    kind, content = local._do(source, target, OPTIONS, loader(), there, rehearsing=False)
    assert kind == ("done" if ends else "busy")
    assert ends or "another vsr is at work" in content
    for end in (lock, here, there):
        end.close()


def test_what_is_handed_back_is_left_queued_and_said_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        make_video(tmp_path / f"{name}.mp4", frames=2)
    out = tmp_path / "out"
    monkeypatch.setattr(local, "_hire", lambda *_: answering({"a": "busy", "b": "done"}))
    command = ["batch", str(tmp_path / "*.mp4"), "--output-dir", str(out), *FAST]
    assert main(command) == 1
    said = capsys.readouterr()
    assert f"vsr: queued: {tmp_path / 'a.mp4'}: another vsr is at work\n" in said.err
    assert "1 done, 1 queued" in said.out
    with open_journal(out) as journal:
        assert [entry.attempts for entry in journal.jobs()] == [0, 1]


def answering(answers: dict[str, str]) -> local._Worker:
    """Hire a worker that does nothing but answer."""
    here, there = Pipe()

    def work() -> None:
        with there, suppress(EOFError, OSError):
            while True:
                source, _, rehearsing = there.recv()
                kind = answers[Path(source).stem]
                if rehearsing and kind == "done":
                    there.send(("rehearsed", None))
                else:
                    there.send((kind, {} if kind == "done" else "another vsr is at work"))

    thread = threading.Thread(target=work)
    thread.start()
    process = SimpleNamespace(is_alive=thread.is_alive, join=thread.join)
    return local._Worker(process=process, pipe=here, index=0)
