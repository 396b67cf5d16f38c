"""Threads with bounded queues: decoding ahead of the network, encoding behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End:
    """The last thing in a queue; carries the error that ended it, if one did."""

    error: BaseException | None = None


def prefetch(iterable: Iterable[T], depth: int) -> Iterator[T]:
    """Draw from an iterable in a thread of its own, at most `depth` items ahead.

    The thread starts with the first item asked for, runs the iterable from beginning to end
    (generators are closed there too), and has ended when this iterator is exhausted, closed or has
    raised. Closing waits for the item that is just being made.

    Args:
        iterable: Used by no other thread.
        depth: Items held ready, from 1 up.

    Raises:
        BaseException: What the iterable raised, with its traceback.
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, got {depth}")
    return _prefetched(iterable, depth)


def _prefetched(iterable: Iterable[T], depth: int) -> Iterator[T]:
    ready: Queue[T | _End] = Queue(depth)
    stop = Event()
    thread = Thread(target=_produce, args=(iterable, ready, stop), name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        # A producer that waits for room gets it here, then sees the flag; it puts one thing more.
        while thread.is_alive():
            _discard(ready)
            thread.join(0.01)


def _produce(iterable: Iterable[T], ready: Queue[T | _End], stop: Event) -> None:
    end = _End()
    try:
        items = iter(iterable)
        try:
            for item in items:
                if stop.is_set():
                    break
                ready.put(item)
                # While this waits for the next item, the consumer may want the last one's memory.
                del item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
    except BaseException as error:  # raised again where the items are wanted
        end = _End(error)
    ready.put(end)


class Sink(Generic[T]):
    """Hand items to a function in a thread of its own, in order, at most `depth` waiting.

    Used in a `with` block: its normal end waits until all items are done, an exception inside it
    drops those that wait. What the function raises comes out of the next `put`, or of `close`;
    nothing is given to it after that.
    """

    def __init__(self, function: Callable[[T], object], depth: int) -> None:
        """Start the thread; `depth` counts from 1 up."""
        if depth < 1:
            raise ValueError(f"depth must be 1 or more, got {depth}")
        self._waiting: Queue[T | _End] = Queue(depth)
        self._function = function
        self._error: BaseException | None = None
        self._thread = Thread(target=self._consume, name="sink", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item, waiting for room; raise what the function raised earlier."""
        self._raise_error()
        if not self._thread.is_alive():
            raise ValueError("put into a closed Sink")
        self._waiting.put(item)

    def close(self) -> None:
        """Wait until everything is done and the thread has ended; raise what it raised."""
        if self._thread.is_alive():
            self._waiting.put(_End())
            self._thread.join()
        self._raise_error()

    def abort(self) -> None:
        """Drop what waits, and wait for the item that is being done; raises nothing."""
        while self._thread.is_alive():
            _discard(self._waiting)
            self._waiting.put(_End())
            self._thread.join(0.01)

    def __enter__(self) -> Sink[T]:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _consume(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:
                try:
                    self._function(item)
                except BaseException as error:  # raised again by put and close
                    self._error = error
            # While this waits for the next item, the producer may want the last one's memory.
            del item


def _discard(queue: Queue[T]) -> None:
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return
