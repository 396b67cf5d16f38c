"""A preview of an enhancement: short stretches on a page, and the cost of the whole."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr.data.datasets import to_tensor
from vsr.errors import Cancel, ConfigError
from vsr.estimate import Estimate, from_parts
from vsr.media.containers import MUXERS
from vsr.media.encode import check_choices
from vsr.media.probe import SourceInfo, probe
from vsr.media.sound import TAKES_UNCOMPRESSED
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
class Variant:
    """The film enhanced in one way.

    Attributes:
        name: On the page.
        samples: The stretches, in order of time.
        cost: Of the whole.
        warnings: Of all stretches.
    """

    name: str
    samples: tuple[Sample, ...]
    cost: Cost
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Previewed:
    """The finished preview.

    Attributes:
        page: The file written.
        variants: In the order asked for; one, named as its network, without variants.
    """

    page: Path
    variants: tuple[Variant, ...]


def preview(
    source: str | os.PathLike[str],
    page: str | os.PathLike[str],
    count: int,
    options: EnhanceOptions | None = None,
    *,
    variants: Mapping[str, EnhanceOptions] | None = None,
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
        variants: Several ways to enhance it, by the names they have on the page, which are shown
            side by side (`vsr.profiles.vary` makes them); `options` then says which part is looked
            at.
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
    ways = {name: checked(each) for name, each in (variants or {"": options}).items()}
    with tempfile.TemporaryDirectory(prefix="vsr-preview-") as folder:
        jobs = {
            name: plan_job(source, Path(folder) / f"whole{_suffix(source, each)}", each)
            for name, each in ways.items()
        }
        info, length, stretches = _choose(next(iter(jobs.values())), count)
        counts = [len(stretches) * round(length * j.encode.frame_rate) for j in jobs.values()]
        found: list[Variant] = []
        for name, job in jobs.items():
            before = sum(counts[: len(found)])

            def advance(now: Progress, before: int = before) -> None:
                progress(replace(now, frames=before + now.frames, total=sum(counts)))

            place = Path(folder) / str(len(found))
            place.mkdir()
            samples = tuple(_enhance(job, ways[name], stretches, length, place, advance, cancel))
            said = dict.fromkeys(w for sample in samples for w in sample.result.warnings)
            model = samples[0].result.report["model"]["name"]
            cost = reckon(samples, job, ways[name].piece)
            found.append(
                Variant(name=name or model, samples=samples, cost=cost, warnings=tuple(said))
            )
        write_page(page, _page(info, found))
    return Previewed(page=page, variants=tuple(found))


def _suffix(source: str | os.PathLike[str], options: EnhanceOptions) -> str:
    """The container of the stretches: the source's own if it can hold what is asked for."""
    own = Path(os.fspath(source)).suffix.lower()
    for suffix in (own, _OTHERWISE):
        if suffix in MUXERS and (options.sound == "copy" or MUXERS[suffix] in TAKES_UNCOMPRESSED):
            with suppress(ConfigError):
                check_choices(options.encode, suffix)
                return suffix
    return _OTHERWISE  # the plan refuses it, with the reason


def _choose(job: Job, count: int) -> tuple[SourceInfo, Fraction, list[Stretch]]:
    """The film, the seconds of a stretch, and the stretches."""
    rate = job.encode.frame_rate
    length = FRAMES / rate
    total = None if job.frames is None else job.frames / rate
    if total is not None:
        length = min(length, total / min(count, job.frames or 1))
    looks = look_around(job.info, job.decode, total, length)
    return job.info, length, choose_stretches(looks, count)


def _enhance(
    job: Job,
    options: EnhanceOptions,
    stretches: Sequence[Stretch],
    length: Fraction,
    folder: Path,
    progress: Callable[[Progress], None],
    cancel: Cancel | None,
) -> Iterator[Sample]:
    """Enhance each stretch into a file of its own; the network is loaded once."""
    load, before = loader(), 0
    for index, stretch in enumerate(stretches):
        begin = math.inf

        def advance(now: Progress, before: int = before) -> None:
            nonlocal begin
            begin = min(begin, time.monotonic() - now.seconds)
            progress(replace(now, frames=before + now.frames))

        wanted = replace(options, start=_decimal(stretch.start), duration=_decimal(length),
                         overwrite=False, resume=False)  # fmt: skip
        target = folder / f"{index}{job.target.pattern.suffix}"
        result = enhance(job.info.path, target, wanted, progress=advance, load=load, cancel=cancel)
        seconds = time.monotonic() - begin
        made = probe(target)
        yield Sample(stretch=stretch, result=result, seconds=seconds, info=made, weight=weigh(made))
        before += result.frames


def _decimal(seconds: Fraction) -> str:
    """As an option; rounded up to a microsecond."""
    return f"{math.ceil(seconds * 10**6) / 10**6:.6f}"


