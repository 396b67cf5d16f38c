"""Training batches by number, read ahead by worker processes if wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsr.data.datasets import Stretch, sample_batch
from vsr.training.options import TrainOptions


class Batches(Dataset[Tensor]):
    """Batch number `step` of a run, (batch, length, 3, side, side) uint8.

    A function of the run's seed and the step alone: whatever the workers, and wherever the run was
    stopped and resumed, step n sees the same clips.
    """

    def __init__(self, found: Sequence[Stretch], options: TrainOptions) -> None:
        self._found = found
        self._data = options.data
        self._side = options.data.crop * options.network.scale
        self._seed = options.run.seed

    def __getitem__(self, step: int) -> Tensor:
        return sample_batch(
            self._found,
            batch=self._data.batch,
            length=self._data.length,
            side=self._side,
            seed=(self._seed, step),
        )


def batches(
    found: Sequence[Stretch], options: TrainOptions, *, first: int, device: torch.device
) -> DataLoader[Tensor]:
    """Give the batches of the steps from `first` to the run's last, in order."""
    return DataLoader(
        Batches(found, options),
        batch_size=None,
        sampler=range(first, options.optimizer.steps),
        num_workers=options.data.workers,
        pin_memory=device.type == "cuda",
    )
