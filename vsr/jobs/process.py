"""How worker processes begin and end: deaf to Ctrl-C, with their parent, saving their work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any


def start(work: Callable[..., None], *given: Any) -> tuple[SpawnProcess, Connection]:  # noqa: ANN401
    """Start a process.

    Args:
        work: What it does: called with its end of a pipe, then `given`.
        given: Can be pickled.

    Returns:
        The process, and this end of the pipe.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, *given), daemon=True)
    with _deaf_to_interrupts():
        process.start()
    there.close()
    return process, here


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Block Ctrl-C in processes started within: while they load, it would end them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process at once when its parent was killed: who repeats the work needs the locks.

    Otherwise a worker would notice at its next message only, minutes later.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def park(number: int, frame: object) -> None:
    """Handle SIGTERM in a worker: interrupt the work, which then saves what is finished."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
