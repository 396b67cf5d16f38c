"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """A moving average of a network's parameters and buffers.

    The decay warms up as (1 + n) / (10 + n), so early averages forget the initial weights.

    Args:
        network: Whose weights are followed.
        decay: Weight of the past at each update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Give the network the averaged weights inside the block, its own again after it."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """All that `load_state_dict` needs to go on."""
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, on the device where this average is."""
        self.updates = state["updates"]
        self.weights = {
            name: state["weights"][name].to(value.device, copy=True)
            for name, value in self.weights.items()
        }
