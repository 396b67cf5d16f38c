"""A taste of an enhancement: short stretches on a page, and what the whole would cost."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr.data.datasets import to_tensor
from vsr.media.containers import MUXERS
from vsr.media.probe import SourceInfo
from vsr.ops.color import to_picture
from vsr.ops.resize import resize
from vsr.options import EnhanceOptions, Positive, checked, validated
from vsr.pipeline import Progress
from vsr.plan import plan_job
from vsr.report.facts import clock, in_bytes
from vsr.report.film import shown_size
from vsr.report.measure import choose_moments, measure
from vsr.report.moments import (
    PICTURE_BYTES,
    Sample,
    choose_stretches,
    enhance_stretches,
    hdr_notes,
    look_around,
    packed_moment,
    read_moment,
)
from vsr.report.page import check_page, write_page


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What the whole would take, by what the stretches took.

    Attributes:
        frames: Of the whole, about; None where nobody knows: then nothing else is known.
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


def reckon(samples: Sequence[Sample], frames: int | None, piece: int) -> Cost:
    """Reckon what the whole would take.

    Frames that are no keyframes, keyframes and the other streams are reckoned apart: a stretch
    starts with a keyframe, the whole has one per piece and as many at cuts as the stretches had.

    Args:
        samples: What was enhanced.
        frames: Of the whole.
        piece: Frames from one keyframe to the next, at most.
    """
    done = sum(sample.result.frames for sample in samples)
    fps = done / sum(sample.seconds for sample in samples)
    if frames is None:
        return Cost(frames=None, fps=fps, seconds=None, size=None, sizes=None)
    sizes = [_whole_size([sample], frames, piece) for sample in samples]
    return Cost(
        frames=frames,
        fps=fps,
        seconds=frames / fps,
        size=_whole_size(samples, frames, piece),
        sizes=(min(sizes), max(sizes)),
    )


def _whole_size(samples: Sequence[Sample], frames: int, piece: int) -> int:
    weights = [sample.weight for sample in samples]
    done = sum(weight.keyframes + weight.others for weight in weights)
    keyframes, others = sum(w.keyframes for w in weights), sum(w.others for w in weights)
    each_key = sum(w.key_bytes for w in weights) / max(1, keyframes)
    each = sum(w.other_bytes for w in weights) / others if others else each_key
    # Every stretch begins with one; the others are cuts.
    cuts = (keyframes - len(weights)) / done if others else 1.0
    keys = min(frames, math.ceil(frames / piece) + cuts * frames)
    beside = sum(w.beside for w in weights) / done
    return round(keys * each_key + (frames - keys) * each + frames * beside)


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


# Of a stretch: a second of film, about what the network sees at once.
FRAMES = 24
MOMENTS = 6
# Where the input's own container cannot be written.
_OTHERWISE = ".mkv"


@dataclass(frozen=True, kw_only=True, slots=True)
class Previewed:
    """What came of a preview.

    Attributes:
        page: The file written.
        samples: In order of time.
        cost: Of the whole.
        warnings: All that was said about the stretches.
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
) -> Previewed:
    """Enhance short stretches of a film and show them beside the bicubically enlarged input.

    Nothing but the page is left.

    Args:
        source: As for `enhance`.
        page: The HTML file.
        count: Stretches of a second: the sharpest motion, the darkest, the most detail, then the
            next of these. Fewer where the film is shorter.
        options: As for the whole; `start` and `duration` say what part of it is looked at.
        progress: Told after each frame.

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
        samples = enhance_stretches(
            job.info, stretches, length, options, Path(folder), suffix, progress
        )
        cost = reckon(samples, job.frames, options.piece)
        warnings = tuple(dict.fromkeys(w for sample in samples for w in sample.result.warnings))
        write_page(page, _page(job.info, samples, cost, warnings))
    return Previewed(page=page, samples=tuple(samples), cost=cost, warnings=warnings)


def _page(
    info: SourceInfo, samples: Sequence[Sample], cost: Cost, warnings: Sequence[str]
) -> dict[str, Any]:
    per = max(1, MOMENTS // len(samples))
    budget = PICTURE_BYTES // (per * len(samples))
    model = samples[0].result.report["model"]["name"]
    name, made = Path(info.path).name, samples[0].info
    size = f"{made.video.width} × {made.video.height}"
    width, height = shown_size(made.video)
    films = [
        {"name": f"{name}, bicubic", "size": size, "aspect": round(float(width / height), 5)},
        {"name": model, "size": size, "aspect": round(float(width / height), 5)},
    ]
    frames = sum(sample.result.frames for sample in samples)
    return {
        "title": f"{name} and {model}",
        "subtitle": f"{info.video.width} × {info.video.height} → {size} · a preview: {frames} "
        f"frames of {cost.frames or 'an unknown number'} in {len(samples)} "
        f"stretch{'' if len(samples) == 1 else 'es'}",
        "films": films,
        "moments": [moment for sample in samples for moment in _moments(info, sample, per, budget)],
        "graphs": [],
        "cuts": [],
        "columns": [name, f"all of it by {model}"],
        "facts": _facts(info, made, cost),
        "checks": [
            {
                "name": model,
                "passed": sum(len(s.result.report["verified"]["checks"]) for s in samples),
                "problems": [],
                "warnings": list(warnings),
            }
        ],
        "notes": [
            *hdr_notes([info]),
            "Time and size of the whole are reckoned from the stretches, which were chosen because "
            "they are not like the rest.",
            "Made by vsr enhance --preview.",
        ],
    }


def _moments(info: SourceInfo, sample: Sample, count: int, budget: int) -> list[dict[str, Any]]:
    """Show the moments of a stretch at which input and output differ most."""
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
    """Say for a terminal what was shown, and what the whole would take; at most 80 columns."""
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
