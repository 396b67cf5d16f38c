"""The parts of `bench.py` about training: the speed of reading and the cost of a step."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import torch
import tyro
from measuring import table
from torch.profiler import ProfilerActivity, profile

from vsr.training.batches import Batch, Batches
from vsr.training.loop import Parts, build, check, open_data, update
from vsr.training.options import TrainOptions, read_options
from vsr.training.world import join_world

Overrides = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set")]


def data(config: tyro.conf.Positional[Path], *, set_: Overrides = (), steps: int = 4) -> None:
    """Print the speed of reading and degrading clips against that of training.

    Args:
        config: Of the training run.
        set_: Overrides, as `vsr train` takes them.
        steps: Steps timed, after one that is not.
    """
    options = read_options(config, set_)
    paces = {}
    with tempfile.TemporaryDirectory() as folder, join_world(options.run.device) as world:
        options = replace(options, run=replace(options.run, output=folder))
        parts = build(options, world, lambda line: None)
        found = open_data(options, lambda line: None).found
        for kind in ("bicubic", "real"):
            made = replace(options, data=replace(options.data, degradation=kind))
            source = Batches(found, made, world)
            paces[kind] = seconds_each(source.__getitem__, steps)
        batch = Batches(found, options, world)[0].to(world.device)
        paces["step"] = seconds_each(lambda step: update(parts, options, batch, step), steps)
    names = {
        "bicubic": "read from the store",
        "real": "read and degraded by `real`",
        "step": f"trained on, {world.device}",
    }
    rows = []
    for kind, name in names.items():
        wall, own = paces[kind]
        clips = (f"{options.data.batch / value:.2f}" for value in (wall, own))
        rows.append((name, f"{1 / wall:.2f}", *clips))
    table(("", "steps/s", "clips/s", "clips/s of one core"), rows)
    read = paces["real" if options.data.degradation == "real" else "bicubic"][0]
    side = options.data.crop * options.network.scale
    print(
        f"\nclips of {options.data.length} frames of {side}x{side}, {options.data.batch} a step; "
        f"degradation {options.data.degradation}\n"
        f"reading takes {read / paces['step'][0]:.1%} of the time of a step with one process"
    )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of the steps of a configuration.

    Attributes:
        seconds: Of a step.
        work: Processor seconds of a step, more reliable on a shared CPU.
        busy: Share of it in which the GPU computed; None without one.
        memory: Bytes that the steps added at their peak: on a GPU what torch allocated, parameters
            included; on a CPU how far the process grew beyond what it was before the first step.
        device: Its name.
    """

    seconds: float
    work: float
    busy: float | None
    memory: int
    device: str


def train(
    configs: tyro.conf.Positional[tuple[Path, ...]], *, set_: Overrides = (), steps: int = 3
) -> None:
    """Print the cost of training steps, with and without recomputation, each in its own process.

    Clips are random and weights untrained: no data or weight files are needed. Without a GPU its
    share is not printed.

    Args:
        configs: Of training runs.
        set_: Overrides for all of them, as `vsr train` takes them.
        steps: Steps timed, after one that is not.
    """
    rows, device = [], ""
    for config in configs:
        costs = []
        chosen = alone(read_options(config, set_))
        for recompute in (False, True):
            options = replace(chosen, run=replace(chosen.run, recompute=recompute))
            cost = in_a_process(cost_of, options, steps)
            costs.append(cost)
            yes = "yes" if recompute else "no"
            if isinstance(cost, str):
                rows.append((config.stem, yes, cost, "", "", "", ""))
                continue
            device = cost.device
            hourly = 3600 / cost.seconds
            rows.append(
                (
                    config.stem,
                    yes,
                    f"{1 / cost.seconds:.3f}",
                    "no GPU" if cost.busy is None else f"{cost.busy:.0%}",
                    f"{cost.memory / 2**20:.0f} MiB",
                    f"{hourly:.0f}",
                    f"{hourly / options.optimizer.steps:.2%}",
                )
            )
        without, with_it = costs
        if isinstance(without, Cost) and isinstance(with_it, Cost):
            print(
                f"{config.stem}: recomputing takes {with_it.memory / without.memory:.2f} of the "
                f"memory and {pace(with_it) / pace(without):.2f} of the time"
            )
    print()
    head = ("config", "recompute", "steps/s", "GPU busy", "memory", "steps/hour", "of the run/hour")
    table(head, rows)
    print(f"\n{device}; {steps} steps; clips made up, reading not counted (see `data`)")


def pace(cost: Cost) -> float:
    """Seconds to compare: wall time, or processor time without a GPU."""
    return cost.work if cost.busy is None else cost.seconds


def alone(options: TrainOptions) -> TrainOptions:
    """Leave out what needs files; print a note if it changes the cost."""
    if options.loss.perceptual and not Path(options.loss.vgg).is_file():
        print(f"{options.run.output}: no '{options.loss.vgg}', so without the perceptual loss")
        options = replace(options, loss=replace(options.loss, perceptual=0.0))
    return replace(options, optimizer=replace(options.optimizer, init="", flow_init=""))


def in_a_process(call: Callable[..., Cost], *arguments: object) -> Cost | str:
    """Call in a fresh process to measure its memory; the error as text if it fails."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(call, *arguments).result()
        except torch.OutOfMemoryError:
            return "out of memory"


def cost_of(options: TrainOptions, steps: int) -> Cost:
    """Take steps on random clips."""
    check(options)
    with join_world(options.run.device) as world:
        parts = build(options, world, lambda line: None)
        batch = random_batch(options).to(world.device)
        before = resident()
        seconds, work = seconds_each(lambda step: update(parts, options, batch, step), steps)
        if world.device.type != "cuda":
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            name = f"CPU, {torch.get_num_threads()} threads"
            return Cost(seconds=seconds, work=work, busy=None, memory=grown, device=name)
        memory = torch.cuda.max_memory_allocated(world.device)
        busy = gpu_seconds(parts, options, batch, steps) / seconds
        name = torch.cuda.get_device_name(world.device)
        return Cost(seconds=seconds, work=work, busy=busy, memory=memory, device=name)


def random_batch(options: TrainOptions) -> Batch:
    """A batch of noise with the sizes of the options."""
    length = options.data.length * (2 if options.data.mirror else 1)
    crop, scale = options.data.crop, options.network.scale
    shape = (options.data.batch, length, 3)
    gt = torch.randint(0, 256, (*shape, crop * scale, crop * scale), dtype=torch.uint8)
    lq = torch.randint(0, 256, (*shape, crop, crop), dtype=torch.uint8)
    return Batch(gt, lq if options.data.degradation == "real" else None)


def gpu_seconds(parts: Parts, options: TrainOptions, batch: Batch, steps: int) -> float:
    """Time in which kernels of a step ran; concurrent ones count once."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        for step in range(steps):
            update(parts, options, batch, step)
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in record.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6 / steps


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def seconds_each(call: Callable[[int], object], count: int) -> tuple[float, float]:
    """Time calls with 1, 2, ... after one with 0; (wall, processor) seconds of each."""
    call(0)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, own = time.perf_counter(), time.process_time()
    for number in range(1, count + 1):
        call(number)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - wall) / count, (time.process_time() - own) / count
