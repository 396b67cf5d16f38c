"""The part of `bench.py` about long shots: whether the state of the network does harm."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
import torch
from measuring import CACHE, plan_for, run_frames, table
from numpy.typing import NDArray
from torch import Tensor, nn

from vsr.color import LUMA_WEIGHTS
from vsr.data.clips import Clip, open_all
from vsr.data.datasets import truth
from vsr.data.layouts import open_training
from vsr.data.real import Degradation, degrade_clip
from vsr.evaluation.scores import ClipScore, of_clip, score_frames
from vsr.inference.runner import decibels, squared_errors
from vsr.models.foreign import SinglePicture
from vsr.models.steady import Steady
from vsr.models.zoo import find_model, load_network
from vsr.ops.color import to_picture
from vsr.ops.resize import resize

BLOCK = 32  # pixels: an artefact that grows shows in one place long before it shows in the mean


def stability(
    data: Path,
    *,
    model: str = "compact-x4",
    degradation: Degradation | Literal["none"] = "bicubic",
    rounds: int = 3,
    frames: int = 32,
    side: int | None = None,
    clips: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Print the quality of each round of clips played forward and back.

    The frames of each round are the same, so changes come from the network's state: an unstable
    network amplifies its own artefacts, which a short clip may not show. Downscaled clips give the
    gain over bicubic; with "none", the fidelity of the result as in reports of `vsr enhance`.

    Args:
        data: Folder of videos, or one video, used as truth.
        model: Name or weight file.
        degradation: How the input is made; "real": the first draw for the name of each video;
            "none": the videos are the input.
        rounds: How often each clip is played forward and back, without a cut.
        frames: Number per video, from the first.
        side: Maximum sides of the crop from the middle of the input.
        clips: Number of videos, from the first.
        cache: Folder of decoded frames.
    """
    info = find_model(model)
    plan = plan_for(info, 180, 320, scene_threshold=100.0)
    network = load_network(info, plan.device)
    rows = []
    found = open_all([data], cache) if data.is_file() else open_training(data, cache)
    for clip in found[:clips]:
        gt, lq = pair(clip, info.scale, degradation, frames, side)
        order = [*range(len(lq)), *range(len(lq) - 2, 0, -1)]
        base = None if gt is None else to_picture(resize(lq, *gt.shape[-2:]))[order]
        true = None if gt is None else to_picture(gt)[order]
        sr = run_frames(network, lq[order * rounds], plan)
        for number, part in enumerate(np.split(sr, rounds)):
            if base is None or true is None:
                judged = map(faithful, part, lq[order])
            else:
                judged = map(compare, part, base, true)
            whole, worst = zip(*judged, strict=True)
            figures = np.mean(whole), min(whole), min(worst)
            rows.append((clip.name[:24], str(number + 1), *(f"{x:.2f}" for x in figures)))
    what = "mean fidelity, dB" if degradation == "none" else "mean gain, dB"
    table(("clip", "round", what, "worst frame", "worst block"), rows)
    channels = "luma" if degradation == "none" else "RGB"
    made = f"x{info.scale} {degradation}, {channels}, {plan.precision}"
    print(f"\n{model}, {made}; blocks of {BLOCK} pixels")


