"""Everything a training run needs to go on exactly where it stopped."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn
from torch.optim import Optimizer

from vsr.errors import CheckpointFormatError, WeightsError
from vsr.training.ema import Ema


def save_checkpoint(
    path: Path,
    *,
    step: int,
    network: nn.Module,
    optimizer: Optimizer,
    ema: Ema,
    shape: dict[str, object],
) -> None:
    """Write a checkpoint; the one before stays whole until this one is.

    Args:
        path: Target.
        step: Updates done.
        network, optimizer, ema: What is saved.
        shape: Name and hyper-parameters of the network, checked on loading.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        torch.save(
            {
                "step": step,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "ema": ema.state_dict(),
                "shape": shape,
            },
            part,
        )
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise WeightsError(
            f"checkpoint '{path}' could not be written: {error}; the one before it is untouched, "
            "make room and go on with --resume"
        ) from error


def load_checkpoint(
    path: Path, *, network: nn.Module, optimizer: Optimizer, ema: Ema, shape: dict[str, object]
) -> int:
    """Load a checkpoint into its parts.

    Returns:
        The number of updates done.

    Raises:
        WeightsError: If there is none.
        CheckpointFormatError: If it is damaged or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"nothing to resume: no checkpoint '{path}'; leave --resume out")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError) as error:
        raise CheckpointFormatError(f"checkpoint '{path}' is damaged: {error}") from error
    if saved["shape"] != shape:
        raise CheckpointFormatError(
            f"checkpoint '{path}' is of network {saved['shape']}, the options say {shape}; "
            "take the options it was trained with, or another output folder"
        )
    network.load_state_dict(saved["network"])
    optimizer.load_state_dict(saved["optimizer"])
    ema.load_state_dict(saved["ema"]["updates"], saved["ema"]["weights"])
    step: int = saved["step"]
    return step
