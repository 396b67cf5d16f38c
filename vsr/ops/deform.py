"""Modulated deformable convolution: plain torch on CPUs, torchvision's operator on GPUs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.warp import without_autocast

# (x, offset, mask, weight, bias) -> (N, O, H, W)
Operator = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def deform_conv(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Deformable 3x3 convolution with a weight per tap and pixel.

    Tap k of group g is sampled bilinearly at its place in the 3x3 window plus its offset, zero
    outside the picture, and multiplied by its mask.

    Args:
        x: (N, C, H, W); the channels form G groups of neighbours that move together.
        offset: (N, G * 9 * 2, H, W) in pixels: by group, then tap (row by row), then (dy, dx).
        mask: (N, G * 9, H, W): by group, then tap.
        weight: (O, C, 3, 3).
        bias: (O,).

    Returns:
        (N, O, H, W), in the dtype of `x`. Positions and sampling are float32 under autocast too.

    Raises:
        ValueError: The channels of offset, mask and x do not fit together.

    Source: Zhu et al., "Deformable ConvNets v2", CVPR 2019; layout of mmcv and torchvision.
    """
    groups = mask.shape[1] // 9
    if mask.shape[1] != 9 * groups or offset.shape[1] != 18 * groups or x.shape[1] % groups:
        raise ValueError(
            f"{mask.shape[1]} mask and {offset.shape[1]} offset channels for {x.shape[1]} features"
        )
    # On a CPU the plain form is about three times as fast (`scripts/bench.py deform`).
    fast = None if x.device.type == "cpu" else torchvision_operator(x.device.type)
    operator = fast or deform_conv_plain
    with without_autocast(x.device):
        out = operator(x.float(), offset.float(), mask.float(), weight.float(), bias.float())
    return out.to(x.dtype)


def deform_conv_plain(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """`deform_conv` in plain torch, tap by tap: all at once would need nine times the memory."""
    batch, channels, height, width = x.shape
    groups = mask.shape[1] // 9
    folded = x.reshape(batch * groups, channels // groups, height, width)
    moved = offset.reshape(batch * groups, 9, 2, height, width)
    weighed = mask.reshape(batch * groups, 9, 1, height, width)
    rows = torch.arange(height, device=x.device, dtype=torch.float32).view(1, height, 1)
    columns = torch.arange(width, device=x.device, dtype=torch.float32).view(1, 1, width)
    # align_corners=True: -1 and 1 are the centres of the outermost pixels.
    right, down = 2 / max(width - 1, 1), 2 / max(height - 1, 1)
    kernel = weight.expand(batch, *weight.shape)
    out = bias.view(1, -1, 1).expand(batch, -1, height * width)
    for tap in range(9):
        below, beside = tap // 3 - 1, tap % 3 - 1
        grid = torch.stack(
            (
                torch.add((columns + beside) * right - 1, moved[:, tap, 1], alpha=right),
                torch.add((rows + below) * down - 1, moved[:, tap, 0], alpha=down),
            ),
            dim=-1,
        )
        sampled = F.grid_sample(folded, grid, padding_mode="zeros", align_corners=True)
        flat = (sampled * weighed[:, tap]).view(batch, channels, height * width)
        out = torch.baddbmm(out, kernel[..., tap // 3, tap % 3], flat)
    return out.view(batch, -1, height, width)


@cache
def torchvision_operator(device: str) -> Operator | None:
    """torchvision's operator, or None if it does not work; both operators give the same result.

    It is tried once: a torchvision built for another torch raises RuntimeError on import or lacks
    kernels, and one without CUDA fails only when called there.

    Args:
        device: Type of device: "cpu", "cuda".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that are not used here
            from torchvision.ops import deform_conv2d

        def operator(
            x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
        ) -> Tensor:
            out: Tensor = deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)
            return out

        zeros = partial(torch.zeros, device=device)
        one = zeros(1, 1, 1, 1)
        operator(one, zeros(1, 18, 1, 1), zeros(1, 9, 1, 1), zeros(1, 1, 3, 3), zeros(1))
    except (ImportError, RuntimeError, OSError, AttributeError):
        return None
    return operator
