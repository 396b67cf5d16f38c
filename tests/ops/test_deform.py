"""Deformable convolution against its definition, written as loops."""

from __future__ import annotations

import sys
from math import floor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.deform import Operator, deform_conv, deform_conv_plain, torchvision_operator

OPERATORS = [deform_conv, deform_conv_plain, "torchvision"]


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


def torchvisions() -> Operator:
    operator = torchvision_operator("cpu")
    if operator is None:
        pytest.skip("torchvision is not installed, or not for this torch")
    return operator


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_it_equals_the_definition(operator: Operator | str, groups: int) -> None:
    given = arguments(groups)
    out = (torchvisions() if isinstance(operator, str) else operator)(*given)
    torch.testing.assert_close(out, by_loops(*given), atol=1e-4, rtol=1e-4)


def test_torchvisions_operator_gives_the_same_values_and_gradients() -> None:
    """With the groups and channels of BasicVSR++, and taps that lie outside."""
    torch.manual_seed(0)
    shapes = [(1, 128, 13, 18), (1, 288, 13, 18), (1, 144, 13, 18), (64, 128, 3, 3), (64,)]
    given = [torch.randn(shape) for shape in shapes]
    given[1] *= 5
    weigh = torch.randn(1, 64, 13, 18)
    found = []
    for operator in (deform_conv_plain, torchvisions()):
        leaves = [argument.clone().requires_grad_() for argument in given]
        out = operator(*leaves)
        (out * weigh).sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for own, other in zip(*found, strict=True):
        assert (own - other).abs().max() < 1e-4 * other.abs().max()


@pytest.mark.parametrize(
    "source",
    [
        "raise ImportError('No module named torchvision')",
        "raise RuntimeError('operator torchvision::nms does not exist')",
        "raise OSError('libcudart.so.13: cannot open shared object file')",
        "def deform_conv2d(*a, **k): raise RuntimeError('no C++ operators')",
        "def deform_conv2d(*a, **k): raise NotImplementedError('CUDA backend')",
        "",
        "import warnings; warnings.warn('Failed to load image extension')\n"
        "def deform_conv2d(x, *a, **k): return x + 7",
    ],
)
def test_a_torchvision_that_does_not_work_is_passed_over(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "ops.py").write_text(source)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    operator = torchvision_operator.__wrapped__("cpu")
    for name in ("torchvision", "torchvision.ops"):
        sys.modules.pop(name, None)
    assert (operator is not None) == ("x + 7" in source)
    assert capfd.readouterr() == ("", "")


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
