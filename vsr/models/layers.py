"""Convolutional blocks that several networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, TypeGuard, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vsr.devices import DTYPES, Precision
from vsr.models.contract import TrainableNetwork
from vsr.ops import int8
from vsr.ops.convolve import SLOPE, convolve, convolve_by

T = TypeVar("T")

_IN_CACHE = 2**16  # pixels


class Recomputable(nn.Module):
    """A part that may forget what it computed until the backward pass, and then compute it again.

    Attributes:
        recompute: Keep only the inputs for the backward pass: less memory for one more forward
            pass. The result is the same.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    """

    recompute = False

    def __call__(self, *inputs: Tensor) -> Any:  # noqa: ANN401
        """Compute, as `forward` says."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(
                super().__call__, *inputs, use_reentrant=False, preserve_rng_state=False
            )
        return super().__call__(*inputs)


class Stage(Recomputable, nn.Sequential):
    """Layers in a row, kept or computed again as one."""

    def forward(self, x: Tensor) -> Tensor:
        """All layers; a convolution together with the activation after it."""
        layers = list(self)
        for before, layer, after in zip([None, *layers], layers, [*layers[1:], None], strict=False):
            if _plain(layer):
                x = convolve_by(layer, x, activation="leaky_relu" if _leaky(after) else "none")
            elif not (_plain(before) and _leaky(layer)):
                x = layer(x)
        return x


def _plain(layer: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )


def _leaky(layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.LeakyReLU) and layer.negative_slope == SLOPE


def for_frames(
    function: Callable[..., Tensor], frames: Sequence[Tensor], *others: Iterable[Tensor]
) -> Iterator[Tensor]:
    """Apply a function to each frame of a window.

    For training all frames go at once, which is faster. Without gradients each result is computed
    when it is asked for, so a window does not hold what only one frame needs.

    Args:
        function: Of one (N, C, H, W) for each of the following; gives the same N.
        frames, others: A tensor (N, C, H, W) per frame, as many each.
    """
    if not torch.is_grad_enabled():
        yield from map(function, frames, *others)
        return
    whole = function(*(torch.cat(tuple(each)) for each in (frames, *others)))
    yield from whole.chunk(len(frames))


