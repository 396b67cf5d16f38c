"""Work that survives being killed: finished pieces of the output in a hidden folder beside it.

    .NAME.vsr/job.json       what the job is, and how the network is called at first
    .NAME.vsr/000000.json    a finished piece: its frames' pts, where the runner stood after it
    .NAME.vsr/000000.piece   its packets
    .NAME.vsr/000007.state   what the network remembered after the last finished piece
    .NAME.vsr/joined         the output until it is verified and gets its name

A piece counts when its .json is there; that is renamed into place when all else of it is on the
disk. Pieces end where the frames say so, never the time or the machine, so an uninterrupted run and
one that was killed ten times make the same ones.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch
from safetensors.torch import load_file, save_file

from vsr.errors import MuxError
from vsr.identity import differences, request
from vsr.inference.plan import Plan
from vsr.inference.runner import Position
from vsr.media.durable import sync, write_durably, write_error
from vsr.models.contract import State
from vsr.options import EnhanceOptions

_NOTE = "published.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A finished stretch of frames.

    Attributes:
        pts: Of its frames, in ticks of the decoder.
        size: What its packets take, in bytes.
        position: What `Position` says, without the state: plan, frames, half_failures.
        fidelity: Of its frames, as `inference.fidelity` measures it.
        strides: Of each tensor of the state; None where there is no state.
        warnings: All that had been said up to its end.
    """

    pts: tuple[int, ...]
    size: int
    position: dict[str, Any]
    fidelity: tuple[float, ...]
    strides: tuple[tuple[int, ...], ...] | None
    warnings: tuple[str, ...]


