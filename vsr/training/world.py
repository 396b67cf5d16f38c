"""The processes of a run: one by default, as many as `torchrun` starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from vsr.devices import choose_device

# The others wait while the first decodes a data set, or validates on one; NCCL's own limit is ten
# minutes. A process that dies is not waited for: `torchrun` ends the rest.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class World:
    """This process among all of the run.

    Attributes:
        rank: 0 to size - 1; 0 writes, validates and talks.
        size: Number of processes.
        device: Where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, validates and talks."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all must ask at the same point."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags.item())

    def total(self, values: Sequence[float]) -> list[float]:
        """Add up over all processes; all must ask at the same point, for as many values."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float32, device=self.device)
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through, and the others when it has left."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the run that `torchrun` describes in the environment, or be a run of one.

    NCCL between GPUs, gloo between CPUs. With several processes, "auto" and "cuda" mean the GPU of
    the local rank.

    Raises:
        ConfigError: If there is no such device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(
        device, option="run.device", rank=local if size > 1 else 0, kinds=("cuda",)
    )
    if size == 1:
        yield World(rank=0, size=1, device=chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield World(rank=rank, size=size, device=chosen)
    finally:
        dist.destroy_process_group()
