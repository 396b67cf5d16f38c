"""Sharpening against OpenCV's operators."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data

from vsr.data.sharpen import sharpened


def with_opencv(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unsharp masking of (H, W, 3), written with OpenCV."""
    detail = picture - cv2.GaussianBlur(picture, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(detail) * 255 > 10).astype(np.float32), (51, 51), 0)
    return mask * np.clip(picture + 0.5 * detail, 0, 1) + (1 - mask) * picture


def test_it_equals_opencv() -> None:
    picture = data.astronaut()[60:156, 170:290].astype(np.float32) / 255
    gt = torch.from_numpy(picture).permute(2, 0, 1)[None, None]
    found = sharpened(gt)[0, 0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, with_opencv(picture), atol=2e-5)
    assert np.abs(found - picture).max() > 0.05


def test_flat_pictures_of_any_size_stay() -> None:
    for height, width in ((40, 60), (5, 7)):
        flat = torch.full((1, 2, 3, height, width), 0.4)
        torch.testing.assert_close(sharpened(flat), flat)


def test_autocast_changes_nothing() -> None:
    gt = torch.rand(1, 1, 3, 40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        made = sharpened(gt)
    assert torch.equal(made, sharpened(gt))
