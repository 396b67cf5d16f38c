"""Backward warping by optical flow."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zeros", "border"]
Mode = Literal["bilinear", "bicubic"]

_LONG = 16  # channels


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute in the dtypes of the tensors, also within autocast; not all devices know that."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def flow_warp(
    x: Tensor, flow: Tensor, *, padding: Padding = "zeros", mode: Mode = "bilinear"
) -> Tensor:
    """Sample `x` at each pixel moved by `flow`.

    Args:
        x: Features or frames, (N, C, H, W).
        flow: Displacement in pixels, (N, 2, H, W), (dx, dy).
        padding: Values outside: "zeros" or "border".
        mode: "bicubic" is sharper, and overshoots; Apple GPUs are given "bilinear" instead.

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
    if padding == "zeros" and mode == "bilinear" and _has_rows(x):
        each = [_warp_rows(x[i : i + 1], flow[i : i + 1]) for i in range(len(x))]
        return torch.cat(each) if len(each) > 1 else each[0]
    with without_autocast(x.device):
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
        if x.device.type == "mps":  # has neither before torch 2.13
            mode = "bilinear"
            if padding == "border":
                grid, padding = grid.clamp(-1, 1), "zeros"
        warped = F.grid_sample(x.float(), grid, mode=mode, padding_mode=padding, align_corners=True)
    return warped.to(x.dtype)


def _has_rows(x: Tensor) -> bool:
    """Whether the channels of a pixel lie together, on a CPU, enough of them to be read as rows."""
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and x.shape[1] >= _LONG
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _warp_rows(x: Tensor, flow: Tensor) -> Tensor:
    """`flow_warp` of one (1, C, H, W) with zeros outside, as weighted sums of four rows each.

    Faster than `grid_sample` (`bench.py profile`: sampling); positions are not scaled to -1 to 1.
    """
    height, width = x.shape[-2:]
    across = torch.arange(width, dtype=torch.float32) + flow[0, 0].float()
    down = torch.arange(height, dtype=torch.float32)[:, None] + flow[0, 1].float()
    rows = torch.empty(height, width, 4, dtype=torch.int32)
    weights = torch.empty(height, width, 4)
    columns = _neighbours(across, width)
    for i, (y, share) in enumerate(_neighbours(down, height)):
        for j, (x_, part) in enumerate(columns):
            torch.add(x_, y, alpha=width, out=rows[..., 2 * i + j])
            torch.mul(share, part, out=weights[..., 2 * i + j])
    table = x.permute(0, 2, 3, 1).reshape(height * width, -1).float()
    warped = F.embedding_bag(
        rows.view(-1, 4), table, mode="sum", per_sample_weights=weights.view(-1, 4)
    )
    return warped.view(1, height, width, -1).permute(0, 3, 1, 2).to(x.dtype)


def _neighbours(position: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels around a position on an axis, and their shares; those outside have none.

    A position that is no number has shares that are none, as has what is sampled there.
    """
    first = position.floor()
    share = position - first
    found = []
    for pixel, part in ((first, 1 - share), (first + 1, share)):
        inside = pixel.nan_to_num(0).clamp(0, size - 1).to(torch.int32)
        found.append((inside, part * ((pixel >= 0) & (pixel < size))))
    return found
