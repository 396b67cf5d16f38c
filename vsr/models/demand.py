"""The memory that a network needs, measured on a small picture."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsr.models.contract import State, VideoNetwork


@torch.inference_mode()
def bytes_at_most(
    network: VideoNetwork, lq: Tensor, state: State | None = None, lookahead: int = 0
) -> tuple[int, tuple[Tensor, State]]:
    """Call a network and count the bytes of all tensors that it makes, where most are alive.

    Weights and input do not count.

    Args:
        network: On the device of `lq`.
        lq, state, lookahead: See `contract.VideoNetwork`.

    Returns:
        The bytes, and what the network gave.
    """
    with _Counter() as counter:
        made = network(lq, state, lookahead)
    return counter.most, made


class _Counter(TorchDispatchMode):
    """Counts the memory of tensors from when an operator gives them to when nothing holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        given = {_place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            # A view of what was given takes nothing; nor does what is counted already.
            if isinstance(x, Tensor) and _place(x) not in given | self._known:
                self._add(x.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        self._known.add(place)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._free, place, size)

    def _free(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._now -= size


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()
