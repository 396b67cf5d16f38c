"""How much a network computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vsr.models.zoo import ARCHITECTURES

_FRAMES = 4


def gmac(
    architecture: str, hyper_parameters: Mapping[str, Any], *, size: tuple[int, int] = (320, 180)
) -> float:
    """Count the multiplications of the convolutions, in billions per frame of 320x180.

    Args:
        architecture: Key of `ARCHITECTURES`.
        hyper_parameters: What it is built with.
        size: (width, height) that is run to count them; smaller is quicker, and tells a little more
            of networks that pad their input to some multiple.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = ARCHITECTURES[architecture](**hyper_parameters)
    width, height = size
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, _FRAMES, 3, height, width))
    share = width * height / (320 * 180)
    operations: int = counter.get_total_flops()
    return operations / 2 / _FRAMES / share / 1e9
