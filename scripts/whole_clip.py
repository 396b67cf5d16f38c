"""BasicVSR, BasicVSR++ and RealBasicVSR as published: the whole clip at once.

For `bench.py published`, which compares it with the streaming networks of `vsr/models`. It uses
their layers and weights; the rest differs: flow of all pairs in one batch, features of all frames
kept until the end, channels first, no state. Inputs from 64x64 up.

Sources: equations of the papers, numerics of BasicSR and mmagic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.models.basicvsr import BasicVSR
from vsr.models.basicvsr_pp import BRANCHES, Alignment, BasicVSRPlusPlus
from vsr.models.realbasicvsr import RealBasicVSR

GROUPS, LONGEST_OFFSET, PASSES = 16, 10.0, 3


def whole_clip(network: object, lq: Tensor) -> Tensor:
    """Upscale or restore (N, T, 3, H, W) at once."""
    if isinstance(network, RealBasicVSR):
        return realbasicvsr(network, lq)
    if isinstance(network, BasicVSRPlusPlus):
        return basicvsr_pp(network, lq)
    assert isinstance(network, BasicVSR)
    return basicvsr(network, lq)


def basicvsr(network: BasicVSR, lq: Tensor) -> Tensor:
    n, t, _, h, w = lq.shape
    to_next, to_previous = flows(network, lq)
    feature = lq.new_zeros(n, network.channels, h, w)
    backward = []
    for i in range(t - 1, -1, -1):
        if i < t - 1:
            feature = warp(feature, to_next[:, i])
        feature = network.backward_trunk(torch.cat((lq[:, i], feature), dim=1))
        backward.insert(0, feature)
    feature = torch.zeros_like(feature)
    out = []
    for i in range(t):
        if i > 0:
            feature = warp(feature, to_previous[:, i - 1])
        feature = network.forward_trunk(torch.cat((lq[:, i], feature), dim=1))
        fused = network.fusion(torch.cat((backward[i], feature), dim=1))
        out.append(network.tail(fused) + enlarged(lq[:, i]))
    return torch.stack(out, dim=1)


def realbasicvsr(network: RealBasicVSR, lq: Tensor) -> Tensor:
    """Clean until the mean residue of the whole clip is small."""
    n, t = lq.shape[:2]
    for _ in range(PASSES):
        residue = network.cleaning(lq.flatten(0, 1)).unflatten(0, (n, t))
        lq = lq + residue
        if residue.abs().mean() * 255 < network.threshold:
            break
    return basicvsr(network.basicvsr, lq)


def basicvsr_pp(network: BasicVSRPlusPlus, lq: Tensor) -> Tensor:
    n, t = lq.shape[:2]
    frames, small = lq.flatten(0, 1), lq
    if network.scale == 1:
        frames = network.shrink(frames)
        small = F.interpolate(lq.flatten(0, 1), scale_factor=0.25, mode="bicubic")
        small = small.unflatten(0, (n, t))
    features = [[x] for x in network.extract(frames).unflatten(0, (n, t)).unbind(dim=1)]
    to_next, to_previous = flows(network, small)
    for branch in BRANCHES:
        order, flow = list(range(t)), to_previous
        if branch.startswith("backward"):
            order, flow = order[::-1], to_next.flip(1)
        done: list[Tensor] = []
        for step, i in enumerate(order):
            feature = torch.zeros_like(features[i][0])
            if step > 0:
                flow_1 = flow[:, step - 1]
                flow_2, before = torch.zeros_like(flow_1), torch.zeros_like(feature)
                if step > 1:
                    flow_2 = flow_1 + warp(flow[:, step - 2], flow_1)
                    before = done[-2]
                align = network.align[branch]
                feature = aligned(align, features[i][0], done[-1], before, flow_1, flow_2)  # type: ignore[arg-type]
            feature = feature + network.trunks[branch](torch.cat((*features[i], feature), dim=1))
            features[i].append(feature)
            done.append(feature)
    out = []
    for i in range(t):
        picture = network.tail(network.reconstruction(torch.cat(features[i], dim=1)))
        out.append(picture + (enlarged(lq[:, i]) if network.scale == 4 else lq[:, i]))
    return torch.stack(out, dim=1)


def aligned(
    layer: Alignment, current: Tensor, one: Tensor, two: Tensor, flow_1: Tensor, flow_2: Tensor
) -> Tensor:
    seen = torch.cat((warp(one, flow_1), current, warp(two, flow_2), flow_1, flow_2), dim=1)
    first, second, mask = layer.offset(seen).chunk(3, dim=1)
    offset = LONGEST_OFFSET * torch.tanh(torch.cat((first, second), dim=1))
    half = offset.shape[1] // 4
    base = torch.cat([f.flip(1).repeat(1, half, 1, 1) for f in (flow_1, flow_2)], dim=1)
    x = torch.cat((one, two), dim=1)
    return deform(x, offset + base, torch.sigmoid(mask), layer.weight, layer.bias)


def deform(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Modulated deformable convolution as in mmcv: all columns, then one product."""
    n, c, h, w = x.shape
    folded = x.reshape(n * GROUPS, c // GROUPS, h, w)
    shifts = offset.reshape(n * GROUPS, 9, 2, h, w)
    columns = []
    for tap in range(9):
        moved = torch.stack((shifts[:, tap, 1] + tap % 3 - 1, shifts[:, tap, 0] + tap // 3 - 1), 1)
        taken = warp(folded, moved) * mask.reshape(n * GROUPS, 9, 1, h, w)[:, tap]
        columns.append(taken.reshape(n, c, h * w))
    flat = torch.stack(columns, dim=2).reshape(n, c * 9, h * w)
    return (weight.reshape(weight.shape[0], -1) @ flat + bias[:, None]).reshape(n, -1, h, w)


def flows(network: BasicVSR | BasicVSRPlusPlus, lq: Tensor) -> tuple[Tensor, Tensor]:
    """Flow of all pairs in one batch: to the next frame, to the previous."""
    n, t = lq.shape[:2]
    early, late = lq[:, :-1].flatten(0, 1), lq[:, 1:].flatten(0, 1)
    found = [
        network.flow(*pair).unflatten(0, (n, t - 1)) for pair in ((early, late), (late, early))
    ]
    return found[0], found[1]


def warp(x: Tensor, flow: Tensor) -> Tensor:
    h, w = x.shape[-2:]
    down, across = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    rows, columns = torch.meshgrid(down, across, indexing="ij")
    place = torch.stack((columns, rows), dim=-1).to(flow) + flow.permute(0, 2, 3, 1)
    right, below = place.unbind(-1)
    place = torch.stack((2 * right / max(w - 1, 1) - 1, 2 * below / max(h - 1, 1) - 1), dim=-1)
    return F.grid_sample(x, place.to(x), mode="bilinear", padding_mode="zeros", align_corners=True)


def enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
