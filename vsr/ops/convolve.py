"""Convolutions with what follows them, in one operator where the CPU has one."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import conv_flop_count

Activation = Literal["none", "relu", "leaky_relu"]
"""After a convolution."""

SLOPE = 0.1
"""Of "leaky_relu"."""
_SLOPES = {"none": [], "relu": [], "leaky_relu": [SLOPE]}


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    padding: int = 1,
    add: Tensor | None = None,
    activation: Activation = "none",
) -> Tensor:
    """Convolve, add and activate.

    With gradients or on a GPU these are the usual operators. Without gradients on a CPU they are
    one of oneDNN's, so that sums and activations need no pass of their own over the memory.

    Args:
        x: (N, C, H, W).
        weight: (D, C, K, K).
        bias: (D,) or None.
        padding: Zeros around the picture, pixels.
        add: (N, D, H, W), to be added to the result; not with "leaky_relu". May be changed in
            place.
        activation: Of the sum.

    Returns:
        (N, D, H', W'), in the dtype of autocast where that is on.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if not _fuses(x, dtype):
        out = F.conv2d(x, weight, bias, padding=padding)
        return _activated(out if add is None else add + out, activation)
    x, weight = x.to(dtype), weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    sizes = [padding, padding], [1, 1], [1, 1], 1
    operators = torch.ops.mkldnn
    if add is None:
        slope = _SLOPES[activation]
        out = operators._convolution_pointwise(x, weight, bias, *sizes, activation, slope, "")
    else:
        unary = None if activation == "none" else activation
        out = operators._convolution_pointwise_.binary(
            add.to(dtype), x, weight, bias, *sizes, "add", 1.0, unary, [], ""
        )
    return cast(Tensor, out)


def convolve_by(
    conv: nn.Conv2d, x: Tensor, *, add: Tensor | None = None, activation: Activation = "none"
) -> Tensor:
    """`convolve` with the weights of a layer of stride 1."""
    return convolve(
        x, conv.weight, conv.bias, padding=int(conv.padding[0]), add=add, activation=activation
    )


def _fuses(x: Tensor, dtype: torch.dtype) -> bool:
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _activated(x: Tensor, activation: Activation) -> Tensor:
    match activation:
        case "none":
            return x
        case "relu":
            return F.relu(x, inplace=True)
        case "leaky_relu":
            return F.leaky_relu(x, SLOPE, inplace=True)


def _fused_flops(x: list[int], weight: list[int], *_: object, **kwargs: Any) -> int:  # noqa: ANN401
    return conv_flop_count(x, weight, kwargs["out_shape"])


def _added_flops(_: object, x: list[int], *args: Any, **kwargs: Any) -> int:  # noqa: ANN401
    return _fused_flops(x, *args, **kwargs)


def fused_flops() -> dict[Any, Any]:
    """How `torch.utils.flop_counter` counts the operators that only this module uses."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return {}
    return {
        torch.ops.mkldnn._convolution_pointwise: _fused_flops,
        torch.ops.mkldnn._convolution_pointwise_: _added_flops,
    }
