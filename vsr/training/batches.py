"""Training batches by number, read ahead by worker processes if wanted."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsr.data.datasets import Shot, mirrored, sample_batch, sample_pairs
from vsr.data.degrade import sharpened
from vsr.data.footage import sample_film
from vsr.data.real import degrade_real
from vsr.errors import VsrError
from vsr.ops.color import to_levels
from vsr.training.options import TrainOptions
from vsr.training.world import World


class Batch(NamedTuple):
    """Clips of one step.

    Attributes:
        gt: (N, T, 3, scale * H, scale * W), uint8.
        lq: (N, T, 3, H, W), uint8; None where the device makes it from `gt`.
    """

    gt: Tensor
    lq: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        lq = None if self.lq is None else self.lq.to(device, non_blocking=True)
        return Batch(self.gt.to(device, non_blocking=True), lq)


class Batches(Dataset[Batch | VsrError]):
    """This process's share of batch number `step`.

    Clip i of step n is a function of the run's seed, n and i alone: whatever the workers and the
    processes, and wherever the run was stopped and resumed, the steps see the same clips.

    What a user can mend is given instead of the clips, not raised: torch would turn it into
    another error on its way from a worker.
    """

    def __init__(self, found: Sequence[Shot], options: TrainOptions, world: World) -> None:
        share = options.data.batch // world.size
        self._clips = range(world.rank * share, (world.rank + 1) * share)
        self._found = found
        self._data = options.data
        self._real = options.real
        self._footage = options.footage
        self._scale = options.network.scale
        self._seed = options.run.seed
        # The low-quality side of a data set is bicubic; the other degradations are made.
        self._paired = options.data.degradation == "bicubic" and all(
            shot.clip.lq is not None for shot in found
        )

    def __getitem__(self, step: int) -> Batch | VsrError:
        try:
            clips = [self._clip((self._seed, step, clip)) for clip in self._clips]
        except VsrError as error:
            return error
        lqs = [clip.lq for clip in clips if clip.lq is not None]
        return Batch(torch.cat([clip.gt for clip in clips]), torch.cat(lqs) if lqs else None)

    def _clip(self, seed: tuple[int, ...]) -> Batch:
        data, lq = self._data, None
        length, side, reverse = data.length, data.crop * self._scale, data.reverse
        if data.degradation == "footage":
            first = seed[1] // data.renew_every * data.variants
            gt, lq = sample_film(
                self._found,
                self._footage,
                length=length,
                side=side,
                scale=self._scale,
                seed=seed,
                variants=range(first, first + data.variants),
                folder=Path(data.cache).expanduser() / "films",
                reverse=reverse,
            )
        elif self._paired:
            gt, lq = sample_pairs(
                self._found,
                batch=1,
                length=length,
                side=side,
                scale=self._scale,
                seed=seed,
                reverse=reverse,
            )
        else:
            gt = sample_batch(
                self._found, batch=1, length=length, side=side, seed=seed, reverse=reverse
            )
        if data.mirror:
            gt, lq = mirrored(gt), None if lq is None else mirrored(lq)
        if data.degradation == "real":
            true = gt.float() / 255
            if data.sharpen:
                true = sharpened(true)
            made = degrade_real(true, self._scale, seed=seed, recipe=self._real)
            lq = to_levels(made)
        return Batch(gt, lq)


def batches(
    found: Sequence[Shot], options: TrainOptions, world: World, *, first: int
) -> DataLoader[Batch | VsrError]:
    """Batches of the steps from `first` to the run's last, in order; see `Batches`."""
    return DataLoader(
        Batches(found, options, world),
        batch_size=None,
        sampler=range(first, options.optimizer.steps),
        num_workers=options.data.workers,
        worker_init_fn=_outlive_signals,
        pin_memory=world.device.type == "cuda",
    )


def _outlive_signals(worker: int) -> None:
    """Leave it to the run to end its workers: the signal to stop may reach the whole group."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
