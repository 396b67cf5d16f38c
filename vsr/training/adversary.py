"""The adversarial loss: a discriminator and its training."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import spectral_norm

from vsr.training.checkpoint import Moments, descend
from vsr.training.options import AdversarialOptions
from vsr.training.world import World

_SHRUNK = 8  # three halvings


class UNetDiscriminator(nn.Module):
    """A U-Net with spectral normalisation: for every pixel, how true it looks.

    Args:
        channels: Features at full size; doubled at each of three halvings.

    Source: Real-ESRGAN (Wang et al., ICCVW 2021), sec. 3.2.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        widths = [channels * factor for factor in (1, 2, 4, 8)]
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))
            for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 3, padding=1, bias=False))
            for before, after in pairwise(reversed(widths))
        )
        self.smooth = nn.ModuleList(
            spectral_norm(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in range(2)
        )
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Judge pictures.

        Args:
            pictures: (N, 3, H, W), 0 to 1, of any size.

        Returns:
            (N, 1, H, W), logits: above 0, more likely true.
        """
        height, width = pictures.shape[-2:]
        below, beside = -height % _SHRUNK, -width % _SHRUNK
        if below or beside:
            pictures = F.pad(pictures, (0, beside, 0, below), mode="replicate")
        x = _bent(self.first(pictures))
        passed = []
        for layer in self.down:
            passed.append(x)
            x = _bent(layer(x))
        for layer in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = _bent(layer(x)) + passed.pop()
        for layer in self.smooth:
            x = _bent(layer(x))
        judged: Tensor = self.last(x)
        return judged[..., :height, :width]


def _bent(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class Adversary:
    """A discriminator that learns from output and truth, frame by frame, after each step.

    Args:
        options: Its width and learning rate.
        betas: Of its Adam.
        world: Where it computes.
        fp16: Scale its loss.

    Source: Goodfellow et al., 2014, the form that does not saturate; as in Real-ESRGAN and
    RealBasicVSR.
    """

    def __init__(
        self, options: AdversarialOptions, *, betas: tuple[float, float], world: World, fp16: bool
    ) -> None:
        self.network = UNetDiscriminator(options.channels).to(world.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.lr, betas=betas)
        self.scaler = GradScaler(world.device.type, enabled=fp16)
        self._shared: nn.Module = self.network
        if world.size > 1:
            self._shared = DistributedDataParallel(self.network)

    def judge(self, sr: Tensor) -> Tensor:
        """What the trained network minimises: how surely (N, T, 3, H, W) is told from truth.

        The discriminator gathers no gradient from it.
        """
        self.network.requires_grad_(False)
        return F.softplus(-self.network(sr.flatten(0, 1)).float()).mean()

    def learn(self, sr: Tensor, gt: Tensor, precision: torch.autocast) -> float:
        """Take one step towards telling output from truth.

        Args:
            sr: (N, T, 3, H, W), no gradient flows into it.
            gt: The same shape.
            precision: Entered for the forward passes.

        Returns:
            The loss; not finite where the step was left out.
        """
        self.network.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for pictures, sign in ((gt, -1), (sr.detach(), 1)):
            with precision:
                loss = F.softplus(sign * self._shared(pictures.flatten(0, 1)).float()).mean()
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        norm = descend(self.optimizer, self.scaler, list(self.network.parameters()))
        return total if isfinite(norm) else float("nan")

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on exactly."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        Moments(self.optimizer).load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
