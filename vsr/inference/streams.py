"""Work on a GPU without waiting for it: copies there and back, and the time it takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# GPUs with streams and memory of their own; Apple's share the memory of the CPU.
_APART = ("cuda", "xpu")


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
