"""Losses as pure functions of (prediction, truth)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.models.flow import upscale_flow
from vsr.ops.warp import flow_warp

# Occlusion by the forward-backward test; constants of Sundaram, Brox and Keutzer, ECCV 2010.
_RELATIVE, _ABSOLUTE = 0.01, 0.5


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


def temporal(sr: Tensor, flow_to_previous: Tensor, flow_to_next: Tensor) -> Tensor:
    """Mean absolute difference of each output frame and the one before, warped to it.

    Over what is seen in both: where the way to the frame before and back ends near its start. Flow
    is taken as it is: nothing is learnt about it here.

    Args:
        sr: (N, T, 3, H * scale, W * scale), 0 to 1.
        flow_to_previous: (N, T - 1, 2, H, W), entry i for frame i + 1, in pixels of its own size.
        flow_to_next: (N, T - 1, 2, H, W), entry i for frame i.

    Returns:
        0 where nothing is seen in both.

    Source: the short-term temporal loss of Lai et al., "Learning blind video temporal consistency",
    ECCV 2018, by the flow of the input instead of the truth's.
    """
    to_previous = flow_to_previous.detach().flatten(0, 1)
    back = flow_warp(flow_to_next.detach().flatten(0, 1), to_previous)
    gap = (to_previous + back).square().sum(1, keepdim=True)
    size = (to_previous.square() + back.square()).sum(1, keepdim=True)
    seen = (gap < _RELATIVE * size + _ABSOLUTE).to(sr)
    height, width = sr.shape[-2:]
    earlier, later = sr[:, :-1].flatten(0, 1), sr[:, 1:].flatten(0, 1)
    moved = flow_warp(earlier, upscale_flow(to_previous, height, width), padding="border")
    seen = F.interpolate(seen, size=(height, width), mode="nearest")
    return ((moved - later).abs() * seen).sum() / (3 * seen.sum()).clamp(min=1)
