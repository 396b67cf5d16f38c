"""Steadier results: each is blended with the one before it, moved along the optical flow."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.models.contract import NetworkFacts, State, VideoNetwork
from vsr.models.flow import lucas_kanade, upscale_flow
from vsr.ops.warp import flow_warp, without_autocast

# Share of the result before at full strength; all of it would never show anything new.
_MOST = 0.8
# Difference between a frame and the moved one before it at which a third of the share is left: mean
# of RGB from 0 to 1 over `_AROUND` pixels squared. `bench.py steady` measures what it costs.
_TOLERATED = 0.03
_AROUND = 5


class Steady(nn.Module):
    """A network whose results flicker less; see `contract.VideoNetwork`.

    The flow is that of the input. Where the moved input before does not match the input, as behind
    what moves away and where the flow fails, the result stays as it is.

    Args:
        network: Any.
        strength: 0 to 1.

    Attributes:
        scale, min_size: Those of the network.
    """

    def __init__(self, network: VideoNetwork, strength: float) -> None:
        super().__init__()
        self.network = network
        self.strength = strength
        self.scale = network.scale
        self.min_size = network.min_size

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window; the state ends with the last frame as it came, and its result.

        The result is kept as the sub-pixels of each pixel of lq, (N, 3 * scale**2, H, W).
        """
        sr, after = self.network(lq, None if state is None else state[:-2], lookahead)
        before = None if state is None else state[-2].float()
        shown = None if state is None else F.pixel_shuffle(state[-1].float(), self.scale)
        results = []
        with without_autocast(lq.device):
            for frame, result in zip(lq.float().unbind(1), sr.float().unbind(1), strict=False):
                if before is not None and shown is not None:
                    result = self._blended(frame, before, result, shown)
                before, shown = frame, result
                results.append(result)
            assert before is not None
            assert shown is not None
            return torch.stack(results, 1), (*after, before, F.pixel_unshuffle(shown, self.scale))

    def _blended(self, frame: Tensor, before: Tensor, result: Tensor, shown: Tensor) -> Tensor:
        flow = lucas_kanade(frame, before)
        height, width = result.shape[-2:]
        share = _MOST * self.strength * _matching(frame, before, flow)
        share = F.interpolate(share, size=(height, width), mode="bilinear", align_corners=False)
        # Bilinear sampling, frame after frame, would blur what is sharp.
        flow = upscale_flow(flow, height, width)
        moved = flow_warp(shown, flow, padding="border", mode="bicubic")
        return result + share * (moved - result)


def _matching(frame: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """How far a frame is the moved one before it, (N, 1, H, W), 0 to 1; 0 outside of that."""
    wrong = (frame - flow_warp(before, flow, padding="border")).abs().mean(1, keepdim=True)
    half = _AROUND // 2
    near = F.avg_pool2d(F.pad(wrong, (half,) * 4, mode="replicate"), _AROUND, stride=1)
    inside = flow_warp(torch.ones_like(wrong), flow)
    return (near / _TOLERATED).square().neg().exp() * inside


def steadied(facts: NetworkFacts) -> NetworkFacts:
    """Facts of a network with `Steady` around it; measured by `foreign.bytes_at_most`."""
    pixels = facts.scale**2
    return replace(
        facts,
        bytes_per_call=facts.bytes_per_call + 180 + 45 * pixels,
        bytes_per_frame=facts.bytes_per_frame + 12 * pixels,
    )
