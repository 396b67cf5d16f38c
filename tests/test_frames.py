"""Frames in, frames out from Python: the same pictures as by file, in the caller's own kind."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import draw_number, make_pictures, read_number
from torch import Tensor

import vsr
from vsr.data.pictures import read_pictures
from vsr.models.contract import State
from vsr.ops.resize import resize

FP32 = vsr.InferenceOptions(device="cpu", precision="fp32")
Frame = NDArray[Any] | Tensor


def film(count: int, width: int = 32, height: int = 24) -> list[NDArray[np.uint8]]:
    return [draw_number(index, width, height) for index in range(count)]


def shot(seed: int, count: int) -> list[NDArray[np.uint8]]:
    """A picture that moves slowly and is like no other shot's."""
    drawn = np.random.default_rng(seed).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    large = np.kron(drawn, np.ones((8, 8, 1), np.uint8))
    return [np.ascontiguousarray(large[:, index : index + 32]) for index in range(count)]


class Counting:
    """Each picture's red is how many frames of its shot the network has seen, over 100."""

    scale = 2
    min_size = 1

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        seen = lq.new_zeros(lq.shape[0], 1, *lq.shape[-2:]) if state is None else state[0]
        count = lq.shape[1] - lookahead
        steps = torch.arange(1, count + 1).view(1, -1, 1, 1, 1)
        red = ((seen[:, None] + steps) / 100).repeat_interleave(2, -1).repeat_interleave(2, -2)
        return torch.cat([red, *[torch.zeros_like(red)] * 2], 2), (seen + count,)


def counted(pictures: list[NDArray[Any]]) -> list[int]:
    return [round(float(picture[0, 0, 0]) * 100) for picture in pictures]


@pytest.mark.parametrize("window", [None, 3])
def test_pictures_are_those_that_enhance_writes(tmp_path: Path, window: int | None) -> None:
    source = make_pictures(tmp_path / "in", frames=7, size=(32, 24))
    inference = vsr.InferenceOptions(device="cpu", precision="fp32", window=window)
    options = vsr.EnhanceOptions(height=60, strength=0.7, inference=inference)
    vsr.enhance(source, f"{tmp_path}/out/", options)
    given = [picture.rgb for picture in read_pictures(source)]
    out = list(vsr.enhance_frames(given, height=60, strength=0.7, inference=inference))
    written = [picture.rgb for picture in read_pictures(tmp_path / "out")]
    assert len(out) == len(written) == 7
    for mine, file in zip(out, written, strict=True):
        np.testing.assert_array_equal(mine, file)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, ">f4"])
def test_numpy_frames_come_back_as_they_were_given(dtype: str) -> None:
    scale = 1 if dtype == np.uint8 else 255
    given = [(picture / scale).astype(dtype) for picture in film(5)]
    kept = [frame.copy() for frame in given]
    out = list(vsr.enhance_frames(given, inference=FP32))
    assert [(p.shape, p.dtype) for p in out] == [((96, 128, 3), np.dtype(dtype))] * 5
    assert [read_number(picture) for picture in out] == [0, 1, 2, 3, 4]
    assert all(p.flags.writeable and p.flags.c_contiguous for p in out)
    np.testing.assert_array_equal(given, kept)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_torch_frames_come_back_as_they_were_given(dtype: torch.dtype) -> None:
    scale = 1 if dtype == torch.uint8 else 255
    given = [(torch.from_numpy(p).permute(2, 0, 1) / scale).to(dtype) for p in film(5)]
    out = list(vsr.enhance_frames(given, inference=FP32))
    assert [(p.shape, p.dtype) for p in out] == [((3, 96, 128), dtype)] * 5
    assert [read_number(p.float().permute(1, 2, 0).numpy()) for p in out] == [0, 1, 2, 3, 4]
    assert all(picture.is_contiguous() for picture in out)


def test_all_kinds_give_the_same_picture() -> None:
    given = film(4)
    floats = [(picture / 255).astype(np.float32) for picture in given]
    tensors = [torch.from_numpy(picture).permute(2, 0, 1) for picture in floats]
    eight = np.stack(list(vsr.enhance_frames(given, inference=FP32)))
    real = np.stack(list(vsr.enhance_frames(floats, inference=FP32)))
    other = torch.stack(list(vsr.enhance_frames(tensors, inference=FP32)))
    np.testing.assert_array_equal(other.permute(0, 2, 3, 1).numpy(), real)
    np.testing.assert_array_equal(eight, (real * 255).round())
    assert real.min() >= 0
    assert real.max() <= 1


def test_views_of_any_stride_and_read_only_frames_are_taken() -> None:
    bgr = [np.ascontiguousarray(picture[..., ::-1]) for picture in film(3)]
    for picture in bgr:
        picture.flags.writeable = False
    turned = list(vsr.enhance_frames((p[..., ::-1] for p in bgr), "bicubic", inference=FP32))
    plain = list(vsr.enhance_frames(film(3), "bicubic", inference=FP32))
    np.testing.assert_array_equal(turned, plain)


