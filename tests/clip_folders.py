"""Folders of pictures as test sets have them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (48, 64)


def film(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """A textured picture that moves, 64x48, not a multiple of 4 before cropping."""
    noise = np.random.default_rng(seed).integers(0, 256, (120, 160, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.3)
    smooth = np.clip((smooth - 128) * 3 + 128, 0, 255).astype(np.uint8)
    return [smooth[i : i + SIZE[0] + 2, 2 * i : 2 * i + SIZE[1] + 3] for i in range(count)]


def write_clip(folder: Path, frames: list[NDArray[np.uint8]], name: str = "{:08d}.png") -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / name.format(index)), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder
