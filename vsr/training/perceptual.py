"""Perceptual loss: differences of the features of a network that learned to name pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vsr.errors import CheckpointFormatError, WeightsError
from vsr.models.checkpoints import check_fit
from vsr.models.unpickle import load_tensors

# Widths of VGG-19's convolutions (configuration E), "M" for halving.
_LAYERS = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4)
# Number of a convolution in torchvision's list of layers: weight of its output, before the ReLU.
_WEIGHTS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}


class PerceptualLoss(nn.Module):
    """Weighed mean absolute differences of VGG-19 features, from the second layer to the last.

    Args:
        path: VGG-19 as torchvision publishes it (vgg19-dcbb9e9d.pth): names `features.N.weight`.

    Raises:
        WeightsError: If there is no such file.
        CheckpointFormatError: If it is not VGG-19.

    Source: Johnson et al., ECCV 2016; layers and weights of Real-ESRGAN (Wang et al., ICCVW 2021)
    and RealBasicVSR (Chan et al., CVPR 2022).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.layers = _Vgg19()
        weights = {
            name.removeprefix("features."): value
            for name, value in _read(path).items()
            if not re.match(r"classifier\.\d\.(weight|bias)$", name)
        }
        check_fit(weights, self.layers.state_dict(), path, "the features of VGG-19")
        self.layers.load_state_dict(weights)
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, sr: Tensor, gt: Tensor) -> Tensor:
        """Compare pictures, (N, 3, H, W), 0 to 1, of 16 pixels a side at least."""
        with torch.no_grad():
            wanted = self.layers((gt - self.mean) / self.std)
        found = self.layers((sr - self.mean) / self.std)
        differences = [
            weight * (a.float() - b.float()).abs().mean()
            for weight, a, b in zip(_WEIGHTS.values(), found, wanted, strict=True)
        ]
        return torch.stack(differences).sum()


class _Vgg19(nn.Module):
    """The convolutions of VGG-19, numbered as in torchvision; gives those of `_WEIGHTS`."""

    def __init__(self) -> None:
        super().__init__()
        channels, number = 3, 0
        self.kinds: list[str] = []
        for width in _LAYERS:
            if isinstance(width, str):
                self.kinds.append("pool")
                number += 1
                continue
            self.add_module(str(number), nn.Conv2d(channels, width, 3, padding=1))
            self.kinds += ["convolution", "relu"]
            channels, number = width, number + 2
        self.kinds.pop()

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for number, kind in enumerate(self.kinds):
            if kind == "pool":
                x = nn.functional.max_pool2d(x, 2)
            elif kind == "relu":
                x = x.relu()
            else:
                x = self.get_submodule(str(number))(x)
            if number in _WEIGHTS:
                found.append(x)
        return found


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            f"loss.vgg = '{path}': no such file; loss.perceptual wants the weights of VGG-19, "
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth (548 MB)"
        )
    found = load_tensors(path)
    if not (isinstance(found, Mapping) and all(isinstance(x, Tensor) for x in found.values())):
        raise CheckpointFormatError(f"'{path}' does not hold named tensors, wanted VGG-19")
    return found