def steady(
    data: Path,
    *,
    model: str = "compact-x4-real",
    one_by_one: bool = True,
    strength: float = 0.8,
    degradation: Degradation = "bicubic",
    frames: int = 16,
    side: int | None = None,
    clips: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Print what `--steady` does to PSNR (Y) and to the warping error by the flow of the truth.

    Args:
        data: Folder of videos, or one video, used as truth.
        model: Name or weight file.
        one_by_one: Let the network see single frames, as those that `--steady` is for do.
        strength: Of `--steady`.
        degradation: How the input is made; "real": the first draw for the name of each video.
        frames: Number per video, from the first.
        side: Maximum sides of the crop from the middle of the input.
        clips: Number of videos, from the first.
        cache: Folder of decoded frames.
    """
    info = find_model(model)
    network = load_network(info)
    if one_by_one:
        network = SinglePicture(
            cast("nn.Module", network), info.scale, partial(alone, cast("nn.Module", network))
        )
    plan = plan_for(info, 180, 320, scene_threshold=100.0, device="cpu")
    rows = []
    found = open_all([data], cache) if data.is_file() else open_training(data, cache)
    for clip in found[:clips]:
        gt, lq = pair(clip, info.scale, degradation, frames, side)
        assert gt is not None
        true = to_picture(gt)
        plain, calm = (
            of_clip(score_frames(zip(run_frames(made, lq, plan), true, strict=True)))
            for made in (network, Steady(network, strength))
        )
        rows.append((clip.name[:24], *changes(plain, calm)))
    head = ("PSNR, dB", "steadied", "warping, 1e-3", "steadied", "change", "of the truth")
    table(("clip", *head), rows)
    seen = "one by one" if one_by_one else "as they are"
    made = f"x{info.scale} {degradation}, {plan.precision}"
    print(f"\n{model}, frames {seen}, {made}; --steady {strength}")


def alone(network: nn.Module, frame: Tensor) -> Tensor:
    """Upscale (1, 3, H, W) without its neighbours."""
    return cast("Tensor", network(frame[None])[0][0])


def changes(plain: ClipScore, calm: ClipScore) -> tuple[str, ...]:
    """PSNR and warping error without and with, as printed."""
    assert plain.warping is not None
    assert calm.warping is not None
    assert plain.warping_of_truth is not None
    return (
        f"{plain.psnr:.2f}",
        f"{calm.psnr:.2f}",
        f"{1000 * plain.warping:.3f}",
        f"{1000 * calm.warping:.3f}",
        f"{calm.warping / plain.warping - 1:+.0%}",
        f"{1000 * plain.warping_of_truth:.3f}",
    )


def pair(
    clip: Clip,
    scale: int,
    degradation: Degradation | Literal["none"],
    frames: int,
    side: int | None,
) -> tuple[Tensor | None, Tensor]:
    """Truth, if any, and input, (T, 3, H, W) each."""
    if degradation == "none":
        return None, middle(truth(clip, frames=frames, scale=1), side)
    gt = truth(clip, frames=frames, scale=scale)
    gt = middle(gt, None if side is None else side * scale)
    return gt, degrade_clip(gt, scale, degradation, name=clip.name)


def middle(frames: Tensor, side: int | None) -> Tensor:
    """Cut the middle out, at most `side` pixels wide and high."""
    height, width = (min(size, side or size) for size in frames.shape[-2:])
    top, left = (frames.shape[-2] - height) // 2, (frames.shape[-1] - width) // 2
    return frames[..., top : top + height, left : left + width]


def compare(
    sr: NDArray[np.uint8], base: NDArray[np.uint8], true: NDArray[np.uint8]
) -> tuple[float, float]:
    """Gain of `sr` over `base` in dB: of the whole frame, and of the worst block."""
    ours, theirs = (squares(picture, true) for picture in (sr, base))
    gain = 10 * np.log10(theirs.mean() / ours.mean())
    worst = 10 * np.log10(blocks(theirs).max() / blocks(ours).max())
    return float(gain), float(worst)


def faithful(sr: NDArray[np.uint8], lq: Tensor) -> tuple[float, float]:
    """Fidelity of `sr` to its input (3, h, w): of the whole frame, and of the worst block."""
    picture = torch.from_numpy(sr).permute(2, 0, 1).float() / 255
    error = squared_errors(picture, lq, LUMA_WEIGHTS["bt601"]).numpy()
    return decibels(error.mean()), decibels(blocks(error).max())


def squares(picture: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Squared difference, mean over channels; (H, W)."""
    difference = picture.astype(np.float32) - true
    return np.asarray((difference**2).mean(axis=-1))


def blocks(error: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the block around each pixel."""
    return np.asarray(cv2.blur(error, (BLOCK, BLOCK)))
