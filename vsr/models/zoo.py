"""The networks by name: the one place where a choice by name happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from vsr.models.bicubic import Bicubic
from vsr.models.compact import Compact

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"bicubic": Bicubic, "compact": Compact}


def build(name: str, **hyper_parameters: Any) -> nn.Module:  # noqa: ANN401
    """Build a network with random weights.

    Args:
        name: A key of `ARCHITECTURES`.
        hyper_parameters: Its constructor's arguments.
    """
    return ARCHITECTURES[name](**hyper_parameters)
