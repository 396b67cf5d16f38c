"""The folder that outlives the process: finished pieces, identity, resuming, room on the disk.

A piece counts when its .json is there; that is renamed into place when all else of it is on the
disk. Whatever is not finished has a name of its own, so two writers who believe that the same piece
is theirs, as after a network was cut in two, do not harm each other: both make the same one.

.NAME.vsr/job.json       what the job is, and how the network is called at first
    .NAME.vsr/000000.json    a finished piece: its frames' pts, where the runner stood after it
    .NAME.vsr/000000.piece   its packets
    .NAME.vsr/000007.state   what the network remembered after the last finished piece
    .NAME.vsr/joined         the output until it is verified and gets its name

Pieces end where the frames say so, never the time or the machine, so an uninterrupted run, one that
was killed ten times and one on many machines make the same ones.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vsr import __version__, files
from vsr.errors import BusyError, MuxError
from vsr.files import read_error, require_room, sync, whole, write_durably, write_error
from vsr.inference.plan import Plan
from vsr.inference.runner import Position
from vsr.media.containers import PICTURES, TargetKind, damaged_kind, own_path, work_path
from vsr.media.pictures import PictureFolder
from vsr.media.source import find_pictures, library_versions
from vsr.models.contract import State
from vsr.options import EnhanceOptions, adapter, differences
from vsr.plan import Job
from vsr.reporting import VERSIONS, plain

UNFINISHED = ".part"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A finished stretch of frames.

    Attributes:
        pts: Of its frames, in ticks of the decoder.
        size: What its packets take, in bytes.
        position: What `Position` says, without the state: plan, frames, half_failures.
        fidelity: Of its frames, as `runner.fidelity` measures it.
        strides: Of each tensor of the state; None where there is no state.
        warnings: All that had been said up to its end.
    """

    pts: tuple[int, ...]
    size: int
    position: dict[str, Any]
    fidelity: tuple[float, ...]
    strides: tuple[tuple[int, ...], ...] | None
    warnings: tuple[str, ...]


