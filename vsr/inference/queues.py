"""Queues: threads for decoding ahead and encoding behind, and a GPU that is not waited for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")

# GPUs with streams and memory of their own; Apple's share the memory of the CPU.
_APART = ("cuda", "xpu")


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

    With a depth of 0 there is no thread: `put` calls the function, and raises what it raises.

    Used in a `with` block: its normal end waits until all items are done, an exception inside it
    drops those that wait. What the function raises comes out of the next `put`, or of `close`;
    nothing is given to it after that.
    """

    def __init__(self, function: Callable[[T], object], depth: int) -> None:
        """Start the thread, unless `depth` is 0."""
        if depth < 0:
            raise ValueError(f"depth must be 0 or more, got {depth}")
        self._inline = depth == 0
        self._waiting: Queue[T | _End] = Queue(depth)
        self._function = function
        self._error: BaseException | None = None
        self._thread = Thread(target=self._consume, name="sink", daemon=True)
        if not self._inline:
            self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item, waiting for room; raise what the function raised earlier."""
        if self._inline:
            self._function(item)
            return
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


class Copies:
    """Copy tensors to a device and back.

    On GPUs with memory of their own each direction has its own stream, and the memory of the CPU
    is pinned: a copy from or to other memory would wait for all work that is queued.

    Args:
        device: The one to copy to and from.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._backend: Any = None
        if device.type in _APART:
            self._backend = torch.get_device_module(device)
            self._up, self._down = (self._backend.Stream(device) for _ in range(2))

    def up(self, tensors: Sequence[Tensor]) -> Upload:
        """Begin to copy tensors of the CPU to the device; in any thread.

        uint16 becomes int16 of the same bits: on GPUs few operators know it.
        """
        if self._device.type != "cpu":
            tensors = [_signed(tensor) for tensor in tensors]
        if self._backend is None:
            return Upload([tensor.to(self._device) for tensor in tensors])
        with self._backend.stream(self._up):
            sent = [x.pin_memory().to(self._device, non_blocking=True) for x in tensors]
            return Upload(sent, self._up.record_event(), self._backend)

    def down(self, tensors: Sequence[Tensor]) -> Download:
        """Begin to copy tensors to the CPU, as soon as the work queued so far has made them."""
        if self._backend is None:
            return Download((), [tensor.cpu() for tensor in tensors])
        made = self._backend.current_stream(self._device).record_event()
        with self._backend.stream(self._down):
            self._down.wait_event(made)
            room = [torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in tensors]
            for place, tensor in zip(room, tensors, strict=True):
                place.copy_(tensor, non_blocking=True)
            return Download(tensors, room, self._down.record_event())


@dataclass(frozen=True, slots=True)
class Upload:
    """Tensors on their way to a device."""

    _sent: Sequence[Tensor]
    _event: Any = None
    _backend: Any = None

    def tensors(self) -> Sequence[Tensor]:
        """The tensors; what is queued after this waits for them, the caller does not."""
        if self._event is not None:
            now = self._backend.current_stream(self._sent[0].device)
            now.wait_event(self._event)
            for tensor in self._sent:
                # Its memory belongs to the other stream, which may reuse it only after this one.
                tensor.record_stream(now)
        return self._sent


@dataclass(slots=True)
class Download:
    """Tensors on their way to the CPU."""

    _source: Sequence[Tensor]
    _room: Sequence[Tensor]
    _event: Any = None

    def arrays(self) -> list[NDArray[Any]]:
        """Wait for them; in any thread. int16 becomes uint16 of the same bits."""
        if self._event is not None:
            self._event.synchronize()
        self._source = ()  # held until here, or their memory would have been used for other things
        arrays = [tensor.numpy() for tensor in self._room]
        return [x.view(np.uint16) if x.dtype == np.int16 else x for x in arrays]


def _signed(tensor: Tensor) -> Tensor:
    return tensor.view(torch.int16) if tensor.dtype == torch.uint16 else tensor


class Stopwatch:
    """Seconds that a device takes for the work of `with watch.running(device)` blocks."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._queued: deque[tuple[Any, Any]] = deque()

    @property
    def seconds(self) -> float:
        """All of them; waits for the work that is queued."""
        self._collect(wait=True)
        return self._seconds

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Count what is done or queued in this block."""
        if device.type not in (*_APART, "mps"):
            begin = time.monotonic()
            yield
            self._seconds += time.monotonic() - begin
            return
        backend: Any = torch.get_device_module(device)
        stream = (backend.current_stream(device),) if device.type in _APART else ()
        begin_event, end_event = (backend.Event(enable_timing=True) for _ in range(2))
        begin_event.record(*stream)
        yield
        end_event.record(*stream)
        self._queued.append((begin_event, end_event))
        self._collect(wait=False)

    def _collect(self, *, wait: bool) -> None:
        while self._queued and (wait or self._queued[0][1].query()):
            begin, end = self._queued.popleft()
            end.synchronize()
            self._seconds += begin.elapsed_time(end) / 1000
