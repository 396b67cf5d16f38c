"""Work that survives being killed: finished pieces of the output in a hidden folder beside it.

    .NAME.vsr/job.json       what the job is, and how the network is called at first
    .NAME.vsr/000000.json    a finished piece: its frames' pts, where the runner stood after it
    .NAME.vsr/000000.piece   its packets
    .NAME.vsr/000007.state   what the network remembered after the last finished piece
    .NAME.vsr/joined         the output until it is verified and gets its name

Pieces end where the frames say so, never the time or the machine, so an uninterrupted run, one that
was killed ten times and one on many machines make the same ones.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from vsr import locks
from vsr.durable import write_durably, write_error
from vsr.errors import BusyError, VerifyError
from vsr.identity import differences, request
from vsr.inference.plan import Plan
from vsr.ledger import UNFINISHED, Ledger, count_frames, read_job, write_job
from vsr.media.containers import PICTURES, TargetKind
from vsr.media.images import find_pictures
from vsr.media.pictures import PictureFolder
from vsr.options import EnhanceOptions

_NOTE = "published.json"
_LOCK = "lock"


class WorkFolder:
    """The hidden folder of one output, locked; a context manager.

    Leaving the context after an error keeps the folder if there is something in it to go on from.

    Attributes:
        plan: How the network is called at first, in this and any later run.
        ledger: The pieces that follow each other from the film's start.
    """

    def __init__(
        self,
        target: Path,
        job: dict[str, Any],
        plan: Plan,
        *,
        resume: bool,
        warn: Callable[[str], None],
    ) -> None:
        """Open or create the folder; what an earlier run of another job left in it is removed.

        Args:
            target: The file, or folder of pictures, to be published.
            job: What `identity.identify` says.
            plan: Of this run; that of the earlier run rules if its work is continued.
            resume: Whether to go on with what an earlier run finished.
            warn: Told what is continued, or why not.

        Raises:
            BusyError: Another process is at work on the same target.
            MuxError: The disk refuses.
        """
        self.path = work_path(target)
        self.plan = plan
        self.ledger = Ledger(self.path, target, plan.device)
        self._target = target
        self._job = job
        self._warn = warn
        self._lock: IO[bytes] | None = None
        try:
            self.path.mkdir(exist_ok=True)
            self._lock = take_lock(self.path, target, warn)
            if not (resume and self._read()):
                self._start()
        except OSError as error:
            self._tidy()
            raise write_error(target, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and self._lock is not None:
            done = 0 if isinstance(error, VerifyError) else count_frames(self.path)
            if done:
                self._warn(
                    f"{done} finished frames are kept in {self.path}; "
                    "the same command goes on from there"
                )
            else:
                self.remove()
        self._release()

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()

    def _tidy(self) -> None:
        """Leave no folder behind that holds nothing to go on from."""
        with suppress(OSError, ValueError):
            if self._lock is None:
                self.path.rmdir()
            elif not count_frames(self.path):
                self.remove()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read(self) -> bool:
        """Take over what an earlier run finished, if it was the same job and there is any."""
        try:
            before = read_job(self.path)
        except (OSError, ValueError):
            return False
        changed = list(differences(before["job"], self._job))
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            self._warn(
                f"the work of an earlier run is not continued, since {'; '.join(changed[:3])}{more}"
            )
            return False
        if not self.ledger.read():
            self._warn("the work of an earlier run is not continued: parts of it are missing")
            return False
        done = count_frames(self.path)  # a cluster does not begin with the first piece
        if not done:
            return False
        self.plan = Plan(**{**before["plan"], "device": self.plan.device, "notes": ()})
        for path in self.path.glob(f"*{UNFINISHED}"):
            path.unlink()
        self._warn(f"{done} frames were finished by an earlier run; going on from there")
        for piece in self.ledger.pieces[-1:]:
            for warning in piece.warnings:
                self._warn(warning)
        return True

    def _start(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()
        write_job(self.path, self._job, self.plan)


def note_publishing(
    ledger: Ledger, target: Path, asked: dict[str, Any], result: dict[str, Any]
) -> None:
    """Note that `ledger.joined` is right and about to get its name.

    Raises:
        MuxError: The disk is full.
    """
    note = {"request": asked, "result": result, "joined": _identity(ledger.joined)}
    try:
        write_durably(ledger.folder / _NOTE, json.dumps(note).encode())
    except OSError as error:
        raise write_error(target, error) from error


def published_before(
    source: Path, target: TargetKind, options: EnhanceOptions
) -> dict[str, Any] | None:
    """Give the result of a run that was killed while its output got its name, or after that.

    What is left to do, moving pictures and tidying up, is done.

    Returns:
        What was given to `note_publishing`; None where there was no such run, or the output
        is not its any more, or something else is asked for now.

    Raises:
        BusyError: Another process is at work on the same target.
        MuxError: The disk refuses.
    """
    place = target.pattern.parent if target.muxer == PICTURES else target.pattern
    folder = work_path(place)
    try:
        note = json.loads((folder / _NOTE).read_bytes())
        there = source.exists() or find_pictures(source) is not None
        same = there and note["request"] == request(source, options)
        if target.muxer == PICTURES:
            published = same and _go_on_moving(folder, target.pattern, note)
        else:
            published = note["joined"] == _identity(place)
    except (OSError, ValueError):
        return None
    if not published:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] | None = note["result"] if same else None
    return result


def _go_on_moving(folder: Path, pattern: Path, note: dict[str, Any]) -> bool:
    """Move the pictures that are not in their folder yet; tell whether all are there then."""
    place = pattern.parent
    if not place.exists():
        return False
    # Where there are no locks, the run that began to move them has said so.
    lock = take_lock(folder, place, lambda _: None)
    try:
        if not (folder / "joined").exists():  # it was renamed as a whole
            return bool(note["joined"][:2] == _identity(place)[:2])
        return PictureFolder(folder / "joined", pattern).move(note["result"]["frames"])
    finally:
        lock.close()


def _identity(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def take_lock(folder: Path, target: Path, warn: Callable[[str], None]) -> IO[bytes]:
    """Lock a work folder for this process; the system unlocks it however the process ends.

    Raises:
        BusyError: Another process has it.
    """
    lock = locks.take(folder / _LOCK, warn)
    if lock is None:
        raise BusyError(target, "another vsr is at work on this output; wait for it, or end it")
    return lock


def work_path(target: Path) -> Path:
    """Name the hidden folder beside a target."""
    target = target.resolve()
    return target.with_name(f".{target.name}.vsr")


def lock_path(target: Path) -> Path:
    """Name the file that is locked while a process is at work on a target."""
    return work_path(target) / _LOCK
