"""Validation: how far above bicubic, and how much of it the neighbours give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vsr.data.clips import Clip
from vsr.data.datasets import to_clip, truth
from vsr.data.footage import CASES, named_film
from vsr.data.real import Degradation, degrade_clip
from vsr.data.recipe import RealRecipe
from vsr.errors import DatasetError
from vsr.evaluation.metrics import SSIM_WINDOW, own_metric, psnr, ssim
from vsr.ops.color import to_picture
from vsr.ops.resize import resize

Show = Callable[[str, NDArray[np.uint8]], None]
"""Takes the name and the picture, (H, W, 3), of what was measured on a clip."""


def check_clips(clips: Sequence[Clip], *, scale: int, degradation: Degradation) -> None:
    """Refuse what could not be measured, before hours of training have passed.

    Args:
        clips: Validation clips; those of data sets, which are decoded when they are first asked
            for, are decoded here.
        scale, degradation: See `validate`.

    Raises:
        DatasetError: A clip is too small, or its low-quality side is of another size.
        MediaError: It cannot be decoded.
    """
    for clip in clips:
        count, height, width = clip.frames.shape[:3]
        if min(height, width) // scale * scale < SSIM_WINDOW:
            raise DatasetError(
                f"clip '{clip.name}' of data.val is {width}x{height}, cropped to a multiple of "
                f"{scale} smaller than SSIM's window of {SSIM_WINDOW}x{SSIM_WINDOW}; take it out"
            )
        wanted = (count, height // scale, width // scale)
        if degradation == "bicubic" and clip.lq is not None and clip.lq.shape[:3] != wanted:
            raise DatasetError(
                f"clip '{clip.name}' of data.val: wanted {wanted} low-quality frames, rows and "
                f"columns for x{scale}, got {clip.lq.shape[:3]}; take the side of this scale, or "
                "move it away: it will be made"
            )
        first = slice(1)
        for side in (clip.frames, clip.lq):
            if side is not None:
                _ = side[first, first, first]


def validate(
    network: nn.Module,
    clips: Sequence[Clip],
    *,
    frames: int,
    scale: int,
    degradation: Degradation = "bicubic",
    recipe: RealRecipe | None = None,
    on_luma: bool = True,
    device: torch.device,
    metrics: Sequence[str] = (),
    show: Show | None = None,
) -> dict[str, float]:
    """Measure a network on whole clips; the mean over frames, then over clips.

    Args:
        network: What is measured.
        clips: Validation clips.
        frames: Frames of each clip, from the first.
        scale: Of the network.
        degradation: How the input is made; see `degrade_clip` for "real".
        recipe: Of "real".
        on_luma: Measure on Y rather than RGB.
        device: Where it is.
        metrics: Of the user's own, as package.module:name.
        show: Called with a strip per clip, see `measure`.

    Returns:
        See `measure`.
    """
    if degradation == "footage":
        return validate_films(
            network,
            clips,
            frames=frames,
            scale=scale,
            device=device,
            metrics=metrics,
            show=show,
        )
    rows = [
        measure(
            network,
            clip,
            frames=frames,
            scale=scale,
            degradation=degradation,
            recipe=recipe,
            on_luma=on_luma,
            device=device,
            metrics=metrics,
            show=None if show is None else partial(show, name),
        )
        for name, clip in zip(_strip_names(clips), clips, strict=True)
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _strip_names(clips: Sequence[Clip]) -> list[str]:
    """Clips of one name in several folders each have a strip of their own."""
    stems = [Path(clip.name).stem for clip in clips]
    return [f"{x}-{n}" if (n := stems[:i].count(x) + 1) > 1 else x for i, x in enumerate(stems)]


@torch.no_grad()
def validate_films(
    network: nn.Module,
    clips: Sequence[Clip],
    *,
    frames: int,
    scale: int,
    device: torch.device,
    metrics: Sequence[str] = (),
    show: Show | None = None,
) -> dict[str, float]:
    """Measure a network on the eight named degradations; means over frames, then over clips.

    Args: see `validate`.

    Returns:
        Y-PSNR as "psnr", that of bicubic as "psnr_bicubic", "gain", the same for each degradation,
        and of the clips the smallest gain, "worst". For scale 1 the gain is that over the input,
        and on clean input, which equals the truth, it is 0 by definition and "psnr_clean" tells.
    """
    was_training = network.training
    network.eval()
    gains: dict[str, list[float]] = {case: [] for case in CASES}
    scores: dict[str, list[float]] = {"psnr": [], "psnr_bicubic": []}
    of_own: dict[str, list[float]] = {name: [] for name in metrics}
    clean: list[float] = []
    for title, clip in zip(_strip_names(clips), clips, strict=True):
        gt = truth(clip, frames=frames, scale=scale)
        for case in CASES:
            lq, shown = named_film(gt, scale, case)
            sr = network(lq[None].to(device))[0][0]
            bicubic = resize(lq, gt.shape[-2], gt.shape[-1])
            outputs = [to_picture(x) for x in (bicubic, sr, shown)]
            for name in metrics:
                of_own[name].append(_mean(name, outputs[1], outputs[2]))
            if show is not None:
                labels = ("bicubic" if scale > 1 else "input", "network", "truth")
                show(f"{title}-{case}", strip(outputs, labels))
            found = [_mean_psnr(x, outputs[2]) for x in outputs[:2]]
            if scale == 1 and case == "clean":
                clean.append(found[1])
                continue
            gains[case].append(found[1] - found[0])
            scores["psnr_bicubic"].append(found[0])
            scores["psnr"].append(found[1])
    network.train(was_training)
    numbers = {name: float(np.mean(values)) for name, values in scores.items()}
    each = {f"gain_{case}": float(np.mean(found)) for case, found in gains.items() if found}
    numbers |= {"gain": numbers["psnr"] - numbers["psnr_bicubic"], **each}
    numbers |= {name: float(np.mean(values)) for name, values in of_own.items()}
    if clean:
        numbers["psnr_clean"] = float(np.mean(clean))
    return numbers | {"worst": min(min(found) for found in gains.values() if found)}


def _mean_psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean over frames; equal ones, such as black ones at a fade, count as 99 dB."""
    return float(np.mean([min(psnr(a, b), 99.0) for a, b in zip(one, other, strict=True)]))


