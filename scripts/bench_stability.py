"""The part of `bench.py` about long shots: whether what the network remembers stays harmless."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from measuring import CACHE, plan_for, run_frames, table
from numpy.typing import NDArray

from vsr.data.clips import open_clips
from vsr.data.datasets import truth
from vsr.data.degradations import Degradation, degrade_clip
from vsr.models.zoo import find_model, load_network
from vsr.ops.resize import resize
from vsr.training.validation import to_uint8

BLOCK = 32  # pixels: an artefact that grows shows in one place long before it shows in the mean


def stability(
    data: Path,
    *,
    model: str = "compact-x4",
    degradation: Degradation = "bicubic",
    rounds: int = 3,
    frames: int = 32,
    clips: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Print the gain over bicubic in each round of clips that are played forth and back.

    The frames are the same in each round, so what changes comes from what the network remembers:
    one that is not stable feeds on its own artefacts, and a short clip may not show it.

    Args:
        data: Folder of videos, taken as the truth.
        model: Name or weight file.
        degradation: How the input is made; "real" by its first draw for the name of each video.
        rounds: How often each clip is played forth and back, without a cut.
        frames: Of each video, from the first.
        clips: So many videos only, the first ones.
        cache: Where decoded frames are kept.
    """
    info = find_model(model)
    plan = plan_for(info, 180, 320, scene_threshold=100.0)
    network = load_network(info, plan.device)
    rows = []
    for clip in list(open_clips(data, cache))[:clips]:
        gt = truth(clip, frames=frames, scale=info.scale)
        lq = degrade_clip(gt, info.scale, degradation, name=clip.name)
        order = [*range(len(lq)), *range(len(lq) - 2, 0, -1)]
        true, base = to_uint8(gt), to_uint8(resize(lq, *gt.shape[-2:]))
        sr = run_frames(network, lq[order * rounds], plan)
        for number, part in enumerate(np.split(sr, rounds)):
            gains, worst = zip(
                *(compare(part[i], base[j], true[j]) for i, j in enumerate(order)), strict=True
            )
            rows.append(
                (
                    clip.name[:24],
                    str(number + 1),
                    f"{np.mean(gains):.2f}",
                    f"{min(gains):.2f}",
                    f"{min(worst):.2f}",
                )
            )
    table(("clip", "round", "mean gain, dB", "worst frame", "worst block"), rows)
    made = f"x{info.scale} {degradation}, RGB, {plan.precision}"
    print(f"\n{model}, {made}; blocks of {BLOCK} pixels")


def compare(
    sr: NDArray[np.uint8], base: NDArray[np.uint8], true: NDArray[np.uint8]
) -> tuple[float, float]:
    """Give how much better `sr` is than `base` in dB: all in all, and by the worst blocks."""
    ours, theirs = (squares(picture, true) for picture in (sr, base))
    gain = 10 * np.log10(theirs.mean() / ours.mean())
    worst = 10 * np.log10(blocks(theirs).max() / blocks(ours).max())
    return float(gain), float(worst)


def squares(picture: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square the difference, mean over channels; (H, W)."""
    difference = picture.astype(np.float32) - true
    return np.asarray((difference**2).mean(axis=-1))


def blocks(error: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the mean over the block around each pixel."""
    return np.asarray(cv2.blur(error, (BLOCK, BLOCK)))
