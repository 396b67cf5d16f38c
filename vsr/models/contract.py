"""Interfaces and facts of networks, for inference and for training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from torch import Tensor, nn

from vsr.errors import ConfigError

State = tuple[Tensor, ...]


class VideoNetwork(Protocol):
    """A recurrent video super-resolution network.

    Attributes:
        scale: Integer upscaling factor.
        min_size: Smallest lq height and width that need no padding inside the network.

    With the state passed on and enough lookahead, calls window by window approximate one call on
    the whole segment; `scripts/bench.py seams` measures how closely.
    """

    scale: int
    min_size: int

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window of frames.

        Args:
            lq: (N, T, 3, H, W), RGB, 0 to 1; H and W at least 1, T greater than `lookahead`.
            state: Returned for the previous window; None at the start of a segment.
            lookahead: Number of last frames that are only context, not upscaled.

        Returns:
            sr: (N, T - lookahead, 3, H * scale, W * scale).
            state: A tuple of (N, C, H, W) tensors at lq size, after frame T - lookahead - 1.
        """
        ...


def as_network(given: object) -> VideoNetwork:
    """Check that something is a network by its attributes; what it returns, `check_output` sees.

    Raises:
        ConfigError: It is not.
    """
    name = type(given).__name__
    if isinstance(given, type):
        raise ConfigError(f"wanted a network, got the class {given.__name__}; create one of it")
    if not callable(given):
        raise ConfigError(f"wanted the name of a model, a weight file or a network; got {name}")
    for attribute in ("scale", "min_size"):
        value = getattr(given, attribute, None)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            got = "none" if value is None else repr(value)
            raise ConfigError(
                f"a network needs `{attribute}`, a whole number from 1 up; {name} has {got} (see "
                "help(vsr.models.contract))"
            )
    return cast("VideoNetwork", given)


def check_output(network: VideoNetwork, lq: Tensor, lookahead: int, found: Any) -> None:  # noqa: ANN401
    """Check the shapes that a network returned.

    Args:
        network: Which was called.
        lq, lookahead: With what.
        found: What it returned.

    Raises:
        ConfigError: Not what `VideoNetwork` describes.
    """
    batch, count, _, height, width = lq.shape
    scale = network.scale
    wanted = (batch, count - lookahead, 3, height * scale, width * scale)
    problem = None
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Tensor)):
        problem = f"(sr, state) wanted, got {type(found).__name__}"
    elif found[0].shape != wanted:
        problem = f"sr of shape {wanted} wanted, got {tuple(found[0].shape)}"
    elif not (isinstance(found[1], tuple) and all(isinstance(x, Tensor) for x in found[1])):
        problem = f"a state wanted that is a tuple of tensors, got {type(found[1]).__name__}"
    else:
        sizes = [tuple(x.shape) for x in found[1]]
        if any(len(x) != 4 or x[0] != batch or x[2:] != (height, width) for x in sizes):
            problem = f"a state of shapes ({batch}, C, {height}, {width}) wanted, got {sizes}"
    if problem is not None:
        raise ConfigError(
            f"the network was given lq of shape {tuple(lq.shape)} with lookahead {lookahead} and "
            f"scale {scale}: {problem} (see help(vsr.models.contract))"
        )


@contextmanager
def evaluating(network: VideoNetwork) -> Iterator[None]:
    """Put a network into evaluation mode inside the block, back into training mode after it."""
    training = isinstance(network, nn.Module) and network.training
    if isinstance(network, nn.Module) and training:
        network.eval()
    try:
        yield
    finally:
        if isinstance(network, nn.Module) and training:
            network.train()


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """Facts about a network, for planning.

    Memory per lq pixel in float32 is that of a call plus that of each frame in it. The defaults are
    a quarter above the compact network at x4; `bench.py limits` prints estimated and actual memory.

    Attributes:
        scale: Upscaling factor.
        window: Default number of frames per call.
        lookahead: Default number of context frames after them.
        margin: Pixels of lq at a tile's edge that lack context.
        bytes_per_call: Per lq pixel.
        bytes_per_frame: Per lq pixel and frame, upscaled picture included.
        int8: Whether `--precision auto` may compute it in int8: it was measured to cost no quality.
        half: The half precisions it can be computed in; in others it is computed in float32.
        grid: Tiles start at multiples of so many pixels, which windows of attention are laid by.
        tiles: Whether tiles suit it; a plan with tiles warns otherwise.
    """

    scale: int = 4
    window: int = 16
    lookahead: int = 4
    margin: int = 32
    bytes_per_call: float = 750.0
    bytes_per_frame: float = 880.0
    int8: bool = False
    half: tuple[str, ...] = ("bf16", "fp16")
    grid: int = 4
    tiles: bool = True


class TrainingOutput(NamedTuple):
    """Output of a network for a clip, with intermediate values for losses.

    Attributes:
        sr: (N, T, 3, H * scale, W * scale).
        flow_to_previous: (N, T - 1, 2, H, W), entry i for frame i + 1, in pixels; None without
            trainable flow.
        flow_to_next: The same, entry i for frame i.
        cleaned: (N, T, 3, H, W), the input after cleaning; None without cleaning.
    """

    sr: Tensor
    flow_to_previous: Tensor | None = None
    flow_to_next: Tensor | None = None
    cleaned: Tensor | None = None


class TrainableNetwork(nn.Module):
    """A `VideoNetwork` that `vsr train` can train; `scale` and `forward` are all it must have."""

    scale: int
    min_size: int = 1

    def forward_for_training(self, lq: Tensor, state: State | None = None) -> TrainingOutput:
        """Upscale a clip, (N, T, 3, H, W), like `forward` without lookahead."""
        return TrainingOutput(self(lq, state)[0])

    def flow_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the flow estimation, which have their own learning rate."""
        return ()
