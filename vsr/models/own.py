"""Networks of the user's own: classes that `--model package.module:Class` names."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from vsr.errors import ConfigError
from vsr.models.contract import (
    NetworkFacts,
    State,
    VideoNetwork,
    as_network,
    check_output,
    evaluating,
)
from vsr.models.demand import bytes_at_most
from vsr.options import imported

_SIDE = 48  # of the frames by which a network is tried


def build_own(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Import a class and make a network of it.

    Args:
        name: package.module:Class.
        arguments: Keyword arguments that it is called with.

    Raises:
        ConfigError: It cannot be imported or called, or makes no network.
    """
    kind = imported(name)
    try:
        network = kind(**arguments)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(f"{name}({given}): {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{name} makes a {type(network).__name__}; wanted a torch.nn.Module")
    if not hasattr(network, "min_size"):
        network.min_size = 1  # type: ignore[assignment]
    as_network(network)
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
    called = cast("VideoNetwork", network)
    with evaluating(called):
        few, state = _tried(name, called, 2, 0, None)
        many, state = _tried(name, called, 4, 0, state)
        _tried(name, called, 3, 1, state)
    each = max(12.0 * called.scale**2, 1.25 * (many - few) / 2)
    stated = {
        key: value
        for key in ("window", "lookahead", "margin")
        if isinstance(value := getattr(network, key, None), int)
    }
    return NetworkFacts(
        scale=called.scale,
        bytes_per_call=max(0.0, 1.25 * few - 2 * each),
        bytes_per_frame=each,
        **stated,
    )


def _tried(
    name: str, network: VideoNetwork, frames: int, lookahead: int, state: State | None
) -> tuple[float, State]:
    """Call it; give the bytes it took for each pixel, and its state."""
    lq = torch.rand(1, frames, 3, _SIDE, _SIDE)
    try:
        most, made = bytes_at_most(network, lq, state, lookahead)
    except Exception as error:
        raise ConfigError(
            f"{name}, called with lq {tuple(lq.shape)}, lookahead {lookahead} and "
            f"{'no state' if state is None else 'the state it gave'}: "
            f"{type(error).__name__}: {error}"
        ) from error
    check_output(network, lq, lookahead, made)
    return most / _SIDE**2, made[1]


def source_hash(name: str) -> str:
    """Hash the file that a class is defined in: a network that was edited is another one."""
    file = inspect.getsourcefile(sys.modules[imported(name).__module__])
    return hashlib.sha256(Path(file).read_bytes() if file else name.encode()).hexdigest()
