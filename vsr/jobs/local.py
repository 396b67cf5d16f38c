"""A batch on this machine, by processes of its own.

The parent keeps the journal and sends each worker one file at a time; a worker loads a network once
and keeps it. A worker that dies fails one file, not the batch. All files are rehearsed before the
first is enhanced.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from vsr import files
from vsr.devices import KINDS, Kind, choose_device, usable_gpus
from vsr.errors import BusyError, DamagedError, DiskError, VsrError
from vsr.inference.plan import share_of_memory
from vsr.inference.runner import is_out_of_memory
from vsr.jobs.forecast import rehearse_file
from vsr.jobs.journal import BatchJob, Journal
from vsr.jobs.process import end_with_parent, park, start
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, loader
from vsr.options import EnhanceOptions
from vsr.pipeline import EnhanceResult, Progress, Shown, enhance
from vsr.work import lock_path

_PATIENCE = 60.0  # seconds for a worker to save its work when the batch is interrupted
_WAIT_FOR_LOCK = 20.0  # seconds; workers of a killed batch may take some to end
_ENDED = "a worker got SIGTERM"


@dataclass(kw_only=True, slots=True)
class _Worker:
    process: Any
    pipe: Connection
    index: int
    job: BatchJob | None = None
    rehearses: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to a job: a change of state, a rehearsal, progress or a warning.

    Attributes:
        job: As the journal has it now.
        progress: How far it is; None for other events.
        warning: A sentence; None for other events.
        rehearsed: Whether this is the end of its rehearsal.
        stops: Whether the batch starts no other job because of it.
    """

    job: BatchJob
    progress: Progress | None = None
    warning: str | None = None
    rehearsed: bool = False
    stops: bool = False

    @property
    def passed(self) -> bool:
        """Whether its output could be written in the rehearsal."""
        return self.rehearsed and self.job.state == "queued" and self.job.error is None


def run_batch(
    journal: Journal,
    waiting: list[BatchJob],
    options: EnhanceOptions,
    *,
    workers: int,
    retries: int,
    tell: Callable[[Event], None],
) -> None:
    """Rehearse all waiting jobs, then do those that passed.

    Each change is in the journal before anything else happens.

    Args:
        journal: Of the output folder.
        waiting: What is to be done, in order.
        options: For all of them.
        workers: Processes, 1 or more. Each gets its share of cores and memory even if there are
            fewer jobs, so that a film's plan does not depend on how many are left.
        retries: How often a failed job is tried again.
        tell: Called with each event.

    Raises:
        ConfigError: There is no such device.
        KeyboardInterrupt: Ctrl-C, or SIGTERM; the workers have saved their work.
        VsrError: The disk is full or fails, or a worker got SIGTERM: no other job was started, and
            those that could not end are queued.
    """
    if choose_device(options.inference.device).type == "cpu":
        options = _sharing(options, workers)
    hired = min(workers, len(waiting))
    with _interrupts() as interrupt, _workers(hired, workers, options) as crew:

        def do(queue: list[BatchJob], *, rehearsing: bool) -> dict[str, BatchJob]:
            """Run all jobs on the workers; return those that passed a rehearsal, by source."""
            passed: dict[str, BatchJob] = {}
            stopped: str | None = None
            while queue or any(worker.job for worker in crew):
                for position, worker in enumerate(crew):
                    if worker.job is None and queue:
                        if not worker.process.is_alive():
                            crew[position] = worker = _hire(worker.index, workers, options)
                        worker.rehearses = rehearsing
                        _give(worker, queue.pop(0), journal, tell)
                busy = {worker.pipe: worker for worker in crew if worker.job}
                ready = wait([interrupt, *busy])
                if interrupt.poll():  # it goes first: the workers may have got the signal as well
                    _stop(crew, interrupt, journal, tell)
                    raise KeyboardInterrupt
                for worker in [busy[pipe] for pipe in ready if isinstance(pipe, Connection)]:
                    event = _hear(worker)
                    if event.progress is None and event.warning is None:
                        if event.stops:
                            queue, stopped = [], event.job.error or _ENDED
                        event = replace(event, job=_settle(event.job, queue, retries))
                        journal.put(event.job)
                        if event.passed:
                            passed[event.job.source] = event.job
                    tell(event)
            if stopped is not None:
                raise VsrError(f"{stopped}; the batch stops here, the same command continues it")
            return passed

        passed = do(list(waiting), rehearsing=True)
        do([passed[job.source] for job in waiting if job.source in passed], rehearsing=False)


