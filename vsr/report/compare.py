"""Compare films: measure them in lockstep, pick the moments that tell, make one page of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isnan
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.data.pictures import read_pictures
from vsr.errors import ConfigError, DecodeError, MediaError
from vsr.media.decode import DecodeOptions
from vsr.media.probe import SourceInfo, probe
from vsr.media.verify import verify
from vsr.report.facts import clock, fact_rows
from vsr.report.measure import Measured, choose_moments, measure, nearest_frame
from vsr.report.page import render

# A page is to be sent by mail: bytes of all pictures together, before base64 adds a third.
PICTURE_BYTES = 3_500_000
_QUALITIES = (95, 90, 84, 76, 68, 58)
_MOST_POINTS = 1200
_HDR_TRANSFERS = (16, 18)  # H.273: PQ, HLG
_HDR_NOTE = "HDR pictures are shown as stored, without tone mapping: paler than on an HDR display."


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What came of a comparison.

    Attributes:
        page: The file written.
        frames: Compared.
        moments: Seconds of the moments shown.
        problems: What `vsr verify` found wrong, per output.
    """

    page: Path
    frames: int
    moments: tuple[float, ...]
    problems: tuple[tuple[str, ...], ...]


def compare(
    reference: str | os.PathLike[str],
    outputs: Sequence[str | os.PathLike[str]],
    page: str | os.PathLike[str],
    *,
    at: Sequence[Fraction] = (),
    moments: int = 6,
    start: Fraction = Fraction(0),
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda frames: None,
) -> Compared:
    """Write one self-contained HTML page that compares films.

    The films are decoded twice, in lockstep: once for the numbers, once, at the chosen moments
    only, for the pictures. Memory does not grow with their length.

    Args:
        reference: The input of an enhancement, or the truth.
        outputs: What is held against it.
        page: The HTML file.
        at: Moments to show, in seconds after the first frame compared, besides those chosen.
        moments: How many the program chooses: where the films differ most.
        start: Where in the reference the outputs begin, if they are a part of it.
        overwrite: Replace the page if it exists.
        progress: Told the number of frames measured.

    Raises:
        ConfigError: There is nothing to compare, or the page exists.
        MediaError: One of the films cannot be decoded.
    """
    page = Path(page)
    if not outputs:
        raise ConfigError("compare wants a reference and at least one output")
    if moments < 0:
        raise ConfigError(f"--moments must be 0 or more, got {moments}")
    if page.exists() and not overwrite:
        raise ConfigError(f"'{page}' exists; give another --output, or --overwrite")
    films = [probe(os.fspath(path)) for path in (reference, *outputs)]
    measured = measure(films, start=start, progress=progress)
    if not measured.frames:
        raise DecodeError(films[0].path, "no frame of it is shown together with the outputs")
    chosen = choose_moments(measured.difference, measured.cuts, moments) if moments else []
    asked = [nearest_frame(measured.times[0], time) for time in at]
    indices = sorted({*chosen, *asked}) or [0]
    checks = [_checks(films[0], output, start) for output in films[1:]]
    value = {
        "title": " and ".join(Path(f.path).name for f in films),
        "subtitle": _subtitle(films, measured),
        "films": [_film(info, i) for i, info in enumerate(films)],
        "moments": [
            _moment(films, measured, index, start, PICTURE_BYTES // len(indices), index in asked)
            for index in indices
        ],
        "graphs": graphs(films, measured),
        "cuts": [float(measured.times[0][cut]) for cut in measured.cuts],
        "facts": fact_rows(films, _frame_counts(films, checks)),
        "checks": checks,
        "notes": [_HDR_NOTE]
        if any(f.video.color.transfer in _HDR_TRANSFERS for f in films)
        else [],
    }
    page.parent.mkdir(parents=True, exist_ok=True)
    part = page.with_name(f".{page.name}.{os.getpid()}.part")
    part.write_text(render(value), encoding="utf-8")
    os.replace(part, page)
    return Compared(
        page=page,
        frames=measured.frames,
        moments=tuple(float(measured.times[0][index]) for index in indices),
        problems=tuple(tuple(check["problems"]) for check in checks),
    )


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


def _subtitle(films: Sequence[SourceInfo], measured: Measured) -> str:
    sizes = dict.fromkeys(f"{f.video.width} × {f.video.height}" for f in films)
    length = clock(measured.times[0][-1], digits=1)
    return f"{' → '.join(sizes)} · {measured.frames:,} frames compared, up to {length}"


def _film(info: SourceInfo, index: int) -> dict[str, Any]:
    video = info.video
    width = video.width * (video.sample_aspect_ratio or 1)
    turned = video.rotation % 180 != 0
    aspect = Fraction(video.height) / width if turned else Fraction(width) / video.height
    return {
        "name": Path(info.path).name,
        "role": "reference" if index == 0 else "output",
        "size": f"{video.width} × {video.height}",
        "aspect": round(float(aspect), 5),
    }


def _moment(
    films: Sequence[SourceInfo],
    measured: Measured,
    index: int,
    start: Fraction,
    budget: int,
    asked: bool,
) -> dict[str, Any]:
    """Decode one moment of all films and pack it."""
    pictures = [
        _picture(info, measured.times[i][index] + (start if i == 0 else 0))
        for i, info in enumerate(films)
    ]
    packed, quality, factor = pack(pictures, budget)
    return {
        "time": float(measured.times[0][index]),
        "clock": clock(measured.times[0][index]),
        "frame": index,
        "asked": asked,
        "quality": quality,
        "factor": factor,
        "psnr": [round(curve.psnr[index], 2) for curve in measured.curves],
        "images": [f"data:image/webp;base64,{base64.b64encode(p).decode()}" for p in packed],
    }


def _picture(info: SourceInfo, seconds: Fraction) -> NDArray[np.uint8]:
    """Decode one frame, turned as a player turns it."""
    for picture in read_pictures(info.path, DecodeOptions(start=seconds)):
        return np.rot90(picture.rgb, info.video.rotation // 90)
    raise DecodeError(info.path, f"the frame at {float(seconds):.3f} s was there once, now is not")


def pack(pictures: Sequence[NDArray[np.uint8]], budget: int) -> tuple[list[bytes], int, float]:
    """Encode pictures as WebP, all alike, as well as fits.

    Args:
        pictures: (H, W, 3) uint8 RGB.
        budget: Bytes for all of them.

    Returns:
        The files, the quality (0 to 100), and the factor of their sizes: 1 unless even the lowest
        quality was too large.
    """
    factor = 1.0
    while True:
        for quality in _QUALITIES:
            packed = [_webp(picture, quality, factor) for picture in pictures]
            if sum(map(len, packed)) <= budget or factor < 1 / 8:
                return packed, quality, factor
        factor /= 2


def _webp(picture: NDArray[np.uint8], quality: int, factor: float) -> bytes:
    bgr = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)
    if factor < 1:
        bgr = cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not good:
        raise ValueError(f"no WebP of a picture of {picture.shape}")
    return data.tobytes()


def _checks(reference: SourceInfo, output: SourceInfo, start: Fraction) -> dict[str, Any]:
    """Say what `vsr verify` says."""
    name = Path(output.path).name
    if start:
        text = "A part of the reference: not checked as a whole."
        return {"name": name, "passed": 0, "problems": [], "warnings": [text], "counts": None}
    try:
        result = verify(reference.path, output.path)
    except MediaError as error:
        text = f"Could not be checked: {error}"
        return {"name": name, "passed": 0, "problems": [], "warnings": [text], "counts": None}
    passed = sum(check.passed for check in result.checks)
    numbers = next(check.numbers for check in result.checks if check.name == "frames")
    return {
        "name": name,
        "passed": passed,
        "problems": list(result.problems),
        "warnings": list(result.warnings),
        "counts": [numbers.get("wanted"), numbers.get("found")],
    }


def _frame_counts(
    films: Sequence[SourceInfo], checks: Sequence[dict[str, Any]]
) -> list[int | None]:
    """Take the frames that were counted, or else what the headers claim."""
    claimed = [film.video.frame_count for film in films]
    counted = [check["counts"] for check in checks]
    if not all(counted):
        return claimed
    return [counted[0][0], *(found for _, found in counted)]
