"""Training batches by number, read ahead by worker processes if wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsr.data.datasets import Stretch, sample_batch
from vsr.training.options import TrainOptions
from vsr.training.world import World


class Batches(Dataset[Tensor]):
    """This process's share of batch number `step`, (clips, length, 3, side, side) uint8.

    Clip i of step n is a function of the run's seed, n and i alone: whatever the workers and the
    processes, and wherever the run was stopped and resumed, the steps see the same clips.
    """

    def __init__(self, found: Sequence[Stretch], options: TrainOptions, world: World) -> None:
        share = options.data.batch // world.size
        self._clips = range(world.rank * share, (world.rank + 1) * share)
        self._found = found
        self._data = options.data
        self._side = options.data.crop * options.network.scale
        self._seed = options.run.seed

    def __getitem__(self, step: int) -> Tensor:
        return torch.cat(
            [
                sample_batch(
                    self._found,
                    batch=1,
                    length=self._data.length,
                    side=self._side,
                    seed=(self._seed, step, clip),
                )
                for clip in self._clips
            ]
        )


def batches(
    found: Sequence[Stretch], options: TrainOptions, world: World, *, first: int
) -> DataLoader[Tensor]:
    """Give the batches of the steps from `first` to the run's last, in order."""
    return DataLoader(
        Batches(found, options, world),
        batch_size=None,
        sampler=range(first, options.optimizer.steps),
        num_workers=options.data.workers,
        pin_memory=world.device.type == "cuda",
    )
