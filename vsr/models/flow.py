"""Dense optical flow without learned parameters: pyramidal Lucas-Kanade in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.warp import flow_warp

# Smallest useful side of a pyramid level; below it the window covers the whole picture.
_COARSEST = 12


@torch.no_grad()
def lucas_kanade(
    reference: Tensor, neighbour: Tensor, *, levels: int = 4, iterations: int = 3
) -> Tensor:
    """Estimate where each pixel of `reference` lies in `neighbour`.

    From the coarsest level to full size, each step solves the 2x2 normal equations over a smooth
    window, moves by at most one pixel and is smoothed 3x3, so flat areas inherit the motion around
    them. No gradient.

    Args:
        reference, neighbour: (N, C, H, W), 0 to 1.
        levels: Maximum number of pyramid levels, each half the size of the one before.
        iterations: Steps per level.

    Returns:
        Flow in pixels, (N, 2, H, W), (dx, dy), float32.

    Source: Lucas & Kanade 1981; Bouguet 2000 (pyramid). Gradients of the mean of the reference and
    the warped neighbour double the range of convergence.
    """
    with torch.autocast(reference.device.type, enabled=False):
        pyramid = [(_gray(reference), _gray(neighbour))]
        while len(pyramid) < levels and min(pyramid[-1][0].shape[-2:]) >= 2 * _COARSEST:
            pyramid.append(tuple(_halve(picture) for picture in pyramid[-1]))  # type: ignore[arg-type]
        flow = torch.zeros_like(pyramid[-1][0]).repeat(1, 2, 1, 1)
        for ref, other in reversed(pyramid):
            if flow.shape[-2:] != ref.shape[-2:]:
                flow = upscale_flow(flow, ref.shape[-2], ref.shape[-1])
            for _ in range(iterations):
                flow = flow + _step(ref, flow_warp(other, flow, padding="border"))
                flow = _window_sum(flow, 3, "replicate") / 9
    return flow


def upscale_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resize a flow field bilinearly and scale its values to pixels of the new size.

    Args:
        flow: (N, 2, H, W), pixels.
        height, width: New size.

    Returns:
        (N, 2, height, width), pixels of the new size.
    """
    factors = flow.new_tensor((width / flow.shape[-1], height / flow.shape[-2])).view(1, 2, 1, 1)
    resized = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
    return resized * factors


def _step(reference: Tensor, warped: Tensor) -> Tensor:
    """One Gauss-Newton step, (N, 2, H, W), clamped to one pixel."""
    mean = (reference + warped) / 2
    padded = F.pad(mean, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dt = warped - reference
    products = torch.cat((dx * dx, dx * dy, dy * dy, dx * dt, dy * dt), dim=1)
    # Sums, not means: a common factor cancels, and pixels outside the picture do not count.
    sums = _window_sum(_window_sum(products, 5, "constant"), 5, "constant")
    xx, xy, yy, xt, yt = (sums[:, i : i + 1] for i in range(5))
    # Damping by the noise of 8-bit pictures keeps flat windows from moving.
    damping = 625e-5
    xx, yy = xx + damping, yy + damping
    determinant = xx * yy - xy * xy
    step = torch.cat((xy * yt - yy * xt, xy * xt - xx * yt), dim=1) / determinant
    return torch.clamp(step, -1, 1)


def _gray(x: Tensor) -> Tensor:
    return x.float().mean(dim=1, keepdim=True)


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _window_sum(x: Tensor, size: int, padding: str) -> Tensor:
    """Sum over a size x size window by shifted adds: on CPUs much faster than pooling."""
    half = size // 2
    for dim, pad in ((-2, (0, 0, half, half)), (-1, (half, half, 0, 0))):
        padded = F.pad(x, pad, mode=padding)
        length = x.shape[dim]
        total = padded.narrow(dim, 0, length) + padded.narrow(dim, 1, length)
        for offset in range(2, size):
            total += padded.narrow(dim, offset, length)
        x = total
    return x
