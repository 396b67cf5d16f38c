"""`--steady`: results blended with those before them, along the flow, where the input matches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import known_networks
import numpy as np
import pytest
import torch
from synthetic import make_video
from torch import Tensor, nn

import vsr
from vsr.inference.plan import Plan
from vsr.inference.runner import LqFrame, Position, upscale
from vsr.models.contract import State, check_output
from vsr.models.foreign import bytes_at_most
from vsr.models.steady import Steady, steadied
from vsr.models.zoo import facts_of, find_model, load_model
from vsr.ops.resize import resize

PLAN = replace(known_networks.PLAN, window=2, lookahead=0, margin=8, scene_threshold=50.0)


class Flickering(nn.Module):
    """Twice the size, and brighter or darker from call to call: one frame each."""

    scale, min_size = 2, 1

    def __init__(self) -> None:
        super().__init__()
        self.sign = 1.0

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        shown = lq[:, : lq.shape[1] - lookahead]
        pictures = []
        for frame in shown.unbind(1):
            self.sign = -self.sign
            pictures.append(resize(frame, *(2 * x for x in frame.shape[-2:])) + 0.03 * self.sign)
        return torch.stack(pictures, 1), ()


def moving(count: int, height: int = 40, width: int = 56, seed: int = 0) -> Tensor:
    """(count, 3, H, W): a smooth texture that moves by a pixel and a half per frame."""
    noise = np.random.default_rng(seed).random((2 * height, 4 * width, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = (texture - texture.min()) / np.ptp(texture) * 0.8 + 0.1
    frames = [texture[8 : 8 + 2 * height, 3 * i : 3 * i + 2 * width] for i in range(count)]
    small = [
        cv2.resize(x[..., ::-1], (width, height), interpolation=cv2.INTER_AREA) for x in frames
    ]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()


def run(network: nn.Module, lq: Tensor, plan: Plan = PLAN, start: Position | None = None,
        scores: dict[int, float] | None = None) -> tuple[Tensor, list[Position]]:  # fmt: skip
    frames = [
        LqFrame(source=None, lq=x, pts=i, scene_score=(scores or {}).get(i, 0.0))
        for i, x in enumerate(lq)
    ]
    done = list(upscale(frames, network, plan, warn=print, start=start))
    return torch.stack([x.sr for x in done]), [x.position for x in done if x.position]


def test_flicker_of_what_moves_is_cut_and_the_picture_stays_sharp() -> None:
    lq = moving(8)
    truth = resize(lq, 80, 112)
    plain, calm = run(Flickering(), lq)[0], run(Steady(Flickering(), 1.0), lq)[0]
    inner = (..., slice(8, -8), slice(8, -8))
    before = (plain - truth)[inner].diff(dim=0).abs().mean()
    after = (calm - truth)[inner].diff(dim=0)[2:].abs().mean()
    assert after < 0.35 * before
    assert (calm - truth)[inner].square().mean() < 0.5 * (plain - truth)[inner].square().mean()


def test_what_does_not_match_is_left_alone() -> None:
    lq = torch.cat((moving(1), moving(1, seed=1)))  # two pictures that have nothing in common
    plain, calm = run(Flickering(), lq)[0], run(Steady(Flickering(), 1.0), lq)[0]
    assert (calm[1] - plain[1]).abs().mean() < 0.1 * (plain[0] - plain[1]).abs().mean()
    torch.testing.assert_close(calm[0], plain[0])


def test_after_a_cut_nothing_of_the_scene_before_is_seen() -> None:
    lq = moving(4)
    plain = run(Flickering(), lq)[0]
    calm = run(Steady(Flickering(), 1.0), lq, scores={2: 99.0})[0]
    torch.testing.assert_close(calm[2], plain[2])
    assert not torch.allclose(calm[3], plain[3])


@pytest.mark.parametrize("name", ["bicubic", "compact-x2-real"])
def test_windows_and_an_interruption_change_nothing(name: str) -> None:
    lq = moving(10)
    network = Steady(load_model(name), 0.7)
    whole = run(network, lq, plan_of(10, name))[0]
    parts, positions = run(network, lq, plan_of(2, name))
    # What a window sees ahead decides how near the network itself comes.
    assert (parts - whole).abs().max() < (1e-5 if name == "bicubic" else 0.05)
    rest, _ = run(network, lq[4:], plan_of(2, name), start=positions[1])
    torch.testing.assert_close(rest, parts[4:])


def plan_of(window: int, name: str) -> Plan:
    return replace(PLAN, window=window, lookahead=find_model(name).facts.lookahead)


def test_the_state_is_as_the_contract_says_and_the_memory_as_the_facts_say() -> None:
    network, lq = Steady(load_model("bicubic"), 0.5), torch.rand(1, 3, 3, 48, 64)
    for lookahead in (0, 1):
        check_output(network, lq, lookahead, network(lq, None, lookahead))
    base, facts = facts_of(load_model("bicubic")), steadied(facts_of(load_model("bicubic")))
    taken = bytes_at_most(network, lq)[0] - bytes_at_most(load_model("bicubic"), lq)[0]
    more = facts.bytes_per_call - base.bytes_per_call
    more = (more + 3 * (facts.bytes_per_frame - base.bytes_per_frame)) * 48 * 64
    assert 0.5 * more < taken < more


def test_a_film_is_steadied_in_tiles_and_pieces(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5, size=(96, 64))
    options = vsr.EnhanceOptions(
        model="bicubic",
        steady=0.5,
        scale=2,
        piece=2,
        inference=vsr.InferenceOptions(tile=64, window=2, scene_threshold=101),
    )
    result = vsr.enhance(source, tmp_path / "out.mp4", options)
    assert (result.frames, result.report["model"]["steady"]) == (5, 0.5)


def test_frames_from_python_are_steadied() -> None:
    frames = [x.permute(1, 2, 0).numpy() for x in moving(4)]
    plain, calm = (
        list(vsr.enhance_frames(frames, Flickering(), steady=steady, cuts=()))
        for steady in (0.0, 1.0)
    )
    assert np.abs(calm[3] - calm[2]).mean() < np.abs(plain[3] - plain[2]).mean()
