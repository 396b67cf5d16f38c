"""Dense optical flow without learned parameters: pyramidal Lucas-Kanade in plain torch."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.models.layers import in_cache
from vsr.ops.warp import flow_warp, without_autocast

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
    with without_autocast(reference.device):
        pyramid = [(_gray(reference), _gray(neighbour))]
        while len(pyramid) < levels and min(pyramid[-1][0].shape[-2:]) >= 2 * _COARSEST:
            pyramid.append(tuple(_halve(picture) for picture in pyramid[-1]))  # type: ignore[arg-type]
        flow = torch.zeros_like(pyramid[-1][0]).repeat(1, 2, 1, 1)
        for ref, other in reversed(pyramid):
            if flow.shape[-2:] != ref.shape[-2:]:
                flow = upscale_flow(flow, ref.shape[-2], ref.shape[-1])
            flow = in_cache(partial(_iterate, iterations), ref, other, flow)
    return flow


def upscale_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resize a flow field bilinearly and scale its values to pixels of the new size.

    Args:
        flow: (N, 2, H, W), pixels.
        height, width: New size.

    Returns:
        (N, 2, height, width), pixels of the new size.
    """
    resized = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
    dx, dy = resized[:, :1], resized[:, 1:]
    return torch.cat((dx * (width / flow.shape[-1]), dy * (height / flow.shape[-2])), dim=1)


def _iterate(iterations: int, reference: Tensor, neighbour: Tensor, flow: Tensor) -> Tensor:
    for _ in range(iterations):
        step = _step(reference, flow_warp(neighbour, flow, padding="border"))
        flow = _mean3(step.add_(flow))
    return flow


def _step(reference: Tensor, warped: Tensor) -> Tensor:
    """One Gauss-Newton step, (N, 2, H, W), clamped to one pixel."""
    # The sum of both, and differences over two pixels: four times the gradient of the mean. What
    # that does to the step is undone at the end; a power of two loses nothing.
    padded = F.pad(reference + warped, (1, 1, 1, 1), mode="replicate")
    dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    dt = warped - reference
    products = torch.cat((dx * dx, dx * dy, dy * dy, dx * dt, dy * dt), dim=1)
    # Sums, not means: a common factor cancels, and pixels outside the picture do not count.
    sums = _sum5(_sum5(products))
    xx, xy, yy, xt, yt = (sums[:, i : i + 1] for i in range(5))
    # Damping by the noise of 8-bit pictures keeps flat windows from moving.
    damping = 16 * 625e-5
    xx, yy = xx + damping, yy + damping
    determinant = torch.addcmul(xx * yy, xy, xy, value=-1)
    across = torch.addcmul(xy * yt, yy, xt, value=-1)
    down = torch.addcmul(xy * xt, xx, yt, value=-1)
    return torch.cat((across, down), dim=1).div_(determinant).mul_(4).clamp_(-1, 1)


def _gray(x: Tensor) -> Tensor:
    return x.float().mean(dim=1, keepdim=True)


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _sum5(x: Tensor) -> Tensor:
    """Sum over 5x5 pixels, zeros outside, by shifted adds: on CPUs much faster than pooling."""
    x = F.pad(x, (2, 2, 2, 2))
    for dim in (-2, -1):
        length = x.shape[dim]
        pairs = x.narrow(dim, 0, length - 1) + x.narrow(dim, 1, length - 1)
        fours = pairs.narrow(dim, 0, length - 3) + pairs.narrow(dim, 2, length - 3)
        x = fours.narrow(dim, 0, length - 4) + x.narrow(dim, 4, length - 4)
    return x


def _mean3(x: Tensor) -> Tensor:
    """Mean over 3x3 pixels, edges repeated outside."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for dim in (-2, -1):
        length = x.shape[dim]
        ends = x.narrow(dim, 0, length - 2) + x.narrow(dim, 2, length - 2)
        x = ends + x.narrow(dim, 1, length - 2)
    return x.div_(9)
