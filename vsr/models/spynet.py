"""SPyNet: coarse-to-fine optical flow of the BasicVSR family."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.models.flow import upscale_flow
from vsr.models.layers import Stage
from vsr.ops.warp import flow_warp

_LEVELS = 6
_MULTIPLE = 2 ** (_LEVELS - 1)
# Below this the coarsest level is a single pixel; the published code refuses such frames.
_SMALLEST = 2 * _MULTIPLE
_PAIRS_AT_ONCE = 4


class SpyNet(nn.Module):
    """Six-level spatial pyramid network.

    Each level refines the flow of the coarser one with five 7x7 convolutions on the reference, the
    neighbour warped by the flow so far, and that flow. Frames smaller than 64 pixels are padded by
    their edge for this.

    Source: Ranjan & Black, CVPR 2017; sizes, warping and ImageNet normalisation as in BasicSR and
    mmagic, so that their checkpoints load.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_level() for _ in range(_LEVELS))
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))

    def forward(self, reference: Tensor, neighbour: Tensor) -> Tensor:
        """Estimate where each pixel of `reference` lies in `neighbour`.

        Args:
            reference: (N, 3, H, W), RGB, 0 to 1.
            neighbour: (N, 3, H, W), RGB, 0 to 1.

        Returns:
            Flow in pixels, (N, 2, H, W), (dx, dy), float32; under autocast only the convolutions
            use half precision.
        """
        height, width = reference.shape[-2:]
        below, beside = max(0, _SMALLEST - height), max(0, _SMALLEST - width)
        if below or beside:
            reference = F.pad(reference, (0, beside, 0, below), mode="replicate")
            neighbour = F.pad(neighbour, (0, beside, 0, below), mode="replicate")
        return self._flow(reference.float(), neighbour.float())[..., :height, :width]

    def _flow(self, reference: Tensor, neighbour: Tensor) -> Tensor:
        height, width = reference.shape[-2:]
        size = (-height % _MULTIPLE + height, -width % _MULTIPLE + width)
        pyramid = [tuple(self._prepared(x, size) for x in (reference, neighbour))]
        for _ in range(_LEVELS - 1):
            pyramid.append(tuple(F.avg_pool2d(x, 2) for x in pyramid[-1]))
        batch, _, rows, columns = pyramid[-1][0].shape
        flow = reference.new_zeros(batch, 2, rows, columns)
        for number, (ref, other) in enumerate(reversed(pyramid)):
            if number > 0:
                # The weights were trained with aligned corners here and nowhere else.
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            warped = flow_warp(other, flow, padding="border")
            flow = flow + self.levels[number](torch.cat((ref, warped, flow), dim=1)).float()
        if size != (height, width):
            flow = upscale_flow(flow, height, width)
        return flow

    def _prepared(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = (x - self.mean) / self.std
        if x.shape[-2:] == size:
            return x
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def clip_flow(
    network: Callable[[Tensor, Tensor], Tensor], references: Tensor, neighbours: Tensor
) -> Tensor:
    """Estimate the flow of many pairs, a few at once to bound memory.

    Args:
        network: A `SpyNet`.
        references, neighbours: (N, T, 3, H, W).

    Returns:
        (N, T, 2, H, W), float32.
    """
    batch, length, _, height, width = references.shape
    flows = [references.new_zeros(batch, 0, 2, height, width, dtype=torch.float32)]
    for start in range(0, length, _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        flow = network(references[:, some].flatten(0, 1), neighbours[:, some].flatten(0, 1))
        flows.append(flow.view(batch, -1, 2, height, width))
    return torch.cat(flows, dim=1)


def _level() -> Stage:
    layers: list[nn.Module] = []
    for before, after in pairwise((8, 32, 64, 32, 16, 2)):
        layers += [nn.Conv2d(before, after, 7, padding=3), nn.ReLU(inplace=True)]
    return Stage(*layers[:-1])
