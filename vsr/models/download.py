"""Fetch published weights: resumed, verified, kept in the user's cache."""

from __future__ import annotations

import hashlib
import http.client
import os
import platform
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from vsr.durable import give_name
from vsr.errors import ChecksumError, WeightsError

Progress = Callable[[int, int | None], None]

_CHUNK = 2**20
_SECONDS = 30  # without a byte
_RANGE_NOT_SATISFIABLE = 416


def weights_folder() -> Path:
    """Return the folder of downloaded weights; it need not exist.

    `VSR_CACHE` if it is set, else the place that the system has for such files.
    """
    given = os.environ.get("VSR_CACHE")
    if given:
        return Path(given) / "weights"
    home = Path.home()
    if platform.system() == "Windows":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform.system() == "Darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "vsr" / "weights"


def download(
    address: str,
    target: Path,
    digest: str,
    *,
    progress: Progress = lambda done, total: None,
) -> None:
    """Fetch a file, unless it is there already; it appears only when it is whole and right.

    What a broken attempt fetched is kept beside it as `.part`, and the next attempt goes on there.

    Args:
        address: http or https.
        target: Where it goes; folders are made.
        digest: SHA-256 in hex, or its first digits.
        progress: Told bytes fetched and bytes in all, None where the server does not say.

    Raises:
        ChecksumError: If what came is not what was published.
        WeightsError: If it cannot be fetched or written; the message says where to put it by hand.
    """
    if target.is_file():
        check_digest(target, digest)
        return
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(address, part, progress)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"cannot fetch {address}: {reason}; try again (what came is kept), or fetch it by "
            f"other means and put it at {target}"
        ) from error
    try:
        check_digest(part, digest)
    except ChecksumError as error:
        part.unlink()
        raise ChecksumError(f"what came from {address} was thrown away: {error}") from error
    give_name(part, target)


def check_digest(path: Path, digest: str) -> None:
    """Check that a file is the one that was published.

    Raises:
        ChecksumError: With both hashes.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(digest):
        raise ChecksumError(
            f"'{path}' is not the published file: its SHA-256 begins with {found[:8]}, wanted "
            f"{digest[:8]}; delete it and run `vsr models download`"
        )


def _fetch(address: str, part: Path, progress: Progress) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "vsr"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        return  # all of it is here already; the hash will tell
    with answer:
        goes_on = answer.status == http.client.PARTIAL_CONTENT
        done = done if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if goes_on else "wb") as file:
            done = _copy(answer, file, done, total, progress)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")


def _copy(
    source: BinaryIO, target: BinaryIO, done: int, total: int | None, progress: Progress
) -> int:
    progress(done, total)
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        done += len(chunk)
        progress(done, total)
    return done
