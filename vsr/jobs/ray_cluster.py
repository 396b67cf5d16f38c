"""Work through a batch on a Ray cluster; the one module that knows Ray.

This process keeps the journal and holds each film's hidden folder. Three kinds of Ray tasks do the
work: one looks for a film's cuts, one makes a stretch between cuts, one joins and verifies. Ray
decides where they run and runs those of a lost node again; what they make goes through storage that
all nodes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vsr.errors import BusyError, ConfigError, DiskError, VsrError
from vsr.inference.plan import share_of_memory
from vsr.inference.runner import is_out_of_memory
from vsr.jobs import segments
from vsr.jobs.journal import Entry, Journal
from vsr.jobs.local import Event, describe_result
from vsr.jobs.segments import Stretch, StretchDone, Survey
from vsr.models.zoo import loader
from vsr.options import EnhanceOptions
from vsr.pipeline import EnhanceResult, Progress, finished_before, open_work, try_output
from vsr.plan import Job
from vsr.reporting import Made, Warnings

LOCAL = "local"
# Only plans, keys and marks of frames pass through it: some hundred bytes per frame.
_OBJECT_STORE = 128 * 2**20

_load = loader()


def enhance_stretch(
    job: Job, options: EnhanceOptions, stretch: Stretch, threads: int
) -> StretchDone:
    """Make the pieces of a stretch; a process that does several loads the network once."""
    torch.set_num_threads(threads)
    return segments.enhance_stretch(job, options, stretch, _load)


_share_of_memory: Any = ray.remote(share_of_memory)
_plan: Any = ray.remote(segments.plan_here)
_survey: Any = ray.remote(segments.survey)
_enhance_stretch: Any = ray.remote(enhance_stretch)
_join: Any = ray.remote(segments.join)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Crew:
    """What the cluster gives to one task, and how much is asked of it at once.

    Attributes:
        cpus, gpus: Of a task that runs the network.
        films: At work at once: enough to keep all busy with films of one stretch each.
        tasks: Runs the network at once at most.
    """

    cpus: int
    gpus: int
    films: asyncio.Semaphore
    tasks: contextlib.AbstractAsyncContextManager[None]


def run_cluster(
    journal: Journal,
    waiting: list[Entry],
    options: EnhanceOptions,
    *,
    address: str,
    workers: int | None,
    retries: int,
    tell: Callable[[Event], None],
) -> None:
    """Do all waiting jobs, as `local.run_batch` does them.

    Args:
        journal: Of the output folder.
        waiting: What is to be done, in order.
        options: For all of them.
        address: Of the cluster as Ray spells it, or "local" for one on this machine alone.
        workers: Tasks with a network at once; by default as many as there is room for.
        retries: How often a job that failed is tried again.
        tell: Told what happens.

    Raises:
        ConfigError: The cluster lacks what is asked for, or only one node knows what that is.
        VsrError: No cluster answers; or the disk is full or fails, and all that could not end is
            queued.
        KeyboardInterrupt: Ctrl-C; what is finished of each film is kept, to be continued.
    """
    device = options.inference.device
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"with --ray, --device is auto, cpu or cuda; got '{device}'")
    if not waiting:
        return
    with _connected(address):
        crew = _count(options, workers, local=address == LOCAL)
        options = _sharing_memory(options, crew, workers)
        options = replace(options, model=_absolute(options.model))

        async def run() -> None:
            async with _group() as group:
                for entry in waiting:
                    group.create_task(_job(entry, journal, options, crew, retries, tell))

        asyncio.run(run())


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    if "://" in address:
        raise ConfigError(
            f"--ray wants HOST:PORT, auto or local, got '{address}'; run vsr on a machine of the "
            "cluster, which sees the shared storage, not through Ray's client"
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
            f"wanted a Ray cluster at '{address}', got none: {reason}; a cluster that asks for a "
            "token wants RAY_AUTH_MODE=token here, too"
        ) from error
    try:
        # Ray tells of lost workers on stdout, where programs read the progress.
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        ray.shutdown()


def _count(options: EnhanceOptions, workers: int | None, *, local: bool) -> _Crew:
    """Share out what the cluster has.

    Raises:
        ConfigError: GPUs are asked for, and it has none.
    """
    device = options.inference.device
    have = ray.cluster_resources()
    cpus, gpus = int(have.get("CPU", 1)), int(have.get("GPU", 0))
    if device == "cuda" and not gpus:
        raise ConfigError("--device cuda wanted, no node of the Ray cluster has a GPU")
    if device != "cpu" and gpus:
        # Half of the cores are left to look for cuts, join and verify.
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
    """Part the memory of each node among the tasks that fill it.

    The least share of all is taken: what is planned on one node is done on any. Tasks on GPUs have
    theirs alone.
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
        # What is wrong with a node, the first film that is planned there says.
        with contextlib.suppress(ray.exceptions.RayError):
            shares.append(ray.get(answer))
    limit = min(shares, default=None)
    return replace(options, inference=replace(options.inference, memory_limit=limit))


