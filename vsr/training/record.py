"""The log of a run: a line of JSON per entry, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from vsr.errors import ConfigError, VsrError
from vsr.files import write_durably


def make_folder(folder: Path) -> None:
    """Make the folder of a run if it is not there.

    Raises:
        ConfigError: If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.jsonl").open("a"):
            pass
    except OSError as error:
        raise ConfigError(
            f"run.output = '{folder}' cannot be written to ({error.strerror}); "
            "choose another folder"
        ) from error


def refuse_overwriting(folder: Path) -> None:
    """Refuse to start a run where another one has left what took it hours.

    Raises:
        ConfigError: If there is a checkpoint or a weight file.
    """
    for name in ("checkpoint.pt", "weights.safetensors"):
        if (folder / name).exists():
            raise ConfigError(
                f"run.output = '{folder}' holds the {name} of another run, which this one would "
                "overwrite; go on from there with --resume, choose another folder or remove it"
            )


class Record:
    """Appends to `log.jsonl`, and to TensorBoard event files if asked; a context manager.

    Args:
        folder: Of the run.
        after: The step that the run starts or goes on from. What a killed run noted of later ones,
            which are taken again, is taken out.
        tensorboard: Write event files too.

    Raises:
        ModuleNotFoundError: TensorBoard is asked for and not installed.
        VsrError: If the disk is full.
    """

    def __init__(self, folder: Path, *, after: int = 0, tensorboard: bool) -> None:
        path = folder / "log.jsonl"
        try:
            _take_out_later(path, after)
        except OSError as error:
            raise _unwritten(path, error) from error
        self._file = path.open("a")
        self._writer: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    def add(self, step: int, **values: float) -> None:
        """Note values at a step; on disk at once.

        Raises:
            VsrError: If the disk is full.
        """
        line = {"time": round(time.time(), 1), "step": step, **values}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise _unwritten(Path(self._file.name), error) from error
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


def _take_out_later(path: Path, step: int) -> None:
    """Keep the entries up to a step, and none that a power cut left half written."""
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines:
        write_durably(path, "".join(kept).encode())


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _unwritten(path: Path, error: OSError) -> VsrError:
    return VsrError(
        f"'{path}' could not be written ({error.strerror}); the last checkpoint is untouched, make "
        "room and go on with --resume"
    )


def has_tensorboard() -> bool:
    """Whether the extra is installed."""
    return find_spec("tensorboard") is not None
