"""NIQE: how far the statistics of a picture are from those of undistorted photographs."""

from __future__ import annotations

from functools import cache
from math import gamma
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vsr.evaluation.metrics import Image, luma
from vsr.ops.resize import resize

Array = NDArray[np.float64]

LEAST_SIDES = (96, 192)
"""Smallest picture, shorter side first: two blocks, or nothing varies."""

_BLOCK = 96
_SHAPES = np.arange(0.2, 10.0005, 0.001)
_MODEL = Path(__file__).with_name("niqe.safetensors")


def niqe(picture: Image) -> float:
    """Naturalness of one frame, without a truth; lower is more natural.

    Args:
        picture: (H, W, 3) uint8 RGB, at least `LEAST_SIDES`.

    Returns:
        The distance; not a number where fewer than two blocks have any texture.

    Raises:
        ValueError: A smaller picture.

    Source: Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer",
    IEEE SPL 2013, with the model of their release; on rounded Y of MATLAB's `rgb2ycbcr`, blocks of
    96 pixels that do not overlap, and no choice of sharp ones, as BasicSR.
    """
    height, width = picture.shape[:2]
    if min(height, width) < LEAST_SIDES[0] or max(height, width) < LEAST_SIDES[1]:
        raise ValueError(f"a picture of {width}x{height}; NIQE needs two blocks of 96x96")
    rows, columns = height // _BLOCK, width // _BLOCK
    y = luma(picture).round()[: rows * _BLOCK, : columns * _BLOCK]
    half = resize(torch.from_numpy(y / 255)[None], rows * _BLOCK // 2, columns * _BLOCK // 2)
    scales = (y, half[0].numpy() * 255)
    features = np.concatenate([_features(_normalised(x), rows, columns) for x in scales], axis=1)
    known = features[~np.isnan(features).any(axis=1)]
    if len(known) < 2:
        return float("nan")
    mean, covariance = _model()
    gap = np.nanmean(features, axis=0) - mean
    pooled = np.linalg.pinv((covariance + np.cov(known, rowvar=False)) / 2)
    return float(np.sqrt(gap @ pooled @ gap))


@cache
def _model() -> tuple[Array, Array]:
    found = load_file(_MODEL)
    return found["mean"], found["covariance"]


def _normalised(y: Array) -> Array:
    """Subtract the local mean, divide by the local deviation (eq. 1)."""
    mean, square = _blurred(y), _blurred(y * y)
    deviation: Array = np.sqrt(np.abs(square - mean * mean))
    return (y - mean) / (deviation + 1)


def _blurred(y: Array) -> Array:
    line = cv2.getGaussianKernel(7, 7 / 6)
    return cast("Array", cv2.sepFilter2D(y, -1, line, line, borderType=cv2.BORDER_REPLICATE))


def _features(normalised: Array, rows: int, columns: int) -> Array:
    """18 features of each block: fits to the values and to products of neighbours (eq. 2 to 8)."""
    size = normalised.shape[0] // rows
    blocks = normalised.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
    shape, left, right = _fitted(blocks)
    found = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = _fitted(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * _gamma(2 / shape) / _gamma(1 / shape)
        found += [shape, mean, left, right]
    return np.stack(found, axis=1)


def _fitted(blocks: Array) -> tuple[Array, Array, Array]:
    """Fit an asymmetric generalised Gaussian to each block by its moments.

    Returns:
        Shape, left and right scale; not a number where a block has values of one sign only.

    Source: Lasmar, Stitou and Berthoumieu, ICIP 2009.
    """
    x = blocks.reshape(len(blocks), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        square = x * x
        left = np.sqrt((square * (x < 0)).sum(1) / (x < 0).sum(1))
        right = np.sqrt((square * (x > 0)).sum(1) / (x > 0).sum(1))
        ratio = left / right
        moments = np.abs(x).mean(1) ** 2 / square.mean(1)
        moments *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        nearest = np.abs(_ratios() - moments[:, None]).argmin(axis=1)
        shape = np.where(np.isnan(moments), np.nan, _SHAPES[nearest])
        scale = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * scale, right * scale


@cache
def _ratios() -> Array:
    """Squared mean over mean square of a generalised Gaussian, by shape."""
    first, second, third = (_gamma(number / _SHAPES) for number in (1, 2, 3))
    return second**2 / (first * third)


def _gamma(values: Array) -> Array:
    return np.array([np.nan if np.isnan(value) else gamma(value) for value in values])
