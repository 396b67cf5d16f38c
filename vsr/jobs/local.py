"""Work through a batch with processes on this machine.

The parent keeps the journal and gives each worker one file at a time; a worker loads a network once
and keeps it. A worker that dies takes down one file, not the batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from vsr import files
from vsr.devices import choose_device
from vsr.errors import BusyError, DiskError, VsrError
from vsr.inference.plan import share_of_memory
from vsr.inference.runner import is_out_of_memory
from vsr.jobs.journal import Entry, Journal
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, loader
from vsr.options import EnhanceOptions
from vsr.pipeline import EnhanceResult, Progress, enhance
from vsr.work import lock_path

_PATIENCE = 60.0  # seconds a worker may take to put its work down when the batch is interrupted
_WAIT_FOR_LOCK = 20.0  # seconds; what a killed batch has left may take some to end
_ENDED = "a worker was told to end (SIGTERM)"


@dataclass(kw_only=True, slots=True)
class _Worker:
    process: Any
    pipe: Connection
    index: int
    entry: Entry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to a job.

    Attributes:
        entry: The job, as the journal has it now.
        progress: How far it is, if that is what happened.
        warning: What was said, if that is what happened.
        stops: Whether the batch begins nothing more for it.
    """

    entry: Entry
    progress: Progress | None = None
    warning: str | None = None
    stops: bool = False


def run_batch(
    journal: Journal,
    waiting: list[Entry],
    options: EnhanceOptions,
    *,
    workers: int,
    retries: int,
    tell: Callable[[Event], None],
) -> None:
    """Do all waiting jobs; the journal knows of each change before anything else happens.

    Args:
        journal: Of the output folder.
        waiting: What is to be done, in order.
        options: For all of them.
        workers: Processes, from 1 up; also where there are fewer jobs, each gets its share of
            cores and memory: what a film is made with does not depend on how many are left.
        retries: How often a job that failed is tried again.
        tell: Told what happens.

    Raises:
        ConfigError: There is no such device.
        KeyboardInterrupt: Ctrl-C, or SIGTERM; the workers have put down what they had, to be
            continued.
        VsrError: The disk is full or fails, or somebody else ended a worker: no job was begun
            after that, and those that could not end are queued.
    """
    queue = list(waiting)
    stopped: str | None = None
    if choose_device(options.inference.device).type == "cpu":
        options = _sharing(options, workers)
    with _interrupts() as interrupt, _workers(min(workers, len(queue)), workers, options) as crew:
        while queue or any(worker.entry for worker in crew):
            for position, worker in enumerate(crew):
                if worker.entry is None and queue:
                    if not worker.process.is_alive():
                        crew[position] = worker = _hire(worker.index, workers, options)
                    _give(worker, queue.pop(0), journal, tell)
            busy = {worker.pipe: worker for worker in crew if worker.entry}
            ready = wait([interrupt, *busy])
            if interrupt.poll():  # it goes first: the workers may have been told as well
                _put_down(crew, interrupt, journal, tell)
                raise KeyboardInterrupt
            for worker in [busy[pipe] for pipe in ready if isinstance(pipe, Connection)]:
                event = _hear(worker)
                if event.progress is None and event.warning is None:
                    if event.stops:
                        queue, stopped = [], event.entry.error or _ENDED
                    event = replace(event, entry=_settle(event.entry, queue, retries))
                    journal.put(event.entry)
                tell(event)
    if stopped is not None:
        raise VsrError(f"{stopped}; the batch stops here, the same command does what is left")


@contextmanager
def _interrupts() -> Iterator[Connection]:
    """Turn Ctrl-C and SIGTERM into something to read: between messages, never within one."""
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


def _give(worker: _Worker, entry: Entry, journal: Journal, tell: Callable[[Event], None]) -> None:
    """Let an idle worker begin a job."""
    entry = replace(entry, state="running", attempts=entry.attempts + 1)
    journal.put(entry)
    worker.entry = entry
    tell(Event(entry=entry))
    with suppress(OSError):  # it has died; `_hear` finds out
        worker.pipe.send((entry.source, entry.target))


def _put_down(
    crew: list[_Worker], interrupt: Connection, journal: Journal, tell: Callable[[Event], None]
) -> None:
    """Ask all workers to stop, and note what they say until they have; at once if asked again."""
    interrupt.recv_bytes()
    for worker in crew:
        worker.process.terminate()
    busy = {worker.pipe: worker for worker in crew if worker.entry}
    deadline = time.monotonic() + _PATIENCE
    while busy and (left := deadline - time.monotonic()) > 0:
        ready = wait([interrupt, *busy], left)
        if interrupt in ready:
            break
        for worker in [busy[pipe] for pipe in ready if isinstance(pipe, Connection)]:
            try:
                event = _event(worker, *worker.pipe.recv())
            except (EOFError, OSError):
                # Without a word: the journal says "running", and the next run finds out.
                del busy[worker.pipe]
                continue
            if worker.entry is None:
                journal.put(event.entry)
                del busy[worker.pipe]
            tell(event)
    for worker in busy.values():
        worker.process.kill()


