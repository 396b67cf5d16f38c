"""Short stretches of a film, enhanced for a taste."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vsr.media.probe import SourceInfo, probe
from vsr.media.weigh import Weight, weigh
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, loader
from vsr.options import EnhanceOptions
from vsr.pipeline import EnhanceResult, Progress, enhance
from vsr.report.stretches import Stretch


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


def enhance_stretches(
    info: SourceInfo,
    stretches: Sequence[Stretch],
    length: Fraction,
    options: EnhanceOptions,
    folder: Path,
    suffix: str,
    progress: Callable[[Progress], None],
) -> list[Sample]:
    """Enhance each stretch into a file of its own; the network is loaded once.

    Args:
        info: The source.
        stretches: Where they begin.
        length: Seconds of each.
        options: As for the whole.
        folder: Where the files go.
        suffix: Of their names: the container.
        progress: Told after each frame.

    Raises:
        VsrError: As `enhance`.
    """
    load = loader()
    samples: list[Sample] = []
    expected = len(stretches) * round(length * info.video.frame_rate)
    for index, stretch in enumerate(stretches):
        before = sum(sample.result.frames for sample in samples)

        def advance(now: Progress, before: int = before) -> None:
            progress(replace(now, frames=before + now.frames, total=expected))

        wanted = replace(
            options,
            start=_decimal(stretch.start),
            duration=_decimal(length),
            overwrite=False,
            resume=False,
        )
        target = folder / f"{index}{suffix}"
        samples.append(_enhance_one(info, stretch, target, wanted, load, advance))
    return samples


def _enhance_one(
    info: SourceInfo,
    stretch: Stretch,
    target: Path,
    options: EnhanceOptions,
    load: Callable[[ModelInfo, str], VideoNetwork],
    progress: Callable[[Progress], None],
) -> Sample:
    """Enhance a stretch by the clock, which starts when its first frame is asked for."""
    begin = time.monotonic()

    def advance(now: Progress) -> None:
        nonlocal begin
        if now.frames == 1:
            begin = time.monotonic() - now.seconds
        progress(now)

    result = enhance(info.path, target, options, progress=advance, load=load)
    seconds = time.monotonic() - begin
    made = probe(target)
    return Sample(stretch=stretch, result=result, seconds=seconds, info=made, weight=weigh(made))


def _decimal(seconds: Fraction) -> str:
    """Write for the command line; rounded up to a microsecond."""
    return f"{math.ceil(seconds * 10**6) / 10**6:.6f}"
