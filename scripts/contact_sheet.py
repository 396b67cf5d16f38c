"""Draw samples of a degradation to look at: truth shrunk bicubically above, degraded below.

    python scripts/contact_sheet.py FOLDER --output sheet.png --samples 8 --scale 4
    python scripts/contact_sheet.py FOLDER --degradation footage --scale 1 --side 200 --zoom 1

FOLDER holds videos. Each sample is one pair of rows: frames of one training clip, first to last,
enlarged without interpolation. Chances and ranges are those of `vsr.data.recipe.RealRecipe` and
`FootageRecipe`; "footage" degrades whole films, and darkens the truth with a dark one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import tyro
from measuring import CACHE
from numpy.typing import NDArray
from torch import Tensor

from vsr.data.datasets import Shot, sample_batch, shots
from vsr.data.degrade import bicubic_down
from vsr.data.footage import sample_film
from vsr.data.layouts import open_training
from vsr.data.real import degrade_real
from vsr.data.recipe import FootageRecipe
from vsr.ops.color import to_picture

GAP = 4


def main(
    data: tyro.conf.Positional[Path],
    *,
    output: Path = Path("contact_sheet.png"),
    degradation: Literal["real", "footage"] = "real",
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
        degradation: Of crops, or of whole films.
        samples: Clips drawn.
        scale: Of the degradation; 1 keeps the size.
        side: Of the low-quality crops, pixels.
        length: Frames of a clip.
        shown: Frames of it on the sheet.
        columns: Samples beside each other.
        zoom: Enlargement.
        seed: Of clips and degradation.
        cache: Where decoded frames are kept.
    """
    clips, wide = open_training(data, cache), side * scale
    if degradation == "footage":
        found = shots(clips, length=length, side=wide, longest=length)
        gt, degraded = films(found, samples, length=length, side=wide, scale=scale, seed=seed)
    else:
        found = shots(clips, length=length, side=wide)
        batch = sample_batch(found, batch=samples, length=length, side=wide, seed=(seed,))
        gt = batch.float() / 255
        degraded = degrade_real(gt, scale, seed=(seed,))
    clean = bicubic_down(gt, scale)
    times = np.linspace(0, length - 1, shown).round().astype(int).tolist()
    cells = [
        np.vstack((strip(above[times]), strip(below[times])))
        for above, below in zip(clean, degraded, strict=True)
    ]
    enlarged = [framed(np.kron(cell, np.ones((zoom, zoom, 1), np.uint8))) for cell in cells]
    enlarged += [np.zeros_like(enlarged[0])] * (-len(enlarged) % columns)
    rows = [np.hstack(enlarged[i : i + columns]) for i in range(0, len(enlarged), columns)]
    sheet = np.vstack(rows)
    if not cv2.imwrite(str(output), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise SystemExit(f"'{output}' could not be written; is its folder there?")
    print(f"{output}: {sheet.shape[1]}x{sheet.shape[0]}, {len(cells)} samples, seed {seed}")
    errors = (clean - degraded).square().mean((1, 2, 3, 4)).clamp(min=1e-10)
    print("dB from bicubic: " + " ".join(f"{-10 * np.log10(float(x)):.1f}" for x in errors))


def films(
    found: list[Shot], samples: int, *, length: int, side: int, scale: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw pairs as training does, each from a film of its own; (samples, T, 3, H, W), 0 to 1."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            sample_film(
                found,
                FootageRecipe(),
                length=length,
                side=side,
                scale=scale,
                seed=(seed, sample),
                variants=range(sample, sample + 1),
                folder=Path(folder),
            )
            for sample in range(samples)
        ]
    gt, lq = (torch.cat(parts).float() / 255 for parts in zip(*pairs, strict=True))
    return gt, lq


def strip(frames: Tensor) -> NDArray[np.uint8]:
    """Put (T, 3, H, W) side by side, (H, T * W, 3)."""
    return np.hstack(list(to_picture(frames)))


def framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Leave a gap right and below."""
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
