"""What a training step minimises."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.data.degrade import bicubic_down, sharpened
from vsr.data.real import Degradation, degrade
from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.evaluation.perceptual import load_stlpips
from vsr.models.checkpoints import check_fit, load_tensors
from vsr.models.contract import State, TrainableNetwork
from vsr.models.flow import upscale_flow
from vsr.ops.warp import flow_warp
from vsr.options import imported
from vsr.training.options import LossOptions

# Occlusion by the forward-backward test; constants of Sundaram, Brox and Keutzer, ECCV 2010.
_RELATIVE, _ABSOLUTE = 0.01, 0.5

_FRAMES_APART = 4  # of those that `StLpipsLoss` looks at


def charbonnier(sr: Tensor, gt: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Mean of sqrt((sr - gt)^2 + eps), a smooth L1.

    Args:
        sr: Output, any shape.
        gt: Truth, same shape.
        eps: As published for BasicVSR.

    Source: BasicVSR (Chan et al., CVPR 2021), sec. 4.
    """
    return ((sr - gt).square() + eps).sqrt().mean()


def log_mse(sr: Tensor, gt: Tensor, *, floor: float = 1e-4) -> Tensor:
    """Mean over frames of the logarithm of their mean squared error: what PSNR averages.

    A frame's weight does not depend on how damaged it is, so nearly clean footage counts as much
    as footage of which little is left.

    Args:
        sr: Output, (N, T, 3, H, W).
        gt: Truth, same shape.
        floor: Added to each error; 1e-4 is 40 dB. Without it, frames that are right already would
            drown all others: their weight is one by their error.

    Source: the PSNR loss of NAFNet (Chen et al., ECCV 2022).
    """
    return ((sr - gt).square().mean((2, 3, 4)) + floor).log10().mean()


def photometric(lq: Tensor, flow_to_previous: Tensor, flow_to_next: Tensor) -> Tensor:
    """Mean absolute difference of each frame and its warped neighbours.

    Args:
        lq: (N, T, 3, H, W), 0 to 1.
        flow_to_previous: (N, T - 1, 2, H, W), entry i for frame i + 1.
        flow_to_next: (N, T - 1, 2, H, W), entry i for frame i.
    """
    earlier, later = lq[:, :-1].flatten(0, 1), lq[:, 1:].flatten(0, 1)
    from_previous = flow_warp(earlier, flow_to_previous.flatten(0, 1), padding="border")
    from_next = flow_warp(later, flow_to_next.flatten(0, 1), padding="border")
    return torch.cat((from_previous - later, from_next - earlier)).abs().mean()


def temporal(sr: Tensor, flow_to_previous: Tensor, flow_to_next: Tensor) -> Tensor:
    """Mean absolute difference of each output frame and the one before, warped to it.

    Over what is seen in both: where the way to the frame before and back ends near its start. Flow
    is taken as it is: nothing is learnt about it here.

    Args:
        sr: (N, T, 3, H * scale, W * scale), 0 to 1.
        flow_to_previous: (N, T - 1, 2, H, W), entry i for frame i + 1, in pixels of its own size.
        flow_to_next: (N, T - 1, 2, H, W), entry i for frame i.

    Returns:
        0 where nothing is seen in both.

    Source: the short-term temporal loss of Lai et al., "Learning blind video temporal consistency",
    ECCV 2018, by the flow of the input instead of the truth's.
    """
    to_previous = flow_to_previous.detach().flatten(0, 1)
    back = flow_warp(flow_to_next.detach().flatten(0, 1), to_previous)
    gap = (to_previous + back).square().sum(1, keepdim=True)
    size = (to_previous.square() + back.square()).sum(1, keepdim=True)
    seen = (gap < _RELATIVE * size + _ABSOLUTE).to(sr)
    height, width = sr.shape[-2:]
    earlier, later = sr[:, :-1].flatten(0, 1), sr[:, 1:].flatten(0, 1)
    moved = flow_warp(earlier, upscale_flow(to_previous, height, width), padding="border")
    seen = F.interpolate(seen, size=(height, width), mode="nearest")
    return ((moved - later).abs() * seen).sum() / (3 * seen.sum()).clamp(min=1)


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


class StLpipsLoss(nn.Module):
    """ST-LPIPS by VGG-16, of every fourth frame, which costs a quarter of all.

    For the end of a training, as a loss of one's own; judge by another metric, or by its other
    backbone:

        --set 'loss.own={"vsr.training.objective:StLpipsLoss" = 0.3}'

    Raises:
        WeightsError: The distribution that holds its weights is not installed.

    Source: Ghildyal and Liu, ECCV 2022.
    """

    def __init__(self) -> None:
        super().__init__()
        self.metric = load_stlpips("vgg")
        self.metric.features.exact = False
        self.metric.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, sr: Tensor, gt: Tensor) -> Tensor:
        """Compare clips, (N, T, 3, H, W), 0 to 1."""
        made, true = (x[:, ::_FRAMES_APART].flatten(0, 1) for x in (sr, gt))
        with torch.no_grad():
            wanted = self.metric.features(true)
        found = self.metric.features(made)
        return self.metric.compare(*([x.float() for x in each] for each in (found, wanted))).mean()


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


_Compare = Callable[[Tensor, Tensor], Tensor]
_PICTURE_LOSSES: dict[str, _Compare] = {
    "charbonnier": charbonnier,
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "log_mse": log_mse,
}


class OwnLoss(nn.Module):
    """A loss of the user's own: a function or module, or a class to make an instance of.

    Args:
        name: package.module:name.

    Raises:
        ConfigError: It cannot be imported or made.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        made = imported(name)
        try:
            self.compare = made() if isinstance(made, type) else made
        except Exception as error:  # a class of the user's own raises whatever it likes
            raise ConfigError(f"loss {name}(): {type(error).__name__}: {error}") from error
        if not callable(self.compare):
            kind = type(self.compare).__name__
            raise ConfigError(f"loss {name} is a {kind}; wanted a function of (sr, gt)")
        self.requires_grad_(False)

    def forward(self, sr: Tensor, gt: Tensor) -> Tensor:
        """Compare clips, (N, T, 3, H, W), 0 to 1.

        Raises:
            ConfigError: It gives no tensor with one value.
        """
        found = self.compare(sr, gt)
        if not (isinstance(found, Tensor) and found.numel() == 1):
            kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(f"loss {self.name} gives {kind}; wanted a tensor with one value")
        return found.reshape(())


class Judged(NamedTuple):
    """A batch, enhanced and compared.

    Attributes:
        loss: What to minimise.
        losses: What it is the weighed sum of; "loss" is the picture's.
        sr: (N, T, 3, H, W), float32.
    """

    loss: Tensor
    losses: dict[str, Tensor]
    sr: Tensor


class Objective(nn.Module):
    """Degrade true clips, enhance them, and compare.

    Args:
        network: In training.
        losses: Their weights.
        degradation: What makes `lq` where a batch has none; "real" always comes with it.
        sharpen: Make and compare with the sharpened truth.

    Raises:
        WeightsError: If the perceptual loss is asked for, and VGG-19 is not there.
    """

    def __init__(
        self,
        network: TrainableNetwork,
        losses: LossOptions,
        *,
        degradation: Degradation = "bicubic",
        sharpen: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self._weights = losses
        self._picture: _Compare = _PICTURE_LOSSES.get(losses.picture) or OwnLoss(losses.picture)
        self._own = nn.ModuleList(OwnLoss(name) for name in losses.own)
        self._perceptual = PerceptualLoss(Path(losses.vgg)) if losses.perceptual else None
        self._degradation = degradation
        self._sharpen = sharpen

    def forward(self, gt: Tensor, lq: Tensor | None = None, replays: int = 0) -> Judged:
        """Compute the loss of true clips.

        Args:
            gt: (N, T, 3, H, W), 0 to 1.
            lq: (N, T, 3, H / scale, W / scale), 0 to 1; None: made here.
            replays: How often the network first sees the clip, see `replayed`.

        Raises:
            ConfigError: If a loss looks at what the network does not show.
        """
        if self._sharpen:
            gt = sharpened(gt)
        if lq is None:
            lq = degrade(gt, self.network.scale, self._degradation)
        state = replayed(self.network, lq, replays) if replays else None
        made = self.network.forward_for_training(lq, state)
        sr = made.sr.float()
        losses = {"loss": self._picture(sr, gt)}
        loss = losses["loss"]
        for name, own in zip(self._weights.own, self._own, strict=True):
            losses[name] = own(sr, gt)
            loss = loss + self._weights.own[name] * losses[name]
        for name, compare, frames in (("photometric", photometric, lq), ("temporal", temporal, sr)):
            if weight := getattr(self._weights, name):
                if made.flow_to_previous is None or made.flow_to_next is None:
                    raise ConfigError(self._blind(name, "flow that can learn"))
                losses[name] = compare(frames, made.flow_to_previous, made.flow_to_next)
                loss = loss + weight * losses[name]
        if self._weights.cleaning:
            if made.cleaned is None:
                raise ConfigError(self._blind("cleaning", "cleaned input"))
            losses["cleaning"] = F.l1_loss(made.cleaned.float(), self._small(gt))
            loss = loss + self._weights.cleaning * losses["cleaning"]
        if self._perceptual is not None:
            losses["perceptual"] = self._perceptual(sr.flatten(0, 1), gt.flatten(0, 1))
            loss = loss + self._weights.perceptual * losses["perceptual"]
        return Judged(loss, losses, sr)

    def _small(self, gt: Tensor) -> Tensor:
        """What a cleaned input should be."""
        if self._degradation == "footage":
            return bicubic_down(gt, self.network.scale)
        # As RealBasicVSR's published training does.
        small = F.avg_pool2d(gt.flatten(0, 1), self.network.scale)
        return small.view(*gt.shape[:2], *small.shape[1:])

    def _blind(self, name: str, wanted: str) -> str:
        weight = getattr(self._weights, name)
        kind = type(self.network).__name__
        return f"loss.{name} = {weight} wants {wanted}, which {kind} does not show; take 0"


@torch.no_grad()
def replayed(network: TrainableNetwork, lq: Tensor, times: int) -> State:
    """Play clips forth and back, and give what the network remembers of it.

    A recurrent network trained on short clips only never meets the state that it has itself after
    a long shot, and may feed on its own artefacts there (Chiche et al., "Stable Long-Term Recurrent
    Video Super-Resolution", CVPR 2022). Going on from this state, a step shows it some.

    Args:
        network: In training; nothing is learnt here.
        lq: (N, T, 3, H, W), 0 to 1.
        times: Of 2 * T - 2 frames each, so that the first frame comes next.

    Returns:
        The state before frame 0.
    """
    round_trip = torch.cat((lq, lq[:, 1:-1].flip(1)), dim=1) if lq.shape[1] > 1 else lq
    state: State | None = None
    for _ in range(times):
        _, state = network(round_trip, state)
    # Older PyTorch keeps the weights it cast here, without a gradient, for the step that follows
    # (pytorch/pytorch#112583).
    torch.clear_autocast_cache()
    if state is None:
        raise ValueError(f"times {times}: nothing to remember")
    return state
