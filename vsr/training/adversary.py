"""The adversarial loss: a discriminator, what trains it, and its judgement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel

from vsr.training.checkpoint import Moments
from vsr.training.descent import descend
from vsr.training.discriminator import UNetDiscriminator
from vsr.training.options import AdversarialOptions
from vsr.training.world import World


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
        """Give what the trained network minimises: how surely (N, T, 3, H, W) is told from truth.

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
        taken = descend(self.optimizer, self.scaler, list(self.network.parameters()))
        return total if taken else float("nan")

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
