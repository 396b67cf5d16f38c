"""What the engine asks of a network, what it must know about one, and what training asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

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


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """What planning needs to know about a network.

    Memory is reckoned per lq pixel: what one call needs, plus what each frame in it adds, in
    float32. The defaults are a quarter above what the compact network at x4 takes; what is
    estimated and what is taken, `bench.py limits` prints.

    Attributes:
        scale: Its upscaling factor.
        window: Default number of frames to upscale at once.
        lookahead: Default number of frames to look at beyond them.
        margin: Pixels of lq at a tile's edge that lack context.
        bytes_per_call: Per lq pixel.
        bytes_per_frame: Per lq pixel and frame, the enlarged picture included.
    """

    scale: int = 4
    window: int = 16
    lookahead: int = 4
    margin: int = 32
    bytes_per_call: float = 750.0
    bytes_per_frame: float = 880.0


class TrainingOutput(NamedTuple):
    """What a network made of a clip, and what on the way a loss may look at.

    Attributes:
        sr: (N, T, 3, H * scale, W * scale).
        flow_to_previous: (N, T - 1, 2, H, W), entry i for frame i + 1, in pixels; None where the
            network shows no flow that can learn.
        flow_to_next: The same, entry i for frame i.
        cleaned: (N, T, 3, H, W), the input as the network cleaned it; None where it does not.
    """

    sr: Tensor
    flow_to_previous: Tensor | None = None
    flow_to_next: Tensor | None = None
    cleaned: Tensor | None = None


class TrainableNetwork(nn.Module, ABC):
    """A `VideoNetwork` that `vsr train` can train."""

    scale: int

    @abstractmethod
    def forward_for_training(self, lq: Tensor, state: State | None = None) -> TrainingOutput:
        """Upscale a whole clip, (N, T, 3, H, W), as `forward` does without lookahead."""

    @abstractmethod
    def flow_parameters(self) -> Iterable[nn.Parameter]:
        """Give what estimates the flow, which learns at a rate of its own."""