async def _job(
    entry: Entry,
    journal: Journal,
    options: EnhanceOptions,
    crew: _Crew,
    retries: int,
    tell: Callable[[Event], None],
) -> None:
    """Do one film, again while it may be retried; the journal knows of each change first."""
    async with crew.films:
        while entry.state == "queued":
            entry = replace(entry, state="running", attempts=entry.attempts + 1)
            journal.put(entry)
            tell(Event(entry=entry))
            try:
                result = await _film(entry, options, crew, tell)
            except asyncio.CancelledError:
                _park(entry, None, journal, tell)
                raise
            except BusyError as error:
                _park(entry, str(error), journal, tell)
                return
            except (VsrError, OSError, ray.exceptions.RayError) as error:
                reason = _reason(error, entry.source)
                if isinstance(_cause(error), DiskError):
                    _park(entry, reason, journal, tell)
                    raise VsrError(
                        f"{reason}; the batch stops here, the same command does what is left"
                    ) from error
                again = entry.attempts <= retries
                entry = replace(entry, state="queued" if again else "failed", error=reason)
            else:
                entry = replace(entry, state="done", error=None, result=describe_result(result))
            journal.put(entry)
            tell(Event(entry=entry))


def _park(
    entry: Entry, reason: str | None, journal: Journal, tell: Callable[[Event], None]
) -> None:
    """Put a job back, as if it had not been begun; what it has finished stays."""
    entry = replace(entry, state="queued", attempts=entry.attempts - 1, error=reason)
    journal.put(entry)
    tell(Event(entry=entry))


async def _film(
    entry: Entry, options: EnhanceOptions, crew: _Crew, tell: Callable[[Event], None]
) -> EnhanceResult:
    source, target = entry.source, entry.target
    begin = time.monotonic()
    warn = Warnings(lambda sentence: tell(Event(entry=entry, warning=sentence)))
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    earlier = finished_before(source, target, options)
    if earlier is not None:
        return earlier
    wants = {"num_cpus": crew.cpus, "num_gpus": crew.gpus}
    job: Job = await _get(_plan.options(**wants).remote(source, target, options))
    for warning in job.warnings:
        warn(warning)
    with open_work(job, options, warn) as work:
        job = replace(job, inference=work.plan)
        try_output(job, work.ledger)
        found: list[StretchDone] = []

        async def make(stretch: Stretch) -> None:
            async with crew.tasks:
                task = _enhance_stretch.options(**wants).remote(job, options, stretch, crew.cpus)
                done: StretchDone = await _get(task)
            for warning in done.warnings:
                warn(warning)
            found.append(done)
            tell(Event(entry=entry, progress=_progress(found, job, begin)))

        async with _group() as group:
            async for item in _items(_survey.remote(job, options)):
                if isinstance(item, Stretch):
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
        result: EnhanceResult = await _get(_join.remote(job, options, made, warn.said))
        work.remove()
    for warning in result.warnings:
        warn(warning)
    return result


def _progress(found: list[StretchDone], job: Job, begin: float) -> Progress:
    return Progress(
        frames=sum(done.frames for done in found),
        resumed=sum(done.resumed for done in found),
        total=job.frames,
        seconds=time.monotonic() - begin,
    )


async def _get(reference: Any) -> Any:  # noqa: ANN401
    """Wait for a task; whoever stops waiting stops it."""
    try:
        return await reference
    except asyncio.CancelledError:
        ray.cancel(reference)
        raise


async def _items(generator: Any) -> AsyncIterator[Stretch | Survey]:  # noqa: ANN401
    """Give what a task yields, as it comes."""
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
    """Give what was raised in a task."""
    if isinstance(error, ray.exceptions.RayTaskError):
        found: Exception = error.cause
        return found
    return error


def _reason(error: Exception, source: str) -> str:
    """Say what went wrong in a task."""
    error = _cause(error)
    if isinstance(error, VsrError | OSError):
        return str(error)
    if is_out_of_memory(error):
        return f"{source}: out of memory; lower --tile, or use fewer --workers"
    said = str(error).strip().partition("\n")[0]
    return f"{source}: a task failed, {type(error).__name__}: {said}"


def _absolute(model: str | None) -> str | None:
    """Nodes do not work in the folder that this process works in."""
    return os.path.abspath(model) if model is not None and Path(model).is_file() else model
