"""The cost of a film on a cluster: two workers against one, the parts, the data moved.

    python scripts/bench.py cluster [--tapes 400 --hours 2 --gpus 1000 --gpu-fps 50]

The last lines extrapolate to an archive; the speed of a GPU and the bit rates are options, not
measurements.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import table, write_video
from numpy.typing import NDArray

from vsr.jobs.parts import PIECES_PER_TASK, Part, enhance_part, join, plan_here, survey
from vsr.models.zoo import loader
from vsr.options import EnhanceOptions
from vsr.pipeline import open_work
from vsr.reporting import Made

WIDTH, HEIGHT = 160, 90


@dataclass(frozen=True)
class Costs:
    """Measured costs, per frame of the film unless stated otherwise.

    Attributes:
        start: Seconds of one core to start a process and load the network, per task.
        survey, enhance, join: Seconds of one core, 160x90 frames.
        frame_message: Bytes between this process and the tasks.
        task_message: Bytes of that per task.
    """

    start: float
    survey: float
    enhance: float
    join: float
    frame_message: float
    task_message: float


def cluster(
    *,
    model: str = "compact-x4",
    frames: int = 288,
    piece: int = 24,
    tapes: int = 400,
    hours: float = 2.0,
    fps: float = 25.0,
    gpus: int = 1000,
    gpu_fps: float = 50.0,
    width: int = 720,
    height: int = 576,
    source_mbit: float = 8.0,
    result_mbit: float = 40.0,
) -> None:
    """Print two workers against one, the parts of a film's cost, and the cost of an archive.

    Args:
        model: Name or weight file.
        frames: Length of the generated film, 160x90, a cut every 48 frames.
        piece: Frames per piece.
        tapes, hours, fps, width, height: The archive.
        gpus: Of the cluster.
        gpu_fps: Frames per second of the network on one of them: an assumption.
        source_mbit, result_mbit: Bit rates of sources and results: assumptions.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.mp4"
        write_video(source, list(shots(frames)), Fraction(24))
        rows = race(source, folder, model, piece)
        table(("workers", "seconds", "frames/s", "against one", "networks at work"), rows)
        costs = measure(source, folder / "out.mp4", EnhanceOptions(model=model, piece=piece))
    print()
    table(("part", "processor time of one core"), list(describe(costs)))
    print()
    total = tapes * hours * 3600 * fps
    pixels = width * height / (WIDTH * HEIGHT)
    table(
        ("an archive", f"{tapes} films of {hours:g} h, {width}x{height}, {fps:g} frames/s"),
        list(reckon(costs, total, tapes, gpus, gpu_fps, fps, pixels, source_mbit, result_mbit)),
    )


def race(source: Path, folder: Path, model: str, piece: int) -> list[tuple[str, ...]]:
    """Time `vsr batch` with one worker and with two, of one core each, on one Ray cluster."""
    import ray

    # Otherwise workers run at low priority.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112, Ray spells it so
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="error")
    address = ray.get_runtime_context().gcs_address
    seconds: dict[int, float] = {}
    at_work: dict[int, float] = {}
    files = []
    try:
        for workers in (1, 2):
            out, summary = folder / f"out{workers}", folder / f"{workers}.json"
            command = [sys.executable, "-m", "vsr", "batch", str(source), "--output-dir", str(out)]
            command += ["--ray", address, "--workers", str(workers), "--summary", str(summary)]
            command += ["--model", model, "--piece", str(piece), "--progress", "none"]
            subprocess.run(command, check=True, capture_output=True)
            (job,) = json.loads(summary.read_text())["jobs"]
            seconds[workers], frames = job["seconds"], job["frames"]
            at_work[workers] = job["report"]["network_seconds"] / job["seconds"]
            files.append((out / source.name).read_bytes())
    finally:
        ray.shutdown()
    if files[0] != files[1]:
        raise SystemExit("one worker and two made different files")
    return [
        (
            str(workers),
            f"{took:.1f}",
            f"{frames / took:.2f}",
            f"{seconds[1] / took:.2f}",
            f"{at_work[workers]:.2f}",
        )
        for workers, took in seconds.items()
    ]