def count_devices(asked: str) -> int:
    """Say how many workers a machine has work for: one per visible GPU, or one."""
    gpus = torch.cuda.device_count() if asked in ("auto", "cuda") else 1
    return max(1, gpus)


def _settle(entry: Entry, queue: list[Entry], retries: int) -> Entry:
    """Queue a failed job again while it may be retried."""
    if entry.state == "failed" and entry.attempts <= retries:
        entry = replace(entry, state="queued")
        queue.append(entry)
    return entry


def _hear(worker: _Worker) -> Event:
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        kind = "failed"
        content = (
            f"its process died (exit code {worker.process.exitcode}): see above, or out of memory"
        )
    return _event(worker, kind, content)


def _event(worker: _Worker, kind: str, content: Any) -> Event:  # noqa: ANN401
    """Understand what a worker says of its job."""
    entry = worker.entry
    assert entry is not None
    if kind == "progress":
        return Event(entry=entry, progress=content)
    if kind == "warning":
        return Event(entry=entry, warning=content)
    worker.entry = None
    if kind in ("parked", "busy"):
        attempts = entry.attempts - 1
        entry = replace(entry, state="queued", attempts=attempts, error=content)
        return Event(entry=entry, stops=kind == "parked")
    if kind == "done":
        return Event(entry=replace(entry, state="done", error=None, result=content))
    return Event(entry=replace(entry, state="failed", error=content))


@contextmanager
def _workers(count: int, share: int, options: EnhanceOptions) -> Iterator[list[_Worker]]:
    crew = [_hire(index, share, options) for index in range(count)]
    try:
        yield crew
    finally:
        # A worker that waits for a job ends when there is nobody to give it one.
        for worker in crew:
            worker.pipe.close()
        for worker in crew:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _hire(index: int, share: int, options: EnhanceOptions) -> _Worker:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, index, share, options), daemon=True)
    with _deaf_to_interrupts():
        process.start()
    there.close()
    return _Worker(process=process, pipe=here, index=index)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes started within inherit that Ctrl-C waits: they would die of it loading."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, index: int, share: int, options: EnhanceOptions) -> None:
    """Do what comes through the pipe until it is closed; runs in a process of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C in a terminal reaches all processes; the parent says what is to be done about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        signal.signal(signal.SIGTERM, _park)
        torch.set_num_threads(max(1, torch.get_num_threads() // share))
        asked = options.inference.device
        options = replace(options, inference=replace(
            options.inference, device=_device(asked, index)
        ))  # fmt: skip
        if choose_device(asked).type == "cuda":
            # The batch itself does not ask: that would take hundreds of MiB of the GPU for good.
            options = _sharing(options, _sharers(asked, index, share))
        load = loader()
        while True:
            source, target = pipe.recv()
            pipe.send(_do(Path(source), Path(target), options, load, pipe))


def _end_with_parent() -> None:
    """End at once when the batch was killed: the same command, given again, wants the locks.

    Without this, a worker would find out only when it next has something to say, minutes later.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _park(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _do(
    source: Path,
    target: Path,
    options: EnhanceOptions,
    load: Callable[[ModelInfo, str], VideoNetwork],
    pipe: Connection,
) -> tuple[str, Any]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _wait_for_lock(target)
        result = enhance(
            source,
            target,
            options,
            progress=lambda now: pipe.send(("progress", now)),
            warn=lambda text: pipe.send(("warning", text)),
            load=load,
        )
    except BusyError as error:
        return "busy", str(error)
    except DiskError as error:
        return "parked", str(error)
    except KeyboardInterrupt:
        # Between its name and this line the output was finished; the next run sees that.
        if options.overwrite or not target.exists():
            pipe.send(("parked", None))
        raise
    except (VsrError, OSError) as error:
        return "failed", str(error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return "failed", f"{source}: out of memory; lower --tile, or use fewer --workers"
    return "done", describe_result(result)


def _wait_for_lock(target: Path) -> None:
    """Give another process that is at work on the same output some time to end."""
    deadline = time.monotonic() + _WAIT_FOR_LOCK
    while files.is_taken(lock_path(target)) and time.monotonic() < deadline:
        time.sleep(0.1)


def describe_result(result: EnhanceResult) -> dict[str, Any]:
    """Give what the journal keeps of a finished job."""
    return {
        "frames": result.frames,
        "resumed": result.resumed,
        "seconds": result.seconds,
        "warnings": list(result.warnings),
        "report": result.report,
    }


def _device(asked: str, index: int) -> str:
    """Spread workers over the GPUs that are visible."""
    if asked not in ("auto", "cuda") or not torch.cuda.is_available():
        return asked
    return f"cuda:{index % torch.cuda.device_count()}"


def _sharers(asked: str, index: int, count: int) -> int:
    """Say how many of all workers have the device of one."""
    devices = [_device(asked, each) for each in range(count)]
    return devices.count(devices[index])


def _sharing(options: EnhanceOptions, sharers: int) -> EnhanceOptions:
    """Part the memory of a device among the workers on it; one alone plans by what is free."""
    if sharers < 2:
        return options
    limit = share_of_memory(options.inference, sharers)
    return replace(options, inference=replace(options.inference, memory_limit=limit))
