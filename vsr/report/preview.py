"""A preview of an enhancement: short stretches on a page, and the cost of the whole."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr.data.datasets import to_tensor
from vsr.errors import Cancel
from vsr.estimate import Estimate, from_parts
from vsr.media.containers import MUXERS
from vsr.media.probe import SourceInfo, probe
from vsr.media.weigh import Weight, weigh
from vsr.models.zoo import loader
from vsr.ops.color import to_picture
from vsr.ops.resize import resize
from vsr.options import EnhanceOptions, Positive, checked, validated
from vsr.pipeline import EnhanceResult, Progress, enhance
from vsr.plan import Job, plan_job
from vsr.report.facts import clock, in_bytes, shown_film
from vsr.report.measure import choose_moments, measure
from vsr.report.moments import (
    PICTURE_BYTES,
    Stretch,
    choose_stretches,
    hdr_notes,
    look_around,
    packed_moment,
    read_moment,
)
from vsr.report.page import check_page, write_page

# Of a stretch: a second of film, about what the network sees at once.
FRAMES = 24
MOMENTS = 6
# For inputs whose own container cannot be written.
_OTHERWISE = ".mkv"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A stretch that was enhanced.

    Attributes:
        stretch: Why and where.
        result: Of its enhancement.
        seconds: It took, from the first frame asked for to the verified file.
        info: Of the file that came out.
        weight: Of its packets.
    """

    stretch: Stretch
    result: EnhanceResult
    seconds: float
    info: SourceInfo
    weight: Weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of the whole film, by the cost of the stretches.

    Attributes:
        frames: Of the whole, about; if None (unknown), only `fps` is known.
        fps: Frames per second over all stretches.
        seconds: For the whole.
        size: Bytes of the whole.
        sizes: The same if all of it were like the lightest, and like the heaviest stretch.
    """

    frames: int | None
    fps: float
    seconds: float | None
    size: int | None
    sizes: tuple[int, int] | None


def reckon(samples: Sequence[Sample], job: Job, piece: int) -> Cost:
    """Estimate the cost of the whole film.

    Args:
        samples: The enhanced stretches.
        job: The plan of the whole.
        piece: Frames from one keyframe to the next, at most.
    """

    def by(part: Sequence[Sample]) -> Estimate:
        seconds = sum(sample.seconds for sample in part)
        return from_parts([sample.weight for sample in part], seconds, job.encode.frame_rate)

    whole = by(samples)
    sizes = [by([sample]).bytes_for(job, piece) for sample in samples]
    known = [size for size in sizes if size is not None]
    return Cost(
        frames=job.frames,
        fps=1 / whole.seconds,
        seconds=whole.seconds_for(job),
        size=whole.bytes_for(job, piece),
        sizes=(min(known), max(known)) if known else None,
    )


def about_time(cost: Cost) -> str:
    speed = f"{cost.fps:.2f} frames per second"
    return speed if cost.seconds is None else f"about {clock(cost.seconds, digits=0)} at {speed}"


def about_size(cost: Cost) -> str:
    if cost.size is None or cost.sizes is None:
        return ""
    low, high = map(in_bytes, cost.sizes)
    if low == high:
        return f"about {in_bytes(cost.size)}"
    return f"about {in_bytes(cost.size)} ({low} to {high}, by stretch)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Previewed:
    """The finished preview.

    Attributes:
        page: The file written.
        samples: In order of time.
        cost: Of the whole.
        warnings: Of all stretches.
    """

    page: Path
    samples: tuple[Sample, ...]
    cost: Cost
    warnings: tuple[str, ...]


def preview(
    source: str | os.PathLike[str],
    page: str | os.PathLike[str],
    count: int,
    options: EnhanceOptions | None = None,
    *,
    progress: Callable[[Progress], None] = lambda now: None,
    cancel: Cancel | None = None,
) -> Previewed:
    """Enhance short stretches of a film and show them beside the bicubically enlarged input.

    Only the page is kept.

    Args:
        source: As for `enhance`.
        page: The HTML file.
        count: Stretches of a second: the sharpest motion, the darkest, the most detail, then the
            next of these. Fewer where the film is shorter.
        options: As for the whole; `start` and `duration` limit the part looked at.
        progress: Called after each frame.
        cancel: As for `enhance`; nothing is left behind.

    Raises:
        ConfigError: An option is wrong, or the page exists or is no name of a page.
        VsrError: As `enhance`.
    """
    options = checked(options or EnhanceOptions())
    page = Path(page)
    count = validated(Positive, count, "--preview")
    check_page(page, overwrite=options.overwrite)
    suffix = Path(os.fspath(source)).suffix.lower()
    suffix = suffix if suffix in MUXERS else _OTHERWISE
    with tempfile.TemporaryDirectory(prefix="vsr-preview-") as folder:
        job = plan_job(source, Path(folder) / f"whole{suffix}", options)
        rate = job.encode.frame_rate
        length = FRAMES / rate
        total = None if job.frames is None else job.frames / rate
        if total is not None:
            length = min(length, total / min(count, job.frames or 1))
        looks = look_around(job.info, job.decode, total, length)
        stretches = choose_stretches(looks, count)
        samples = list(
            _enhance(job.info, stretches, length, options, Path(folder), suffix, progress, cancel)
        )
        cost = reckon(samples, job, options.piece)
        warnings = tuple(dict.fromkeys(w for sample in samples for w in sample.result.warnings))
        write_page(page, _page(job.info, samples, cost, warnings))
    return Previewed(page=page, samples=tuple(samples), cost=cost, warnings=warnings)


def _enhance(
    info: SourceInfo,
    stretches: Sequence[Stretch],
    length: Fraction,
    options: EnhanceOptions,
    folder: Path,
    suffix: str,
    progress: Callable[[Progress], None],
    cancel: Cancel | None,
) -> Iterator[Sample]:
    """Enhance each stretch into a file of its own; the network is loaded once."""
    load = loader()
    total, before = len(stretches) * round(length * info.video.frame_rate), 0
    for index, stretch in enumerate(stretches):
        begin = math.inf

        def advance(now: Progress, before: int = before) -> None:
            nonlocal begin
            begin = min(begin, time.monotonic() - now.seconds)
            progress(replace(now, frames=before + now.frames, total=total))

        wanted = replace(options, start=_decimal(stretch.start), duration=_decimal(length),
                         overwrite=False, resume=False)  # fmt: skip
        target = folder / f"{index}{suffix}"
        result = enhance(info.path, target, wanted, progress=advance, load=load, cancel=cancel)
        seconds = time.monotonic() - begin
        made = probe(target)
        yield Sample(stretch=stretch, result=result, seconds=seconds, info=made, weight=weigh(made))
        before += result.frames


def _decimal(seconds: Fraction) -> str:
    """As an option; rounded up to a microsecond."""
    return f"{math.ceil(seconds * 10**6) / 10**6:.6f}"


def _page(
    info: SourceInfo, samples: Sequence[Sample], cost: Cost, warnings: Sequence[str]
) -> dict[str, Any]:
    per = max(1, MOMENTS // len(samples))
    budget = PICTURE_BYTES // (per * len(samples))
    model = samples[0].result.report["model"]["name"]
    name, made = Path(info.path).name, samples[0].info
    size = f"{made.video.width} × {made.video.height}"
    frames = sum(sample.result.frames for sample in samples)
    return {
        "title": f"{name} and {model}",
        "subtitle": f"{info.video.width} × {info.video.height} → {size} · a preview: {frames} "
        f"frames of {cost.frames or 'an unknown number'} in {len(samples)} "
        f"stretch{'' if len(samples) == 1 else 'es'}",
        "films": [shown_film(made) | {"name": title} for title in (f"{name}, bicubic", model)],
        "moments": [moment for sample in samples for moment in _moments(info, sample, per, budget)],
        "graphs": [],
        "cuts": [],
        "columns": [name, f"all of it by {model}"],
        "facts": _facts(info, made, cost),
        "checks": [
            {
                "name": model,
                "passed": sum(len(s.result.report["verification"]["checks"]) for s in samples),
                "problems": [],
                "warnings": list(warnings),
            }
        ],
        "notes": [
            *hdr_notes([info]),
            "Time and size of the whole are estimated from the stretches, which were chosen "
            "because they are not like the rest.",
            "Made by vsr enhance --preview.",
        ],
    }


def _moments(info: SourceInfo, sample: Sample, count: int, budget: int) -> list[dict[str, Any]]:
    """The moments of a stretch at which input and output differ most."""
    start = sample.stretch.start
    measured = measure([info, sample.info], start=start)
    found = []
    for index in choose_moments(measured.difference, measured.cuts, count):
        at = start + measured.times[0][index]
        made = read_moment(sample.info, measured.times[1][index])
        given = _enlarged(read_moment(info, at), made.shape[:2])
        found.append(packed_moment([given, made], budget, seconds=at, note=sample.stretch.why))
    return found


def _enlarged(picture: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    return to_picture(resize(to_tensor(np.ascontiguousarray(picture)), size[0], size[1]))


def _facts(info: SourceInfo, made: SourceInfo, cost: Cost) -> list[list[str]]:
    video = info.video
    rows = [
        ["Picture", *(f"{v.width} × {v.height}" for v in (video, made.video))],
        ["Video", *(f"{v.codec}, {v.pix_fmt}" for v in (video, made.video))],
        ["Frames", *[f"{cost.frames:,}" if cost.frames else ""] * 2],
        ["Size on disk", in_bytes(info.size_bytes), about_size(cost)],
        ["Time to make it", "", about_time(cost)],
    ]
    return [row for row in rows if any(row[1:])]


def in_words(found: Previewed) -> list[str]:
    """Lines for a terminal: the stretches, and the cost of the whole; at most 80 columns."""
    lines = []
    for sample in found.samples:
        fidelity = sample.result.report["fidelity"]["mean_db"]
        lines.append(
            f"  {clock(sample.stretch.start):>12}  {sample.stretch.why:<16} "
            f"{sample.result.frames:>3} frames, fidelity {fidelity:.1f} dB"
        )
    cost = found.cost
    if cost.frames is None:
        return [*lines, f"the whole: of unknown length, {about_time(cost)}"]
    return [
        *lines,
        f"the whole: {cost.frames:,} frames, {about_time(cost)},",
        f"           {about_size(cost)}",
    ]
