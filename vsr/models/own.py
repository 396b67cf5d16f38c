"""Networks of the user's own: classes that `--model package.module:Class` names."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError
from vsr.models.contract import NetworkFacts, State, VideoNetwork
from vsr.models.demand import bytes_at_most
from vsr.options import imported

_SIDE = 48  # of the frames by which a network is tried


def build_own(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Import a class and make a network of it.

    Args:
        name: package.module:Class.
        arguments: That it is called with.

    Raises:
        ConfigError: It cannot be imported or called, or makes no network.
    """
    try:
        network = imported(name)(**arguments)
    except ConfigError:
        raise
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(f"{name}({given}): {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{name} makes a {type(network).__name__}; wanted a torch.nn.Module")
    scale = getattr(network, "scale", None)
    if not isinstance(scale, int) or scale < 1:
        raise ConfigError(f"{name}.scale is {scale!r}; wanted a whole number, 1 or more")
    if not hasattr(network, "min_size"):
        network.min_size = 1  # type: ignore[assignment]
    return network


def own_facts(name: str, network: nn.Module) -> NetworkFacts:
    """Try a network by its contract, and learn what planning needs.

    What it says itself is taken: `window`, `lookahead` and `margin`, whole numbers.

    Args:
        name: Its class, for messages.
        network: On the CPU.

    Raises:
        ConfigError: It does not do what `contract.VideoNetwork` says, naming what.
    """
    was_training = network.training
    network.eval()
    called = cast("VideoNetwork", network)
    few, state = _tried(name, called, 2, None)
    many, _ = _tried(name, called, 4, state)
    with torch.inference_mode():
        sr, _ = called(torch.rand(1, 3, 3, _SIDE, _SIDE), None, 1)
    if sr.shape[1] != 2:
        raise ConfigError(
            f"{name}, called with 3 frames and lookahead 1, gives {sr.shape[1]} frames; wanted 2"
        )
    network.train(was_training)
    pixels = _SIDE**2
    each = max(12.0 * network.scale**2, 1.25 * (many - few) / 2 / pixels)  # type: ignore[operator]
    stated = {
        key: value
        for key in ("window", "lookahead", "margin")
        if isinstance(value := getattr(network, key, None), int)
    }
    return NetworkFacts(
        scale=called.scale,
        bytes_per_call=max(0.0, 1.25 * few / pixels - 2 * each),
        bytes_per_frame=each,
        **stated,
    )


def _tried(name: str, network: VideoNetwork, frames: int, state: State | None) -> tuple[int, State]:
    """Call it; give the bytes it took, and its state."""
    lq = torch.rand(1, frames, 3, _SIDE, _SIDE)
    call = f"{name}, called with lq {tuple(lq.shape)}"
    try:
        most, made = bytes_at_most(network, lq, state)
    except Exception as error:
        raise ConfigError(f"{call}: {type(error).__name__}: {error}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], Tensor)):
        raise ConfigError(f"{call}, gives {_kind(made)}; wanted (sr, state)")
    sr, after = made
    wanted = (1, frames, 3, _SIDE * network.scale, _SIDE * network.scale)
    if tuple(sr.shape) != wanted:
        raise ConfigError(f"{call}, gives sr {tuple(sr.shape)}; wanted {wanted}")
    if not isinstance(after, tuple):
        raise ConfigError(f"{call}, gives {_kind(after)} as its state; wanted a tuple of tensors")
    for layer in after:
        if not (
            isinstance(layer, Tensor) and layer.dim() == 4 and layer.shape[-2:] == lq.shape[-2:]
        ):
            raise ConfigError(
                f"{call}, has {_kind(layer)} in its state; wanted tensors (1, C, H, W) of the "
                "height and width of lq, so that tiles can be cut from them"
            )
    return most, after


def source_hash(name: str) -> str:
    """Hash the file that a class is defined in: a network that was edited is another one."""
    file = inspect.getsourcefile(sys.modules[imported(name).__module__])
    return hashlib.sha256(Path(file).read_bytes() if file else name.encode()).hexdigest()


def _kind(value: object) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