class Ledger:
    """Pieces that follow each other, from the film's start or from a cut on.

    Attributes:
        folder: Where they are.
        pieces: Finished so far.
        first_piece, first_frame: How many of each come before these in the film.
        smaller: How the network is called from here on, if not as before.
    """

    def __init__(
        self,
        folder: Path,
        target: Path,
        device: str,
        *,
        first_piece: int = 0,
        first_frame: int = 0,
    ) -> None:
        """Start with none.

        Args:
            folder: The hidden folder of the output.
            target: What the film will be called, for messages.
            device: Where the network's state is wanted.
            first_piece, first_frame: See above; in the film no state is passed on to there.
        """
        self.folder = folder
        self.pieces: list[Piece] = []
        self.first_piece = first_piece
        self.first_frame = first_frame
        self.smaller: Plan | None = None
        self._target = target
        self._device = device
        self._writer = uuid4().hex[:12]

    @property
    def joined(self) -> Path:
        """All pieces of the film put together: a file, or the folder of pictures."""
        return self.folder / "joined"

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
        return [self._file(index, "piece") for index in range(len(self.pieces))]

    @property
    def unfinished(self) -> Path:
        """Where the next piece is written until `commit` gives it its name."""
        path = self._file(len(self.pieces), "piece")
        return path.with_name(f"{path.name}.{self._writer}{UNFINISHED}")

    def read(self, most: int | None = None, *, to_go_on: bool = True) -> bool:
        """Take over what is finished, up to the first piece that is missing.

        Args:
            most: Pieces to take over.
            to_go_on: Whether work is to go on there, for which the network's state is needed.

        Returns:
            Whether work can go on there: False where what the network remembered is missing, and
            nothing is taken over.
        """
        self.pieces = []
        while len(self.pieces) != most and (piece := self._read_piece(len(self.pieces))):
            self.pieces.append(piece)
        if not (to_go_on and self.pieces) or self.pieces[-1].strides is None:
            return True
        if self._file(len(self.pieces) - 1, "state").exists():
            return True
        self.pieces = []
        return False

    def position(self) -> Position | None:
        """Where the runner stood after the last finished piece; None if there is none.

        Raises:
            MuxError: What the network remembered cannot be read.
        """
        if not self.pieces:
            return None
        last, path = self.pieces[-1], self._file(len(self.pieces) - 1, "state")
        plan = Plan(**{**last.position["plan"], "device": self._device, "notes": ()})
        state: State | None = None
        if last.strides is not None:
            try:
                state = _load_state(path, last.strides)
            except (OSError, KeyError, RuntimeError, SafetensorError) as error:
                raise MuxError(
                    path,
                    f"what the network remembered cannot be read ({error}); start afresh with "
                    "--no-resume",
                ) from error
            state = tuple(layer.to(self._device) for layer in state)
        return Position(
            state=state,
            frames=last.position["frames"],
            plan=self.smaller or plan,
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
        """Make the next piece count; what it is made of is on the disk already. See `Piece`.

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
            if self.unfinished.exists():  # pictures have their names already
                self.unfinished.replace(self._file(index, "piece"))
            sync(self.folder)
            write_durably(self._file(index, "json"), json.dumps(asdict(piece)).encode())
        except OSError as error:
            raise write_error(self._target, error) from error
        self.pieces.append(piece)
        if index > 0:
            with suppress(OSError):
                self._file(index - 1, "state").unlink(missing_ok=True)

    def set_aside(self) -> Path | None:
        """Keep a joined file that is not what it should be, as TARGET.unverified.SUFFIX.

        It may be hours of work, and its fault one that its owner can live with.

        Returns:
            The file; None where pictures were to be published, or it cannot be renamed.
        """
        if not self.joined.is_file():
            return None
        target = own_path(self._target)
        kept = target.with_name(f"{target.stem}.unverified{target.suffix}")
        with suppress(OSError):
            return self.joined.replace(kept)
        return None

    def _file(self, index: int, suffix: str) -> Path:
        return self.folder / f"{self.first_piece + index:06d}.{suffix}"

    def _read_piece(self, index: int) -> Piece | None:
        try:
            found = json.loads(self._file(index, "json").read_bytes())
            piece: Piece = adapter(Piece).validate_python(found)
        except (FileNotFoundError, ValueError):
            return None
        return piece


# What reading JSON raises that is damaged, or of another form.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


def has_pieces(folder: Path) -> bool:
    """Whether there is a finished piece in a folder."""
    return any(folder.glob("[0-9]*.json"))


def count_frames(folder: Path) -> int:
    """Count the frames of all finished pieces in a folder; some before them may be missing."""
    count = 0
    for path in folder.glob("[0-9]*.json"):
        with suppress(OSError, *UNREADABLE):
            count += len(json.loads(path.read_bytes())["pts"])
    return count


def read_job(folder: Path) -> dict[str, Any]:
    """Read what the pieces in a folder belong to: "job" and "plan".

    Raises:
        OSError: It is not there or cannot be read.
        ValueError: It is no JSON.
    """
    found: dict[str, Any] = json.loads((folder / "job.json").read_bytes())
    return found


def write_job(folder: Path, job: dict[str, Any], plan: Plan) -> None:
    """Write what `read_job` reads."""
    found = {"job": job, "plan": asdict(plan) | {"notes": ()}}
    write_durably(folder / "job.json", json.dumps(found).encode())


def ends_piece(frames: int, length: int, *, at_cut: bool) -> bool:
    """Decide after a window whether a piece of so many frames is long enough.

    At a cut half the length is enough: the encoder starts with a keyframe there anyway, and the
    network remembers nothing.
    """
    return 2 * frames >= length if at_cut else frames >= length


def _save_state(path: Path, state: State) -> None:
    """Write a state.

    Raises:
        OSError: The disk refuses.
    """
    with whole(path) as part:
        try:
            save_file({str(i): layer.cpu().contiguous() for i, layer in enumerate(state)}, part)
        except SafetensorError as error:  # it has the system's error as text alone
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else errno.EIO, str(error)) from error


def _load_state(path: Path, strides: Sequence[Sequence[int]]) -> State:
    """Read a state as it lay in memory: kernels for other strides may round otherwise."""
    tensors = load_file(path)
    layers = []
    for index, stride in enumerate(strides):
        saved = tensors[str(index)]
        layer = torch.empty_strided(saved.shape, tuple(stride), dtype=saved.dtype)
        layers.append(layer.copy_(saved))
    return tuple(layers)


_FORMAT = 2
_SAMPLES = 16
_SAMPLE_BYTES = 65536
# What changes no picture: the device it has come to and its memory show in the plan.
_FREE = ("overwrite", "resume")
_FREE_INFERENCE = ("device", "memory_limit")


def identify(job: Job, options: EnhanceOptions) -> dict[str, Any]:
    """Describe a job so that equal descriptions mean equal output, as values that JSON holds.

    How many frames the network gets at once is left out where the memory decided it: what was
    finished says how it was made, and is continued so.
    """
    encoding = asdict(job.encode)
    encoding.pop("warnings")
    asked = request(job.info.path, options)
    asked["options"].pop("allow_damage")  # it changes the name alone
    found: dict[str, Any] = plain(
        {
            "format": _FORMAT,
            **asked,
            "target": job.target.pattern.name,
            "network": {
                "name": job.model.name,
                "architecture": job.model.architecture,
                "parameters": job.model.hyper_parameters,
                "weights": job.model.weight_hash,
                "stage": job.model.stage_hash,
                "device": torch.device(job.inference.device).type,
                "precision": job.inference.precision,
                "lookahead": job.inference.lookahead,
            },
            "encoding": encoding,
            "versions": {
                "vsr": __version__,
                **{name: version(name) for name in VERSIONS},
                **library_versions(),
            },
        }
    )
    return found


def request(source: Path, options: EnhanceOptions) -> dict[str, Any]:
    """The request, as far as it is known before anything is planned.

    Raises:
        MediaError: The source cannot be read.
    """
    asked = {key: value for key, value in asdict(options).items() if key not in _FREE}
    for key in _FREE_INFERENCE:
        asked["inference"].pop(key)
    try:
        found: dict[str, Any] = plain({"source": fingerprint(source), "options": asked})
        if options.model and Path(options.model).is_file():  # other weights under the same name
            found["model"] = fingerprint(Path(options.model))
    except OSError as error:
        raise read_error(source, error) from error
    return found


def fingerprint(path: Path) -> str:
    """Hash names, sizes and times of a file or of pictures, and samples from all over a file.

    Reading all of a film on a slow disk would take longer than many a job.
    """
    pictures = find_pictures(path)
    digest = hashlib.sha256()
    for each in pictures or [path]:
        found = each.stat()
        digest.update(os.fsencode(f"{each.name}\0{found.st_size}\0{found.st_mtime_ns}\0"))
    if pictures is None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for part in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * part // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


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
            job: What `identify` says.
            plan: Of this run; that of the earlier run rules if its work is continued.
            resume: Whether to go on with what an earlier run finished.
            warn: Called with what is continued, or why not.

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
        self._again = "the same command" if resume else "the same command without --no-resume"
        self._lock: ExitStack | None = None
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
            if has_pieces(self.path):
                self._warn(
                    f"{count_frames(self.path)} finished frames are kept in {self.path}; "
                    f"{self._again} goes on from there"
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
            elif not has_pieces(self.path):
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
            changed = list(differences(before["job"], self._job))
            name = before["job"]["target"] if changed else self._job["target"]
            plan = self.plan
            if not changed:
                plan = Plan(**{**before["plan"], "device": self.plan.device, "notes": ()})
        except FileNotFoundError:
            return False
        except UNREADABLE:
            if has_pieces(self.path):
                self._warn(
                    "the work of an earlier run is not continued: its record is damaged, or of "
                    "another version"
                )
            return False
        if name != self._job["target"] and has_pieces(self.path):
            self._release()
            raise MuxError(
                self._target,
                f"has unfinished work of another output, {name}; finish that first, or drop it by "
                "--no-resume",
            )
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
        self.plan = plan
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
    try:
        joined = _identity(ledger.joined)
        note = {"vsr": __version__, "request": asked, "result": result, "joined": joined}
        write_durably(ledger.folder / _NOTE, json.dumps(note).encode())
    except OSError as error:
        raise write_error(target, error) from error


def published_before(
    source: Path, target: TargetKind, options: EnhanceOptions
) -> dict[str, Any] | None:
    """The result of a run that was killed while or after its output got its name.

    Moving pictures and tidying up, if left to do, are done.

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
        if note["result"].get("damage"):
            target = damaged_kind(target)
            place = target.pattern
        there = source.exists() or find_pictures(source) is not None
        known = note.get("vsr") == __version__  # what others note may have another form
        same = there and known and note["request"] == request(source, options)
        if target.muxer == PICTURES:
            published = same and _go_on_moving(folder, target.pattern, note)
        else:
            published = note["joined"] == _identity(place)
    except (OSError, *UNREADABLE):
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


def take_lock(folder: Path, target: Path, warn: Callable[[str], None]) -> ExitStack:
    """Lock a work folder for this process; the system unlocks it however the process ends.

    Raises:
        BusyError: Another process has it.
    """
    lock = files.take(folder / _LOCK, warn)
    if lock is None:
        raise BusyError(target, "another vsr is at work on this output; wait for it, or end it")
    return lock


@contextmanager
def borrowed_folder(target: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """The hidden folder of an output, locked, for a rehearsal before any work on it.

    What is in it stays; without a finished piece in it the folder is removed in the end.

    Args:
        target: The output.
        warn: Called with a sentence if its file system has no locks.

    Raises:
        BusyError: Another process is at work on the same target.
        MuxError: The disk refuses.
    """
    folder = work_path(target)
    try:
        folder.mkdir(exist_ok=True)
        lock = take_lock(folder, target, warn)
    except OSError as error:
        raise write_error(target, error) from error
    with lock:
        try:
            yield folder
        finally:
            if not has_pieces(folder):
                shutil.rmtree(folder, ignore_errors=True)


def is_published(target: Path) -> bool:
    """Whether a killed run had verified its output, so that only its name or report is missing."""
    return (work_path(target) / _NOTE).exists()


def lock_path(target: Path) -> Path:
    """Name the file that is locked while a process is at work on a target."""
    return work_path(target) / _LOCK


# Bits per pixel of the output that only nearly empty films stay below. Films differ by factors of
# hundreds: before there is a piece to go by, no more than this is asked for.
_LEAST_BITS = 0.005
# The first pieces need not be like the rest, and there is a check after each.
_ALLOWED = 1.25


def check_room(job: Job, ledger: Ledger) -> None:
    """Refuse to go on where the output will not fit on the disk.

    Without a finished piece only the least is asked for; from then on what the finished ones lead
    one to expect, less a fifth. Pieces of a video are joined to a file beside them, so they take
    twice their room; what else the file will hold is not counted.

    Args:
        job: The plan.
        ledger: The pieces so far.

    Raises:
        DiskError: Saying how much is wanted and free.
    """
    try:
        _check_room(job, ledger)
    except OSError as error:
        raise write_error(job.target.pattern, error) from error


def _check_room(job: Job, ledger: Ledger) -> None:
    frames = max(ledger.frames, job.frames or 0)
    least = _LEAST_BITS / 8 * job.encode.width * job.encode.height * frames
    each = ledger.size / max(1, ledger.frames)
    size = max(ledger.size, each * frames / _ALLOWED) or least
    pattern = job.target.pattern
    # A cluster's nodes share the folder: what others have finished is counted as well.
    if job.target.muxer == PICTURES:
        waiting = len(os.listdir(ledger.joined)) if ledger.joined.exists() else 0
        require_room(pattern, size - waiting * each)
    else:
        done = sum(path.stat().st_size for path in ledger.folder.glob("*.piece"))
        require_room(pattern, 2 * size - done)
