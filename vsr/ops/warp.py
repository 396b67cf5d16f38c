"""Backward warping by optical flow."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zeros", "border"]


def flow_warp(x: Tensor, flow: Tensor, *, padding: Padding = "zeros") -> Tensor:
    """Sample `x` at each pixel moved by `flow`.

    Args:
        x: Features or frames, (N, C, H, W).
        flow: Displacement in pixels, (N, 2, H, W), (dx, dy).
        padding: Values outside: "zeros" or "border".

    Returns:
        (N, C, H, W), in the dtype of `x`. Grid and sampling are float32: half precision misplaces
        samples by up to 0.84 px at width 1920.

    Raises:
        ValueError: The spatial sizes differ.

    Source: BasicVSR (Chan et al., CVPR 2021), sec. 3.2.
    """
    if x.shape[-2:] != flow.shape[-2:]:
        raise ValueError(f"flow of size {tuple(flow.shape[-2:])} for x of {tuple(x.shape[-2:])}")
    height, width = x.shape[-2:]
    with torch.autocast(x.device.type, enabled=False):
        flow = flow.float()
        rows = torch.arange(height, device=x.device, dtype=torch.float32).view(1, height, 1)
        columns = torch.arange(width, device=x.device, dtype=torch.float32).view(1, 1, width)
        # align_corners=True: -1 and 1 are the centres of the outermost pixels.
        grid = torch.stack(
            (
                (columns + flow[:, 0]) * (2 / max(width - 1, 1)) - 1,
                (rows + flow[:, 1]) * (2 / max(height - 1, 1)) - 1,
            ),
            dim=-1,
        )
        warped = F.grid_sample(
            x.float(), grid, mode="bilinear", padding_mode=padding, align_corners=True
        )
    return warped.to(x.dtype)
