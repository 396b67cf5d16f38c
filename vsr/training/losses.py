"""Losses as pure functions of (prediction, truth)."""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.ops.warp import flow_warp


def charbonnier(sr: Tensor, gt: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Mean of sqrt((sr - gt)^2 + eps), a smooth L1.

    Args:
        sr: Output, any shape.
        gt: Truth, same shape.
        eps: As published for BasicVSR.

    Source: BasicVSR (Chan et al., CVPR 2021), sec. 4.
    """
    return ((sr - gt).square() + eps).sqrt().mean()


def photometric(lq: Tensor, flow_to_previous: Tensor, flow_to_next: Tensor) -> Tensor:
    """Mean absolute difference of each frame and its warped neighbours.

    Args:
        lq: (N, T, 3, H, W), 0 to 1.
        flow_to_previous: (N, T - 1, 2, H, W), entry i for frame i + 1.
        flow_to_next: (N, T - 1, 2, H, W), entry i for frame i.
    """
    earlier, later = lq[:, :-1].flatten(0, 1), lq[:, 1:].flatten(0, 1)
    from_previous = flow_warp(earlier, flow_to_previous.flatten(0, 1), padding="border")
    from_next = flow_warp(later, flow_to_next.flatten(0, 1), padding="border")
    return torch.cat((from_previous - later, from_next - earlier)).abs().mean()
