"""What changes from step to step."""

from __future__ import annotations

import math

from vsr.training.options import OptimizerOptions


def replays(step: int, every: int) -> int:
    """How often the clips of a step are played first: once to three times in turn, mostly never."""
    return 1 + step // every % 3 if every and step % every == 0 else 0


def learning_rate(step: int, schedule: OptimizerOptions) -> float:
    """Linear warm-up, then a cosine down to `lr_final` at the last step."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    share = (1 + math.cos(math.pi * done)) / 2
    return schedule.lr_final + (schedule.lr - schedule.lr_final) * share
