"""All networks on pretended CUDA tensors: a CUDA build of PyTorch needs no GPU for that.

`FakeTensorMode` computes shapes, types and devices of results and refuses operations whose tensors
lie on different devices, and whatever needs a value on the host.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vsr.models.catalogue import PUBLISHED
from vsr.models.zoo import ARCHITECTURES, MODELS, ModelInfo, published_model

pytestmark = [
    pytest.mark.cuda_build,
    pytest.mark.skipif(torch.version.cuda is None, reason="this PyTorch is no CUDA build"),
]

CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # cuDNN would ask the driver which algorithm to take.
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    with FakeTensorMode(), torch.inference_mode():
        yield


def small(info: ModelInfo) -> dict[str, object]:
    """Its shape with one block where it has several: these differ in nothing that matters here."""
    depth = {name: 1 for name in info.hyper_parameters if name.endswith("blocks")}
    one_pass = {name: 255.0 for name in info.hyper_parameters if name == "threshold"}
    return {**info.hyper_parameters, **depth, **one_pass}


def every_shape() -> dict[str, ModelInfo]:
    """One network of each architecture and size, by name."""
    infos = [*MODELS.values(), *map(published_model, PUBLISHED)]
    shapes = {(info.architecture, str(small(info))): info for info in infos[::-1]}
    return {info.name: info for info in shapes.values()}


def test_mixed_devices_are_refused() -> None:
    with pytest.raises(RuntimeError, match="devices, cuda:0 and cpu"):
        torch.ones(2, device=CUDA) + torch.ones(2)


@pytest.mark.parametrize("name", sorted(every_shape()))
def test_a_network_runs_window_by_window(name: str) -> None:
    info = every_shape()[name]
    with CUDA:
        network = ARCHITECTURES[info.architecture](**small(info)).eval()
    lq = torch.empty(1, 3, 3, 50, 70, device=CUDA)
    sr, state = network(lq, None, 1)
    sr, state = network(lq, state, 1)
    scale = info.facts.scale
    assert sr.shape == (1, 2, 3, 50 * scale, 70 * scale)
    assert {x.device for x in (sr, *state)} == {CUDA}
