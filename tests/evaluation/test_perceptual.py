"""ST-LPIPS against another formulation in NumPy; weights from a distribution made here."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from vsr.errors import CheckpointFormatError, WeightsError
from vsr.evaluation.perceptual import LEAST_SIDE, Backbone, Features, StLpips, load_stlpips
from vsr.training.objective import StLpipsLoss

BACKBONES = pytest.mark.parametrize("backbone", ["alex", "vgg"])
# Padding of each convolution, whether pooling (of so many pixels) comes before it, whether a
# feature is taken after it. The first of AlexNet is blurred before its ReLU.
NETWORKS: dict[str, list[tuple[int, int, bool]]] = {
    "alex": [(2, 0, True), (2, 3, True), (1, 3, True), (1, 0, True), (1, 0, True)],
    "vgg": [
        *((1, 0, False), (1, 0, True)),
        *((1, 2, False), (1, 0, True)),
        *((1, 2, False), (1, 0, False), (1, 0, True)) * 3,
    ],
}

Array = NDArray[np.float64]


def convolved(x: Array, weight: Array, bias: Array, padding: int) -> Array:
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    patches = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", patches, weight, optimize=True) + bias[:, None, None]


def blurred(x: Array) -> Array:
    p = np.pad(x, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    rows = (p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) / 4
    return ((rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4)[:, ::2, ::2]


def features_of(picture: Array, metric: StLpips) -> list[Array]:
    mean, deviation = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    x = ((picture - mean) / deviation).transpose(2, 0, 1)
    state = {k: v.double().numpy() for k, v in metric.features.state_dict().items()}
    names = [name.removesuffix(".weight") for name in state if name.endswith("weight")]
    layers = NETWORKS[metric.features.backbone]
    found = []
    for number, (name, (padding, pool, taken)) in enumerate(zip(names, layers, strict=True)):
        if pool:
            x = blurred(sliding_window_view(x, (pool, pool), axis=(1, 2)).max((3, 4)))
        x = convolved(x, state[f"{name}.weight"], state[f"{name}.bias"], padding)
        if metric.features.backbone == "alex" and number == 0:
            x = blurred(x)
        x = np.maximum(x, 0)
        if taken:
            found.append(x)
    return found


def pictures(height: int = 37, width: int = 30) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    gt = rng.random((height, width, 3))
    return np.clip(gt + rng.normal(0, 0.2, gt.shape), 0, 1), gt


def tensor(picture: Array) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


@BACKBONES
def test_equals_another_formulation(backbone: Backbone) -> None:
    metric = StLpips(backbone)
    sr, gt = pictures()
    wanted = 0.0
    mine, theirs = features_of(sr, metric), features_of(gt, metric)
    for a, b, weights in zip(mine, theirs, metric.weights, strict=True):
        units = [x / (np.sqrt((x**2).sum(0)) + 1e-10) for x in (a, b)]
        difference = (units[0] - units[1]) ** 2
        wanted += (difference * weights.numpy()[:, None, None]).sum(0).mean()
    assert metric(tensor(sr), tensor(gt)).item() == pytest.approx(wanted, rel=1e-4)
    for a, b in zip(metric.features(tensor(sr)), mine, strict=True):
        np.testing.assert_allclose(a[0].numpy(), b, atol=1e-5)


@BACKBONES
def test_a_picture_is_like_itself_and_the_order_does_not_matter(backbone: Backbone) -> None:
    metric = StLpips(backbone)
    sr, gt = (tensor(x) for x in pictures())
    assert metric(gt, gt).item() == 0
    assert metric(sr, gt).item() == metric(gt, sr).item() > 0
    both = metric(torch.cat((sr, gt)), torch.cat((gt, gt)))
    assert both.tolist() == pytest.approx([metric(sr, gt).item(), 0], rel=1e-5)


@BACKBONES
def test_a_shift_of_a_pixel_counts_for_less_than_without_blur(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blur is replaced by every other pixel, as plain strides take it; deepest features."""
    metric = StLpips(backbone)
    for weights in metric.weights[:-1]:
        weights.zero_()
    wide = tensor(np.random.default_rng(1).random((64, 65, 3)))
    blurred = metric(wide[..., :-1], wide[..., 1:]).item()
    monkeypatch.setattr(
        "vsr.evaluation.perceptual._Blur.forward",
        lambda self, x: torch.nn.functional.pad(x, (1, 1, 1, 1), "reflect")[..., ::2, ::2],
    )
    assert 0 < blurred < 0.2 * metric(wide[..., :-1], wide[..., 1:]).item()


