"""Compare films: measure them in lockstep, pick the moments that tell, make one page of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, DecodeError, MediaError
from vsr.media.probe import SourceInfo, probe
from vsr.media.verify import verify
from vsr.options import Count, validated
from vsr.report.facts import clock, fact_rows
from vsr.report.film import shown_size
from vsr.report.measure import Measured, choose_moments, measure, nearest_frame
from vsr.report.moments import PICTURE_BYTES, hdr_notes, packed_moment, read_moment
from vsr.report.page import check_page, graphs, write_page

_ANOTHER_COUNT = (
    "a part, fields or another rate, it seems, so it was not checked as a whole; `vsr verify` does "
    "that, with the --start, --duration, --deinterlace and --filter that made it"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What came of a comparison.

    Attributes:
        page: The file written.
        frames: Compared.
        moments: Seconds of the moments shown.
        problems: What `vsr verify` found wrong, per output.
        notes: What was asked for and could not be shown or checked.
    """

    page: Path
    frames: int
    moments: tuple[float, ...]
    problems: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


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
        at: Moments to show, in seconds after the first frame compared, besides those chosen; the
            last frame stands in for those beyond the end, and a note says so.
        moments: How many the program chooses: where the films differ most.
        start: Where in the reference the outputs begin, if they are a part of it.
        overwrite: Replace the page if it exists.
        progress: Told the number of frames measured.

    Raises:
        ConfigError: There is nothing to compare, or the page exists or is no name of a page.
        MediaError: One of the films cannot be decoded, or the page not be written.
    """
    page = Path(page)
    if not outputs:
        raise ConfigError("compare wants a reference and at least one output")
    moments = validated(Count, moments, "--moments")
    check_page(page, overwrite=overwrite)
    films = [probe(os.fspath(path)) for path in (reference, *outputs)]
    measured = measure(films, start=start, progress=progress)
    if not measured.frames:
        raise DecodeError(films[0].path, "no frame of it is shown together with the outputs")
    chosen = choose_moments(measured.difference, measured.cuts, moments) if moments else []
    asked = [nearest_frame(measured.times[0], time) for time in at]
    indices = sorted({*chosen, *asked}) or [0]
    checks = [_checks(films[0], output, start) for output in films[1:]]
    budget = PICTURE_BYTES // len(indices)
    shown = [
        _moment(films, measured, index, start, budget, "asked" if index in asked else "")
        for index in indices
    ]
    write_page(page, _value(films, measured, shown, checks))
    return Compared(
        page=page,
        frames=measured.frames,
        moments=tuple(moment["time"] for moment in shown),
        problems=tuple(tuple(check["problems"]) for check in checks),
        notes=(
            *_beyond(at, measured.times[0][-1], films[0].video.frame_rate),
            *(f"{check['name']}: {check['unlike']}" for check in checks if "unlike" in check),
        ),
    )


def _beyond(at: Sequence[Fraction], last: Fraction, rate: Fraction) -> tuple[str, ...]:
    """Name the moments that lie after the last frame compared."""
    return tuple(
        f"the moment asked for at {clock(time)} lies beyond the last frame that all films show, "
        f"at {clock(last)}, which is shown instead"
        for time in at
        if time >= last + 1 / rate
    )


def _value(
    films: Sequence[SourceInfo],
    measured: Measured,
    moments: Sequence[dict[str, Any]],
    checks: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Put everything into what the page draws."""
    return {
        "title": " and ".join(Path(f.path).name for f in films),
        "subtitle": _subtitle(films, measured),
        "films": [_film(info) for info in films],
        "moments": moments,
        "graphs": graphs(films, measured),
        "cuts": [float(measured.times[0][cut]) for cut in measured.cuts],
        "facts": fact_rows(films, _frame_counts(films, checks)),
        "checks": checks,
        "notes": [
            "Your browser scales the smaller pictures.",
            *hdr_notes(films),
            "Made by vsr compare.",
        ],
    }


def _subtitle(films: Sequence[SourceInfo], measured: Measured) -> str:
    sizes = dict.fromkeys(f"{f.video.width} × {f.video.height}" for f in films)
    length = clock(measured.times[0][-1], digits=1)
    return f"{' → '.join(sizes)} · {measured.frames:,} frames compared, up to {length}"


def _film(info: SourceInfo) -> dict[str, Any]:
    width, height = shown_size(info.video)
    return {
        "name": Path(info.path).name,
        "size": f"{info.video.width} × {info.video.height}",
        "aspect": round(float(width / height), 5),
    }


def _moment(
    films: Sequence[SourceInfo],
    measured: Measured,
    index: int,
    start: Fraction,
    budget: int,
    note: str,
) -> dict[str, Any]:
    """Decode one moment of all films and pack it."""
    pictures = [
        read_moment(info, measured.times[i][index] + (start if i == 0 else 0))
        for i, info in enumerate(films)
    ]
    return packed_moment(pictures, budget, seconds=measured.times[0][index], note=note) | {
        "frame": index
    }


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
    numbers = next(check.numbers for check in result.checks if check.name == "frames")
    counts = [numbers.get("wanted"), numbers.get("found")]
    if counts[0] != counts[1]:
        # A part, fields or another rate may have been asked for; then nothing lies where it did.
        text = f"{counts[1]} frames for {counts[0]} of the reference: {_ANOTHER_COUNT}"
        said = {"warnings": [text], "unlike": text}
        return {"name": name, "passed": 0, "problems": [], "counts": counts, **said}
    return {
        "name": name,
        "passed": sum(check.passed for check in result.checks),
        "problems": list(result.problems),
        "warnings": list(result.warnings),
        "counts": counts,
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
