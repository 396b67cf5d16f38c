"""Residual blocks in 8-bit integers, by oneDNN on CPUs with VNNI instructions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_on: ContextVar[bool] = ContextVar("int8", default=False)
# Of the ranges met in calibration: other footage goes beyond them.
_ROOM = 2.0
_IN_CACHE = 2**17  # values that are rounded at once
_SIZES = [1, 1], [1, 1], [1, 1], 1  # stride, padding, dilation, groups


@contextmanager
def int8_blocks(on: bool = True) -> Iterator[None]:
    """Compute calibrated residual blocks in int8 within this context, on a CPU."""
    token = _on.set(on)
    try:
        yield
    finally:
        _on.reset(token)


def is_on() -> bool:
    """Whether `int8_blocks` holds here."""
    return _on.get()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Packed:
    """A 3x3 convolution for uint8 input.

    Attributes:
        weight: int8, in oneDNN's own order.
        scales: Of the weights, one for each output channel.
        bias: float32.
        step: Of the input: its value is `step * (x - zero)`.
        zero: Level of the input that means 0.
    """

    weight: Tensor
    scales: Tensor
    bias: Tensor
    step: float
    zero: int


def pack(conv: nn.Conv2d, low: float, high: float) -> Packed:
    """Round the weights of a 3x3 convolution, each output channel to a scale of its own.

    Args:
        conv: With a bias, padding 1 and stride 1.
        low, high: Range of the input met in calibration.
    """
    low, high = _ROOM * min(low, 0.0), _ROOM * max(high, 1e-6)
    step = (high - low) / 255
    zero = round(-low / step)
    weight = conv.weight.detach().float()
    scales = weight.abs().amax((1, 2, 3)).clamp_min(1e-8) / 127
    rounded = (weight / scales[:, None, None, None]).round().to(torch.int8)
    assert conv.bias is not None
    return Packed(
        weight=torch.ops.onednn.qconv_prepack(rounded, scales, step, zero, *_SIZES, None),
        scales=scales,
        bias=conv.bias.detach().float(),
        step=step,
        zero=zero,
    )


def residual(x: Tensor, first: Packed, second: Packed) -> Tensor:
    """`x + conv2(relu(conv1(x)))`, the sum in float32.

    Args:
        x: (N, C, H, W); may be changed in place.
        first, second: The two convolutions; zero is 0 for the input of the second.

    Returns:
        (N, C, H, W), float32, channels last.
    """
    x = x.float().contiguous(memory_format=torch.channels_last)
    raw = _levels(x, first)
    points = torch.zeros(len(first.scales), dtype=torch.int32)
    inner = torch.ops.onednn.qconv2d_pointwise(
        raw,
        first.step,
        first.zero,
        first.weight,
        first.scales,
        points,
        first.bias,
        *_SIZES,
        second.step,
        second.zero,
        torch.uint8,
        "relu",
        [],
        "",
    )
    out: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
        inner,
        second.step,
        second.zero,
        second.weight,
        second.scales,
        points,
        x,
        second.bias,
        *_SIZES,
        1.0,
        0,
        torch.float32,
        1.0,
        0,
        "sum",
        1.0,
        "none",
        [],
        "",
    )
    return out


def _levels(x: Tensor, packed: Packed) -> Tensor:
    """Round (N, C, H, W), channels last, to uint8 levels."""
    made = torch.empty_like(x, dtype=torch.int8)
    scratch = torch.empty(min(_IN_CACHE, x.numel()))
    # Rounded to int8, since PyTorch is slow from float to uint8.
    for part, place in zip(_parts(x), _parts(made), strict=True):
        levels = torch.mul(part, 1 / packed.step, out=scratch[: len(part)])
        place.copy_(levels.add_(packed.zero - 128).round_().clamp_(-128, 127))
    return made.view(torch.uint8).bitwise_xor_(128)


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x.permute(0, 2, 3, 1).reshape(-1), _IN_CACHE)
