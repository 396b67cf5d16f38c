"""Weights on disk: safetensors, and `.pth` files read without running code in them."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vsr.errors import CheckpointFormatError, WeightsError
from vsr.files import whole

# Metadata key of the architecture and its hyper-parameters, as JSON.
NETWORK_KEY = "network"


def save_weights(
    path: Path, weights: Mapping[str, Tensor], network: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write weights with their architecture; the file appears whole or not at all.

    Args:
        path: Target, `.safetensors`.
        weights: State dict.
        network: {"name": architecture, ...hyper-parameters}.
        facts: Further metadata, stored as JSON: step, data, options, validation.

    Raises:
        WeightsError: It cannot be written.
    """
    metadata = {NETWORK_KEY: json.dumps(dict(network))}
    metadata |= {key: json.dumps(value) for key, value in facts.items()}
    tensors = {name: value.contiguous().cpu() for name, value in weights.items()}
    try:
        with whole(path, alone=True) as part:
            # Not `save_file`: what it makes only its owner may read, whatever the umask.
            part.write_bytes(save(tensors, metadata))
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"cannot write weights '{path}': {error}; an existing file is unchanged"
        ) from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata of a weight file, without its tensors.

    Raises:
        WeightsError: No such file.
        CheckpointFormatError: It is not a weight file of this project.
    """
    if not path.is_file():
        raise WeightsError(f"no weight file '{path}'; `vsr models` lists the bundled ones")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointFormatError(f"'{path}' is not a safetensors file: {error}") from error
    if NETWORK_KEY not in metadata:
        raise CheckpointFormatError(
            f"'{path}' does not name its network (metadata key '{NETWORK_KEY}'); "
            "weights from `vsr train` do"
        )
    return {key: json.loads(value) for key, value in metadata.items()}


def is_own(path: Path) -> bool:
    """Whether a file names the network of this project that it is for."""
    try:
        with safe_open(path, framework="pt") as file:
            return NETWORK_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_into(network: nn.Module, path: Path) -> None:
    """Load a weight file strictly.

    Raises:
        WeightsError: No such file.
        CheckpointFormatError: Tensors are missing, surplus or of another shape.
    """
    weights = read_tensors(path)
    check_fit(weights, network.state_dict(), path, type(network).__name__)
    network.load_state_dict(weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file of this project.

    Raises:
        WeightsError, CheckpointFormatError: See `read_metadata`.
    """
    read_metadata(path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def check_fit(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path, network: str
) -> None:
    """Check that a file holds exactly the tensors that a network needs.

    Args:
        weights: Content of the file.
        wanted: Tensors of the right names and shapes.
        path, network: The file and the name of the network, for the message.

    Raises:
        CheckpointFormatError: Tensors are missing, surplus or of another shape.
    """
    wrong = [f"missing {name}" for name in wanted.keys() - weights.keys()]
    wrong += [f"surplus {name}" for name in weights.keys() - wanted.keys()]
    wrong += [
        f"{name} is {tuple(weights[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted.keys() & weights.keys()
        if wanted[name].shape != weights[name].shape
    ]
    if wrong:
        shown = "; ".join(sorted(wrong)[:5])
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointFormatError(
            f"'{path}' does not fit {network}: {shown}{more}; use weights of this network"
        )


class Inert:
    """Placeholder for anything in a file but tensors and plain values; does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        return self

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Ignore an item of a list."""

    def extend(self, values: object) -> None:
        """Ignore items of a list."""


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
    """Read a file written by `torch.save`.

    Anything but tensors and plain values (mmengine stores buffers of its log) becomes `Inert`; its
    code is neither imported nor run.

    Args:
        path: An existing file.

    Raises:
        CheckpointFormatError: It cannot be read this way.
    """
    archive = zipfile.is_zipfile(path)
    if archive and _is_program(path):
        raise CheckpointFormatError(
            f"'{path}' is TorchScript, a program, and programs in files are not run; get the .pth "
            "or .safetensors file of the network"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Files from before torch 1.6 (no archive) cannot be read without running code.
        asked_for_code = "GLOBAL" in str(error)
        if not (archive and asked_for_code):
            raise _unreadable(path) from error
    except Exception as error:  # damaged files fail in dozens of ways
        raise _unreadable(path) from error
    try:
        reader = ModuleType("reader")  # stands in for `pickle`
        reader.Unpickler = _Unpickler  # type: ignore[attr-defined]
        found: object = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=reader
        )
    except Exception as error:  # as above
        raise _unreadable(path) from error
    return found


def _is_program(path: Path) -> bool:
    """Whether it is TorchScript, which torch would load as a program."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(Path(name).name == "constants.pkl" for name in file.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> CheckpointFormatError:
    return CheckpointFormatError(
        f"'{path}' is not a checkpoint of tensors, or is incomplete; code in it is not run; "
        "download it again"
    )
