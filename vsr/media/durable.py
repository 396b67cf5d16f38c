"""Files that survive a power cut, and what to say when the disk refuses them."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

from vsr.errors import ConfigError, DiskError, MuxError
from vsr.media.containers import MUXERS

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


def check_record(path: Path, flag: str, *, is_json: bool) -> None:
    """Refuse a place for JSON or a table that is a film, or the name of one to come.

    Writing there would replace the source, or the output that was just verified.

    Args:
        path: The file that will be written.
        flag: The option that named it.
        is_json: Only JSON may be replaced; otherwise any text.

    Raises:
        ConfigError: It must not be written there.
        MuxError: What is there cannot be read.
    """
    if path.suffix.lower() in (*MUXERS, ".png"):
        raise ConfigError(
            f"{flag} wants a file for text, and '{path}' is the name of a film or picture; give "
            "another name"
        )
    try:
        if path.is_file() and not _holds(path, is_json=is_json):
            kind = "JSON" if is_json else "text"
            raise ConfigError(
                f"{flag} writes {kind}, and '{path}' exists and holds something else; give "
                "another name"
            )
    except OSError as error:
        raise write_error(path, error) from error


def _holds(path: Path, *, is_json: bool) -> bool:
    """Judge a file by its beginning, as it may be a film of any length."""
    with path.open("rb") as file:
        start = file.read(2**16)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except ValueError:
        return False
    return text.lstrip()[:1] in ("", "{") if is_json else "\0" not in text


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
