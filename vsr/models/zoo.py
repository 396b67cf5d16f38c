"""The networks by name: the one place where a choice by name happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from vsr.errors import CheckpointFormatError, ConfigError
from vsr.models.bicubic import Bicubic
from vsr.models.checkpoints import load_into, read_metadata, sha256
from vsr.models.compact import Compact
from vsr.models.contract import VideoNetwork

WEIGHTS = Path(__file__).parent / "weights"

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"bicubic": Bicubic, "compact": Compact}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A network that can be loaded.

    Attributes:
        name: As `--model` takes it: a name of `MODELS`, or the path of a weight file.
        architecture: Key of `ARCHITECTURES`.
        hyper_parameters: What the architecture is built with.
        scale: Upscaling factor.
        weights: The file, None where the network has no parameters.
        licence: Of the weights, SPDX.
        purpose: One sentence: for which input it is made.
        lookahead: Frames beyond a window that it should see, measured by `scripts/bench.py seams`.
    """

    name: str
    architecture: str
    hyper_parameters: Mapping[str, Any]
    scale: int
    weights: Path | None
    licence: str
    purpose: str
    lookahead: int

    @property
    def weight_hash(self) -> str | None:
        """Hash the weight file, 64 hex digits."""
        return None if self.weights is None else sha256(self.weights)


MODELS: Mapping[str, ModelInfo] = {
    "compact-x4": ModelInfo(
        name="compact-x4",
        architecture="compact",
        hyper_parameters={"scale": 4, "channels": 48, "blocks": 5},
        scale=4,
        weights=WEIGHTS / "compact-x4.safetensors",
        licence="Apache-2.0",
        purpose="clean video that was shrunk bicubically; the default",
        lookahead=2,
    ),
    "bicubic": ModelInfo(
        name="bicubic",
        architecture="bicubic",
        hyper_parameters={"scale": 4},
        scale=4,
        weights=None,
        licence="Apache-2.0",
        purpose="the baseline: interpolation, no network",
        lookahead=0,
    ),
}
DEFAULT = "compact-x4"
# For weights of people's own training: what the bundled network of this kind needs.
_LOOKAHEAD = 4


def find_model(name: str | None = None) -> ModelInfo:
    """Find a network by its name or by the path of a weight file.

    Args:
        name: A key of `MODELS`, or a `.safetensors` file that `vsr train` wrote; None for the
            bundled default.

    Raises:
        ConfigError: If it is neither; the known names are given.
        WeightsError: If the file cannot be used.
    """
    name = name or DEFAULT
    if name in MODELS:
        return MODELS[name]
    path = Path(name)
    if not (path.suffix or path.exists()):
        raise ConfigError(
            f"no model '{name}'; known: {', '.join(MODELS)}, or give the path of a weight file"
        )
    network = read_metadata(path)["network"]
    architecture = network.pop("name", None)
    if architecture not in ARCHITECTURES:
        raise CheckpointFormatError(
            f"'{path}' is for a network '{architecture}'; known: {', '.join(ARCHITECTURES)}"
        )
    return ModelInfo(
        name=name,
        architecture=architecture,
        hyper_parameters=network,
        scale=network["scale"],
        weights=path,
        licence="its author's",
        purpose="a weight file",
        lookahead=_LOOKAHEAD,
    )


def load_network(info: ModelInfo, device: torch.device | str = "cpu") -> VideoNetwork:
    """Build a network and load its weights, ready for inference.

    Args:
        info: From `find_model`.
        device: Where it shall run.

    Returns:
        A module in evaluation mode, channels last.

    Raises:
        WeightsError, CheckpointFormatError: If the weights are missing or do not fit.
    """
    network = ARCHITECTURES[info.architecture](**info.hyper_parameters)
    if info.weights is not None:
        load_into(network, info.weights)
    network.eval().requires_grad_(False)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return cast("VideoNetwork", network)


def load_model(name: str | None = None, device: torch.device | str = "cpu") -> VideoNetwork:
    """Load a network by name or weight file; see `find_model` and `load_network`."""
    return load_network(find_model(name), device)
