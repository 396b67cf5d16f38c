"""The page: its template and its curves over time."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from vsr.errors import ConfigError
from vsr.files import check_place, write_text
from vsr.media.probe import SourceInfo
from vsr.report.measure import Measured

_MOST_POINTS = 1200
_PSNR = {"title": "PSNR", "note": "Higher is closer to the reference; luma."}
_FIDELITY = {
    "title": "Fidelity to the input",
    "note": "PSNR of the output scaled down to the input, luma: higher is closer to the input.",
}
_FLICKER = {
    "title": "Flicker",
    "note": "Change of the difference to the reference from frame to frame, in 8-bit levels: "
    "lower is steadier.",
}


def graphs(films: Sequence[SourceInfo], measured: Measured) -> list[dict[str, Any]]:
    """The curves as the page draws them: at most 1200 points, the worst of their frames."""
    turned = [(f.video.rotation % 180 != 0, f.video.width, f.video.height) for f in films]
    alike = len({(high, wide) if turn else (wide, high) for turn, wide, high in turned}) == 1
    psnrs, flickers = [c.psnr for c in measured.curves], [c.flicker for c in measured.curves]
    return [
        _graph(_PSNR if alike else _FIDELITY, "dB", "lowest", measured, psnrs),
        _graph(_FLICKER, "levels", "highest", measured, flickers),
    ]


def _graph(
    words: dict[str, str],
    unit: str,
    worst: str,
    measured: Measured,
    curves: Sequence[Sequence[float]],
) -> dict[str, Any]:
    step = -(-measured.frames // _MOST_POINTS)
    starts = range(0, measured.frames, step)
    choose = np.fmin if worst == "lowest" else np.fmax  # both leave out what is not a number
    values = [np.array(curve, np.float64) for curve in curves]
    known = [curve[~np.isnan(curve)] for curve in values]
    return {
        "title": words["title"],
        "unit": unit,
        "note": words["note"] + f" Each point is the {worst} of {step} frames." * (step > 1),
        "worst": worst,
        "times": [float(measured.times[0][i]) for i in starts],
        "lines": [
            [None if np.isnan(v) else round(float(v), 3) for v in choose.reduceat(curve, starts)]
            for curve in values
        ],
        "means": [round(float(curve.mean()), 2) if len(curve) else None for curve in known],
    }


def check_page(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot or must not become a page, before any work is done.

    Raises:
        ConfigError: The name is not that of a page, or it exists.
        MuxError: It cannot be written there.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"a page is named something.html; got '{path}'")
    if path.exists() and not overwrite:
        raise ConfigError(f"'{path}' exists; give another name, or --overwrite")
    check_place(path)


def write_page(path: Path, value: dict[str, Any]) -> None:
    """Write the page, which opens without a network; it appears whole or not at all.

    Args:
        path: The file.
        value: What `page.html` draws, ready for JSON; its "title" names the page.

    Raises:
        MuxError: The disk refuses.
    """
    place = files("vsr.report")
    template = place.joinpath("page.html").read_text(encoding="utf-8")
    for part in ("divider.css", "divider.js"):
        template = template.replace(f"{{{{{part}}}}}", place.joinpath(part).read_text("utf-8"))
    # "</script>" in a file name must not end the data.
    data = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    head, tail = template.split("{{data}}")
    write_text(path, head.replace("{{title}}", html.escape(value["title"])) + data + tail)
