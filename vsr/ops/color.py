"""Integer planes to RGB and back, in float, on the device of the tensors.

Matrices, ranges and quantisation follow ITU-T H.273, clause 8.3. Nothing is converted between
colour spaces, and the transfer function is untouched: networks see gamma-encoded values.

Chroma is resampled with a six-tap Lanczos kernel, stretched by the subsampling factor on the way
down. Of seven kernels up and eight down this pair lost least on natural pictures and zone plates,
at both sitings; only hard-edged blocks are slightly better with a box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vsr.color import (
    LUMA_WEIGHTS,
    MATRIX_NAMES,
    MATRIX_OF_CODE,
    SUBSAMPLING,
    UNSPECIFIED,
    Chroma,
    Matrix,
    Siting,
    assumed_matrix,
    one_matrix,
)

_FULL_RANGE = 2
_LOBES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ColorLayout:
    """Meaning of the integers of a frame.

    Attributes:
        matrix: RGB to luma and colour difference; unused for chroma "rgb".
        full_range: Whether codes span 0 to 2**bit_depth - 1 instead of 16 to 235 (240) times
            2**(bit_depth - 8).
        bit_depth: 8 to 16.
        chroma: Subsampling. "gray" has one plane, "rgb" three in the order R, G, B.
        siting: Position of chroma samples relative to luma (ChromaSampleLocType of H.273): "left"
            (type 0) between two rows, "center" (type 1) between rows and columns, "topleft"
            (type 2) on a luma sample. Applies to subsampled directions only.
    """

    matrix: Matrix
    full_range: bool
    bit_depth: int
    chroma: Chroma
    siting: Siting = "left"

    def __post_init__(self) -> None:
        if not 8 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth must be 8 to 16, got {self.bit_depth}")


def resolve_layout(
    *,
    chroma: Chroma,
    bit_depth: int,
    width: int,
    height: int,
    matrix_code: int = UNSPECIFIED,
    range_code: int = 0,
    siting: Siting = "left",
    full_range_format: bool = False,
) -> tuple[ColorLayout, tuple[str, ...]]:
    """Turn a stream's tags into a layout, with defaults for missing ones.

    Args:
        chroma, bit_depth, siting: As in `ColorLayout`.
        width, height: Of the coded picture; untagged SD is assumed BT.601, HD BT.709.
        matrix_code: H.273 MatrixCoefficients.
        range_code: 0 unspecified, 1 limited, 2 full (FFmpeg's AVColorRange).
        full_range_format: Whether the pixel format implies full range ("yuvj420p").

    Returns:
        The layout, and a message per assumption.
    """
    assumed: list[str] = []
    if chroma in ("gray", "rgb"):
        # swscale reads untagged grey and RGB as full range, and encoders write them so.
        full_range = range_code != 1
    else:
        full_range = full_range_format or range_code == _FULL_RANGE
        if range_code == 0 and not full_range_format:
            assumed.append("untagged colour range: assuming limited (16-235)")
    code = one_matrix(matrix_code)
    if code not in MATRIX_OF_CODE:
        code = assumed_matrix(width, height)
    if chroma not in ("gray", "rgb"):
        if matrix_code == UNSPECIFIED:
            usual = f"{MATRIX_NAMES[code]}, as usual at {width}x{height}"
            assumed.append(f"untagged colour matrix: assuming {usual}")
        elif matrix_code == 10:
            assumed.append(
                "colour matrix BT.2020 constant luminance (10): processed as non-constant luminance"
            )
        elif matrix_code not in MATRIX_OF_CODE:
            assumed.append(f"unknown colour matrix {matrix_code}: assuming {MATRIX_NAMES[code]}")
    layout = ColorLayout(
        matrix=MATRIX_OF_CODE[code],
        full_range=full_range,
        bit_depth=bit_depth,
        chroma=chroma,
        siting=siting,
    )
    return layout, tuple(assumed)


def plane_sizes(layout: ColorLayout, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of each plane; subsampled sizes are rounded up."""
    if layout.chroma == "gray":
        return ((height, width),)
    down, across = SUBSAMPLING[layout.chroma]
    chroma = (-(-height // down), -(-width // across))
    return ((height, width), chroma, chroma)


def planes_to_rgb(
    planes: Sequence[Tensor], layout: ColorLayout, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Convert integer planes to RGB.

    Args:
        planes: One or three (H, W) or (N, H, W) integer tensors with the sizes of `plane_sizes`,
            on one device; not modified. int16 stands for uint16 of the same bits, which few
            operators of GPUs know.
        layout: Their meaning.
        dtype: Of the result; the arithmetic is always float32.

    Returns:
        (3, H, W) or (N, 3, H, W); nominally 0 to 1 but not clamped, so that `rgb_to_planes`
        restores codes outside the nominal range.

    Raises:
        ValueError: Number or sizes of the planes do not fit the layout.
    """
    _check_planes(planes, layout)
    if planes[0].ndim == 2:
        return planes_to_rgb([plane[None] for plane in planes], layout, dtype=dtype)[0]
    (luma_scale, luma_zero), (chroma_scale, chroma_zero) = _ranges(layout)
    luma = _normalise(planes[0], luma_scale, luma_zero)
    if layout.chroma == "gray":
        return luma[:, None].expand(-1, 3, -1, -1).to(dtype).contiguous()
    if layout.chroma == "rgb":
        rest = [_normalise(plane, luma_scale, luma_zero) for plane in planes[1:]]
        return torch.stack([luma, *rest], 1).to(dtype)
    differences = torch.stack(list(planes[1:]), 1)
    differences = _normalise(differences, chroma_scale, chroma_zero)
    for dim, factor, offset in _subsampled(layout):
        differences = _upsample(differences, dim, factor, offset, luma.shape[dim])
    blue, red = differences[:, 0], differences[:, 1]
    kr, kb = LUMA_WEIGHTS[layout.matrix]
    kg = 1 - kr - kb
    rgb = luma.new_empty(luma.shape[0], 3, *luma.shape[1:])
    torch.add(luma, red, alpha=2 * (1 - kr), out=rgb[:, 0])
    torch.add(luma, red, alpha=-2 * kr * (1 - kr) / kg, out=rgb[:, 1])
    rgb[:, 1].add_(blue, alpha=-2 * kb * (1 - kb) / kg)
    torch.add(luma, blue, alpha=2 * (1 - kb), out=rgb[:, 2])
    return rgb.to(dtype)


def rgb_to_planes(rgb: Tensor, layout: ColorLayout) -> tuple[Tensor, ...]:
    """Convert RGB to integer planes, rounded to the nearest code.

    Args:
        rgb: (3, H, W) or (N, 3, H, W), floating point. Values outside 0 to 1 are kept as far as
            the codes of the layout reach (limited range extends below black and above white).
        layout: Meaning of the planes.

    Returns:
        One or three contiguous (H, W) or (N, H, W) tensors with the sizes of `plane_sizes`; uint8
        for a bit depth of 8, else uint16 with the value in the low bits; on GPUs int16 of the same
        bits.
    """
    if rgb.ndim == 3:
        return tuple(plane[0] for plane in rgb_to_planes(rgb[None], layout))
    rgb = rgb.to(torch.float32)
    (luma_scale, luma_zero), (chroma_scale, chroma_zero) = _ranges(layout)
    red, green, blue = rgb.unbind(1)
    if layout.chroma == "rgb":
        return tuple(_quantise(c, luma_scale, luma_zero, layout) for c in (red, green, blue))
    kr, kb = LUMA_WEIGHTS[layout.matrix]
    luma = (red * kr).add_(green, alpha=1 - kr - kb).add_(blue, alpha=kb)
    planes = [_quantise(luma, luma_scale, luma_zero, layout)]
    if layout.chroma == "gray":
        return tuple(planes)
    differences = luma.new_empty(luma.shape[0], 2, *luma.shape[1:])
    torch.sub(blue, luma, out=differences[:, 0])
    torch.sub(red, luma, out=differences[:, 1])
    for dim, factor, offset in _subsampled(layout):
        differences = _downsample(differences, dim, factor, offset)
    for difference, weight in zip(differences.unbind(1), (kb, kr), strict=True):
        scale = chroma_scale / (2 * (1 - weight))
        planes.append(_quantise(difference, scale, chroma_zero, layout))
    return tuple(planes)


def _check_planes(planes: Sequence[Tensor], layout: ColorLayout) -> None:
    sizes = [tuple(plane.shape[-2:]) for plane in planes]
    wanted = list(plane_sizes(layout, *sizes[0]))
    if sizes != wanted:
        raise ValueError(f"{layout.chroma} planes must measure {wanted}, got {sizes}")


def _ranges(layout: ColorLayout) -> tuple[tuple[float, float], tuple[float, float]]:
    """(codes per unit, code of zero) for luma and for colour differences."""
    step = float(1 << (layout.bit_depth - 8))
    if layout.full_range:
        top = float((1 << layout.bit_depth) - 1)
        return (top, 0.0), (top, 128 * step)
    return (219 * step, 16 * step), (224 * step, 128 * step)


def _subsampled(layout: ColorLayout) -> list[tuple[int, int, float]]:
    """(dim, factor, offset) per subsampled direction, rows first.

    Chroma sample k lies at luma position factor * k + offset.
    """
    factors = SUBSAMPLING[layout.chroma]
    centred = (layout.siting != "topleft", layout.siting == "center")
    return [
        (dim, factor, (factor - 1) / 2 if middle else 0.0)
        for dim, factor, middle in zip((-2, -1), factors, centred, strict=True)
        if factor > 1
    ]


def _normalise(codes: Tensor, scale: float, zero: float) -> Tensor:
    if codes.dtype == torch.int16:
        codes = codes.to(torch.int32).bitwise_and_(0xFFFF)
    return codes.to(torch.float32, copy=True).sub_(zero).div_(scale)


def _quantise(values: Tensor, scale: float, zero: float, layout: ColorLayout) -> Tensor:
    codes = (values * scale).add_(zero).round_().clamp_(0, (1 << layout.bit_depth) - 1)
    if layout.bit_depth == 8:
        return codes.to(torch.uint8)
    if codes.device.type == "cpu":
        return codes.to(torch.uint16)
    return codes.to(torch.int32).to(torch.int16)


def _lanczos(x: float) -> float:
    if x == 0:
        return 1.0
    if abs(x) >= _LOBES:
        return 0.0
    angle = math.pi * x
    return math.sin(angle) * math.sin(angle / _LOBES) * _LOBES / angle**2


def _normalised(taps: dict[int, float]) -> tuple[tuple[int, float], ...]:
    total = sum(taps.values())
    return tuple((at, weight / total) for at, weight in taps.items() if abs(weight) > 1e-12)


@lru_cache
def _upsampling_taps(factor: int, offset: float) -> tuple[tuple[tuple[int, float], ...], ...]:
    """(chroma index relative to its block, weight) pairs for each luma phase."""
    phases = []
    for phase in range(factor):
        at = (phase - offset) / factor
        nearby = range(math.floor(at) - _LOBES + 1, math.floor(at) + _LOBES + 1)
        phases.append(_normalised({k: _lanczos(at - k) for k in nearby}))
    return tuple(phases)


@lru_cache
def _downsampling_taps(factor: int, offset: float) -> tuple[tuple[int, float], ...]:
    """(luma index relative to factor * k, weight) pairs for chroma sample k."""
    reach = _LOBES * factor
    nearby = range(-reach, reach + factor)
    return _normalised({x: _lanczos((x - offset) / factor) for x in nearby})


def _pad(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    edges = (before, after, 0, 0) if dim == -1 else (0, 0, before, after)
    return F.pad(x, edges, mode="replicate")


def _weighted_sum(x: Tensor, dim: int, taps: list[tuple[int, float]], length: int) -> Tensor:
    """Weighted sum of slices of x.

    On a CPU several times faster than a convolution of two channels, which cuDNN would also round
    to TF32.
    """
    (first, weight), *rest = taps
    total = x.narrow(dim, first, length) * weight
    for start, weight in rest:
        total.add_(x.narrow(dim, start, length), alpha=weight)
    return total


def _upsample(x: Tensor, dim: int, factor: int, offset: float, length: int) -> Tensor:
    """Interpolate (N, C, h, w) along dim to `length` samples."""
    padded = _pad(x, dim, _LOBES, _LOBES)
    count = x.shape[dim]
    phases = [
        _weighted_sum(padded, dim, [(k + _LOBES, weight) for k, weight in taps], count)
        for taps in _upsampling_taps(factor, offset)
    ]
    interleaved = torch.stack(phases, x.ndim + dim + 1)
    shape = list(x.shape)
    shape[dim] = count * factor
    return interleaved.view(shape).narrow(dim, 0, length)


def _downsample(x: Tensor, dim: int, factor: int, offset: float) -> Tensor:
    """Low-pass (N, C, H, W) along dim and keep every factor-th sample."""
    taps = _downsampling_taps(factor, offset)
    count = -(-x.shape[dim] // factor)
    before = _LOBES * factor
    after = max(0, (count - 1) * factor + taps[-1][0] - (x.shape[dim] - 1))
    padded = _pad(x, dim, before, after)
    parts = []
    for phase in range(factor):
        every = slice(phase, None, factor)
        # Rows are contiguous already; columns are gathered once instead of once per tap.
        samples = padded[..., every].contiguous() if dim == -1 else padded[..., every, :]
        own = [((before + at) // factor, w) for at, w in taps if at % factor == phase]
        if own:
            parts.append(_weighted_sum(samples, dim, own, count))
    return sum(parts[1:], start=parts[0])


def to_levels(x: Tensor) -> Tensor:
    """Clamp to 0 to 1 and round to 0 to 255, uint8."""
    return (x.float().clamp(0, 1) * 255).round().to(torch.uint8)


def to_picture(rgb: Tensor) -> NDArray[np.uint8]:
    """(..., 3, H, W), 0 to 1, on any device, to (..., H, W, 3), uint8, contiguous."""
    return to_levels(rgb).movedim(-3, -1).contiguous().cpu().numpy()
