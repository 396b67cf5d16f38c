"""BasicVSR: bidirectional propagation with features aligned by flow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.models.contract import State, TrainableNetwork, TrainingOutput
from vsr.models.layers import Stage, trunk
from vsr.models.spynet import SpyNet, clip_flow
from vsr.ops.warp import flow_warp


class BasicVSR(TrainableNetwork):
    """Bidirectional recurrent super-resolution, x4.

    A backward trunk runs from the last frame to the first and a forward trunk from the first to the
    last, each on the frame and its own feature of the previous frame, warped by SPyNet's flow. Both
    are fused per frame and added to the bilinear picture.

    Mirrored sequences need no special case: the flow of each direction is computed from the frames.

    Args:
        channels: Features in both trunks.
        blocks: Residual blocks in each trunk.

    Source: Chan et al., CVPR 2021; numerics as in BasicSR and mmagic, so that their checkpoints
    load.
    """

    scale = 4
    min_size = 1

    def __init__(self, *, channels: int = 64, blocks: int = 30) -> None:
        super().__init__()
        self.channels = channels
        self.flow = SpyNet()
        self.backward_trunk = trunk(3 + channels, channels, blocks)
        self.forward_trunk = trunk(3 + channels, channels, blocks)
        self.fusion = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.LeakyReLU(0.1, inplace=True)
        )
        self.tail = sub_pixel_tail(channels)

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window; see `contract.VideoNetwork`.

        The state is the forward feature and the picture of the last upscaled frame.
        """
        sr, state, _, _ = self._with_flow(lq, state, lookahead)
        return sr, state

    def forward_for_training(self, lq: Tensor, state: State | None = None) -> TrainingOutput:
        """Upscale a clip; see `contract.TrainableNetwork`."""
        sr, _, to_previous, to_next = self._with_flow(lq, state, 0)
        return TrainingOutput(sr, to_previous, to_next)

    def flow_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of SpyNet."""
        return self.flow.parameters()

    def _with_flow(
        self, lq: Tensor, state: State | None, lookahead: int
    ) -> tuple[Tensor, State, Tensor, Tensor]:
        """`forward`, with the flow to the previous and to the next frame."""
        length = lq.shape[1]
        if not 0 <= lookahead < length:
            raise ValueError(f"lookahead {lookahead} in a window of {length} frames")
        shown = length - lookahead
        to_next = clip_flow(self.flow, lq[:, :-1], lq[:, 1:])
        backward = self._backward_features(lq, to_next)
        feature = lq.new_zeros(lq.shape[0], self.channels, *lq.shape[-2:])
        if state is not None:
            feature = flow_warp(state[0], self.flow(lq[:, 0], state[1]))
        to_previous = clip_flow(self.flow, lq[:, 1:shown], lq[:, : shown - 1])
        pictures = []
        for i in range(shown):
            if i > 0:
                feature = flow_warp(feature, to_previous[:, i - 1])
            feature = self.forward_trunk(torch.cat((lq[:, i], feature), dim=1))
            fused = self.fusion(torch.cat((backward.pop(), feature), dim=1))
            pictures.append(self.tail(fused) + enlarged(lq[:, i]))
        return torch.stack(pictures, dim=1), (feature, lq[:, shown - 1]), to_previous, to_next

    def _backward_features(self, lq: Tensor, to_next: Tensor) -> list[Tensor]:
        """Backward features of all frames, the first frame's last."""
        feature = lq.new_zeros(lq.shape[0], self.channels, *lq.shape[-2:])
        features = []
        for i in reversed(range(lq.shape[1])):
            if i < lq.shape[1] - 1:
                feature = flow_warp(feature, to_next[:, i])
            feature = self.backward_trunk(torch.cat((lq[:, i], feature), dim=1))
            features.append(feature)
        return features


def sub_pixel_tail(channels: int) -> Stage:
    """Build the published x4 tail: two sub-pixel steps, two convolutions of 64 channels."""
    return Stage(
        nn.Conv2d(channels, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(channels, 4 * 64, 3, padding=1),
        nn.PixelShuffle(2),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(64, 3, 3, padding=1),
    )


def enlarged(lq: Tensor) -> Tensor:
    """Bilinear x4 of (N, C, H, W): the base picture of the published networks."""
    return F.interpolate(lq, scale_factor=4, mode="bilinear", align_corners=False)
