"""BasicVSR++: second-order grid propagation with flow-guided deformable alignment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.models.basicvsr import enlarged, sub_pixel_tail
from vsr.models.contract import State, TrainableNetwork, TrainingOutput
from vsr.models.layers import Recomputable, trunk
from vsr.models.spynet import SpyNet, clip_flow
from vsr.ops.deform import deform_conv
from vsr.ops.warp import flow_warp

# In order; each takes the features of those before it.
BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
_GROUPS = 16
_LONGEST_OFFSET = 10.0  # pixels between a tap and the end of the flow


class BasicVSRPlusPlus(TrainableNetwork):
    """Four recurrent branches, two in each direction, aligned by deformable convolution.

    A branch takes a frame's features, the output of earlier branches for it, and its own aligned
    features of the two previous frames.

    `scale` 4 upscales. `scale` 1 restores (noise, blur, compression): features and flow have a
    quarter of the size, and frames are padded by their edge to multiples of four.

    The state is the last two upscaled frames and the features of both forward branches for them,
    which is all that the past contributes: with the whole future as lookahead, two windows equal
    one call. With less, the backward branches start late, which affects `forward_1` too; the
    default lookahead was chosen by measurement. Flow between the frames of the state is computed
    again. Mirrored sequences need no special case: flow comes from the frames.

    Args:
        scale: 4 to upscale, 1 to restore.
        channels: Features of each branch, a multiple of 16.
        blocks: Residual blocks of each branch.

    Source: Chan et al., CVPR 2022; numerics as in mmagic, so that its checkpoints load.
    """

    min_size = 1

    def __init__(self, *, scale: int = 4, channels: int = 64, blocks: int = 7) -> None:
        super().__init__()
        if scale not in (1, 4) or channels % _GROUPS:
            raise ValueError(
                f"scale must be 1 or 4 and channels a multiple of 16, got {scale} and {channels}"
            )
        self.scale = scale
        self.channels = channels
        self.flow = SpyNet()
        if scale == 4:
            self.extract = trunk(3, channels, 5)
        else:
            self.shrink = nn.Sequential(
                nn.Conv2d(3, channels, 3, stride=2, padding=1),
                nn.LeakyReLU(0.1, inplace=True),
                nn.Conv2d(channels, channels, 3, stride=2, padding=1),
                nn.LeakyReLU(0.1, inplace=True),
            )
            self.extract = trunk(channels, channels, 5)
        self.align = nn.ModuleDict({name: Alignment(channels) for name in BRANCHES})
        self.trunks = nn.ModuleDict(
            {name: trunk((2 + i) * channels, channels, blocks) for i, name in enumerate(BRANCHES)}
        )
        self.reconstruction = trunk(5 * channels, channels, 5)
        self.tail = sub_pixel_tail(channels)

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale or restore a window; see `contract.VideoNetwork`.

        The state is one or two pictures, then as many features of `forward_1`, then of `forward_2`,
        oldest first; at `scale` 1 the features of a quarter-size pixel fill 4x4 pixels.
        """
        sr, state, _, _ = self._with_flow(lq, state, lookahead)
        return sr, state

    def forward_for_training(self, lq: Tensor, state: State | None = None) -> TrainingOutput:
        """Upscale or restore a clip; see `contract.TrainableNetwork`.

        At `scale` 1 without flow, which has a quarter of the size.
        """
        sr, _, to_previous, to_next = self._with_flow(lq, state, 0)
        if self.scale == 1 or lq.shape[1] == 1:
            return TrainingOutput(sr)
        # Flow of the frames of the state comes first.
        own = to_previous[-len(to_next) :]
        return TrainingOutput(sr, torch.stack(own, dim=1), torch.stack(to_next, dim=1))

    def flow_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of SpyNet."""
        return self.flow.parameters()

    def _with_flow(
        self, lq: Tensor, state: State | None, lookahead: int
    ) -> tuple[Tensor, State, list[Tensor], list[Tensor]]:
        """`forward`, with the flow to the previous and to the next frame."""
        length = lq.shape[1]
        if not 0 <= lookahead < length:
            raise ValueError(f"lookahead {lookahead} in a window of {length} frames")
        shown = length - lookahead
        past, past_1, past_2 = self._unpacked(state)
        pictures = [*past, *lq.unbind(dim=1)]
        small = torch.stack([self._flow_size(picture) for picture in pictures], dim=1)
        known = len(past)
        to_previous = [*clip_flow(self.flow, small[:, 1:], small[:, :-1]).unbind(dim=1)]
        window = small[:, known:]
        to_next = [*clip_flow(self.flow, window[:, :-1], window[:, 1:]).unbind(dim=1)]

        seen = [[self._features(frame)] for frame in lq.unbind(dim=1)]
        self._propagate("backward_1", seen[::-1], to_next[::-1], [])
        first = self._propagate("forward_1", seen, to_previous, past_1)
        self._propagate("backward_2", seen[::-1], to_next[::-1], [])
        second = self._propagate("forward_2", seen[:shown], to_previous, past_2)

        height, width = lq.shape[-2] * self.scale, lq.shape[-1] * self.scale
        sr = []
        for i in range(shown):
            picture = self.tail(self.reconstruction(torch.cat(seen[i], dim=1)))
            seen[i].clear()
            base = enlarged(lq[:, i]) if self.scale == 4 else lq[:, i]
            sr.append(picture[..., :height, :width] + base)
        last = slice(max(0, known + shown - 2), known + shown)
        features = [self._packed(feature, lq) for feature in (*first[last], *second[last])]
        return torch.stack(sr, dim=1), (*pictures[last], *features), to_previous, to_next

    def _propagate(
        self,
        branch: str,
        seen: Sequence[list[Tensor]],
        flows: Sequence[Tensor],
        past: Sequence[Tensor],
    ) -> list[Tensor]:
        """Run one branch over frames in its own order; append its features to `seen`.

        Args:
            branch: One of `BRANCHES`.
            seen: Features of each frame so far, its own first.
            flows: Flow i from step i + 1 to step i, past steps included.
            past: This branch's features of up to two past steps.

        Returns:
            This branch's features, past ones included.
        """
        done = list(past)
        for known in seen:
            step = len(done)
            aligned = torch.zeros_like(known[0])
            if step > 0:
                flow_1 = flows[step - 1]
                feature_2, flow_2 = torch.zeros_like(done[-1]), torch.zeros_like(flow_1)
                if step > 1:
                    feature_2 = done[-2]
                    flow_2 = flow_1 + flow_warp(flows[step - 2], flow_1)
                aligned = self.align[branch](known[0], done[-1], feature_2, flow_1, flow_2)
            feature = aligned + self.trunks[branch](torch.cat((*known, aligned), dim=1))
            known.append(feature)
            done.append(feature)
        return done

    def _features(self, frame: Tensor) -> Tensor:
        features: Tensor
        if self.scale == 4:
            features = self.extract(frame)
        else:
            features = self.extract(self.shrink(self._padded(frame)))
        return features

    def _padded(self, picture: Tensor) -> Tensor:
        """Pad to multiples of four if features have a quarter of the size."""
        height, width = picture.shape[-2:]
        if self.scale == 4 or (height % 4 == 0 and width % 4 == 0):
            return picture
        return F.pad(picture, (0, -width % 4, 0, -height % 4), mode="replicate")

    def _flow_size(self, picture: Tensor) -> Tensor:
        if self.scale == 4:
            return picture
        # The published weights were trained without antialiasing, unlike `ops.resize`.
        return F.interpolate(
            self._padded(picture), scale_factor=0.25, mode="bicubic", align_corners=False
        )

    def _packed(self, feature: Tensor, lq: Tensor) -> Tensor:
        """Bring features to the size of the frames; only cells cut by the border lose some."""
        if self.scale == 4:
            return feature
        return F.pixel_shuffle(feature, 4)[..., : lq.shape[-2], : lq.shape[-1]]

    def _unpacked(self, state: State | None) -> tuple[Sequence[Tensor], ...]:
        """Split the state into pictures and the features of both forward branches."""
        if state is None:
            return (), (), ()
        count = len(state) // 3
        features = state[count:]
        if self.scale == 1:
            features = tuple(F.pixel_unshuffle(self._padded(feature), 4) for feature in features)
        return state[:count], features[:count], features[count:]


class Alignment(Recomputable):
    """Align the features of the two previous frames to the current one.

    Convolutions predict, per group of channels and per tap, an offset from the flow (at most 10
    pixels) and a weight. Offsets are float32.

    Args:
        channels: Of each feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 2 * channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.offset = nn.Sequential(
            nn.Conv2d(3 * channels + 4, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(channels, 27 * _GROUPS, 3, padding=1),
        )
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        # Starts as alignment by flow alone, every tap half open (Chan et al., sec. 3.2).
        nn.init.zeros_(self.offset[6].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.offset[6].bias)  # type: ignore[arg-type]

    def forward(
        self, current: Tensor, feature_1: Tensor, feature_2: Tensor, flow_1: Tensor, flow_2: Tensor
    ) -> Tensor:
        """Align the features of two frames.

        Args:
            current: The frame's own features, (N, C, H, W).
            feature_1, feature_2: Of the previous frame and the one before it, (N, C, H, W).
            flow_1, flow_2: From the current frame to these, (N, 2, H, W), pixels, (dx, dy).

        Returns:
            (N, C, H, W).
        """
        warped_1, warped_2 = flow_warp(feature_1, flow_1), flow_warp(feature_2, flow_2)
        found = self.offset(torch.cat((warped_1, current, warped_2, flow_1, flow_2), dim=1))
        # Contiguous once, or each following step would convert from channels_last.
        offset, mask = found.float().contiguous().split((18 * _GROUPS, 9 * _GROUPS), dim=1)
        # Half of the groups read each feature; (dy, dx) per tap.
        flows = torch.stack((flow_1, flow_2), dim=1).flip(2).unsqueeze(2)
        moves = offset.tanh().unflatten(1, (2, 9 * _GROUPS // 2, 2))
        offset = torch.add(flows, moves, alpha=_LONGEST_OFFSET).flatten(1, 3)
        return deform_conv(
            torch.cat((feature_1, feature_2), dim=1).contiguous(),
            offset,
            mask.sigmoid(),
            self.weight,
            self.bias,
        )
