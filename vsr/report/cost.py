"""What a whole film would take and weigh, reckoned from stretches of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vsr.report.facts import clock, in_bytes
from vsr.report.samples import Sample


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
