"""The log of a run: a line of JSON per entry, pictures, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.errors import ConfigError, VsrError
from vsr.files import write_durably
from vsr.training.world import World

T = TypeVar("T")

_KEPT = ("checkpoint.pt", "weights.safetensors")
_PICTURES = "validation"


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
    for name in _KEPT:
        if (folder / name).exists():
            raise ConfigError(
                f"run.output = '{folder}' holds the {name} of another run, which this one would "
                "overwrite; go on from there with --resume, choose another folder or remove it"
            )


def remove(folder: Path, cache: Path) -> list[str]:
    """Remove what a run wrote into its folder, and the folder if nothing else is in it.

    Args:
        folder: Of the run.
        cache: Of the decoded frames; removed where it is within the folder.

    Returns:
        Names of what stays.

    Raises:
        VsrError: The disk refuses.
    """
    own = [folder / name for name in (*_KEPT, "log.jsonl", _PICTURES, "tensorboard")]
    if cache.resolve().is_relative_to(folder.resolve()) and cache.resolve() != folder.resolve():
        own.append(cache)
    try:
        for path in own:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        stays = sorted(path.name for path in folder.iterdir())
        if not stays:
            folder.rmdir()
    except OSError as error:
        raise VsrError(
            f"run.keep = false, and '{error.filename}' could not be removed ({error.strerror}); "
            f"remove '{folder}' by other means"
        ) from error
    return stays


class Meter:
    """Means of what the steps between two lines of the log gave, and where their time went.

    Attributes:
        skipped: Steps left out so far, because something was not finite.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._begin()

    def _begin(self) -> None:
        self._sums: dict[str, float] = {}
        self._taken = self._steps = 0
        self._seconds = self._waited = 0.0

    def drawn(self, batches: Iterable[T]) -> Iterator[T]:
        """Pass batches on, and count how long each was waited for.

        A step's time runs from here until it is added: what is done between steps, such as
        validating, does not count.
        """
        self._asked = time.monotonic()
        for batch in batches:
            self._waited += time.monotonic() - self._asked
            yield batch
            self._asked = time.monotonic()

    def add(self, values: Mapping[str, float]) -> None:
        """Take in what a step gave: the same names each time, whether it was taken or not.

        If any value is not finite, the step counts as left out.
        """
        self._seconds += time.monotonic() - self._asked
        self._steps += 1
        taken = all(map(math.isfinite, values.values()))
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + (value if taken else 0.0)
        self._taken += taken
        self.skipped += not taken

    def means(self, world: World) -> dict[str, float]:
        """Means over these steps and all processes; then begin anew.

        Returns:
            Each value; "step_seconds"; and "data_wait", the share of that time, 0 to 1, in which
            the next batch was waited for. The values are missing if no step was taken.
        """
        times = (self._seconds, self._waited, self._taken, self._steps)
        *sums, seconds, waited, taken, steps = world.total([*self._sums.values(), *times])
        means = {n: total / taken for n, total in zip(self._sums, sums, strict=True) if taken}
        self._begin()
        return means | {"step_seconds": seconds / steps, "data_wait": waited / seconds}


class Record:
    """Appends to `log.jsonl`, and to TensorBoard event files if asked; a context manager.

    Keeps the pictures of the last validation as `validation/NAME.png`, those of all in TensorBoard.

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
        self._pictures = folder / _PICTURES
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

    def add(self, step: int, group: str, **values: float) -> None:
        """Note values at a step; on disk at once.

        Args:
            step: Updates done.
            group: Under which TensorBoard shows them.
            **values: By name.

        Raises:
            VsrError: If the disk is full.
        """
        # More digits than float32 has are noise to whoever reads them.
        short = {n: float(f"{x:.8g}") if isinstance(x, float) else x for n, x in values.items()}
        line = {"time": round(time.time(), 1), "step": step, **short}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise _unwritten(Path(self._file.name), error) from error
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
            self._writer.flush()

    def add_picture(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Write a picture, (H, W, 3), RGB, in place of the last of its name.

        Raises:
            VsrError: If the disk is full.
        """
        path = self._pictures / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
            raise VsrError(
                f"picture '{path}' could not be written; the last checkpoint is untouched, make "
                "room and go on with --resume"
            )
        if self._writer is not None:
            self._writer.add_image(f"{_PICTURES}/{name}", picture, step, dataformats="HWC")


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