@BACKBONES
def test_a_picture_too_small_to_mirror_is_refused(backbone: Backbone) -> None:
    metric, least = StLpips(backbone), LEAST_SIDE[backbone]
    with pytest.raises(ValueError, match=f"at least {least}x{least}"):
        metric(*[torch.rand(1, 3, 64, least - 1)] * 2)
    assert metric(*[torch.rand(1, 3, 64, least)] * 2).item() == 0


def test_it_is_computed_in_float32_whatever_surrounds_it() -> None:
    metric = StLpips()
    sr, gt = (tensor(x) for x in pictures())
    with torch.autocast("cpu", torch.bfloat16):
        half = metric(sr, gt)
    assert half.dtype == torch.float32
    assert half.item() == metric(sr, gt).item()


def test_a_loss_can_follow_the_features_back_to_the_picture() -> None:
    features, picture = Features("vgg"), torch.rand(1, 3, 32, 32, requires_grad=True)
    found = features(picture)
    assert [x.shape[1] for x in found] == features.channels == [64, 128, 256, 512, 512]
    sum(x.mean() for x in found).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert not any(x.requires_grad for x in features.parameters())


def published(metric: StLpips) -> dict[str, Tensor]:
    """Name tensors as the published files do, with the constants that they hold too."""
    found = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1), "net.slice2.4.filt": torch.zeros(1)}
    for name, value in metric.features.state_dict().items():
        found[name.replace("stages.", "net.", 1)] = value
    for index, value in enumerate(metric.weights):
        found[f"lin{index}.model.1.weight"] = value.view(1, -1, 1, 1)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where distributions are looked for: this folder alone."""

    def distribution(name: str) -> Distribution:
        for found in distributions(name=name, path=[str(tmp_path)]):
            return found
        raise PackageNotFoundError(name)

    monkeypatch.setattr("vsr.evaluation.perceptual.distribution", distribution)
    return tmp_path


def install(folder: Path, weights: object, version: str = "0.0.2") -> None:
    info = folder / f"stlpips_pytorch-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: stlpips_pytorch\nVersion: {version}\n")
    files = folder / "stlpips_pytorch" / "weights" / "vST0.0"
    files.mkdir(parents=True)
    (folder / "stlpips_pytorch" / "__init__.py").write_text("raise SystemExit('imported')")
    for backbone in ("alex", "vgg"):
        torch.save(weights, files / f"{backbone}_shift_tolerant.pth")


@BACKBONES
def test_weights_come_from_the_files_of_the_distribution(folder: Path, backbone: Backbone) -> None:
    wanted = StLpips(backbone)
    install(folder, published(wanted))
    sr, gt = (tensor(x) for x in pictures())
    assert load_stlpips(backbone)(sr, gt).item() == wanted(sr, gt).item()


def test_the_training_loss_is_the_metric_of_some_frames(folder: Path) -> None:
    wanted = StLpips("vgg")
    install(folder, published(wanted))
    sr, gt = torch.rand(2, 2, 5, 3, 24, 32)
    sr.requires_grad_()
    loss = StLpipsLoss()
    expected = torch.stack([wanted(sr[:, t], gt[:, t]) for t in (0, 4)]).mean()
    torch.testing.assert_close(loss(sr, gt), expected)
    loss(sr, gt).backward()
    assert sr.grad is not None
    assert [bool(frame.any()) for frame in sr.grad[0]] == [True, False, False, False, True]
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(sr, gt).item() == pytest.approx(expected.item(), rel=0.05)


def test_without_the_distribution_the_error_names_the_command(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"pip install --no-deps stlpips-pytorch==0\.0\.2"):
        load_stlpips()


def test_another_version_is_refused(folder: Path) -> None:
    install(folder, {}, version="0.0.3")
    with pytest.raises(WeightsError, match=r"0\.0\.3 is installed.*weights of 0\.0\.2"):
        load_stlpips()


@pytest.mark.parametrize("weights", [{}, [1], {"lin0.model.1.weight": torch.zeros(3)}, Path("x")])
def test_other_content_is_refused(folder: Path, weights: object) -> None:
    install(folder, weights)
    with pytest.raises(CheckpointFormatError, match="does not hold the weights of ST-LPIPS"):
        load_stlpips()


def test_a_damaged_file_is_refused(folder: Path) -> None:
    install(folder, {})
    for damage in (b"", b"PK\3\4 nothing"):
        path = folder / "stlpips_pytorch" / "weights" / "vST0.0" / "alex_shift_tolerant.pth"
        path.write_bytes(damage)
        with pytest.raises(CheckpointFormatError, match="does not hold the weights of ST-LPIPS"):
            load_stlpips()
    path.unlink()
    with pytest.raises(CheckpointFormatError, match="No such file"):
        load_stlpips()
