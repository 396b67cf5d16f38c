"""One process at a time, and what happens where a file system cannot tell."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vsr import locks

HOLD = """
import sys, time
from pathlib import Path
from vsr import locks
lock = locks.take(Path(sys.argv[1]), print)
print("held" if lock else "refused", flush=True)
time.sleep(600)
"""


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not locks.is_taken(path)
    assert not path.exists()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert locks.is_taken(path)
    assert locks.take(path, pytest.fail) is None
    holder.kill()
    holder.communicate(timeout=60)
    assert not locks.is_taken(path)
    lock = locks.take(path, pytest.fail)
    assert lock is not None
    lock.close()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks, "_lock", refuse)
    said: list[str] = []
    lock = locks.take(tmp_path / "lock", said.append)
    assert lock is not None
    lock.close()
    assert f"{tmp_path} is on a file system without locks ({os.strerror(code)})" in said[0]
    assert not locks.is_taken(tmp_path / "lock")


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        locks.take(tmp_path / "missing" / "lock", pytest.fail)
