"""Parameters that change smoothly over the frames of a clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def walk(
    rng: np.random.Generator, limits: tuple[float, float], step: float, count: int
) -> NDArray[np.float64]:
    """Draw a random walk: a uniform start, uniform steps, reflected at the limits.

    Args:
        rng: Drawn from.
        limits: Lowest and highest value.
        step: Most that neighbouring values differ by.
        count: Values.

    Source: the `*_step` parameters of RealBasicVSR's degradations, which clip instead of
    reflecting and so dwell at the limits.
    """
    low, high = limits
    steps = rng.uniform(-step, step, size=count)
    steps[0] = rng.uniform(0, high - low)
    span = 2 * (high - low)
    if span == 0:
        return np.full(count, low)
    path = np.cumsum(steps) % span
    values: NDArray[np.float64] = low + np.minimum(path, span - path)
    return values
