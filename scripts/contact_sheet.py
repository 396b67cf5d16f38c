"""Draw samples of the `real` degradation: bicubically downscaled truth above, real below.

    python scripts/contact_sheet.py FOLDER --output sheet.png --samples 8 --scale 4

FOLDER holds videos. Each sample is a pair of rows: frames of one training clip, first to last,
enlarged without interpolation. Probabilities and ranges are those of `vsr.data.recipe.RealRecipe`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from measuring import CACHE
from numpy.typing import NDArray
from torch import Tensor

from vsr.data.datasets import sample_batch, stretches
from vsr.data.degrade import bicubic_down
from vsr.data.layouts import open_training
from vsr.data.real import degrade_real
from vsr.ops.color import to_picture

GAP = 4


def main(
    data: tyro.conf.Positional[Path],
    *,
    output: Path = Path("contact_sheet.png"),
    samples: int = 8,
    scale: int = 4,
    side: int = 64,
    length: int = 8,
    shown: int = 4,
    columns: int = 2,
    zoom: int = 2,
    seed: int = 0,
    cache: Path = CACHE,
) -> None:
    """Write the sheet.

    Args:
        data: Folder of videos.
        output: The PNG.
        samples: Number of clips.
        scale: Of the degradation.
        side: Of the low-quality crops, pixels.
        length: Frames of a clip.
        shown: Frames of each on the sheet.
        columns: Samples per row.
        zoom: Enlargement.
        seed: Of clips and degradation.
        cache: Folder of decoded frames.
    """
    found = stretches(open_training(data, cache), length=length, side=side * scale)
    batch = sample_batch(found, batch=samples, length=length, side=side * scale, seed=(seed,))
    gt = batch.float() / 255
    clean, real = bicubic_down(gt, scale), degrade_real(gt, scale, seed=(seed,))
    times = np.linspace(0, length - 1, shown).round().astype(int).tolist()
    cells = [
        np.vstack((strip(above[times]), strip(below[times])))
        for above, below in zip(clean, real, strict=True)
    ]
    enlarged = [framed(np.kron(cell, np.ones((zoom, zoom, 1), np.uint8))) for cell in cells]
    enlarged += [np.zeros_like(enlarged[0])] * (-len(enlarged) % columns)
    rows = [np.hstack(enlarged[i : i + columns]) for i in range(0, len(enlarged), columns)]
    sheet = np.vstack(rows)
    if not cv2.imwrite(str(output), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise SystemExit(f"cannot write '{output}'; does its folder exist?")
    print(f"{output}: {sheet.shape[1]}x{sheet.shape[0]}, {len(cells)} samples, seed {seed}")
    errors = (clean - real).square().mean((1, 2, 3, 4)).clamp(min=1e-10)
    print("dB from bicubic: " + " ".join(f"{-10 * np.log10(float(x)):.1f}" for x in errors))


def strip(frames: Tensor) -> NDArray[np.uint8]:
    """Put (T, 3, H, W) side by side, (H, T * W, 3)."""
    return np.hstack(list(to_picture(frames)))


def framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Leave a gap right and below."""
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
