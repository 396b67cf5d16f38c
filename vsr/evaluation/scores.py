"""Scores per frame and per clip, computed on the stream of frames."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite, isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.metrics import Image, luma, psnr, ssim
from vsr.evaluation.temporal import (
    Flow,
    Mask,
    flicker,
    flow,
    flow_difference,
    visible,
    warping_error,
)
from vsr.options import STEADINESS

# Number of worst frames listed, and by what: times the sign, the lowest is the worst.
WORST = 3
WORST_FIRST = {
    "psnr": 1,
    "tof": -1,
    "warping": -1,
    "flicker": -1,
    "stlpips": -1,
    "niqe": -1,
    "xpsnr": 1,
}
Measure = Callable[[Image, Image], float]
"""Of output and truth, (H, W, 3) uint8 RGB each; not a number where it has no value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameScore:
    """Scores of one frame; those that need a previous frame are None for the first.

    Attributes:
        psnr: dB; infinite for equal frames.
        ssim: At most 1.
        tof: Difference between the flows of output and truth, pixels.
        warping: Mean squared warping error of RGB from 0 to 1.
        warping_absolute: Mean absolute warping error in 8-bit levels.
        warping_of_truth, warping_absolute_of_truth: The same of the truth itself.
        flicker: Mean absolute change of the error of Y, in 8-bit levels.
        stlpips: ST-LPIPS.
        niqe: NIQE of the output.
        xpsnr: dB, of Y.
        own: By metrics of the user's own, package.module:name; None where one is not a number.
    """

    psnr: float
    ssim: float
    tof: float | None = None
    warping: float | None = None
    warping_absolute: float | None = None
    warping_of_truth: float | None = None
    warping_absolute_of_truth: float | None = None
    flicker: float | None = None
    stlpips: float | None = None
    niqe: float | None = None
    xpsnr: float | None = None
    own: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipScore(FrameScore):
    """Means over the frames of a clip, or over clips.

    Attributes:
        frames: Their number.
        worst: By measure, a key of `WORST_FIRST`: indices of the worst frames from 0, the worst
            first; of a clip only.
    """

    frames: int
    worst: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """Values of a frame that the next one needs."""

    sr: Image
    gt: Image
    error: NDArray[np.float64]


def score_frames(
    pairs: Iterable[tuple[Image, Image]],
    *,
    on_luma: bool = True,
    border: int = 0,
    steadiness: Collection[str] = STEADINESS,
    measures: Mapping[str, Measure] | None = None,
) -> list[FrameScore]:
    """Score every frame of a clip; two pairs are held at a time.

    Args:
        pairs: (output, truth), both (H, W, 3) uint8, in presentation order.
        on_luma: PSNR and SSIM on Y instead of RGB.
        border: Pixels ignored at each edge, for PSNR and SSIM.
        steadiness: Which of the scores that need a previous frame; "tof" and "warping" cost three
            flows per frame.
        measures: Others, called once per frame, in order: by the name of a field of `FrameScore`,
            or, where there is a colon in it, of the user's own.
    """
    scores: list[FrameScore] = []
    before: _Step | None = None
    for sr, gt in pairs:
        quality = (
            psnr(sr, gt, on_luma=on_luma, border=border),
            ssim(sr, gt, on_luma=on_luma, border=border),
        )
        now = _Step(sr=sr, gt=gt, error=luma(sr) - luma(gt))
        found: dict[str, Any] = {}
        if before is not None:
            found = _over_time(before, now, steadiness)
        judged = {name: measure(sr, gt) for name, measure in (measures or {}).items()}
        found |= {name: x for name, x in judged.items() if ":" not in name and not isnan(x)}
        own = {name: None if isnan(x) else x for name, x in judged.items() if ":" in name}
        scores.append(FrameScore(psnr=quality[0], ssim=quality[1], own=own, **found))
        before = now
    return scores


def _over_time(before: _Step, now: _Step, wanted: Collection[str]) -> dict[str, float]:
    found = {}
    if "flicker" in wanted:
        found["flicker"] = flicker(before.error, now.error)
    if not {"tof", "warping"} & set(wanted):
        return found
    to_previous: Flow = flow(now.gt, before.gt)
    if "tof" in wanted:
        found["tof"] = flow_difference(flow(now.sr, before.sr), to_previous)
    if "warping" in wanted:
        seen: Mask = visible(to_previous, flow(before.gt, now.gt))
        for end, first, second in (("", before.sr, now.sr), ("_of_truth", before.gt, now.gt)):
            error = warping_error(first, second, to_previous, seen)
            found |= {f"warping{end}": error.squared, f"warping_absolute{end}": error.absolute}
    return found


def of_clip(frames: Sequence[FrameScore]) -> ClipScore:
    """Means over frames, as in papers, and the worst frames.

    Raises:
        ValueError: There are no frames.
    """
    if not frames:
        raise ValueError("no frames to average")
    return ClipScore(
        frames=len(frames),
        **_means(frames),
        worst={name: worst for name in WORST_FIRST if (worst := worst_frames(frames, name))},
    )


def worst_frames(frames: Sequence[FrameScore], measure: str) -> tuple[int, ...]:
    """Indices of the worst frames by a measure, the worst first; () if it was not measured."""
    values = [getattr(frame, measure) for frame in frames]
    known = [index for index, value in enumerate(values) if value is not None]
    return tuple(sorted(known, key=lambda i: WORST_FIRST[measure] * values[i])[:WORST])


def average(clips: Sequence[ClipScore]) -> ClipScore:
    """Means over clips, each with the same weight."""
    return ClipScore(frames=sum(clip.frames for clip in clips), **_means(clips))


def _means(scores: Sequence[FrameScore]) -> dict[str, Any]:
    """Mean of each measure over the scores that have it, otherwise None.

    Infinite values, of frames equal to the truth, are ignored unless all are infinite.
    """
    means: dict[str, Any] = {
        measure.name: _mean([getattr(score, measure.name) for score in scores])
        for measure in fields(FrameScore)
        if measure.name != "own"
    }
    return {**means, "own": {name: _mean([s.own[name] for s in scores]) for name in scores[0].own}}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # One black frame, as in a fade, would make the PSNR of a whole film infinite.
    telling = [value for value in known if isfinite(value)] or known
    return float(np.mean(telling)) if telling else None
