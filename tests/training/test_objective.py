"""Losses against their formulas, the perceptual one against VGG-19 written out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.errors import CheckpointFormatError, WeightsError
from vsr.training.objective import PerceptualLoss, charbonnier, photometric, temporal


def test_charbonnier_equals_its_formula() -> None:
    sr, gt = torch.tensor([0.5, 0.2]), torch.tensor([0.1, 0.2])
    expected = ((0.4**2 + 0.01) ** 0.5 + 0.1) / 2
    assert float(charbonnier(sr, gt, eps=0.01)) == pytest.approx(expected)


def test_charbonnier_has_a_gradient_where_all_is_right() -> None:
    sr = torch.zeros(3, requires_grad=True)
    charbonnier(sr, torch.zeros(3)).backward()
    assert sr.grad is not None
    assert sr.grad.isfinite().all()


def test_photometric_is_zero_for_the_true_motion_and_only_for_it() -> None:
    frame = torch.rand(1, 3, 12, 16)
    lq = torch.stack((frame, frame.roll(2, dims=-1)), dim=1)
    to_previous = torch.zeros(1, 1, 2, 12, 16)
    to_previous[:, :, 0] = -2
    right = photometric(lq, to_previous, -to_previous)
    wrong = photometric(lq, -to_previous, to_previous)
    assert right < 0.3 * wrong


def rolled(scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two output frames, the second moved two input pixels to the right, and its flow."""
    frame = torch.rand(1, 3, 12 * scale, 16 * scale)
    to_previous = torch.zeros(1, 1, 2, 12, 16)
    to_previous[:, :, 0] = -2
    return torch.stack((frame, frame.roll(2 * scale, dims=-1)), dim=1), to_previous


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_temporal_is_zero_for_what_moves_with_the_flow_of_the_input(scale: int) -> None:
    sr, to_previous = rolled(scale)
    # What has come in from the left was not in the frame before: outside, flow ends at zero.
    assert float(temporal(sr, to_previous, -to_previous)) == pytest.approx(0, abs=1e-5)


def test_temporal_is_the_size_of_a_flicker() -> None:
    sr, to_previous = rolled(4)
    sr[:, 1] += 0.125
    assert float(temporal(sr, to_previous, -to_previous)) == pytest.approx(0.125, abs=1e-5)


def test_temporal_leaves_out_what_is_hidden() -> None:
    sr, to_previous = rolled(4)
    to_next = -to_previous
    to_next[..., :8] = 9  # The way back of the left half ends elsewhere.
    sr[:, 1, ..., :24] = 0.5
    assert float(temporal(sr, to_previous, to_next)) == pytest.approx(0, abs=1e-5)
    assert float(temporal(sr, to_previous, torch.full_like(to_next, 9))) == 0


def test_the_way_back_is_judged_where_a_pixel_comes_from() -> None:
    sr, to_previous = rolled(4)
    sr[:, 1] += 0.125
    to_next = torch.zeros_like(to_previous)
    to_next[:, :, 0] = 2.8  # ends 0.8 pixels off: too far for a motion this small
    to_next[:, :, 0, :, 10:13] = 30  # a large motion allows more, but not to what lies beside it
    assert float(temporal(sr, to_previous, to_next)) == 0


def test_temporal_teaches_the_picture_and_not_the_flow() -> None:
    sr, to_previous = rolled(2)
    sr = (sr + 0.1 * torch.rand_like(sr)).requires_grad_()
    to_previous.requires_grad_()
    temporal(sr, to_previous, -to_previous).backward()
    assert sr.grad is not None
    assert bool((sr.grad != 0).any())
    assert to_previous.grad is None


# torchvision's numbers of the convolutions: width, and whether pictures are halved after it.
CONVOLUTIONS = {
    0: (64, False), 2: (64, True), 5: (128, False), 7: (128, True), 10: (256, False),
    12: (256, False), 14: (256, False), 16: (256, True), 19: (512, False), 21: (512, False),
    23: (512, False), 25: (512, True), 28: (512, False), 30: (512, False), 32: (512, False),
    34: (512, False),
}  # fmt: skip
WEIGHTS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A file's content: names and shapes of torchvision's, classifier included."""
    torch.manual_seed(0)
    widths = [3, *(width for width, _ in CONVOLUTIONS.values())]
    content: dict[str, Tensor] = {}
    for number, (before, after) in zip(CONVOLUTIONS, pairwise(widths), strict=True):
        content[f"features.{number}.weight"] = torch.randn(after, before, 3, 3) / before**0.5 / 3
        content[f"features.{number}.bias"] = torch.randn(after) / 10
    for number, shape in ((0, (4096, 25088)), (3, (4096, 4096)), (6, (1000, 4096))):
        content[f"classifier.{number}.weight"] = torch.zeros(1, 1).expand(shape)
        content[f"classifier.{number}.bias"] = torch.zeros(1).expand(shape[0])
    return content


@pytest.fixture(scope="module")
def path(published: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(published, path)
    return path


def features(content: dict[str, Tensor], x: Tensor) -> dict[int, Tensor]:
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    x, found = (x - mean) / std, {}
    for number, (_, halved) in CONVOLUTIONS.items():
        x = F.conv2d(
            x, content[f"features.{number}.weight"], content[f"features.{number}.bias"], padding=1
        )
        found[number] = x
        x = F.relu(x)
        if halved:
            x = F.max_pool2d(x, 2)
    return found


def test_it_equals_vgg_written_out(published: dict[str, Tensor], path: Path) -> None:
    sr, gt = torch.rand(2, 3, 20, 24), torch.rand(2, 3, 20, 24)
    a, b = features(published, sr), features(published, gt)
    wanted = sum(weight * (a[n] - b[n]).abs().mean() for n, weight in WEIGHTS.items())
    loss = PerceptualLoss(path)
    torch.testing.assert_close(loss(sr, gt), wanted)
    assert float(loss(gt, gt)) == 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_gradient_reaches_the_output(path: Path) -> None:
    sr, gt = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(1, 3, 16, 16)
    PerceptualLoss(path)(sr, gt).backward()
    assert sr.grad is not None
    assert sr.grad.abs().sum() > 0


def test_what_is_not_vgg_is_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no such file.*vgg19-dcbb9e9d\.pth"):
        PerceptualLoss(tmp_path / "none.pth")
    less = {name: value for name, value in published.items() if name != "features.34.bias"}
    torch.save({name: value.new_zeros(1).expand_as(value) for name, value in less.items()},
               tmp_path / "less.pth")  # fmt: skip
    with pytest.raises(CheckpointFormatError, match=r"missing 34\.bias"):
        PerceptualLoss(tmp_path / "less.pth")
    (tmp_path / "text.pth").write_text("VGG")
    with pytest.raises(CheckpointFormatError, match="not a checkpoint of tensors"):
        PerceptualLoss(tmp_path / "text.pth")
