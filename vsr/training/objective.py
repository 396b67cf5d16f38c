"""What a step minimises, as a module, so that DistributedDataParallel can wrap it."""

from __future__ import annotations

from torch import Tensor, nn

from vsr.data.degradations import Degradation, degrade
from vsr.models.compact import Compact
from vsr.training.losses import charbonnier, photometric


class Objective(nn.Module):
    """Degrade true clips, enhance them, and compare.

    Args:
        network: In training.
        photometric_weight: Of the flow loss.
        degradation: What makes `lq` where a batch has none; "real" always comes with it.
    """

    def __init__(
        self, network: Compact, *, photometric_weight: float, degradation: Degradation = "bicubic"
    ) -> None:
        super().__init__()
        self.network = network
        self._photometric = photometric_weight
        self._degradation = degradation

    def forward(self, gt: Tensor, lq: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the loss of true clips.

        Args:
            gt: (N, T, 3, H, W), 0 to 1.
            lq: (N, T, 3, H / scale, W / scale), 0 to 1; None: made here.

        Returns:
            The loss to minimise, and the part of it that is the picture's.
        """
        if lq is None:
            lq = degrade(gt, self.network.scale, self._degradation)
        sr, _, to_previous, to_next = self.network.forward_with_flow(lq)
        picture = charbonnier(sr.float(), gt)
        return picture + self._photometric * photometric(lq, to_previous, to_next), picture
