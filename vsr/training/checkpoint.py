"""Everything a training run needs to go on exactly where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from vsr.durable import whole
from vsr.errors import CheckpointFormatError, WeightsError


class Stateful(Protocol):
    """A part of a run with a state of its own."""

    def state_dict(self) -> Mapping[str, Any]:
        """All that `load_state_dict` needs to go on."""

    def load_state_dict(self, state: Any, /) -> Any:  # noqa: ANN401
        """Go on from a saved state."""


class Moments:
    """What an optimiser has learnt of its gradients; its settings are those of this run.

    A checkpoint of torch's own holds both, and loading it would undo what the options say.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved moments."""
        groups = self._optimizer.param_groups
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        self._optimizer.load_state_dict(state)
        for group, own in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(own)


def save_checkpoint(
    path: Path, *, step: int, shape: Mapping[str, object], parts: Mapping[str, Stateful]
) -> None:
    """Write a checkpoint; the one before stays whole until this one is.

    Args:
        path: Target.
        step: Updates done.
        shape: Name and hyper-parameters of the network, checked on loading.
        parts: What is saved, by name.

    Raises:
        WeightsError: If it cannot be written; the one before is untouched.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    try:
        with whole(path, alone=True) as part, part.open("wb") as file:
            torch.save({"step": step, "shape": dict(shape), **states}, file)
    except (OSError, RuntimeError) as error:
        # Torch hides why its file object refused the bytes.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise WeightsError(
            f"checkpoint '{path}' could not be written: {cause}; the one before it is untouched, "
            "make room and go on with --resume"
        ) from error


def load_checkpoint(
    path: Path, *, shape: Mapping[str, object], parts: Mapping[str, Stateful]
) -> int:
    """Load a checkpoint into its parts.

    Returns:
        The number of updates done.

    Raises:
        WeightsError: If there is none.
        CheckpointFormatError: If it is damaged, of another network, or of a run with other parts.
    """
    if not path.is_file():
        raise WeightsError(f"nothing to resume: no checkpoint '{path}'; leave --resume out")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle of garbage raises whatever it stumbles over
        reason = f"{type(error).__name__}: {str(error).partition('. ')[0]}"
        raise CheckpointFormatError(
            f"checkpoint '{path}' is damaged ({reason}); start afresh without --resume"
        ) from error
    if not isinstance(saved, dict) or not {"step", "shape"} <= saved.keys():
        raise CheckpointFormatError(
            f"'{path}' is not a checkpoint of `vsr train`; to start from weights of others, "
            "name them as optimizer.init"
        )
    if saved["shape"] != shape:
        raise CheckpointFormatError(
            f"checkpoint '{path}' is of network {saved['shape']}, the options say {dict(shape)}; "
            "take the options it was trained with, or another output folder"
        )
    held = saved.keys() - {"step", "shape"}
    if held != parts.keys():
        raise CheckpointFormatError(
            f"checkpoint '{path}' holds {', '.join(sorted(held))}; this run has "
            f"{', '.join(sorted(parts))}: adversarial.weight or run.precision changed; take those "
            "it was trained with, or start another output folder with optimizer.init"
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointFormatError(
            f"checkpoint '{path}' does not fit this run: {error}; take the version and the options "
            "it was trained with"
        ) from error
    step: int = saved["step"]
    return step
