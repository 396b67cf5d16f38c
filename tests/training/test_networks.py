"""Every network is trained through the same contract, with and without recomputing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from vsr.errors import ConfigError
from vsr.models.contract import TrainableNetwork
from vsr.models.layers import Recomputable
from vsr.models.zoo import ARCHITECTURES
from vsr.training.loop import replays
from vsr.training.objective import Objective, charbonnier, photometric, replayed, temporal
from vsr.training.options import LossOptions

SHAPES: dict[str, dict[str, Any]] = {
    "compact": {"scale": 4, "channels": 8, "blocks": 2},
    "basicvsr": {"channels": 8, "blocks": 2},
    "basicvsr_pp": {"channels": 16, "blocks": 1},
    "realbasicvsr": {"channels": 8, "blocks": 1, "cleaning_blocks": 1, "threshold": 255},
}
NETWORKS = pytest.mark.parametrize("name", list(SHAPES))


def network(name: str) -> TrainableNetwork:
    """One with weights that are nowhere zero."""
    torch.manual_seed(3)
    made = ARCHITECTURES[name](**SHAPES[name])
    assert isinstance(made, TrainableNetwork)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return made


def clip(side: int = 12) -> Tensor:
    return torch.rand(2, 3, 3, side, side + 4)


@NETWORKS
@torch.no_grad()
def test_training_gives_what_use_gives(name: str) -> None:
    trained, lq = network(name), clip()
    made = trained.forward_for_training(lq)
    assert torch.equal(made.sr, trained(lq)[0])
    for flow in (made.flow_to_previous, made.flow_to_next):
        if name == "realbasicvsr":
            assert flow is None
        else:
            assert flow is not None
            assert flow.shape == (2, 2, 2, 12, 16)
    if name == "realbasicvsr":
        assert made.cleaned is not None
        assert made.cleaned.shape == lq.shape
        assert torch.equal(made.cleaned[:, 1], trained.clean(lq[:, 1]))  # type: ignore[operator]


@NETWORKS
def test_flow_parameters_are_some_of_all_and_shown_flow_teaches_them(name: str) -> None:
    trained = network(name)
    of_flow = list(trained.flow_parameters())
    assert 0 < len(of_flow) < len(list(trained.parameters()))
    made = trained.forward_for_training(clip())
    if made.flow_to_previous is None or made.flow_to_next is None:
        assert not any(parameter.requires_grad for parameter in of_flow)
        return
    (made.flow_to_previous.abs().sum() + made.flow_to_next.abs().sum()).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in of_flow)
    taught = {id(p) for p in trained.parameters() if p.grad is not None}
    assert taught == {id(p) for p in of_flow}


@NETWORKS
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recomputing_gives_the_same_gradients_and_keeps_less(name: str, precision: str) -> None:
    gradients, kept = [], []
    gt, lq = torch.rand(2, 3, 3, 48, 64), clip()
    for recompute in (False, True):
        trained = network(name)
        for part in trained.modules():
            if isinstance(part, Recomputable):
                part.recompute = recompute
        sizes: list[int] = []

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        ):
            loss = charbonnier(trained.forward_for_training(lq).sr.float(), gt)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append({n: p.grad for n, p in trained.named_parameters() if p.grad is not None})
        kept.append(sum(sizes))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    assert kept[1] < 0.7 * kept[0]


def test_recomputing_is_left_out_where_nothing_is_learnt() -> None:
    trained, lq = network("basicvsr"), clip()
    with torch.no_grad():
        wanted = trained(lq)[0]
        for part in trained.modules():
            if isinstance(part, Recomputable):
                part.recompute = True
        assert torch.equal(trained(lq)[0], wanted)


@pytest.mark.parametrize(
    ("picture", "formula"),
    [
        ("charbonnier", lambda difference: (difference**2 + 1e-12) ** 0.5),
        ("l1", abs),
        ("mse", lambda difference: difference**2),
    ],
)
def test_the_picture_loss_is_the_one_asked_for(
    picture: Literal["charbonnier", "l1", "mse"], formula: Callable[[Tensor], Tensor]
) -> None:
    trained, lq, gt = network("compact"), clip(), torch.rand(2, 3, 3, 48, 64)
    judged = Objective(trained, LossOptions(picture=picture, photometric=0))(gt, lq)
    torch.testing.assert_close(judged.loss, formula(judged.sr - gt).mean())


@pytest.mark.parametrize("compare", [photometric, temporal])
def test_frames_are_held_against_their_neighbours(
    compare: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    trained, lq, gt = network("compact"), clip(), torch.rand(2, 3, 3, 48, 64)
    judged = Objective(trained, LossOptions(picture="l1", **{compare.__name__: 0.5}))(gt, lq)
    made = trained.forward_for_training(lq)
    assert made.flow_to_previous is not None
    assert made.flow_to_next is not None
    frames = made.sr if compare is temporal else lq
    wanted = (made.sr - gt).abs().mean()
    wanted += 0.5 * compare(frames, made.flow_to_previous, made.flow_to_next)
    torch.testing.assert_close(judged.loss, wanted)


def test_cleaning_is_held_against_the_shrunk_truth() -> None:
    trained, lq, gt = network("realbasicvsr"), clip(), torch.rand(2, 3, 3, 48, 64)
    objective = Objective(trained, LossOptions(picture="l1", photometric=0, cleaning=0.5))
    judged = objective(gt, lq)
    made = trained.forward_for_training(lq)
    assert made.cleaned is not None
    boxes = gt.view(2, 3, 3, 12, 4, 16, 4).mean(dim=(4, 6))
    wanted = (made.sr - gt).abs().mean() + 0.5 * (made.cleaned - boxes).abs().mean()
    torch.testing.assert_close(judged.loss, wanted)


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("realbasicvsr", LossOptions(photometric=0.1)),
        ("realbasicvsr", LossOptions(temporal=0.1)),
        ("basicvsr", LossOptions(photometric=0, cleaning=1)),
    ],
)
def test_a_loss_that_sees_nothing_is_refused(name: str, losses: LossOptions) -> None:
    objective = Objective(network(name), losses)
    with pytest.raises(ConfigError, match=r"loss\.\w+ = [\d.]+ wants .* does not show; take 0"):
        objective(torch.rand(1, 2, 3, 48, 48), torch.rand(1, 2, 3, 12, 12))


@NETWORKS
def test_replayed_gives_the_state_after_the_clip_forth_and_back(name: str) -> None:
    lq, trained = clip(), network(name).eval()
    with torch.no_grad():
        _, once = trained(lq[:, [0, 1, 2, 1]])
        _, twice = trained(lq[:, [0, 1, 2, 1]], once)
    torch.testing.assert_close(replayed(trained, lq, 1), once)
    torch.testing.assert_close(replayed(trained, lq, 2), twice)
    if name == "compact":  # The others' flow, from random weights, points out of the picture.
        assert not torch.equal(once[0], twice[0])


@NETWORKS
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_after_replays_a_clip_is_the_next_window_and_all_that_learnt_still_learns(
    name: str, precision: torch.dtype
) -> None:
    lq, trained = clip(), network(name)
    gt = torch.rand(2, 3, 3, lq.shape[-2] * trained.scale, lq.shape[-1] * trained.scale)
    objective = Objective(trained, LossOptions(picture="l1"))
    learning: list[set[str]] = []
    for times in (0, 2):
        trained.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            judged = objective(gt, lq, times)
        judged.loss.backward()
        gradients = {name: p.grad for name, p in trained.named_parameters()}
        learning.append({name for name, g in gradients.items() if g is not None and g.any()})
    assert learning[0]
    assert learning[0] <= learning[1]
    if name != "realbasicvsr":  # It cleans once in training, and as often as it needs elsewhere.
        with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
            expected, _ = trained(lq, replayed(trained, lq, 2))
        # Without gradients a convolution and the sum after it are rounded once, not twice.
        near = {"atol": 4e-3, "rtol": 0.0} if precision == torch.bfloat16 else {}
        torch.testing.assert_close(judged.sr.detach(), expected.float(), **near)


@NETWORKS
def test_flow_after_replays_is_that_of_the_clip_itself(name: str) -> None:
    lq, trained = clip(side=20), network(name)
    made = trained.forward_for_training(lq, replayed(trained, lq, 1))
    if name == "realbasicvsr":
        assert made.flow_to_previous is None
        return
    alone = trained.forward_for_training(lq)
    torch.testing.assert_close(made.flow_to_previous, alone.flow_to_previous)
    torch.testing.assert_close(made.flow_to_next, alone.flow_to_next)
    assert alone.flow_to_next is not None
    assert alone.flow_to_next.shape == (2, 2, 2, *lq.shape[-2:])


def test_replays_take_turns_and_are_rare() -> None:
    assert [replays(step, 2) for step in range(8)] == [1, 0, 2, 0, 3, 0, 1, 0]
    assert not any(replays(step, 0) for step in range(8))