def test_what_comes_out_may_be_trained_on() -> None:
    given = [torch.rand(3, 8, 8) for _ in range(2)]
    weight = torch.ones((), requires_grad=True)
    out = list(vsr.enhance_frames(given, inference=FP32))
    (out[1] * weight).sum().backward()  # type: ignore[no-untyped-call]
    out[0].mul_(2)
    assert torch.equal(weight.grad, out[1].sum())


def test_memory_is_constant_and_frames_are_drawn_as_needed() -> None:
    alive: list[weakref.ref[NDArray[Any]]] = []

    def source() -> Iterator[NDArray[Any]]:
        for index in range(60):
            frame = draw_number(index, 16, 12).astype(np.float32) / 255
            alive.append(weakref.ref(frame))
            yield frame
            del frame

    options = vsr.InferenceOptions(device="cpu", precision="fp32", window=4, lookahead=2)
    drawn = []
    pictures = vsr.enhance_frames(source(), "bicubic", cuts=(), inference=options)
    for number, picture in enumerate(pictures):
        assert read_number(picture) == number
        drawn.append(len(alive) - number)
        assert sum(reference() is not None for reference in alive) <= 2
    assert len(drawn) == 60
    assert max(drawn) == drawn[0] == 8  # the last to see whether it repeats the one before


def test_nothing_in_gives_nothing_out() -> None:
    assert list(vsr.enhance_frames(iter([]))) == []


# Cuts


def test_cuts_are_found_and_the_network_starts_anew_there() -> None:
    frames = [*shot(1, 6), *shot(2, 5), *shot(3, 4)]
    out = list(vsr.enhance_frames(frames, Counting(), inference=FP32))
    assert counted([p / 255 for p in out]) == [*range(1, 7), *range(1, 6), *range(1, 5)]


def test_no_cuts_are_looked_for_where_the_caller_says_so() -> None:
    frames = [p.astype(np.float32) / 255 for p in (*shot(1, 6), *shot(2, 5))]
    never = vsr.InferenceOptions(device="cpu", precision="fp32", scene_threshold=101)
    for out in (
        vsr.enhance_frames(frames, Counting(), cuts=(), inference=FP32),
        vsr.enhance_frames(frames, Counting(), inference=never),
    ):
        assert counted(list(out)) == [*range(1, 12)]


@pytest.mark.parametrize("window", [1, 2, 16])
def test_given_cuts_are_obeyed_wherever_they_are(window: int) -> None:
    frames = [p.astype(np.float32) / 255 for p in shot(1, 9)]
    options = vsr.InferenceOptions(device="cpu", precision="fp32", window=window)
    out = vsr.enhance_frames(frames, Counting(), cuts=iter([0, 1, 5, 99]), inference=options)
    assert counted(list(out)) == [1, 1, 2, 3, 4, 1, 2, 3, 4]


def test_after_a_given_cut_pictures_are_those_of_the_second_shot_alone() -> None:
    frames = film(9)
    joined = list(vsr.enhance_frames(frames, cuts=[4], inference=FP32))
    alone = list(vsr.enhance_frames(frames[4:], cuts=(), inference=FP32))
    np.testing.assert_array_equal(joined[4:], alone)


# Networks, sizes, devices


def test_a_loaded_network_gives_what_its_name_gives() -> None:
    frames = film(6)
    network = vsr.load_model("compact-x4")
    named = list(vsr.enhance_frames(frames, "compact-x4", inference=FP32))
    for _ in range(2):
        np.testing.assert_array_equal(
            list(vsr.enhance_frames(frames, network, inference=FP32)), named
        )


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({}, (96, 128)),
        ({"height": 60}, (60, 80)),
        ({"width": 31}, (23, 31)),
        ({"height": 50, "width": 50}, (50, 50)),
    ],
)
def test_the_size_is_the_one_asked_for(wanted: dict[str, int], size: tuple[int, int]) -> None:
    floats = [p.astype(np.float32) / 255 for p in film(1)]
    (out,) = vsr.enhance_frames(floats, "bicubic", inference=FP32, strength=0.0, **wanted)
    assert out.shape == (*size, 3)
    expected = resize(torch.from_numpy(floats[0]).permute(2, 0, 1), *size).clamp(0, 1)
    np.testing.assert_array_equal(out, expected.permute(1, 2, 0).numpy())


