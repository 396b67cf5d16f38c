"""What a step minimises, as a module, so that DistributedDataParallel can wrap it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.data.degradations import Degradation, degrade
from vsr.data.sharpen import sharpened
from vsr.errors import ConfigError
from vsr.models.contract import State, TrainableNetwork
from vsr.training.losses import charbonnier, photometric, temporal
from vsr.training.options import LossOptions
from vsr.training.perceptual import PerceptualLoss

_PICTURE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "charbonnier": charbonnier,
    "l1": F.l1_loss,
    "mse": F.mse_loss,
}


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
        self._picture = _PICTURE_LOSSES[losses.picture]
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
        for name, compare, frames in (("photometric", photometric, lq), ("temporal", temporal, sr)):
            if weight := getattr(self._weights, name):
                if made.flow_to_previous is None or made.flow_to_next is None:
                    raise ConfigError(self._blind(name, "flow that can learn"))
                losses[name] = compare(frames, made.flow_to_previous, made.flow_to_next)
                loss = loss + weight * losses[name]
        if self._weights.cleaning:
            if made.cleaned is None:
                raise ConfigError(self._blind("cleaning", "cleaned input"))
            small = F.avg_pool2d(gt.flatten(0, 1), self.network.scale).view(lq.shape)
            losses["cleaning"] = F.l1_loss(made.cleaned.float(), small)
            loss = loss + self._weights.cleaning * losses["cleaning"]
        if self._perceptual is not None:
            losses["perceptual"] = self._perceptual(sr.flatten(0, 1), gt.flatten(0, 1))
            loss = loss + self._weights.perceptual * losses["perceptual"]
        return Judged(loss, losses, sr)

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
