"""Networks, runner and colour on pretended CUDA tensors: a CUDA build of PyTorch needs no GPU.

`FakeTensorMode` computes shapes, types and devices of results and refuses operations whose tensors
lie on different devices, and whatever needs a value on the host.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pretended import build, every_shape
from torch._subclasses.fake_tensor import FakeTensorMode

from vsr.devices import choose_device, describe_device
from vsr.errors import ConfigError
from vsr.inference.plan import Plan
from vsr.inference.queues import Download
from vsr.inference.runner import LqFrame, computing, finish, squared_errors, upscale
from vsr.models.layers import in_half
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes

pytestmark = [
    pytest.mark.cuda_build,
    pytest.mark.skipif(torch.version.cuda is None, reason="this PyTorch is no CUDA build"),
]

CUDA = torch.device("cuda", 0)
SHAPES = every_shape()


@pytest.fixture
def _pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # cuDNN would ask the driver which algorithm to take, autocast whether there is a GPU.
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    # Streams need the driver.
    monkeypatch.setattr("vsr.inference.queues._APART", ())
    with FakeTensorMode(), torch.inference_mode():
        yield


@pytest.mark.usefixtures("_pretended")
def test_mixed_devices_are_refused() -> None:
    with pytest.raises(RuntimeError, match="devices, cuda:0 and cpu"):
        torch.ones(2, device=CUDA) + torch.ones(2)


@pytest.mark.usefixtures("_pretended")
@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"realbasicvsr-wogan"}))
def test_a_network_runs_window_by_window_in_half_precision(name: str) -> None:
    network = build(SHAPES[name], CUDA)
    if name == "realbasicvsr":
        network.threshold = 255.0  # others ask once a window whether to clean again
    lq = torch.empty(1, 3, 3, 50, 70, device=CUDA)
    with computing("fp16", CUDA):
        sr, state = in_half(network, "fp16")(lq, None, 1)
        sr, state = in_half(network, "fp16")(lq, state, 1)
    scale = network.scale
    assert sr.shape == (1, 2, 3, 50 * scale, 70 * scale)
    assert {x.device for x in (sr, *state)} == {CUDA}


@pytest.mark.usefixtures("_pretended")
@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("depth", [8, 10])
def test_planes_pass_the_runner_and_come_back_as_planes(
    monkeypatch: pytest.MonkeyPatch, depth: int, tile: int | None
) -> None:
    monkeypatch.setattr(Download, "arrays", lambda made: [np.False_])
    layout = ColorLayout(matrix="bt709", full_range=False, bit_depth=depth, chroma="420")
    plan = Plan(
        window=2,
        lookahead=1,
        tile=tile,
        margin=8,
        device=str(CUDA),
        precision="fp16",
        scene_threshold=7.0,
    )

    def frames() -> Iterator[LqFrame[None]]:
        dtype = torch.uint8 if depth == 8 else torch.int16
        for pts in range(7):
            sizes = (36, 52), (18, 26), (18, 26)
            planes = [torch.empty(size, dtype=dtype, device=CUDA) for size in sizes]
            cut = 50.0 if pts == 4 else 0.0
            rgb = planes_to_rgb(planes, layout)
            yield LqFrame(source=None, lq=rgb, pts=pts, scene_score=cut)

    network = build(SHAPES["compact-x4"], CUDA)
    done = 0
    for picture in upscale(frames(), network, plan, warn=pytest.fail):
        rgb = finish(picture.sr, picture.lq, height=100, width=130, strength=0.5)
        error = squared_errors(rgb, picture.lq, (0.2126, 0.0722)).mean()
        made = rgb_to_planes(rgb, layout)
        assert {x.device for x in (*made, error)} == {CUDA}
        assert [tuple(x.shape) for x in made] == [(100, 130), (50, 65), (50, 65)]
        done += 1
    assert done == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_driver_the_cpu_is_taken_and_the_reason_named() -> None:
    assert choose_device("auto") == torch.device("cpu")
    assert describe_device("cpu") == "cpu (no NVIDIA driver found)"
    with pytest.raises(ConfigError, match=r"device cuda wanted, 0 GPUs found \(no NVIDIA driver"):
        choose_device("cuda")
