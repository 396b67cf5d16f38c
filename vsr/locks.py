"""One process at a time: locks on files, which end with the process however it ends."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

# Windows says EACCES, some network file systems too.
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_PATIENCE = 0.1  # seconds; `is_taken` holds the lock for a moment


def take(path: Path, warn: Callable[[str], None]) -> IO[bytes] | None:
    """Lock a file, making it where there is none.

    Where the file system has no locks, as some network ones, that is said and nothing is locked.

    Args:
        path: In a folder that exists.
        warn: Told that nothing is locked.

    Returns:
        The open file, locked until it is closed; None where another process has it.

    Raises:
        OSError: The file cannot be made.
    """
    file = path.open("ab")
    try:
        if _locked(file):
            return file
        time.sleep(_PATIENCE)
        if _locked(file):
            return file
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            warn(
                f"{path.parent} is on a file system without locks ({error.strerror}): see to it "
                "that no other vsr writes the same output meanwhile"
            )
            return file
        file.close()
        raise
    file.close()
    return None


def is_taken(path: Path) -> bool:
    """Tell whether a process has a file locked; False where there is none, or no locks."""
    try:
        with path.open("r+b") as file:
            return not _locked(file)
    except OSError:
        return False


def _locked(file: IO[bytes]) -> bool:
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
