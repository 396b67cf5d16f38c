"""Curves over time, as the page draws them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, Literal

import numpy as np

from vsr.media.probe import SourceInfo
from vsr.report.measure import Measured

_MOST_POINTS = 1200


def graphs(films: Sequence[SourceInfo], measured: Measured) -> list[dict[str, Any]]:
    """Put the curves into what the page draws: at most 1200 points, the worst of their frames."""
    sizes = {(f.video.width, f.video.height) for f in films}
    fidelity = (
        ("PSNR", "Higher is nearer to the reference; luma.")
        if len(sizes) == 1
        else (
            "Fidelity to the input",
            "PSNR of the output scaled down to the input, luma: higher is truer to what was there.",
        )
    )
    steadiness = (
        "Flicker",
        "How much the difference to the reference changes from frame to frame, in 8-bit levels: "
        "lower is steadier.",
    )
    psnrs, flickers = ([c.psnr for c in measured.curves], [c.flicker for c in measured.curves])
    return [
        _graph(fidelity, "dB", "lowest", measured, psnrs),
        _graph(steadiness, "levels", "highest", measured, flickers),
    ]


def _graph(
    words: tuple[str, str],
    unit: str,
    worst: Literal["lowest", "highest"],
    measured: Measured,
    curves: Sequence[Sequence[float]],
) -> dict[str, Any]:
    step = -(-measured.frames // _MOST_POINTS)
    starts = range(0, measured.frames, step)
    each = f" Each point is the {worst} of {step} frames." if step > 1 else ""
    return {
        "title": words[0],
        "unit": unit,
        "note": words[1] + each,
        "worst": worst,
        "times": [float(measured.times[0][i]) for i in starts],
        "lines": [[_worst(curve[i : i + step], worst) for i in starts] for curve in curves],
        "means": [_mean(curve) for curve in curves],
    }


def _worst(values: Sequence[float], worst: Literal["lowest", "highest"]) -> float | None:
    """Give the worst of some frames; None where none has a value."""
    known = [value for value in values if not isnan(value)]
    if not known:
        return None
    return round(min(known) if worst == "lowest" else max(known), 3)


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not isnan(value)]
    return round(float(np.mean(known)), 2) if known else None