@torch.no_grad()
def measure(
    network: nn.Module,
    clip: Clip,
    *,
    frames: int,
    scale: int,
    degradation: Degradation = "bicubic",
    recipe: RealRecipe | None = None,
    draw: int = 0,
    on_luma: bool = True,
    device: torch.device,
    metrics: Sequence[str] = (),
    show: Callable[[NDArray[np.uint8]], None] | None = None,
) -> dict[str, float]:
    """Measure a network on one whole clip, 8-bit frames.

    Args:
        network, frames, scale, degradation, recipe, on_luma, device, metrics: See `validate`.
        clip: The truth, and the bicubic input where the data set has one.
        draw: See `degrade_clip`.
        show: Called with a strip: bicubic, frame by frame, whole clip, truth.

    Returns:
        "psnr", "ssim", "psnr_bicubic", "psnr_single" (the same frames given one by one), and
        "gain" and "neighbours", the differences in dB. Frames that one of them gets right to the
        bit, such as black ones, do not count for these but for "ssim".
    """
    was_training = network.training
    network.eval()
    gt = truth(clip, frames=frames, scale=scale)
    if degradation == "bicubic" and clip.lq is not None:
        lq = to_clip(clip.lq[slice(frames),]).to(device)
    else:
        made = degrade_clip(gt, scale, degradation, name=clip.name, draw=draw, recipe=recipe)
        lq = made.to(device)
    whole = network(lq[None])[0][0]
    single = torch.cat([network(frame[None, None])[0][0] for frame in lq])
    network.train(was_training)
    bicubic = resize(lq, gt.shape[-2], gt.shape[-1])
    outputs = [to_picture(x) for x in (bicubic, single, whole, gt)]
    found = np.array(
        [
            [psnr(a, b, on_luma=on_luma) for a, b in zip(x, outputs[3], strict=True)]
            for x in outputs[:3]
        ]
    )
    # One black frame, at a fade for example, would make every mean infinite.
    telling = np.isfinite(found).all(axis=0)
    of_bicubic, of_single, of_whole = (
        float(x) for x in (found[:, telling] if telling.any() else found).mean(axis=1)
    )
    similar = [ssim(a, b, on_luma=on_luma) for a, b in zip(outputs[2], outputs[3], strict=True)]
    if show is not None:
        show(strip(outputs, ("bicubic", "single frames", "whole clip", "truth")))
    return {
        "psnr": of_whole,
        "ssim": float(np.mean(similar)),
        "psnr_bicubic": of_bicubic,
        "psnr_single": of_single,
        "gain": of_whole - of_bicubic,
        "neighbours": of_whole - of_single,
        **{name: _mean(name, outputs[2], outputs[3]) for name in metrics},
    }


def _mean(name: str, pictures: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Mean over frames of a metric of the user's own."""
    metric = own_metric(name)
    return float(np.mean([metric(a, b) for a, b in zip(pictures, truth, strict=True)]))


def described_scores(numbers: Mapping[str, float]) -> str:
    """What `validate` found, for people."""
    parts = [f"{numbers['psnr']:.2f} dB", f"{numbers['gain']:+.2f} over bicubic"]
    if "neighbours" in numbers:
        parts[1] += f" ({numbers['neighbours']:+.2f} by neighbours)"
        parts.append(f"SSIM {numbers['ssim']:.4f}")
    else:
        each = [
            f"{case} {numbers[f'gain_{case}']:+.2f}" for case in CASES if f"gain_{case}" in numbers
        ]
        parts[1] += f" ({', '.join(each)})"
        parts.append(f"worst {numbers['worst']:+.2f}")
    if "psnr_clean" in numbers:
        parts.append(f"clean {numbers['psnr_clean']:.2f} dB")
    parts += [f"{name} {value:.4g}" for name, value in numbers.items() if ":" in name]
    return ", ".join(parts)


_LABEL = 20  # rows above a picture


def strip(
    outputs: Sequence[NDArray[np.uint8]], labels: Sequence[str], side: int = 256
) -> NDArray[np.uint8]:
    """Put the same crop of the middle frame of films side by side, each with its name above.

    Args:
        outputs: (T, H, W, 3), all of one size.
        labels: Their names.
        side: Of the crop, at most.

    Returns:
        (H, W, 3), RGB.
    """
    middle = len(outputs[0]) // 2
    height, width = outputs[0].shape[1:3]
    y, x = max(0, (height - side) // 2), max(0, (width - side) // 2)
    parts = []
    for output, label in zip(outputs, labels, strict=True):
        crop = output[middle, y : y + side, x : x + side]
        head = np.zeros((_LABEL, crop.shape[1], 3), np.uint8)
        place, white = (4, _LABEL - 6), (255, 255, 255)
        cv2.putText(head, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, white, 1, cv2.LINE_AA)
        parts.append(np.concatenate([head, crop]))
    return np.concatenate(parts, axis=1)
