"""RealBasicVSR: a cleaning module before BasicVSR, for real footage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from vsr.models.basicvsr import BasicVSR
from vsr.models.contract import State, TrainableNetwork, TrainingOutput
from vsr.models.layers import trunk

_PASSES = 3
# Half the width of the ramp around the threshold, as a share of it.
_RAMP = 0.1
_ONE_PASS = 255.0  # as threshold


class RealBasicVSR(TrainableNetwork):
    """BasicVSR, x4, on frames cleaned in one to three passes.

    The published code repeats the cleaning while the mean residue of the *whole clip* is at or
    above the threshold, so its result depends on how a film is cut into clips. Here the decision is
    per frame, by its own mean residue: windows, lookahead and batches do not change the result. To
    avoid flicker near the threshold the decision is a ramp: within a tenth of it the next pass
    counts in part. A clip with all frames outside the ramp gets exactly the published result. With
    tiles, the decision is per tile; the ramp and the blending soften the seam.

    Args:
        channels: Features.
        blocks: Residual blocks in each trunk of BasicVSR.
        cleaning_blocks: Residual blocks of the cleaning module.
        threshold: Mean absolute residue, in 8-bit levels, below which a frame counts as clean; 255
            always gives one pass.

    Source: Chan et al., CVPR 2022, sec. 3.2; numerics as in mmagic, so that its checkpoints load.
    """

    scale = 4
    min_size = 1

    def __init__(
        self,
        *,
        channels: int = 64,
        blocks: int = 20,
        cleaning_blocks: int = 20,
        threshold: float = 5.0,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.cleaning = nn.Sequential(
            trunk(3, channels, cleaning_blocks), nn.Conv2d(channels, 3, 3, padding=1)
        )
        self.basicvsr = BasicVSR(channels=channels, blocks=blocks)
        # The published recipe trains everything but the flow.
        self.basicvsr.flow.requires_grad_(False)

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Clean and upscale a window; see `contract.VideoNetwork`.

        The state is BasicVSR's, with a cleaned picture.
        """
        cleaned = torch.stack(self._cleaned(lq.unbind(dim=1)), dim=1)
        sr: Tensor
        sr, state = self.basicvsr(cleaned, state, lookahead)
        return sr, state

    def forward_for_training(self, lq: Tensor, state: State | None = None) -> TrainingOutput:
        """Upscale a clip after one pass of cleaning, as published; flow is frozen, not shown."""
        cleaned = torch.stack([x + self.cleaning(x).float() for x in lq.unbind(dim=1)], dim=1)
        sr, _ = self.basicvsr(cleaned, state)
        return TrainingOutput(sr, cleaned=cleaned)

    def flow_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of SpyNet, which are not trained."""
        return self.basicvsr.flow_parameters()

    def clean(self, frame: Tensor) -> Tensor:
        """Clean frames, (N, 3, H, W), each in as many passes as it needs."""
        return self._cleaned([frame])[0]

    def _cleaned(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """`clean` for several; a GPU is waited for once for all of them, not for each."""
        cleaned = list(frames)
        needed = [frame.new_ones(frame.shape[0], 1, 1, 1) for frame in frames]
        unclean = list(range(len(frames)))
        for left in reversed(range(1 if self.threshold >= _ONE_PASS else _PASSES)):
            for i in unclean:
                residue = self.cleaning(cleaned[i]).float()
                cleaned[i] = cleaned[i] + needed[i] * residue
                level = residue.abs().mean(dim=(1, 2, 3), keepdim=True) * 255 / self.threshold
                needed[i] = needed[i] * ((level - 1 + _RAMP) / (2 * _RAMP)).clamp(0, 1)
            # What is recorded for another engine must not depend on the frames of the recording.
            if left and unclean and not torch.onnx.is_in_onnx_export():
                again = torch.stack([needed[i].any() for i in unclean]).tolist()
                unclean = [i for i, more in zip(unclean, again, strict=True) if more]
        return cleaned
