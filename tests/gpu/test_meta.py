"""Networks, runner and colour on device `meta`: nothing is on another device, nothing is read.

`meta` knows shapes, types and devices but no values, so a copy to the host, or a value that is
asked for, fails there as it would wait on a GPU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pretended import CPU, META, Watch, build, every_shape
from synthetic import make_video
from torch import Tensor, nn

from vsr.color import SUBSAMPLING, Chroma
from vsr.inference.queues import Copies
from vsr.inference.runner import computing, upscale
from vsr.inference.windows import Still
from vsr.media.decode import Decoder
from vsr.models.compact import Compact
from vsr.models.contract import State, VideoNetwork
from vsr.models.layers import in_half
from vsr.ops.color import ColorLayout, plane_sizes, planes_to_rgb, rgb_to_planes
from vsr.ops.resize import _weighted_rows
from vsr.options import EnhanceOptions, InferenceOptions
from vsr.pipeline import arrived, sent, sent_back
from vsr.plan import Job, plan_job

SHAPES = every_shape()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_network_stays_on_its_device_in_dtypes_that_it_has(name: str) -> None:
    network = build(SHAPES[name], META)
    lq = torch.empty(1, 3, 3, 34, 38, device=META)
    with torch.inference_mode(), Watch() as watch:
        sr, state = network(lq, None, 1)
        sr, state = network(lq, state, 1)
    scale = network.scale
    assert sr.shape == (1, 2, 3, 34 * scale, 38 * scale)
    assert {x.device for x in (sr, *state)} == {META}
    assert (watch.up, sum(watch.waits.values()), watch.lacks()) == (0, 0, {})
    # Whether frames need another pass of cleaning is asked once a window and pass.
    assert watch.down <= (4 if name.startswith("realbasicvsr") else 0)


@pytest.mark.parametrize("depth", [8, 10, 16])
@pytest.mark.parametrize("chroma", [*SUBSAMPLING, "gray"])
def test_planes_become_rgb_and_planes_on_the_device(chroma: Chroma, depth: int) -> None:
    layout = ColorLayout(matrix="bt709", full_range=False, bit_depth=depth, chroma=chroma)
    dtype = np.uint8 if depth == 8 else np.uint16
    planes = [torch.from_numpy(np.zeros(size, dtype)) for size in plane_sizes(layout, 14, 18)]
    copies = Copies(META)
    with Watch() as watch:
        rgb = planes_to_rgb(copies.up(planes).tensors(), layout)
        made = rgb_to_planes(rgb, layout)
        assert watch.down == 0
        arrays = copies.down(made).arrays()
    assert (watch.up, watch.down, watch.lacks()) == (len(planes), len(planes), {})
    assert [(x.shape, x.dtype) for x in arrays] == [(tuple(x.shape), dtype) for x in planes]


def test_16_bit_codes_pass_a_gpu_as_the_same_bits() -> None:
    codes = torch.arange(0, 65536, 7, dtype=torch.int32).to(torch.uint16)[None]
    layout = ColorLayout(matrix="bt709", full_range=True, bit_depth=16, chroma="gray")
    rgb = planes_to_rgb([codes], layout)
    assert torch.equal(planes_to_rgb([codes.view(torch.int16)], layout), rgb)
    (back,) = rgb_to_planes(rgb, layout)
    assert torch.equal(back, codes)
    # As on a device: by way of int32, since from float to int16 such values have no result.
    assert torch.equal(codes.to(torch.int32).to(torch.int16).view(torch.uint16), codes)


def test_a_wider_picture_has_the_dtypes_of_apple_gpus() -> None:
    with Watch() as watch:
        made = _weighted_rows(torch.empty(1, 3, 30, 20, device=META), 17)
    assert made.shape == (1, 3, 17, 20)
    assert (watch.up, watch.down, watch.lacks()) == (0, 0, {})


# What the host waits for.


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("film")
    make_video(folder / "in.mp4", frames=13)
    inference = InferenceOptions(device="cpu", window=4, lookahead=2, precision="fp32")
    options = EnhanceOptions(model="compact-x4", height=200, inference=inference)
    return plan_job(folder / "in.mp4", folder / "out.mp4", options)


def passed(job: Job, network: VideoNetwork, tile: int | None = None) -> tuple[Watch, int, int]:
    """Send the film through the hot path on `meta`: what was counted; frames and windows."""
    job = replace(job, inference=replace(job.inference, device="meta", tile=tile, margin=8))
    copies, count, windows = Copies(META), 0, 0
    with torch.inference_mode(), Decoder(job.info, job.decode) as decoder, Watch() as watch:
        given = (arrived(sent(Still(frames=(frame,)), copies), job) for frame in decoder)
        upscaled = upscale(given, network, job.inference, warn=pytest.fail)
        for picture, _ in sent_back(upscaled, job, 0.5, copies):
            count, windows = count + 1, windows + (picture.position is not None)
            assert {plane.device for plane in picture.planes} == {META}
    return watch, count, windows


@pytest.mark.parametrize("tile", [None, 40])
@pytest.mark.parametrize("name", ["compact-x4", "basicvsr-reds4"])
def test_the_host_waits_for_results_only(job: Job, name: str, tile: int | None) -> None:
    network = Compact(clean=True, blocks=1).eval().to(META)
    if name != "compact-x4":
        network = build(SHAPES[name], META)
    watch, frames, windows = passed(job, network, tile)
    assert watch.up == 3 * frames  # its planes
    assert watch.down == 4 * frames + windows  # planes and error; whether a window is broken
    assert (watch.waits, watch.lacks()) == ({}, {})


def test_a_hidden_read_is_counted(job: Job) -> None:
    class Reading:
        scale, min_size = 4, 1

        def __call__(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            inner = lq[:, : lq.shape[1] - lookahead].repeat(1, 1, 1, 4, 4)
            return (inner if lq.mean() > 1 else inner + lq.new_tensor([1.0])[0]), ()

    watch, frames, windows = passed(job, Reading())
    assert watch.waits["_local_scalar_dense"] == windows > 3
    assert watch.up == 3 * frames + windows


def test_in_half_precision_no_weight_is_converted_frame_by_frame() -> None:
    network = build(SHAPES["compact-x4"], CPU)
    lq = torch.rand(1, 4, 3, 12, 16)
    pictures, casts = [], []
    for one in (network, in_half(network, "bf16")):
        weights = [layer.weight for layer in one.modules() if isinstance(layer, nn.Conv2d)]
        with torch.inference_mode(), computing("bf16", CPU), Watch(weights) as watch:
            pictures.append(one(lq)[0])
        casts.append(watch.weight_casts)
    assert torch.equal(*pictures)
    assert casts[0] >= 4 * len(weights) // 2
    assert casts[1] == 0
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
