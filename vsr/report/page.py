"""The page: its template and its curves over time."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from math import isnan
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vsr.errors import ConfigError
from vsr.files import check_place, write_text
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


_DATA, _TITLE = "{{data}}", "{{title}}"
_SUFFIXES = (".html", ".htm")


def check_page(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot or must not become a page, before any work is done.

    Raises:
        ConfigError: The name is not that of a page, or it exists.
        MuxError: It cannot be written there.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"a page is named something.html; got '{path}'")
    if path.exists() and not overwrite:
        raise ConfigError(f"'{path}' exists; give another name, or --overwrite")
    check_place(path)


def write_page(path: Path, value: dict[str, Any]) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        path: The file.
        value: See `render`.

    Raises:
        MuxError: The disk refuses.
    """
    write_text(path, render(value))


def render(value: dict[str, Any]) -> str:
    """Make the page.

    Args:
        value: What `page.html` draws, ready for JSON; its "title" names the page.

    Returns:
        HTML that opens without a network.
    """
    template = files("vsr.report").joinpath("page.html").read_text(encoding="utf-8")
    # "</script>" in a file name must not end the data.
    data = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    head, tail = template.split(_DATA)
    return head.replace(_TITLE, html.escape(value["title"])) + data + tail