def in_cache(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """Apply a function to pictures, on a CPU to so few at once that its cache holds them.

    Args:
        function: Of (N, C, H, W) each; gives the same N.
        batches: As many pictures each.
    """
    first = batches[0]
    some = max(1, _IN_CACHE // (first.shape[-2] * first.shape[-1]))
    whole = first.device.type != "cpu" or torch.is_grad_enabled() or torch.onnx.is_in_onnx_export()
    if whole or len(first) <= some:
        return function(*batches)
    parts = zip(*(torch.split(batch, some) for batch in batches), strict=True)
    return torch.cat([function(*part) for part in parts])


class ResidualBlock(nn.Module):
    """`x + conv(relu(conv(x)))` without normalisation, as in EDSR and BasicVSR.

    Args:
        channels: Features in and out.

    Attributes:
        ranges: Lowest and highest input and highest inner value, while `calibrate` watches them.
        packed: Both convolutions for `ops.int8`, once it has.
        packed_of: The weights that they were made of: see `_weights_of`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.ranges: list[float] | None = None
        self.packed: tuple[int8.Packed, int8.Packed] | None = None
        self.packed_of: tuple[int, ...] = ()
        # A tenth of the usual size keeps a deep trunk near identity at the start (ESRGAN, app. A).
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(0.1)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same; without gradients `x` may be changed in place."""
        if self.packed is not None and int8.is_on():
            return int8.residual(x, *self.packed)
        inner = convolve_by(self.conv1, x, activation="relu")
        if self.ranges is not None:
            low, high, most = self.ranges
            self.ranges = [min(low, float(x.min())), max(high, float(x.max())), most]
            self.ranges[2] = max(most, float(inner.max()))
        return convolve_by(self.conv2, inner, add=x)


def calibrate(network: object) -> int:
    """Prepare the residual blocks of a network on a CPU for `ops.int8.int8_blocks`.

    Ranges come from a made-up clip with the statistics of natural ones, so the same weights always
    get the same ones. Blocks that were prepared from the weights they have stay so.

    Args:
        network: A `contract.VideoNetwork`.

    Returns:
        How many blocks it has.
    """
    if not isinstance(network, nn.Module):
        return 0
    blocks = [part for part in network.modules() if isinstance(part, ResidualBlock)]
    if all(block.packed_of == _weights_of(block) for block in blocks):
        return len(blocks)
    for block in blocks:
        block.ranges, block.packed = [0.0, 0.0, 0.0], None
    with torch.inference_mode():
        network(_calibration_clip())
    for block in blocks:
        assert block.ranges is not None
        low, high, most = block.ranges
        block.packed = int8.pack(block.conv1, low, high), int8.pack(block.conv2, 0.0, most)
        block.packed_of, block.ranges = _weights_of(block), None
    return len(blocks)


def in_half(network: T, precision: Precision) -> T:
    """Copy a network with the weights of its convolutions in half precision.

    For autocast, which otherwise converts them anew at each call, since they need no gradients. The
    results are the same to the bit. Networks that are no `TrainableNetwork` stay as they are.

    Args:
        network: A `contract.VideoNetwork`; it is not changed, and shares all other tensors.
        precision: "fp16" or "bf16"; with others `network` itself is returned.
    """
    if precision not in ("fp16", "bf16") or not isinstance(network, nn.Module):
        return network
    own = [part for part in network.modules() if isinstance(part, TrainableNetwork)]
    if not own:
        return network
    known: dict[int, Any] = {id(x): x for x in (*network.parameters(), *network.buffers())}
    for part in own:
        for conv in part.modules():
            if isinstance(conv, nn.Conv2d):
                for value in conv.parameters():
                    half = value.detach().to(DTYPES[precision])
                    known[id(value)] = nn.Parameter(half, requires_grad=False)
    return deepcopy(network, known)


def _weights_of(block: ResidualBlock) -> tuple[int, ...]:
    """Place and version of the parameters, which change with them."""
    return tuple(
        number
        for parameter in block.parameters()
        for number in (
            parameter.data_ptr(),
            0 if parameter.is_inference() else parameter._version,
        )
    )


def _calibration_clip() -> Tensor:
    """(1, 4, 3, 72, 96): discs of one colour over noise at all scales, which pan.

    Source: the dead leaves model of natural pictures (Lee, Mumford & Huang 2001).
    """
    chance = torch.Generator().manual_seed(0)
    height, width = 80, 108
    picture, most = torch.zeros(1, 3, height, width), 0.0
    for size in (1, 2, 4, 8, 16, 32):
        sides = (-(-height // size) + 1, -(-width // size) + 1)
        grey, colour = (torch.rand(1, c, *sides, generator=chance) - 0.5 for c in (1, 3))
        noise = F.interpolate(grey + 0.4 * colour, size=(height, width), mode="bilinear")
        picture += size**0.7 * noise
        most += size**0.7
    picture = (0.5 + 1.2 * picture / most).clamp(0, 1)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    for _ in range(200):
        y, x, radius = torch.rand(3, generator=chance).tolist()
        disc = (rows - y * height) ** 2 + (columns - x * width) ** 2 < (2 + 12 * radius**2) ** 2
        picture[0][:, disc] = picture[0][:, disc].lerp(torch.rand(3, 1, generator=chance), 0.7)
    return torch.stack([picture[..., i : i + 72, 2 * i : 2 * i + 96] for i in range(4)], dim=1)


def trunk(in_channels: int, channels: int, blocks: int) -> Stage:
    """Build one convolution into `channels` features and `blocks` residual blocks."""
    return Stage(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        *(ResidualBlock(channels) for _ in range(blocks)),
    )


class Trunk(Recomputable, nn.Sequential):
    """A trunk whose first layer is computed apart, as the sum of its shares.

    Layers and their names are those of `trunk`. What a share sees before the recurrence can so be
    computed for all frames of a window at once, and nothing is concatenated.
    """

    def __init__(self, in_channels: int, channels: int, blocks: int) -> None:
        super().__init__(*trunk(in_channels, channels, blocks))

    def shares(self, *channels: int) -> list[Callable[..., Tensor]]:
        """Split the first layer by its inputs; the first share has the bias.

        Returns:
            Functions of (N, C, H, W) and, as `add`, of the sum of the others, which without
            gradients may be changed in place.
        """
        conv = cast(nn.Conv2d, self[0])
        parts = torch.split(conv.weight, list(channels), dim=1)
        biases = [conv.bias, *[None] * (len(parts) - 1)]
        return [
            partial(convolve, weight=part, bias=bias)
            for part, bias in zip(parts, biases, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """All layers but the first, on the sum of the shares; without gradients that may change."""
        # With gradients not in place, as the first activation of `trunk` is: the sum may be needed
        # again.
        x = F.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())
        for layer in list(self)[2:]:
            x = layer(x)
        return x
