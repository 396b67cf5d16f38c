"""GPUs that are not there: device `meta` in their place, watched operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsr.models.catalogue import PUBLISHED
from vsr.models.zoo import ARCHITECTURES, MODELS, ModelInfo, published_model

CPU, META = torch.device("cpu"), torch.device("meta")
# What backends lack, or know so few operators for that none is asked of them.
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
LACKING: dict[str, tuple[torch.dtype, ...]] = {
    "cuda": _UNSIGNED,
    "xpu": (torch.float64, torch.complex128, *_UNSIGNED),  # as on Arc
    "mps": (torch.float64, torch.complex128, *_UNSIGNED),
}
# Operators whose result has a size or a value that depends on values: the host waits for these.
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero")
_MADE_OF_OTHERS = ("to", "item", "is_nonzero", "type_as", "cpu")


class _Numbers(TorchFunctionMode):
    """Count tensors made of Python's numbers on the device, which no dispatch mode sees."""

    count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor):
            self.count += made.device.type != "cpu"
        return made


class Watch(TorchDispatchMode):
    """Count what the host waits for; values that are read are zeros.

    Attributes:
        up: Copies from the CPU to the device.
        down: Copies back.
        waits: Operators that would make the host wait, by name.
        dtypes: Of all tensors on the device.
        weight_casts: Conversions of these weights.
    """

    def __init__(self, weights: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.up = self.down = self.weight_casts = 0
        self.waits: Counter[str] = Counter()
        self.dtypes: set[torch.dtype] = set()
        self._weights = {id(weight) for weight in weights}

    def __enter__(self) -> Self:
        self._numbers = _Numbers()
        self._numbers.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        self._numbers.__exit__(*raised)
        self.up += self._numbers.count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _MADE_OF_OTHERS:
            # Inference mode passes these on whole.
            super().__enter__()
            try:
                with torch._C.DisableTorchFunction():
                    return func.decompose(*args, **kwargs)
            finally:
                super().__exit__(None, None, None)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        on_device = [x for x in given if x.device.type != "cpu"]
        if name == "_local_scalar_dense" and on_device:
            self.waits[name] += 1
            return 0
        if name.startswith(_WAITING) and on_device:
            self.waits[name] += 1
        if name in ("_to_copy", "copy_") and on_device:
            target = kwargs.get("device") or (given[0].device if name == "copy_" else META)
            if target.type == "cpu":
                self.down += 1
                dtype = kwargs.get("dtype") or given[-1].dtype
                return torch.zeros(given[-1].shape, dtype=dtype)
        self.weight_casts += name == "_to_copy" and id(given[0]) in self._weights
        made = func(*args, **kwargs)
        found = [x for x in tree_leaves(made) if isinstance(x, Tensor) and x.device.type != "cpu"]
        if found and given and not on_device:
            self.up += 1
        self.dtypes.update(x.dtype for x in found)
        return made

    def lacks(self) -> dict[str, list[torch.dtype]]:
        """The dtypes that were used, by the backends that lack them."""
        found = {
            name: [x for x in lacking if x in self.dtypes] for name, lacking in LACKING.items()
        }
        return {name: dtypes for name, dtypes in found.items() if dtypes}


def small(info: ModelInfo) -> dict[str, object]:
    """Its shape with few channels and one block: more differ in nothing that matters here."""
    sizes = {name: 16 if name == "channels" else 1 for name in info.hyper_parameters}
    kept = {"scale", "threshold"} & set(sizes)
    return {**sizes, **{name: info.hyper_parameters[name] for name in kept}}


def every_shape() -> dict[str, ModelInfo]:
    """One network of each architecture and size, bundled and published, by name."""
    infos = [*MODELS.values(), *map(published_model, PUBLISHED)]
    shapes = {(info.architecture, str(small(info))): info for info in infos[::-1]}
    return {info.name: info for info in shapes.values()}


def build(info: ModelInfo, device: torch.device) -> Any:  # noqa: ANN401
    """A shallow network as `load_network` prepares it, with weights at random."""
    with device:
        network = ARCHITECTURES[info.architecture](**small(info))
    return network.eval().requires_grad_(False)
