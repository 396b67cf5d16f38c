"""One step of an optimiser, left out where the gradient is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer


def descend(
    optimizer: Optimizer,
    scaler: GradScaler,
    parameters: Sequence[nn.Parameter],
    *,
    clip: float = 0.0,
) -> bool:
    """Step down the gradient that `scaler.scale(loss).backward()` left.

    Args:
        optimizer: Of the parameters.
        scaler: Enabled for fp16 only; it halves its scale where the gradient overflowed.
        parameters: All that are trained.
        clip: Largest norm of the gradient; 0: any.

    Returns:
        Whether it was taken: one bad batch must not poison the weights of a run of hours.
    """
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(parameters, clip or inf)
    finite = bool(torch.isfinite(norm))
    if finite:
        scaler.step(optimizer)
    scaler.update()
    return finite
