"""A real disk in memory that holds so many bytes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[Path]:
    """Mount a tmpfs; the test is skipped where this process must not."""
    if shutil.which("mount") is None:
        pytest.skip("there is no `mount` here to make a small disk with")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here, which needs root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def make_room(folder: Path, room: int) -> None:
    """Enlarge the disk."""
    command = ["mount", "-o", f"remount,size={room}", str(folder)]
    subprocess.run(command, check=True)