@contextmanager
def _interrupts() -> Iterator[Connection]:
    """Make Ctrl-C and SIGTERM a message to read: between others, never within one."""
    reader, writer = get_context("spawn").Pipe(duplex=False)
    before = {
        number: signal.signal(number, lambda number, frame: writer.send_bytes(b"!"))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def _give(worker: _Worker, job: BatchJob, journal: Journal, tell: Callable[[Event], None]) -> None:
    """Start a job, or its rehearsal, on an idle worker; one that is rehearsed stays queued."""
    worker.job = job = replace(job, attempts=job.attempts + 1)
    if not worker.rehearses:
        worker.job = job = replace(job, state="running")
        journal.put(job)
        tell(Event(job=job))
    with suppress(OSError):  # it has died, as `_hear` will find
        worker.pipe.send((job.source, job.target, worker.rehearses))


def _stop(
    crew: list[_Worker], interrupt: Connection, journal: Journal, tell: Callable[[Event], None]
) -> None:
    """Stop all workers and record their last messages; a second interrupt kills them at once."""
    interrupt.recv_bytes()
    for worker in crew:
        worker.process.terminate()
    busy = {worker.pipe: worker for worker in crew if worker.job}
    deadline = time.monotonic() + _PATIENCE
    while busy and (left := deadline - time.monotonic()) > 0:
        ready = wait([interrupt, *busy], left)
        if interrupt in ready:
            break
        for worker in [busy[pipe] for pipe in ready if isinstance(pipe, Connection)]:
            try:
                event = _event(worker, *worker.pipe.recv())
            except (EOFError, OSError):
                # Without a message: the journal has it as running, which the next run settles.
                del busy[worker.pipe]
                continue
            if worker.job is None:
                journal.put(event.job)
                del busy[worker.pipe]
            tell(event)
    for worker in busy.values():
        worker.process.kill()


def count_devices(asked: str) -> int:
    """How many workers suit this machine: one per visible GPU, or one."""
    return max(1, len(usable_gpus(_kinds(asked))))


def _settle(job: BatchJob, queue: list[BatchJob], retries: int) -> BatchJob:
    """Queue a failed job again while it may be retried; a damaged output is final."""
    if job.state == "failed" and job.attempts <= retries and not job.result:
        job = replace(job, state="queued")
        queue.append(job)
    return job


def _hear(worker: _Worker) -> Event:
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        kind = "failed"
        content = f"its process died (exit code {worker.process.exitcode}), maybe out of memory"
    return _event(worker, kind, content)


def _event(worker: _Worker, kind: str, content: Any) -> Event:  # noqa: ANN401
    """The event that a message of a worker stands for."""
    job = worker.job
    assert job is not None
    if kind == "progress":
        return Event(job=job, progress=content)
    if kind == "warning":
        return Event(job=job, warning=content)
    worker.job, rehearsed = None, worker.rehearses
    if kind in ("parked", "busy", "rehearsed"):
        attempts = job.attempts - 1
        job = replace(job, state="queued", attempts=attempts, error=content)
        return Event(job=job, rehearsed=rehearsed, stops=kind == "parked")
    if kind == "done":
        return Event(job=replace(job, state="done", error=None, result=content))
    if kind == "damaged":
        error, result = content
        return Event(job=replace(job, state="failed", error=error, result=result))
    return Event(job=replace(job, state="failed", error=content), rehearsed=rehearsed)


@contextmanager
def _workers(count: int, share: int, options: EnhanceOptions) -> Iterator[list[_Worker]]:
    crew = [_hire(index, share, options) for index in range(count)]
    try:
        yield crew
    finally:
        # A worker that waits for a job ends when its pipe is closed.
        for worker in crew:
            worker.pipe.close()
        for worker in crew:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _hire(index: int, share: int, options: EnhanceOptions) -> _Worker:
    process, pipe = start(_work, index, share, options)
    return _Worker(process=process, pipe=pipe, index=index)


def _work(pipe: Connection, index: int, share: int, options: EnhanceOptions) -> None:
    """Do the jobs that come through the pipe until it is closed; runs in a process of its own."""
    end_with_parent()
    # Ctrl-C in a terminal reaches all processes; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        signal.signal(signal.SIGTERM, park)
        torch.set_num_threads(max(1, torch.get_num_threads() // share))
        asked = options.inference.device
        options = replace(options, inference=replace(
            options.inference, device=_device(asked, index)
        ))  # fmt: skip
        if choose_device(asked).type != "cpu":
            # Not asked in the parent: that would take hundreds of MiB of the GPU for good.
            options = _sharing(options, _sharers(asked, index, share))
        load = loader()
        while True:
            source, target, rehearsing = pipe.recv()
            told = _do(Path(source), Path(target), options, load, pipe, rehearsing=rehearsing)
            pipe.send(told)


def _do(
    source: Path,
    target: Path,
    options: EnhanceOptions,
    load: Callable[[ModelInfo, str], VideoNetwork],
    pipe: Connection,
    *,
    rehearsing: bool,
) -> tuple[str, Any]:
    def tell(kind: str, content: object) -> None:
        pipe.send((kind, content))

    if not rehearsing:
        return do_file(source, target, options, load, tell)

    def rehearse() -> tuple[str, Any]:
        rehearse_file(source, target, options, partial(tell, "warning"))
        return "rehearsed", None

    return _guarded(rehearse, source, target, options, tell)


def do_file(
    source: Path,
    target: Path,
    options: EnhanceOptions,
    load: Callable[[ModelInfo, str], VideoNetwork],
    tell: Callable[[str, Any], None],
    shown: Callable[[Callable[[], Shown]], None] = lambda picture: None,
) -> tuple[str, Any]:
    """Enhance a file in a worker.

    Args:
        source, target: Of the file; the target's folder is made if it does not exist.
        options: What was asked for.
        load: Gives the network for a device; to keep it from one file to the next.
        tell: Called with "progress" and a `Progress` before the first frame and after each, with
            "warning" and a sentence, and with "parked" and None before an interruption goes on.
        shown: As for `enhance`.

    Returns:
        What became of it, and what there is to say of that: "done" and what `describe_result`
        gives; "damaged", a sentence and the same; or "busy" (another process is at work on the
        target), "parked" (its disk is full or fails) or "failed", and a sentence.

    Raises:
        KeyboardInterrupt: It was interrupted; what was finished is saved.
    """

    def work() -> tuple[str, Any]:
        result = enhance(
            source,
            target,
            options,
            progress=partial(tell, "progress"),
            warn=partial(tell, "warning"),
            load=load,
            shown=shown,
        )
        return "done", describe_result(result)

    return _guarded(work, source, target, options, tell)


def _guarded(
    work: Callable[[], tuple[str, Any]],
    source: Path,
    target: Path,
    options: EnhanceOptions,
    tell: Callable[[str, Any], None],
) -> tuple[str, Any]:
    """Do some work on a target once it is free; what goes wrong is returned, see `do_file`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _wait_for_lock(target)
        return work()
    except DamagedError as error:
        return "damaged", (str(error), describe_result(error.result))
    except BusyError as error:
        return "busy", str(error)
    except DiskError as error:
        # A source that cannot be read fails alone; a disk of outputs that is full stops them all.
        return "failed" if error.path == os.fspath(source) else "parked", str(error)
    except KeyboardInterrupt:
        # An output that has its name by now was finished; the next run sees that.
        if options.overwrite or not target.exists():
            tell("parked", None)
        raise
    except (VsrError, OSError) as error:
        return "failed", str(error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return "failed", f"{source}: out of memory; lower --tile, or use fewer --workers"


def _wait_for_lock(target: Path) -> None:
    """Wait for another process that works on the same output, some seconds at most."""
    deadline = time.monotonic() + _WAIT_FOR_LOCK
    while files.is_taken(lock_path(target)) and time.monotonic() < deadline:
        time.sleep(0.1)


def describe_result(result: EnhanceResult) -> dict[str, Any]:
    """What the journal keeps of a finished job."""
    return {
        "target": os.fspath(result.target),
        "frames": result.frames,
        "resumed": result.resumed,
        "seconds": result.seconds,
        "warnings": list(result.warnings),
        "report": result.report,
    }


def _device(asked: str, index: int) -> str:
    """Device of a worker: they are spread over the visible GPUs."""
    gpus = usable_gpus(_kinds(asked))
    return str(gpus[index % len(gpus)]) if gpus else asked


def _kinds(asked: str) -> tuple[Kind, ...]:
    """The GPUs that one worker each may take."""
    return KINDS if asked == "auto" else tuple(kind for kind in KINDS if kind == asked)


def _sharers(asked: str, index: int, count: int) -> int:
    """How many of all workers share the device of one."""
    devices = [_device(asked, each) for each in range(count)]
    return devices.count(devices[index])


def _sharing(options: EnhanceOptions, sharers: int) -> EnhanceOptions:
    """Share the memory of a device among the workers on it; one alone plans by what is free."""
    if sharers < 2:
        return options
    limit = share_of_memory(options.inference, sharers)
    return replace(options, inference=replace(options.inference, memory_limit=limit))
