"""Durable writes, and locks that end with their process."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from uuid import uuid4

from vsr.errors import DiskError, MuxError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# What a disk or its network says when it is gone for a while, or turned read-only by itself.
FAILING = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some file systems sync no folders.
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Write a file that appears whole or not at all, whenever the power goes.

    Args:
        path: The file.
        alone: Nobody else writes it: what is left of a killed writer is written over by the next.

    Yields:
        Where to write it. It gets its name at the end, and is removed where something is raised.

    Raises:
        OSError: The disk refuses.
    """
    part = path.with_name(f".{path.name}.{'' if alone else uuid4().hex[:12] + '.'}part")
    try:
        yield part
        give_name(part, path)
    finally:
        part.unlink(missing_ok=True)


def give_name(part: Path, path: Path) -> None:
    """Rename a finished file in its folder, once it is on the disk.

    Raises:
        OSError: The disk refuses.
    """
    sync(part)
    part.replace(path)
    sync(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file as `whole` does."""
    with whole(path) as part:
        part.write_bytes(data)


def check_place(path: Path) -> None:
    """Make the folder of a file that is to be written after long work, and try it now.

    Raises:
        MuxError: The file could not be written there.
    """
    if path.is_dir():
        raise MuxError(path, "is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write text as `write_durably` does, with escapes for what is not UTF-8 in names of files.

    Raises:
        MuxError: The disk refuses.
    """
    try:
        write_durably(path, text.encode(errors="backslashreplace"))
    except OSError as error:
        raise write_error(path, error) from error


def write_error(target: Path, error: Exception) -> MuxError:
    """Say why writing failed and what can be done about it."""
    code = getattr(error, "errno", None)
    if code in NO_SPACE:
        return DiskError(
            target,
            f"the disk is full, or a quota is reached ({free_space(target)}); make room or write "
            "elsewhere",
        )
    if code in FAILING:
        return DiskError(target, f"the disk fails ({error}); see to it, or write elsewhere")
    if code == errno.EFBIG:
        return MuxError(
            target,
            "the disk is full for so large a file, or a limit on their size is reached; write "
            "elsewhere",
        )
    if code in (errno.EACCES, errno.EPERM):
        return MuxError(target, f"cannot be written ({error}); check permissions or the place")
    return MuxError(target, f"cannot be written: {error}")


def require_room(target: Path, wanted: float) -> None:
    """Refuse where the disk of a file to be written has less room than is wanted.

    Args:
        target: The file.
        wanted: Bytes.

    Raises:
        DiskError: Saying how much is wanted and free.
    """
    if wanted > shutil.disk_usage(_existing(target)).free:
        raise DiskError(
            target,
            f"wanted about {_size(wanted)} more on its disk, got {free_space(target)}; make room "
            "there, or write elsewhere",
        )


def free_space(target: Path) -> str:
    """Say how much room the disk of a file to be written has."""
    return f"{_size(shutil.disk_usage(_existing(target)).free)} free"


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def _size(count: float) -> str:
    """Write a number of bytes in the unit that suits it."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 2**10:.0f} KiB"


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
