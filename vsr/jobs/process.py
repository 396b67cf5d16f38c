"""How processes of a batch begin and end: deaf to Ctrl-C, with their parent, saving their work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
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