def _page(info: SourceInfo, variants: Sequence[Variant]) -> dict[str, Any]:
    first = variants[0]
    stretches = len(first.samples)
    per = max(1, MOMENTS // stretches)
    budget = PICTURE_BYTES // (per * stretches)
    name, names = Path(info.path).name, [variant.name for variant in variants]
    made = [variant.samples[0].info for variant in variants]
    sizes = dict.fromkeys(f"{v.width} × {v.height}" for v in (i.video for i in (info, *made)))
    frames = sum(sample.result.frames for sample in first.samples)
    films = [(f"{name}, bicubic", made[0]), *zip(names, made, strict=True)]
    return {
        "title": f"{name} and {', '.join(names)}",
        "subtitle": f"{' → '.join(sizes)} · a preview: {frames} "
        f"frames of {first.cost.frames or 'an unknown number'} in {stretches} "
        f"stretch{'' if stretches == 1 else 'es'}",
        "films": [shown_film(film) | {"name": title} for title, film in films],
        "moments": [
            moment
            for samples in zip(*(variant.samples for variant in variants), strict=True)
            for moment in differing_moments(
                info,
                [sample.info for sample in samples],
                samples[0].stretch.start,
                per,
                budget,
                note=samples[0].stretch.why,
            )
        ],
        "graphs": [],
        "cuts": [],
        "columns": [name, *(f"all of it with {each}" for each in names)],
        "facts": _facts(info, variants),
        "checks": [
            {
                "name": variant.name,
                "passed": sum(
                    len(s.result.report["verification"]["checks"]) for s in variant.samples
                ),
                "problems": [],
                "warnings": list(variant.warnings),
            }
            for variant in variants
        ],
        "notes": [
            *hdr_notes([info]),
            "Time and size of the whole are estimated from the stretches, which were chosen "
            "because they are not like the rest.",
            "Made by vsr enhance --preview.",
        ],
    }


def differing_moments(
    info: SourceInfo,
    made: Sequence[SourceInfo],
    start: Fraction,
    count: int,
    budget: int,
    *,
    note: str = "",
) -> list[dict[str, Any]]:
    """Pack the moments at which an input and what was made of it differ most.

    Args:
        info: The input.
        made: Results of a part of it, of one shape; pictures are shown in the size of the largest.
        start: Where that part begins, seconds.
        count: How many moments.
        budget: Bytes for the pictures of each.
        note: Shown beside each.
    """
    measured, found = measure([info, *made], start=start), []
    for index in choose_moments(measured.difference, measured.cuts, count):
        places = measured.places(index)
        pictures = [read_moment(*x) for x in zip((info, *made), places, strict=True)]
        size = max((picture.shape[:2] for picture in pictures[1:]), key=lambda shape: shape[0])
        shown = [p if p.shape[:2] == size else enlarged(p, size) for p in pictures]
        found.append(packed_moment(shown, budget, seconds=places[0], note=note))
    return found


def enlarged(picture: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Enlarge a picture bicubically, (H, W, 3) uint8 RGB, to a height and width."""
    return to_picture(resize(to_tensor(np.ascontiguousarray(picture)), size[0], size[1]))


def _facts(info: SourceInfo, variants: Sequence[Variant]) -> list[list[str]]:
    videos = [info.video, *(variant.samples[0].info.video for variant in variants)]
    costs = [variant.cost for variant in variants]
    counts = [costs[0].frames, *(cost.frames for cost in costs)]
    rows = [
        ["Picture", *(f"{v.width} × {v.height}" for v in videos)],
        ["Video", *(f"{v.codec}, {v.pix_fmt}" for v in videos)],
        ["Frames", *(f"{count:,}" if count else "" for count in counts)],
        ["Size on disk", in_bytes(info.size_bytes), *map(about_size, costs)],
        ["Time to make it", "", *map(about_time, costs)],
    ]
    return [row for row in rows if any(row[1:])]


def in_words(found: Previewed) -> list[str]:
    """Lines for a terminal: the stretches, and the cost of the whole; at most 80 columns."""
    several = len(found.variants) > 1
    lines = []
    for variant in found.variants:
        if several:
            lines.append(f"{variant.name}:")
        for sample in variant.samples:
            fidelity = sample.result.report["fidelity"]["mean_db"]
            lines.append(
                f"  {clock(sample.stretch.start):>12}  {sample.stretch.why:<16} "
                f"{sample.result.frames:>3} frames, fidelity {fidelity:.1f} dB"
            )
        cost = variant.cost
        if cost.frames is None:
            lines.append(f"the whole: of unknown length, {about_time(cost)}")
        else:
            lines.append(f"the whole: {cost.frames:,} frames, {about_time(cost)},")
            lines.append(f"           {about_size(cost)}")
    return lines
