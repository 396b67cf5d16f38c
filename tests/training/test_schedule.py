"""What changes from step to step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vsr.training.options import OptimizerOptions
from vsr.training.schedule import learning_rate


def test_learning_rate_warms_up_and_falls_to_its_end() -> None:
    schedule = OptimizerOptions(steps=100, warmup=10, lr=1.0, lr_final=0.1)
    rates = [learning_rate(step, schedule) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
