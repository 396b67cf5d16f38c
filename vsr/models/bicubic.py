"""Bicubic interpolation as a network: the baseline of all tables."""

from __future__ import annotations

from torch import Tensor, nn

from vsr.models.contract import State
from vsr.ops.resize import resize


class Bicubic(nn.Module):
    """MATLAB's bicubic `imresize` per frame; no parameters, no state.

    Args:
        scale: Upscaling factor.
    """

    min_size = 1

    def __init__(self, *, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window; see `contract.VideoNetwork`."""
        shown = lq[:, : lq.shape[1] - lookahead]
        return resize(shown, lq.shape[-2] * self.scale, lq.shape[-1] * self.scale), ()