class WorkFolder:
    """The finished pieces of one output; a context manager.

    Leaving the context after an error keeps the folder if there is something in it to go on from.

    Attributes:
        path: The folder.
        plan: How the network is called at first, in this and any later run.
        pieces: Finished so far.
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
            MuxError: Another process is at work on the same target, or the disk refuses.
        """
        self.path = work_path(target)
        self.plan = plan
        self.pieces: list[Piece] = []
        self._target = target
        self._device = plan.device
        self._job = job
        self._warn = warn
        self._lock: IO[bytes] | None = None
        try:
            self.path.mkdir(exist_ok=True)
            self._lock = self._take()
            if resume:
                self._read()
            if not self.pieces:
                self._start()
        except OSError as error:
            self._release()
            raise write_error(target, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self.pieces:
            self.remove()
        elif error is not None and self._lock is not None:
            self._warn(
                f"{self.frames} finished frames are kept in {self.path}; "
                "the same command goes on from there"
            )
        self._release()

    @property
    def joined(self) -> Path:
        """The finished pieces put together: a file, or the folder of pictures."""
        return self.path / "joined"

    @property
    def frames(self) -> int:
        """How many frames are finished."""
        return sum(len(piece.pts) for piece in self.pieces)

    @property
    def pts(self) -> list[int]:
        """The pts of the finished frames."""
        return [pts for piece in self.pieces for pts in piece.pts]

    @property
    def fidelity(self) -> list[float]:
        """The fidelity of the finished frames, in dB."""
        return [value for piece in self.pieces for value in piece.fidelity]

    @property
    def size(self) -> int:
        """What the finished pieces take, in bytes."""
        return sum(piece.size for piece in self.pieces)

    @property
    def piece_paths(self) -> list[Path]:
        """The files of the finished pieces, in order."""
        return [self.piece_path(index) for index in range(len(self.pieces))]

    def piece_path(self, index: int | None = None) -> Path:
        """Name the file of a piece; of the next one by default."""
        return self._file(len(self.pieces) if index is None else index, "piece")

    def position(self) -> Position | None:
        """Give where the runner stood after the last finished piece; None where there is none."""
        if not self.pieces:
            return None
        last = self.pieces[-1]
        plan = Plan(**{**last.position["plan"], "device": self._device, "notes": ()})
        state: State | None = None
        if last.strides is not None:
            state = _load_state(self._file(len(self.pieces) - 1, "state"), last.strides)
            state = tuple(layer.to(self._device) for layer in state)
        return Position(
            state=state,
            frames=last.position["frames"],
            plan=plan,
            half_failures=last.position["half_failures"],
        )

    def commit(
        self,
        pts: Sequence[int],
        fidelity: Sequence[float],
        size: int,
        position: Position,
        warnings: Sequence[str],
    ) -> None:
        """Make the next piece count; its file is on the disk already. See `Piece`.

        Raises:
            MuxError: The disk is full.
        """
        index = len(self.pieces)
        piece = Piece(
            pts=tuple(pts),
            size=size,
            position={
                "frames": position.frames,
                "plan": asdict(position.plan),
                "half_failures": position.half_failures,
            },
            fidelity=tuple(fidelity),
            strides=None
            if position.state is None
            else tuple(tuple(layer.stride()) for layer in position.state),
            warnings=tuple(warnings),
        )
        try:
            if position.state is not None:
                _save_state(self._file(index, "state"), position.state)
            sync(self.path)
            write_durably(self._file(index, "json"), json.dumps(asdict(piece)).encode())
        except OSError as error:
            raise write_error(self._target, error) from error
        self.pieces.append(piece)
        with suppress(OSError):
            self._file(index - 1, "state").unlink(missing_ok=True)

    def publishing(self, asked: dict[str, Any], result: dict[str, Any]) -> None:
        """Note that `joined` is right and about to get its name.

        Raises:
            MuxError: The disk is full.
        """
        note = {"request": asked, "result": result, "file": _identity(self.joined)}
        try:
            write_durably(self.path / _NOTE, json.dumps(note).encode())
        except OSError as error:
            raise write_error(self._target, error) from error

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()

    def _file(self, index: int, suffix: str) -> Path:
        return self.path / f"{index:06d}.{suffix}"

    def _take(self) -> IO[bytes]:
        """Lock the folder for this process; the system unlocks it however the process ends."""
        lock = (self.path / "lock").open("ab")
        try:
            _lock(lock)
        except OSError as error:
            lock.close()
            raise MuxError(
                self._target, "another vsr is at work on this output; wait for it, or end it"
            ) from error
        return lock

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read(self) -> None:
        """Take over what an earlier run finished, if it was the same job."""
        try:
            before = json.loads((self.path / "job.json").read_bytes())
        except (OSError, ValueError):
            return
        changed = list(differences(before["job"], self._job))
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            self._warn(
                f"the work of an earlier run is not continued, since {'; '.join(changed[:3])}{more}"
            )
            return
        self.plan = Plan(**{**before["plan"], "device": self._device, "notes": ()})
        while (piece := self._read_piece(len(self.pieces))) is not None:
            self.pieces.append(piece)
        if not self.pieces:
            return
        last = self.pieces[-1]
        if last.strides is not None and not self._file(len(self.pieces) - 1, "state").exists():
            self._warn("the work of an earlier run is not continued: parts of it are missing")
            self.pieces = []
            return
        self._warn(f"{self.frames} frames were finished by an earlier run; going on from there")
        for warning in last.warnings:
            self._warn(warning)

    def _read_piece(self, index: int) -> Piece | None:
        try:
            found = json.loads(self._file(index, "json").read_bytes())
        except (OSError, ValueError):
            return None
        strides = found["strides"]
        return Piece(
            pts=tuple(found["pts"]),
            size=found["size"],
            position=found["position"],
            fidelity=tuple(found["fidelity"]),
            strides=None if strides is None else tuple(tuple(each) for each in strides),
            warnings=tuple(found["warnings"]),
        )

    def _start(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
        plan = asdict(replace(self.plan, notes=()))
        write_durably(self.path / "job.json", json.dumps({"job": self._job, "plan": plan}).encode())


def published_before(source: Path, target: Path, options: EnhanceOptions) -> dict[str, Any] | None:
    """Give the result of a run that was killed after its output had got its name; tidy up after it.

    Returns:
        What was given to `WorkFolder.publishing`; None where there was no such run, or the output
        is not its any more, or something else is asked for now.
    """
    folder = work_path(target)
    try:
        note = json.loads((folder / _NOTE).read_bytes())
        if not target.is_file() or note["file"] != _identity(target):
            return None
    except (OSError, ValueError):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    if options.overwrite or not source.exists() or note["request"] != request(source, options):
        return None
    result: dict[str, Any] = note["result"]
    return result


def _identity(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def work_path(target: Path) -> Path:
    """Name the hidden folder beside a target."""
    target = target.resolve()
    return target.with_name(f".{target.name}.vsr")


def ends_piece(frames: int, position: Position, length: int) -> bool:
    """Decide after a window whether a piece of so many frames is long enough.

    At a cut half the length is enough: the encoder starts with a keyframe there anyway, and the
    network remembers nothing.
    """
    return 2 * frames >= length if position.state is None else frames >= length


def _save_state(path: Path, state: State) -> None:
    part = path.with_name(f"{path.name}.part")
    save_file({str(i): layer.cpu().contiguous() for i, layer in enumerate(state)}, part)
    sync(part)
    os.replace(part, path)


def _load_state(path: Path, strides: Sequence[Sequence[int]]) -> State:
    """Read a state as it lay in memory: kernels for other strides may round otherwise."""
    tensors = load_file(path)
    layers = []
    for index, stride in enumerate(strides):
        saved = tensors[str(index)]
        layer = torch.empty_strided(saved.shape, tuple(stride), dtype=saved.dtype)
        layers.append(layer.copy_(saved))
    return tuple(layers)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
