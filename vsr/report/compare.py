"""Compare films: measure them in lockstep, choose telling moments, write one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, DecodeError, MediaError
from vsr.media.probe import SourceInfo, probe
from vsr.media.verify import verify
from vsr.options import Count, validated
from vsr.report.facts import clock, fact_rows, shown_film
from vsr.report.measure import Measured, choose_moments, measure, nearest_frame
from vsr.report.moments import PICTURE_BYTES, hdr_notes, packed_moment, read_moment
from vsr.report.page import check_page, graphs, write_page

_ANOTHER_COUNT = (
    "probably a part, fields or another rate, so it was not checked as a whole; run `vsr verify` "
    "with the --start, --duration, --deinterlace and --filter that made it"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The finished comparison.

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
        outputs: What it is compared with.
        page: The HTML file.
        at: Moments to show, in seconds after the first frame compared, besides those chosen;
            beyond the end the last frame is shown, with a note.
        moments: Number of moments chosen automatically, where the films differ most.
        start: Where in the reference the outputs begin, if they are a part of it.
        overwrite: Replace the page if it exists.
        progress: Called with the number of frames measured.

    Raises:
        ConfigError: There is nothing to compare, or the page exists or has no page's name.
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
    shown = []
    for index in indices:
        places = zip(films, measured.places(index), strict=True)
        pictures = [read_moment(*place) for place in places]
        note, time = "asked" if index in asked else "", measured.times[0][index]
        moment = packed_moment(pictures, PICTURE_BYTES // len(indices), seconds=time, note=note)
        shown.append(moment | {"frame": index})
    write_page(page, _value(films, measured, shown, checks))
    unlike = (f"{check['name']}: {check['unlike']}" for check in checks if "unlike" in check)
    return Compared(
        page=page,
        frames=measured.frames,
        moments=tuple(moment["time"] for moment in shown),
        problems=tuple(tuple(check["problems"]) for check in checks),
        notes=(*_beyond(at, measured.times[0][-1], films[0].video.frame_rate), *unlike),
    )


def _beyond(at: Sequence[Fraction], last: Fraction, rate: Fraction) -> Iterator[str]:
    for time in at:
        if time >= last + 1 / rate:
            yield (
                f"the moment asked for at {clock(time)} lies beyond the last frame that all films "
                f"show, at {clock(last)}, which is shown instead"
            )


def _value(
    films: Sequence[SourceInfo],
    measured: Measured,
    moments: Sequence[dict[str, Any]],
    checks: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Everything the page draws."""
    sizes = dict.fromkeys(f"{f.video.width} × {f.video.height}" for f in films)
    length = clock(measured.times[0][-1], digits=1)
    counts = [film.video.frame_count for film in films]  # as the headers claim
    if all(check["counts"] for check in checks):
        counts = [checks[0]["counts"][0], *(check["counts"][1] for check in checks)]
    return {
        "title": " and ".join(Path(f.path).name for f in films),
        "subtitle": f"{' → '.join(sizes)} · {measured.frames:,} frames compared, up to {length}",
        "films": [shown_film(info) for info in films],
        "moments": moments,
        "graphs": graphs(films, measured),
        "cuts": [float(measured.times[0][cut]) for cut in measured.cuts],
        "facts": fact_rows(films, counts),
        "checks": checks,
        "notes": [
            "Your browser scales the smaller pictures.",
            *hdr_notes(films),
            "Made by vsr compare.",
        ],
    }


def _checks(reference: SourceInfo, output: SourceInfo, start: Fraction) -> dict[str, Any]:
    """The findings of `vsr verify`; "unlike" says why there are none to rely on."""
    found: dict[str, Any] = {"name": Path(output.path).name, "passed": 0, "problems": []}
    if start:
        text = "A part of the reference: not checked as a whole."
        return found | {"warnings": [text], "counts": None}
    try:
        result = verify(reference.path, output.path)
    except MediaError as error:
        return found | {"warnings": [f"Could not be checked: {error}"], "counts": None}
    numbers = next(check.numbers for check in result.checks if check.name == "frames")
    counts = [numbers.get("wanted"), numbers.get("found")]
    if counts[0] != counts[1]:
        text = f"{counts[1]} frames for {counts[0]} of the reference: {_ANOTHER_COUNT}"
        return found | {"warnings": [text], "unlike": text, "counts": counts}
    return found | {
        "passed": sum(check.passed for check in result.checks),
        "problems": list(result.problems),
        "warnings": list(result.warnings),
        "counts": counts,
    }
