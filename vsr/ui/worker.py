"""Processes that do what the page asks for: a film that kills its process harms no other."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from vsr.errors import VsrError
from vsr.jobs.process import end_with_parent, park, start

HOLD, GO_ON, STOP = "hold", "go on", "stop"
# Imported in the processes only: it needs libraries that the server does without.
_ANSWERS = "vsr.ui.films"
_PATIENCE = 60.0  # seconds for a process to save its work
Tell = Callable[[str, Any], None]


class StoppedError(VsrError):
    """What was asked for was stopped before it was done."""


class Worker:
    """A process that answers one question after the other.

    It is started by the first question, and anew where it has died or was stopped.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._send = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._stopped = False

    def ask(self, name: str, *given: Any, tell: Tell = lambda kind, content: None) -> Any:  # noqa: ANN401
        """Have a function of `vsr.ui.films` called, and wait for what it returns.

        Args:
            name: Of the function.
            given: For it.
            tell: Called with what it tells on its way.

        Raises:
            StoppedError: `stop` was called.
            VsrError: What went wrong, in words.
        """
        with self._turn:
            pipe = None if self._stopped else self._started()
            if pipe is None or self._stopped:  # `stop` does not end what is only starting
                raise StoppedError("stopped")
            try:
                with self._send:
                    pipe.send((name, given))
                while True:
                    kind, content = pipe.recv()
                    if kind == "answer":
                        return content
                    if kind == "stopped":
                        raise StoppedError("stopped")
                    if kind == "refused":
                        raise VsrError(content)
                    tell(kind, content)
            except (EOFError, OSError):
                code = self._end()
                if self._stopped:
                    raise StoppedError("stopped") from None
                raise VsrError(
                    f"the process at work on it died (exit code {code}), maybe out of memory"
                ) from None

    def say(self, word: str) -> None:
        """Send HOLD, GO_ON or STOP to what is being done; it is heard between two frames."""
        with self._send, suppress(OSError):
            if self._pipe is not None:
                self._pipe.send(word)

    def stop(self) -> None:
        """Interrupt what is being done, or is about to be; finished work is saved."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()

    def renew(self) -> None:
        """Make ready for questions after `stop`."""
        if self._stopped:
            self._end()
            self._stopped = False

    def close(self) -> None:
        """Stop, and wait for the end of the process."""
        self.stop()
        self._end()

    def _started(self) -> Connection:
        if self._pipe is None or not self._process.is_alive():
            self._process, self._pipe = start(serve)
        return self._pipe

    def _end(self) -> int | None:
        """Wait for the end of the process; its exit code."""
        with self._send:
            if self._pipe is not None:
                self._pipe.close()
                self._pipe = None
        if self._process is None:
            return None
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code: int | None = self._process.exitcode
        return code


class Line:
    """The worker's end: what is told on the way, and whether to hold."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def tell(self, kind: str, content: Any) -> None:  # noqa: ANN401
        """Send something to `Worker.ask`."""
        self._pipe.send((kind, content))

    def listen(self) -> None:
        """Return at once unless HOLD was said; then when GO_ON is.

        Raises:
            StoppedError: STOP was said.
            EOFError: There is nobody any more.
        """
        held = False
        while held or self._pipe.poll():
            word = self._pipe.recv()
            if word == STOP:
                raise StoppedError("stopped")
            held = word == HOLD


def serve(pipe: Connection) -> None:
    """Answer questions until the pipe is closed; runs in a process of its own."""
    answers = import_module(_ANSWERS).ANSWERS
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all processes
    signal.signal(signal.SIGTERM, park)
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        while True:
            asked = pipe.recv()
            if isinstance(asked, str):  # too late to be heard
                continue
            name, given = asked
            try:
                answer = answers[name](Line(pipe), *given)
            except StoppedError:
                pipe.send(("stopped", None))
            except (VsrError, OSError) as error:
                pipe.send(("refused", str(error)))
            else:
                pipe.send(("answer", answer))