def test_running_out_of_memory_is_a_python_warning_unless_taken_elsewhere() -> None:
    class Hungry(Counting):
        def __call__(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            if lq.shape[1] > 4:
                raise torch.OutOfMemoryError("out of memory")
            return super().__call__(lq, state, lookahead)

    options = vsr.InferenceOptions(device="cpu", precision="fp32", window=4, lookahead=1)
    frames = [p.astype(np.float32) / 255 for p in film(20)]
    with pytest.warns(UserWarning, match="going on with window 2") as told:
        out = list(vsr.enhance_frames(frames, Hungry(), cuts=[10], inference=options))
    assert counted(out) == [*range(1, 11), *range(1, 11)]
    assert len(told) == 1  # after a cut the smaller window stays
    said: list[str] = []
    list(vsr.enhance_frames(frames, Hungry(), cuts=(), inference=options, warn=said.append))
    assert len(said) == 1


# What is wrong


@pytest.mark.parametrize(
    "options",
    [
        {"model": "edvr"},
        {"strength": 2.0},
        {"height": 0},
        {"inference": vsr.InferenceOptions(window=0)},
        {"inference": vsr.InferenceOptions(device="tpu")},
        {"model": vsr.load_model("compact-x4"), "inference": vsr.InferenceOptions(device="tpu")},
        {"model": 4},
        {"model": Path("none.safetensors")},
        {"model": Counting},
        {"model": torch.nn.Identity()},
        {"inference": {"windw": 3}},
        {"inference": "fast"},
        {"cuts": 5},
        {"cuts": [-1]},
        {"cuts": ["a"]},
        {"warn": "always"},
    ],
)
def test_a_wrong_option_is_an_error_at_the_call(options: dict[str, Any]) -> None:
    with pytest.raises(vsr.VsrError):
        vsr.enhance_frames([], **options)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"got \(8, 8, 3\); put a single picture into a list"),
        (torch.zeros(1, 2, 3, 8, 8), r"tensor \(T, 3, H, W\); got \(1, 2, 3, 8, 8\)"),
        ("in.mp4", "got 'in.mp4'; files are for vsr.enhance"),
        (5, "wanted an iterable of frames, got int"),
    ],
)
def test_what_is_no_set_of_frames_is_an_error_at_the_call(frames: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(vsr.FrameError, match=message):
        vsr.enhance_frames(frames, "bicubic")


class Wrong(Counting):
    """Returns what it was told to."""

    def __init__(self, found: object) -> None:
        self.found = found

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        return self.found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (torch.zeros(1, 1, 3, 16, 16), r"scale 2: \(sr, state\) wanted, got Tensor"),
        ((torch.zeros(1, 1, 3, 8, 8), ()), r"\(1, 1, 3, 16, 16\) wanted, got \(1, 1, 3, 8, 8\)"),
        ((torch.zeros(1, 1, 3, 16, 16), None), "a state wanted .* got NoneType"),
        ((torch.zeros(1, 1, 3, 16, 16), (torch.zeros(1, 4),)), r"\(1, C, 8, 8\) wanted"),
    ],
)
def test_a_network_that_breaks_its_contract_is_named(found: object, message: str) -> None:
    with pytest.raises(vsr.VsrError, match=message):
        list(vsr.enhance_frames([np.zeros((8, 8, 3))], Wrong(found), inference=FP32))


def test_a_network_in_training_is_run_in_evaluation_mode() -> None:
    class Noisy(torch.nn.Module):
        scale = min_size = 1

        def forward(self, lq: Tensor, state: State | None, lookahead: int) -> tuple[Tensor, State]:
            return lq[:, : lq.shape[1] - lookahead] + int(self.training), ()

    network: Any = Noisy()
    frames = [p.astype(np.float32) / 255 for p in film(3)]
    np.testing.assert_array_equal(list(vsr.enhance_frames(frames, network)), frames)
    assert network.training


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"frame 1: wanted a numpy array \(H, W, 3\).* got ndarray"),
        (np.zeros((8, 8, 4), np.uint8), r"ndarray \(8, 8, 4\) of uint8"),
        (np.zeros((8, 8, 3), np.uint16), "uint16"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (torch.zeros(8, 8, 3), r"Tensor \(8, 8, 3\) of torch.float32"),
        (torch.zeros(1, 3, 8, 8), r"\(1, 3, 8, 8\)"),
        ("frame.png", "got str"),
        (np.full((8, 8, 3), 128.0), "floats from 128 to 128, wanted 0 to 1"),
        (np.full((8, 8, 3), np.nan), "wanted 0 to 1"),
        (torch.full((3, 8, 8), -1.0), "wanted 0 to 1"),
        (np.zeros((8, 9, 3)), r"frame 1 is an array \(8, 9, 3\) of float64, those before are"),
        (np.zeros((8, 8, 3), np.float32), "of float32, those before are .* of float64"),
    ],
)
def test_a_wrong_frame_is_an_error_that_names_it(frame: Frame, message: str) -> None:
    first: Any = np.zeros((8, 8, 3))
    if isinstance(frame, Tensor) and frame.shape == (3, 8, 8):
        first = torch.zeros(3, 8, 8)
    with pytest.raises(vsr.FrameError, match=message):
        list(vsr.enhance_frames([first, frame], "bicubic", inference=FP32))
