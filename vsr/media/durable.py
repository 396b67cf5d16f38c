"""Files that survive a power cut, and what to say when the disk refuses them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

from vsr.errors import MuxError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some file systems sync no folders.
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, whenever the power goes."""
    part = path.with_name(f"{path.name}.{uuid4().hex[:12]}.part")
    try:
        part.write_bytes(data)
        sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)


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
    """Write text as `write_durably` does.

    Raises:
        MuxError: The disk refuses.
    """
    try:
        write_durably(path, text.encode())
    except OSError as error:
        raise write_error(path, error) from error


def write_error(target: Path, error: Exception) -> MuxError:
    """Say why writing failed and what can be done about it."""
    code = getattr(error, "errno", None)
    if code in NO_SPACE:
        free = shutil.disk_usage(target.resolve().parent).free
        return MuxError(
            target,
            f"the disk is full, or a quota or size limit is reached ({free / 2**20:.1f} MiB free); "
            "make room or write elsewhere",
        )
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return MuxError(target, f"cannot be written ({error}); check permissions or the place")
    return MuxError(target, f"cannot be written: {error}")
