"""The part of `bench.py quality` about films degraded by name: is any worse than bicubic?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from measuring import CACHE, plan_for, run_frames, table
from numpy.typing import NDArray

from vsr.data.clips import Clip
from vsr.data.datasets import to_clip, truth
from vsr.data.footage import CASES, Case, named_film
from vsr.data.layouts import open_training
from vsr.errors import WeightsError
from vsr.evaluation.metrics import psnr
from vsr.evaluation.perceptual import StLpips, load_stlpips
from vsr.evaluation.temporal import flow, visible, warping_error
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, find_model, load_network
from vsr.ops.color import to_picture
from vsr.ops.resize import resize

FRAMES = 16
# What counts as worse: more than so many dB of Y-PSNR, or than this share of ST-LPIPS.
LOST, GROWN = 0.02, 0.01

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Film:
    """One clip, degraded in one way and enhanced, (T, H, W, 3) each.

    Attributes:
        true: The truth; the same array for all degradations that leave it as it is.
        base: The input enlarged bicubically; the input itself for scale 1.
        sr: The model's.
    """

    true: Frames
    base: Frames
    sr: Frames


@dataclass(frozen=True, kw_only=True)
class Row:
    """A film's figures, (base, model) each; means over frames.

    Attributes:
        case, clip: What was measured.
        psnr: Of Y, dB; infinite where all frames equal the truth.
        perceptual: ST-LPIPS; None without its weights.
        warping: Mean absolute warping error along the truth's flow, in 8-bit levels.
    """

    case: str
    clip: str
    psnr: tuple[float, float]
    perceptual: tuple[float, float] | None
    warping: tuple[float, float]

    @property
    def compared(self) -> bool:
        """Is there anything to gain? An input that equals the truth leaves nothing."""
        return bool(np.isfinite(self.psnr[0]))

    @property
    def gain(self) -> float:
        """Model less base, dB."""
        return self.psnr[1] - self.psnr[0]

    @property
    def change(self) -> float | None:
        """Share that ST-LPIPS changes by, below 0 if the model is better."""
        if self.perceptual is None or not self.perceptual[0]:
            return None
        return self.perceptual[1] / self.perceptual[0] - 1

    @property
    def worse(self) -> bool:
        """Is the model worse than the base?"""
        return self.compared and (self.gain < -LOST or (self.change or 0.0) > GROWN)


def films(
    data: Path,
    *,
    model: str,
    case: Case | Literal["all"],
    frames: int | None = None,
    clips: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Print Y-PSNR, ST-LPIPS and warping error of bicubic and of a model, row by row.

    Args:
        data: Folder of videos, taken as the truth.
        model: Name or weight file.
        case: The degradation.
        frames: Of each video, from the first; 16 by default.
        clips: So many videos only, the first ones.
        cache: Where decoded frames are kept.
    """
    info, count = find_model(model), frames or FRAMES
    metric: StLpips | None = None
    try:
        metric = load_stlpips()
    except WeightsError as error:
        print(f"without ST-LPIPS: {error}\n")
    cases: Sequence[Case] = CASES if case == "all" else (case,)
    plan = plan_for(info, 180, 320)
    network, rows = load_network(info, plan.device), []
    for clip in open_training(data, cache)[:clips]:
        rows += measured(clip, info, network, cases, count, metric)
        print(f"measured: {clip.name}", file=sys.stderr)
    names = ("input" if info.scale == 1 else "bicubic", "model")
    show([row for name in cases for row in with_mean([x for x in rows if x.case == name])], names)
    print(f"\n{model}, x{info.scale}, Y channel, 8 bit, {plan.precision}, {count} frames, seed 0")
    print(summed_up(rows, names[0]))


