"""Networks whose right answer is known, clips for them, and the runner in one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.inference.plan import Plan
from vsr.inference.runner import LqFrame, SrFrame, upscale
from vsr.models.contract import State, VideoNetwork

S = TypeVar("S")

PLAN = Plan(
    window=4,
    lookahead=2,
    tile=None,
    margin=4,
    device="cpu",
    precision="fp32",
    scene_threshold=7.0,
)


def clip(
    count: int, height: int = 6, width: int = 8, cuts: Iterable[int] = ()
) -> list[LqFrame[int]]:
    """Frames whose source is their duration."""
    pictures = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    return [
        LqFrame(
            source=40 - number % 2,
            lq=picture,
            pts=1000 + 40 * number + number % 3,
            scene_score=30.0 if number in cuts else 1.0,
        )
        for number, picture in enumerate(pictures)
    ]


@dataclass
class Accumulator:
    """Each picture is the sum of all since the start; nothing is known about those before."""

    scale: int = 1
    min_size: int = 1
    calls: list[tuple[int, int, bool]] = field(default_factory=list)

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        self.calls.append((lq.shape[1], lookahead, state is None))
        total = lq.new_zeros(lq[:, 0].shape) if state is None else state[0]
        pictures = []
        for frame in lq[:, : lq.shape[1] - lookahead].unbind(1):
            total = total + frame
            pictures.append(total)
        return torch.stack(pictures, 1), (total,)


class LookingAhead(Accumulator):
    """Adds to each picture the two that follow, as far as they are shown."""

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        sums, after = super().__call__(lq, state, lookahead)
        padded = F.pad(lq, (0, 0, 0, 0, 0, 0, 0, 2))
        count = sums.shape[1]
        return sums + padded[:, 1 : count + 1] + padded[:, 2 : count + 2], after


class Blurring(Accumulator):
    """Spreads by a pixel per frame and enlarges twice: what tiles must not show."""

    def __init__(self) -> None:
        super().__init__(scale=2)

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        hidden = lq.new_zeros(lq[:, 0].shape) if state is None else state[0]
        pictures = []
        for frame in lq[:, : lq.shape[1] - lookahead].unbind(1):
            mixed = F.pad(0.5 * hidden + 0.5 * frame, (1, 1, 1, 1), mode="replicate")
            hidden = F.avg_pool2d(mixed, 3, 1)
            pictures.append(hidden.repeat_interleave(2, -1).repeat_interleave(2, -2))
        return torch.stack(pictures, 1), (hidden,)


def run(
    frames: Iterable[LqFrame[S]], network: VideoNetwork, plan: Plan = PLAN
) -> tuple[list[SrFrame[S]], list[str]]:
    said: list[str] = []
    return list(upscale(frames, network, plan, warn=said.append)), said


def whole(frames: list[LqFrame[S]], network: VideoNetwork) -> Tensor:
    sr, _ = network(torch.stack([frame.lq for frame in frames])[None])
    return sr[0]


def pictures(frames: list[SrFrame[S]]) -> Tensor:
    return torch.stack([frame.sr for frame in frames])
