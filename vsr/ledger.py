"""The finished pieces of an output, in a folder that outlives the process.

A piece counts when its .json is there; that is renamed into place when all else of it is on the
disk. Whatever is not finished has a name of its own, so two writers who believe that the same piece
is theirs, as after a network was cut in two, do not harm each other: both make the same one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors.torch import load_file, save_file

from vsr.durable import sync, whole, write_durably, write_error
from vsr.inference.plan import Plan
from vsr.inference.runner import Position
from vsr.models.contract import State

UNFINISHED = ".part"


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


class Ledger:
    """Pieces that follow each other, from the film's start or from a cut on.

    Attributes:
        folder: Where they are.
        pieces: Finished so far.
        first_piece, first_frame: How many of each come before these in the film.
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

    def read(self, most: int | None = None) -> bool:
        """Take over what is finished, up to the first piece that is missing.

        Args:
            most: Pieces to take over.

        Returns:
            Whether work can go on there: False where what the network remembered is missing, and
            nothing is taken over.
        """
        self.pieces = []
        while len(self.pieces) != most and (piece := self._read_piece(len(self.pieces))):
            self.pieces.append(piece)
        if not self.pieces or self.pieces[-1].strides is None:
            return True
        if self._file(len(self.pieces) - 1, "state").exists():
            return True
        self.pieces = []
        return False

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
        kept = self._target.with_name(f"{self._target.stem}.unverified{self._target.suffix}")
        with suppress(OSError):
            return self.joined.replace(kept)
        return None

    def _file(self, index: int, suffix: str) -> Path:
        return self.folder / f"{self.first_piece + index:06d}.{suffix}"

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


def count_frames(folder: Path) -> int:
    """Count the frames of all finished pieces in a folder; some before them may be missing."""
    found = folder.glob("[0-9]*.json")
    return sum(len(json.loads(path.read_bytes())["pts"]) for path in found)


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
    with whole(path) as part:
        save_file({str(i): layer.cpu().contiguous() for i, layer in enumerate(state)}, part)


def _load_state(path: Path, strides: Sequence[Sequence[int]]) -> State:
    """Read a state as it lay in memory: kernels for other strides may round otherwise."""
    tensors = load_file(path)
    layers = []
    for index, stride in enumerate(strides):
        saved = tensors[str(index)]
        layer = torch.empty_strided(saved.shape, tuple(stride), dtype=saved.dtype)
        layers.append(layer.copy_(saved))
    return tuple(layers)