def measured(
    clip: Clip,
    info: ModelInfo,
    network: VideoNetwork,
    cases: Sequence[Case],
    frames: int,
    metric: StLpips | None,
) -> list[Row]:
    """Degrade, enhance and judge one clip."""
    gt = truth(clip, frames=frames, scale=info.scale)
    plan = plan_for(info, gt.shape[-2] // info.scale, gt.shape[-1] // info.scale)
    true, made = to_picture(gt), {}
    for case in cases:
        lq, shown = named_film(gt, info.scale, case)
        made[case] = Film(
            true=true if shown is gt else to_picture(shown),
            base=to_picture(resize(lq, *gt.shape[-2:])),
            sr=run_frames(network, lq, plan),
        )
    distances = {} if metric is None else perceptual(made, metric.to(plan.device))
    steady = warping(made)
    return [
        Row(
            case=case,
            clip=clip.name,
            psnr=sharpness(film),
            perceptual=distances.get(case),
            warping=steady[case],
        )
        for case, film in made.items()
    ]


def sharpness(film: Film) -> tuple[float, float]:
    """Y-PSNR of base and model; frames that one gets right to the bit count only if all are."""
    found = np.array(
        [[psnr(x, gt) for x, gt in zip(y, film.true, strict=True)] for y in (film.base, film.sr)]
    )
    means = []
    telling = np.isfinite(found).all(axis=0)
    for values in found:
        own = values[telling] if telling.any() else values[np.isfinite(values)]
        means.append(float(own.mean()) if own.size else float("inf"))
    return means[0], means[1]


@torch.inference_mode()
def perceptual(made: dict[Case, Film], metric: StLpips) -> dict[Case, tuple[float, float]]:
    """ST-LPIPS of base and model; the truth's features, large ones, are computed once a frame."""
    device = next(metric.parameters()).device
    found: dict[Case, list[tuple[float, float]]] = {case: [] for case in made}
    for t in range(len(next(iter(made.values())).true)):
        of_truth = {}
        for case, film in made.items():
            parts = [to_clip(x[t : t + 1]).to(device) for x in (film.base, film.sr, film.true)]
            if id(film.true) not in of_truth:
                of_truth[id(film.true)] = metric.features(parts[2])
            wanted = of_truth[id(film.true)]
            base, sr = (metric.compare(metric.features(x), wanted).item() for x in parts[:2])
            found[case].append((base, sr))
    return {case: both(values) for case, values in found.items()}


def warping(made: dict[Case, Film]) -> dict[Case, tuple[float, float]]:
    """Mean absolute warping error of base and model; 0 for a single frame."""
    found: dict[Case, list[tuple[float, float]]] = {case: [] for case in made}
    for t in range(1, len(next(iter(made.values())).true)):
        steps = {}
        for case, film in made.items():
            if id(film.true) not in steps:
                before, now = film.true[t - 1], film.true[t]
                to_previous = flow(now, before)
                steps[id(film.true)] = to_previous, visible(to_previous, flow(before, now))
            base, sr = (
                warping_error(x[t - 1], x[t], *steps[id(film.true)]).absolute
                for x in (film.base, film.sr)
            )
            found[case].append((base, sr))
    return {case: both(values) for case, values in found.items()}


def both(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Take the means over frames, or over clips, of base and model."""
    base, sr = np.mean(values, axis=0) if values else (0.0, 0.0)
    return float(base), float(sr)


def with_mean(rows: Sequence[Row]) -> list[Row]:
    """Add the means over clips."""
    if len(rows) < 2:
        return list(rows)
    distances = [row.perceptual for row in rows if row.perceptual is not None]
    mean = Row(
        case=rows[0].case,
        clip="mean",
        psnr=both([row.psnr for row in rows]),
        perceptual=both(distances) if distances else None,
        warping=both([row.warping for row in rows]),
    )
    return [*rows, mean]


def show(rows: Sequence[Row], names: tuple[str, str]) -> None:
    """Print the table."""
    judged = any(row.perceptual is not None for row in rows)
    head = ["degradation", "clip", "Y-PSNR " + names[0], names[1], "gain"]
    head += ["ST-LPIPS " + names[0], names[1], "change"] if judged else []
    head += ["warping " + names[0], names[1]]
    lines = []
    for row in rows:
        line = [row.case, row.clip[:24], *(f"{x:.2f}" for x in row.psnr)]
        line.append(f"{row.gain:+.2f}" if row.compared else "-")
        if row.perceptual is not None:
            line += [f"{x:.4f}" for x in row.perceptual]
            line.append("-" if row.change is None else f"{row.change:+.1%}")
        lines.append([*line, *(f"{x:.3f}" for x in row.warping)])
    table(head, lines)


def summed_up(rows: Sequence[Row], base: str) -> str:
    """Name what is worse, then the means over rows and clips."""
    compared = [row for row in rows if row.compared]
    worse = [f"{row.case} of {row.clip} ({described(row)})" for row in compared if row.worse]
    listed = f": {', '.join(worse)}" if worse else ""
    said = [f"worse than {base}: {len(worse)} of {len(compared)}{listed}"]
    if compared:
        said.append(f"mean gain {np.mean([row.gain for row in compared]):+.2f} dB")
    changes = [row.change for row in compared if row.change is not None]
    if changes:
        said.append(f"mean change of ST-LPIPS {np.mean(changes):+.1%}")
    kept = [row.psnr[1] for row in rows if not row.compared]
    if kept:
        said.append(f"input that equals the truth is kept within {min(kept):.2f} dB")
    return "; ".join(said)


def described(row: Row) -> str:
    """Gain and change of a row."""
    change = "" if row.change is None else f", {row.change:+.1%}"
    return f"{row.gain:+.2f} dB{change}"