def measure(source: Path, target: Path, options: EnhanceOptions) -> Costs:
    """Run the parts of a film in this process; processor time of each."""
    torch.set_num_threads(1)
    load = loader()
    begin = processor_seconds()
    subprocess.run([sys.executable, "-c", "import vsr.jobs.ray_cluster"], check=True)
    job = plan_here(str(source), str(target), options)
    load(job.model, job.inference.device)
    start = processor_seconds() - begin
    with open_work(job, options, lambda sentence: None) as work:
        job = replace(job, inference=work.plan)
        begin = processor_seconds()
        *found, surveyed = survey(job, options)
        survey_seconds = processor_seconds() - begin
        parts = [item for item in found if isinstance(item, Part)]
        begin = processor_seconds()
        for part in parts:
            enhance_part(job, options, part, load)
        work_seconds = processor_seconds() - begin
        made = Made(
            summary=surveyed.summary,  # type: ignore[union-attr]
            marks=surveyed.marks,  # type: ignore[union-attr]
            resumed=0,
            seconds=0,
            network_seconds=work_seconds,
        )
        begin = processor_seconds()
        join(job, options, made, [])
        join_seconds = processor_seconds() - begin
        work.remove()
    count = len(made.marks)
    # A part comes from the task that found it and goes to the one that makes it.
    moved = 2 * sum(size(part) for part in parts) + 2 * size(made.marks)
    return Costs(
        start=start,
        survey=survey_seconds / count,
        enhance=work_seconds / count,
        join=join_seconds / count,
        frame_message=moved / count,
        task_message=size(job) + size(options),
    )


def describe(costs: Costs) -> Iterator[tuple[str, str]]:
    """Rows of the table of costs."""
    yield "starting a process, loading the network", f"{costs.start:.1f} s per task at most"
    yield "looking for cuts, 160x90", f"{1000 * costs.survey:.2f} ms per frame"
    yield "decoding, network, encoding 640x360", f"{1000 * costs.enhance:.1f} ms per frame"
    yield "joining and verifying 640x360", f"{1000 * costs.join:.2f} ms per frame"
    yield (
        "messages",
        f"{costs.frame_message:.0f} bytes per frame, {costs.task_message:.0f} per task",
    )


def reckon(
    costs: Costs,
    total: float,
    tapes: int,
    gpus: int,
    gpu_fps: float,
    fps: float,
    pixels: float,
    source_mbit: float,
    result_mbit: float,
) -> Iterator[tuple[str, str]]:
    """Rows of the cost of an archive on GPUs."""
    in_task = PIECES_PER_TASK["cuda"] * EnhanceOptions().piece
    tasks = total / in_task
    work = total / gpu_fps
    wall = (work + tasks * costs.start) / gpus
    seconds = total / fps
    # Each kind of reading that docs/cluster.md names takes the whole source at most.
    read, written = 13 * source_mbit / 8 * seconds, 2 * result_mbit / 8 * seconds
    again = 3 * result_mbit / 8 * seconds
    yield "frames", f"{total:,.0f}"
    yield "tasks", f"{tasks:,.0f}, {tasks / tapes:.0f} per film, {in_task} frames each"
    yield (
        "GPU seconds",
        f"{work:,.0f} at {gpu_fps:g} frames/s, and {tasks * costs.start:,.0f} starting",
    )
    yield f"wall time on {gpus} GPUs", f"{wall / 3600:.2f} h at least"
    yield "tasks to hand out", f"{tasks / wall:.1f} per second"
    moved = total * costs.frame_message + tasks * costs.task_message
    yield "messages of this process", f"{moved / 1e9:.1f} GB, {moved / wall / 1e6:.1f} MB/s"
    yield (
        "read from storage",
        f"{(read + again) / 1e6:.1f} TB, {(read + again) / wall / 1e3:.1f} GB/s",
    )
    yield "written to storage", f"{written / 1e6:.1f} TB, {written / wall / 1e3:.1f} GB/s"
    cores = pixels * total * (costs.survey + costs.join) / wall
    yield "cores that look for cuts, join, verify", f"{cores:,.0f} all the time"
    alone = pixels * total / tapes * (costs.survey + costs.join)
    yield "one film, however many GPUs", f"{alone / 60:.0f} min of these at least"


def processor_seconds() -> float:
    """Processor time of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def size(value: Any) -> int:  # noqa: ANN401
    """Bytes of a message."""
    return len(pickle.dumps(value))


def shots(frames: int) -> Iterator[NDArray[np.uint8]]:
    """Pan over photographs in turn."""
    from skimage import data

    photographs = [data.coffee(), data.astronaut(), 255 - data.coffee()]
    for index in range(frames):
        photograph = photographs[index // 48 % len(photographs)]
        x = 2 * (index % 48)
        yield np.ascontiguousarray(photograph[100 : 100 + HEIGHT, x : x + WIDTH])
