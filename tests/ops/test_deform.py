"""Deformable convolution against its definition, written as loops."""

from __future__ import annotations

from math import floor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.deform import deform_conv, deform_conv_plain, torchvision_operator

# torchvision's own operator is held against the same loops wherever it is installed.
OPERATORS = [deform_conv, deform_conv_plain]
if torchvision_operator() is not None:
    OPERATORS.append(torchvision_operator())  # type: ignore[arg-type]


def arguments(groups: int = 2, reach: float = 3.0) -> tuple[Tensor, ...]:
    x = torch.randn(2, 4, 5, 6)
    offset = torch.randn(2, 18 * groups, 5, 6) * reach
    mask = torch.rand(2, 9 * groups, 5, 6)
    return x, offset, mask, torch.randn(3, 4, 3, 3), torch.randn(3)


def value(picture: np.ndarray, y: float, x: float) -> float:
    """Bilinear, zero outside."""
    total = 0.0
    for row in (floor(y), floor(y) + 1):
        for column in (floor(x), floor(x) + 1):
            if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total += weight * float(picture[row, column])
    return total


def by_loops(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    groups = mask.shape[1] // 9
    out = np.zeros((batch, weight.shape[0], height, width))
    for n, row, column in np.ndindex(batch, height, width):
        for c, tap in np.ndindex(channels, 9):
            k = c // (channels // groups) * 9 + tap
            y = row + tap // 3 - 1 + float(offset[n, 2 * k, row, column])
            z = column + tap % 3 - 1 + float(offset[n, 2 * k + 1, row, column])
            read = value(x[n, c].numpy(), y, z) * float(mask[n, k, row, column])
            out[n, :, row, column] += weight[:, c, tap // 3, tap % 3].numpy() * read
    return torch.from_numpy(out).float() + bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_it_equals_the_definition(operator: object, groups: int) -> None:
    given = arguments(groups)
    out = operator(*given)  # type: ignore[operator]
    torch.testing.assert_close(out, by_loops(*given), atol=1e-4, rtol=1e-4)


def test_without_offsets_and_masks_it_is_convolution() -> None:
    x, offset, mask, weight, bias = arguments()
    out = deform_conv(x, offset * 0, torch.ones_like(mask), weight, bias)
    torch.testing.assert_close(out, F.conv2d(x, weight, bias, padding=1), atol=1e-5, rtol=1e-5)


def test_whole_pixel_offsets_shift_the_picture() -> None:
    x, offset, mask, weight, bias = arguments()
    offset = torch.zeros_like(offset)
    offset[:, 1::2] = 1
    out = deform_conv(x, offset, torch.ones_like(mask), weight, bias)
    wanted = F.conv2d(F.pad(x, (0, 2, 1, 1)), weight, bias)
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)


def test_far_outside_there_is_nothing() -> None:
    x, offset, mask, weight, bias = arguments()
    out = deform_conv(x, torch.full_like(offset, 100), mask, weight, bias)
    torch.testing.assert_close(out, bias.view(1, -1, 1, 1).expand_as(out))


def test_gradients_reach_every_argument() -> None:
    given = [argument.requires_grad_() for argument in arguments()]
    deform_conv(*given).square().sum().backward()
    assert all(argument.grad is not None and argument.grad.any() for argument in given)


def test_half_precision_comes_back_as_it_went_in() -> None:
    x, *rest = arguments()
    with torch.autocast("cpu", torch.bfloat16):
        out = deform_conv(x.bfloat16(), *rest)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), deform_conv(x, *rest), atol=0.1, rtol=0.02)


def test_channels_that_do_not_fit_are_refused() -> None:
    x, offset, mask, weight, bias = arguments()
    with pytest.raises(ValueError, match="mask"):
        deform_conv(x, offset[:, 2:], mask, weight, bias)
