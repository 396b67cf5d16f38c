"""What the engine asks of a network; see `VideoNetwork`."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

State = tuple[Tensor, ...]


class VideoNetwork(Protocol):
    """A recurrent video super-resolution network.

    Attributes:
        scale: Integer upscaling factor.
        min_size: Smallest lq height and width it takes as they are; smaller ones it pads itself.

    Calling it window by window, passing the state on and giving enough lookahead, comes as near
    as measured (`scripts/bench.py seams`) to one call on the whole segment.
    """

    scale: int
    min_size: int

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window of frames.

        Args:
            lq: (N, T, 3, H, W), RGB, 0 to 1. Any H and W from 1 up, any T greater than lookahead.
            state: What the previous window returned; None at the start of a segment.
            lookahead: How many of the last frames are only looked at, not upscaled.

        Returns:
            sr: (N, T - lookahead, 3, H * scale, W * scale).
            state: A tuple of (N, C, H, W) tensors at lq size, after frame T - lookahead - 1.
        """
        ...
