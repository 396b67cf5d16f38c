"""Durable writes, hashes of files, and locks that end with their process."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from uuid import uuid4

from vsr.errors import DiskError, MediaError, MuxError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# Errors of a disk or its network that is gone for a while, or turned read-only by itself.
FAILING = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT)


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some file systems sync no folders.
        with contextlib.suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Write a file that appears whole or not at all, even if the power fails.

    Args:
        path: The file.
        alone: There is no other writer: what a killed one left is overwritten by the next.

    Yields:
        Where to write it. It gets its name at the end, and is removed after an exception.

    Raises:
        OSError: The disk refuses.
    """
    # The longest name that a file may have leaves no room for more of it.
    part = path.with_name(f".{path.name}.part" if alone else f".{uuid4().hex[:12]}.part")
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
    """Make and try the folder of a file that is to be written after long work.

    Raises:
        MuxError: The file could not be written there.
    """
    if path.is_dir():
        raise MuxError(path, "is a folder; give a file name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write text as `write_durably` does; bytes of file names that are not UTF-8 become escapes.

    Raises:
        MuxError: The disk refuses.
    """
    try:
        write_durably(path, text.encode(errors="backslashreplace"))
    except OSError as error:
        raise write_error(path, error) from error


def write_error(target: Path, error: Exception) -> MuxError:
    """The reason why writing failed, and what can be done about it."""
    code = getattr(error, "errno", None)
    if code in NO_SPACE:
        return DiskError(
            target,
            f"the disk is full, or a quota is reached ({free_space(target)}); make room, or write "
            "elsewhere",
        )
    if code in FAILING:
        return DiskError(target, f"the disk fails ({error}); repair it, or write elsewhere")
    if code == errno.EFBIG:
        return MuxError(
            target,
            "the file is too large for this disk or for a limit on file sizes; write elsewhere",
        )
    if code in (errno.EACCES, errno.EPERM):
        return MuxError(target, f"cannot be written ({error}); check permissions or the place")
    reason = getattr(error, "strerror", None) or error
    return MuxError(
        target,
        f"cannot be written: FFmpeg or the system refuses it ({reason}); write another container, "
        "or elsewhere",
    )


def read_error(path: Path, error: OSError) -> MediaError:
    """The reason why a file cannot be read any more, and what can be done about it."""
    if error.errno in FAILING:
        return DiskError(
            path, f"cannot be read, the disk fails ({error.strerror}); repair it, then repeat this"
        )
    return MediaError(
        path, f"cannot be read ({error.strerror or error}); check its path and permissions"
    )


def require_room(target: Path, wanted: float) -> None:
    """Refuse to write a file for which its disk has too little room.

    Args:
        target: The file.
        wanted: Bytes.

    Raises:
        DiskError: With how much is wanted and how much is free.
    """
    if wanted > shutil.disk_usage(_existing(target)).free:
        raise DiskError(
            target,
            f"about {_size(wanted)} more needed on its disk, {free_space(target)}; make room "
            "there, or write elsewhere",
        )


def free_space(target: Path) -> str:
    """How much room the disk of a file to be written has."""
    try:
        return f"{_size(shutil.disk_usage(_existing(target)).free)} free"
    except OSError:  # a failing disk is the reason why this is asked
        return "free space unknown"


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def _size(count: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 2**10:.0f} KiB"


_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_PATIENCE = 0.1  # seconds; `is_taken` holds the lock for a moment


def take(path: Path, warn: Callable[[str], None]) -> ExitStack | None:
    """Lock a file, making it if it does not exist; the lock ends with this process at the latest.

    Args:
        path: In a folder that exists.
        warn: Called with a sentence if the file system has no locks, as some network ones: then
            nothing is locked.

    Returns:
        What unlocks it when it is closed or left; None if another process has it.

    Raises:
        OSError: The file cannot be made.
    """
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    held = ExitStack()
    # Not bound to a thread: it may be unlocked in another than it was locked in.
    lock = FileLock(path, thread_local=False)
    try:
        held.enter_context(lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 2))
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        code = getattr(error, "errno", errno.ENOSYS)
        if code not in _UNSUPPORTED:
            raise
        warn(
            f"{path.parent} is on a file system without locks ({os.strerror(code)}): make sure "
            "that no other vsr writes the same output meanwhile"
        )
    return held


def is_taken(path: Path) -> bool:
    """Whether a process has a file locked; False if there is none, or no locks."""
    if not path.exists():
        return False
    try:
        lock = take(path, lambda text: None)
    except OSError:
        return False
    if lock is None:
        return True
    with lock:
        return False
