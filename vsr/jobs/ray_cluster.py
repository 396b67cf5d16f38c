"""A batch on a Ray cluster; the only module that imports Ray.

This process keeps the journal and holds each film's work folder. Four kinds of Ray tasks do the
work: one rehearses a film, one finds its cuts, one makes a part between cuts, one joins and
verifies. Ray decides where they run and repeats those of a lost node; results go through storage
that all nodes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vsr.errors import BusyError, ConfigError, DamagedError, DiskError, VsrError
from vsr.inference.plan import share_of_memory
from vsr.inference.runner import is_out_of_memory
from vsr.jobs import parts
from vsr.jobs.journal import BatchJob, Journal
from vsr.jobs.local import Event, describe_result
from vsr.jobs.parts import Part, PartDone, Survey
from vsr.models.zoo import loader
from vsr.options import EnhanceOptions
from vsr.pipeline import (
    EnhanceResult,
    Progress,
    finished_before,
    open_work,
    try_output,
    undamaged,
)
from vsr.plan import Job
from vsr.reporting import Made, Warnings

LOCAL = "local"
# Only plans, keys and marks of frames pass through it: some hundred bytes per frame.
_OBJECT_STORE = 128 * 2**20

_load = loader()


def enhance_part(job: Job, options: EnhanceOptions, part: Part, threads: int) -> PartDone:
    """Make the pieces of a part; a process that does several loads the network once."""
    torch.set_num_threads(threads)
    return parts.enhance_part(job, options, part, _load)


_share_of_memory: Any = ray.remote(share_of_memory)
_plan: Any = ray.remote(parts.plan_here)
_rehearse: Any = ray.remote(parts.rehearse_here)
_survey: Any = ray.remote(parts.survey)
_enhance_part: Any = ray.remote(enhance_part)
_join: Any = ray.remote(parts.join)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Crew:
    """What a task gets of the cluster, and how many run at once.

    Attributes:
        cpus, gpus: Of a task that runs the network.
        films: Limits films at once: enough to keep all nodes busy with films of one part each.
        tasks: Limits tasks that run the network at once.
    """

    cpus: int
    gpus: int
    films: asyncio.Semaphore
    tasks: contextlib.AbstractAsyncContextManager[None]


def run_cluster(
    journal: Journal,
    waiting: list[BatchJob],
    options: EnhanceOptions,
    *,
    address: str,
    workers: int | None,
    retries: int,
    tell: Callable[[Event], None],
) -> None:
    """Rehearse all waiting jobs, then do those that passed, as `local.run_batch` does.

    Args:
        journal: Of the output folder.
        waiting: What is to be done, in order.
        options: For all of them.
        address: Of the cluster as Ray spells it, or "local" for one on this machine alone.
        workers: Tasks with a network at once; by default as many as there is room for.
        retries: How often a failed job is tried again.
        tell: Called with each event.

    Raises:
        ConfigError: The cluster has no such device, or the device or address has no meaning there.
        VsrError: No cluster answers; or the disk is full or fails, and what could not end is
            queued.
        KeyboardInterrupt: Ctrl-C; finished pieces of each film are kept, to be continued.
    """
    device = options.inference.device
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"with --ray, --device must be auto, cpu or cuda; got '{device}'")
    if not waiting:
        return
    with _connected(address):
        crew = _count(options, workers, local=address == LOCAL)
        options = _sharing_memory(options, crew, workers)
        options = replace(options, model=_absolute(options.model))

        async def run() -> None:
            left = waiting
            for work in (_rehearsal, _film):
                async with _group() as group:
                    doing = [
                        group.create_task(_job(job, work, journal, options, crew, retries, tell))
                        for job in left
                    ]
                left = [job for task in doing if (job := task.result()) is not None]

        asyncio.run(run())


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    if "://" in address:
        raise ConfigError(
            f"--ray must be HOST:PORT, auto or local; got '{address}'; run vsr on a machine of the "
            "cluster that sees the shared storage, not through Ray's client"
        )
    own: dict[str, Any] = {}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **own)
    except Exception as error:  # Ray raises plain ones, too, where a node does not come up
        reason = str(error).strip().partition("\n")[0]
        raise VsrError(
            f"no Ray cluster at '{address}': {reason}; for a cluster that asks for a token, set "
            "RAY_AUTH_MODE=token here, too"
        ) from error
    try:
        # Ray reports lost workers on stdout, where programs read the progress.
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        ray.shutdown()


def _count(options: EnhanceOptions, workers: int | None, *, local: bool) -> _Crew:
    """Divide the resources of the cluster.

    Raises:
        ConfigError: GPUs are asked for, and it has none.
    """
    device = options.inference.device
    have = ray.cluster_resources()
    cpus, gpus = int(have.get("CPU", 1)), int(have.get("GPU", 0))
    if device == "cuda" and not gpus:
        raise ConfigError("no node of the Ray cluster has a GPU for --device cuda")
    if device != "cpu" and gpus:
        # Half of the cores are left for finding cuts, joining and verifying.
        each, room = max(1, cpus // (2 * gpus)), gpus
    else:
        each = max(1, cpus // workers) if local and workers else 1
        room, gpus = max(1, cpus // each), 0
    return _Crew(
        cpus=each,
        gpus=min(1, gpus),
        films=asyncio.Semaphore(min(workers or room, room)),
        tasks=asyncio.Semaphore(workers) if workers else contextlib.nullcontext(),
    )


def _sharing_memory(options: EnhanceOptions, crew: _Crew, workers: int | None) -> EnhanceOptions:
    """Share the memory of each node among the tasks that fill it.

    The smallest share counts: what one node plans, any node may do. Tasks on GPUs have theirs
    alone.
    """
    if crew.gpus or options.inference.memory_limit is not None:
        return options
    asked = []
    for node in ray.nodes():
        tasks = int(node["Resources"].get("CPU", 0)) // crew.cpus if node["Alive"] else 0
        if tasks:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ask = _share_of_memory.options(num_cpus=0, scheduling_strategy=there)
            asked.append(ask.remote(options.inference, min(tasks, workers or tasks)))
    shares = []
    for answer in asked:
        # A fault of a node is reported by the first film that is planned there.
        with contextlib.suppress(ray.exceptions.RayError):
            shares.append(ray.get(answer))
    limit = min(shares, default=None)
    return replace(options, inference=replace(options.inference, memory_limit=limit))


Work = Callable[
    [BatchJob, EnhanceOptions, _Crew, Callable[[Event], None]],
    Coroutine[Any, Any, EnhanceResult | None],
]


async def _job(
    job: BatchJob,
    work: Work,
    journal: Journal,
    options: EnhanceOptions,
    crew: _Crew,
    retries: int,
    tell: Callable[[Event], None],
) -> BatchJob | None:
    """Rehearse or do one film, again while it may be retried; the journal has each change first.

    Returns:
        The job, if it is still to be done: it was rehearsed well.
    """
    rehearsing = work is _rehearsal
    async with crew.films:
        while job.state == "queued":
            job = replace(job, attempts=job.attempts + 1)
            if not rehearsing:
                job = replace(job, state="running")
                journal.put(job)
                tell(Event(job=job))
            try:
                result = await work(job, options, crew, tell)
            except asyncio.CancelledError:
                _park(job, None, journal, tell)
                raise
            except (VsrError, OSError, ray.exceptions.RayError) as error:
                reason = _reason(error, job.source)
                if isinstance(_cause(error), BusyError):
                    _park(job, reason, journal, tell)
                    return None
                cause = _cause(error)
                # A source that cannot be read fails alone.
                if isinstance(cause, DiskError) and cause.path != job.source:
                    _park(job, reason, journal, tell)
                    raise VsrError(
                        f"{reason}; the batch stops here, the same command continues it"
                    ) from error
                made = error.result if isinstance(error, DamagedError) else None
                again = job.attempts <= retries and made is None
                job = replace(job, state="queued" if again else "failed", error=reason)
                if made is not None:
                    job = replace(job, result=describe_result(made))
            else:
                if result is None:
                    return _park(job, None, journal, tell, rehearsed=True)
                job = replace(job, state="done", error=None, result=describe_result(result))
            journal.put(job)
            tell(Event(job=job, rehearsed=rehearsing))
    return None


def _park(
    job: BatchJob,
    reason: str | None,
    journal: Journal,
    tell: Callable[[Event], None],
    *,
    rehearsed: bool = False,
) -> BatchJob:
    """Put a job back as if it had not been started; its finished pieces stay."""
    job = replace(job, state="queued", attempts=job.attempts - 1, error=reason)
    journal.put(job)
    tell(Event(job=job, rehearsed=rehearsed))
    return job


async def _rehearsal(
    job: BatchJob, options: EnhanceOptions, crew: _Crew, tell: Callable[[Event], None]
) -> None:
    Path(job.target).parent.mkdir(parents=True, exist_ok=True)
    wants = {"num_cpus": crew.cpus, "num_gpus": crew.gpus}
    said = await _get(_rehearse.options(**wants).remote(job.source, job.target, options))
    for warning in said:
        tell(Event(job=job, warning=warning))


async def _film(
    job: BatchJob, options: EnhanceOptions, crew: _Crew, tell: Callable[[Event], None]
) -> EnhanceResult:
    source, target = job.source, job.target
    begin = time.monotonic()
    warn = Warnings(lambda sentence: tell(Event(job=job, warning=sentence)))
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    earlier = finished_before(source, target, options)
    if earlier is not None:
        return undamaged(earlier, source)
    wants = {"num_cpus": crew.cpus, "num_gpus": crew.gpus}
    plan: Job = await _get(_plan.options(**wants).remote(source, target, options))
    for warning in plan.warnings:
        warn(warning)
    with open_work(plan, options, warn) as work:
        plan = replace(plan, inference=work.plan)
        plan = try_output(plan, work, warn)
        found: list[PartDone] = []

        async def make(part: Part) -> None:
            async with crew.tasks:
                task = _enhance_part.options(**wants).remote(plan, options, part, crew.cpus)
                done: PartDone = await _get(task)
            for warning in done.warnings:
                warn(warning)
            found.append(done)
            tell(Event(job=job, progress=_progress(found, plan, begin)))

        async with _group() as group:
            async for item in _items(_survey.remote(plan, options)):
                if isinstance(item, Part):
                    group.create_task(make(item))
                else:
                    surveyed: Survey = item
        made = Made(
            summary=surveyed.summary,
            marks=surveyed.marks,
            resumed=sum(done.resumed for done in found),
            seconds=time.monotonic() - begin,
            network_seconds=sum(done.network_seconds for done in found),
            hosts=tuple(sorted({done.host for done in found})),
        )
        result: EnhanceResult = await _get(_join.remote(plan, options, made, warn.said))
        work.remove()
    for warning in result.warnings:
        warn(warning)
    return undamaged(result, source)


def _progress(found: list[PartDone], job: Job, begin: float) -> Progress:
    return Progress(
        frames=sum(done.frames for done in found),
        resumed=sum(done.resumed for done in found),
        total=job.frames,
        seconds=time.monotonic() - begin,
    )


async def _get(reference: Any) -> Any:  # noqa: ANN401
    """Wait for a task; it is cancelled with the waiting."""
    try:
        return await reference
    except asyncio.CancelledError:
        ray.cancel(reference)
        raise


async def _items(generator: Any) -> AsyncIterator[Part | Survey]:  # noqa: ANN401
    """What a task yields, as it comes."""
    try:
        async for reference in generator:
            yield await reference
    except asyncio.CancelledError:
        ray.cancel(generator)
        raise


@contextlib.asynccontextmanager
async def _group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that fails with its first error, as code without tasks would."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _cause(error: Exception) -> Exception:
    """The error raised in a task."""
    if isinstance(error, ray.exceptions.RayTaskError):
        found: Exception = error.cause
        return found
    return error


def _reason(error: Exception, source: str) -> str:
    """What went wrong in a task, as a sentence."""
    error = _cause(error)
    if isinstance(error, VsrError | OSError):
        return str(error)
    if is_out_of_memory(error):
        return f"{source}: out of memory; lower --tile, or use fewer --workers"
    said = str(error).strip().partition("\n")[0]
    return f"{source}: a task failed, {type(error).__name__}: {said}"


def _absolute(model: str | None) -> str | None:
    """Path of a weight file from any folder: nodes run in others than this process."""
    return os.path.abspath(model) if model is not None and Path(model).is_file() else model
