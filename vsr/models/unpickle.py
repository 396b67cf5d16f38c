"""Read `.pth` files without running what is in them: tensors and plain values, nothing else."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from vsr.errors import CheckpointFormatError


class Inert:
    """Stands where a file asks for anything but tensors: takes what it is given, does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        return self

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Take an item of what is a list to the file."""

    def extend(self, values: object) -> None:
        """Take items of what is a list to the file."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) in (
            ("collections", "OrderedDict"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_parameter"),
        ):
            return super().find_class(module, name)
        return Inert


def load_tensors(path: Path) -> object:
    """Read a file that `torch.save` wrote.

    Training leaves more than tensors and plain values in its files (mmengine: buffers of its log).
    Such things become `Inert`; their code is neither imported nor run.

    Args:
        path: An existing file.

    Raises:
        CheckpointFormatError: If it cannot be read so.
    """
    archive = zipfile.is_zipfile(path)
    if archive and _is_program(path):
        raise _unreadable(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Without the archive (before torch 1.6) not even the frame is read without running code.
        asked_for_code = "GLOBAL" in str(error)
        if not (archive and asked_for_code):
            raise _unreadable(path) from error
    except (RuntimeError, EOFError, KeyError, ValueError, AttributeError) as error:
        raise _unreadable(path) from error
    try:
        reader = ModuleType("reader")  # what torch asks of `pickle`
        reader.Unpickler = _Unpickler  # type: ignore[attr-defined]
        found: object = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=reader
        )
    except Exception as error:
        raise _unreadable(path) from error
    return found


def _is_program(path: Path) -> bool:
    """Tell TorchScript, which torch would load as such, by the constants beside it."""
    with zipfile.ZipFile(path) as file:
        return any(Path(name).name == "constants.pkl" for name in file.namelist())


def _unreadable(path: Path) -> CheckpointFormatError:
    return CheckpointFormatError(
        f"'{path}' is not a checkpoint of tensors, or not a whole one; code in it is not run; "
        "fetch it again, or give another file"
    )
