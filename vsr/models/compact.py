"""The project's own network: BasicVSR's idea drawn for cost, aligned by Lucas-Kanade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.models.clean import Clean, keep_grey
from vsr.models.contract import State, TrainableNetwork, TrainingOutput
from vsr.models.flow import lucas_kanade
from vsr.models.layers import Stage, Trunk, for_frames, in_cache
from vsr.ops.resize import sub_pixel_kernel, sub_pixels
from vsr.ops.warp import flow_warp

MEMORY_BOUND = 1.0
"""Largest size of a feature that is remembered; those of natural footage seldom reach it."""


_ROWS = {2: torch.complex64, 4: torch.complex128}
"""By scale, a dtype as large as so many values in float32; nothing is computed in it."""


class Compact(TrainableNetwork):
    """Bidirectional recurrent super-resolution with warped neighbours' features.

    A backward trunk walks from the last frame to the first, then a forward trunk from the first
    to the last, each seeing its own feature of the frame before, warped by flow; the forward one
    also sees the backward feature. A sub-pixel tail adds detail to the bicubic picture. Its last
    layer starts at zero, so an untrained network is exactly bicubic.

    Features are bounded by `MEMORY_BOUND`. Without it, weights that score well on short clips let
    them grow from frame to frame in some films until nothing of the picture was left; held once,
    such a growth dies away.

    Flow comes from `lucas_kanade`, which needs no training, plus a small learned correction.

    Works on any size and length; not causal: the backward trunk sees all frames of the window.

    Args:
        scale: Upscaling factor.
        channels: Features in both trunks.
        blocks: Residual blocks in each trunk.
        clean: Put a cleaning stage (`clean.Clean`) before flow and propagation.

    Attributes:
        min_size: 1: no padding needed.

    Source: BasicVSR (Chan et al., CVPR 2021) for the propagation; ESPCN (Shi et al., CVPR 2016)
    for the tail.
    """

    min_size = 1
    bicubic: Tensor

    def __init__(
        self, *, scale: int = 4, channels: int = 48, blocks: int = 5, clean: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.clean = Clean() if clean else None
        self.refine = FlowCorrection()
        self.backward_trunk = Trunk(3 + channels, channels, blocks)
        self.forward_trunk = Trunk(3 + 2 * channels, channels, blocks)
        self.tail = Stage(
            nn.Conv2d(channels, 64, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(64, 3 * scale**2, 3, padding=1),
        )
        self.register_buffer("bicubic", sub_pixel_kernel(scale), persistent=False)
        last = self.tail[2]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window; see `contract.VideoNetwork`."""
        made, state = self.forward_with_flow(lq, state, lookahead)
        return made.sr, state

    def forward_for_training(self, lq: Tensor, state: State | None = None) -> TrainingOutput:
        """Upscale a clip; see `contract.TrainableNetwork`."""
        return self.forward_with_flow(lq, state)[0]

    def flow_parameters(self) -> Iterable[nn.Parameter]:
        """Those of the learned correction."""
        return self.refine.parameters()

    def forward_with_flow(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[TrainingOutput, State]:
        """Upscale a window and show the flow that aligned it.

        Args:
            lq: (N, T, 3, H, W), RGB, 0 to 1.
            state: Feature, picture and, with a cleaning stage, picture before cleaning of the last
                frame of the window before; or None.
            lookahead: Last frames that only the backward trunk sees.

        Returns:
            `sr` (N, T - lookahead, 3, H * scale, W * scale), flows in pixels and, with a cleaning
            stage, the cleaned input; and the state for the next window.

        Raises:
            ValueError: If no frame is left to upscale.
        """
        length = lq.shape[1]
        if not 0 <= lookahead < length:
            raise ValueError(f"lookahead {lookahead} in a window of {length} frames")
        shown = length - lookahead
        came = lq
        if self.clean is not None:
            lq = self.clean.frames(lq, None if state is None else state[2], length)
        to_previous, to_next = self._flows(lq)
        backward = self._propagate_backward(lq, to_next)

        frames = _channels_last(lq[:, :shown])
        of_lq, of_backward, of_feature = self.forward_trunk.shares(3, self.channels, self.channels)
        feature: Tensor | None = None
        if state is not None:
            feature = flow_warp(state[0], self._flow(lq[:, 0], state[1]))

        def features() -> Iterator[Tensor]:
            nonlocal feature
            seen = for_frames(lambda x, y: of_backward(y, add=of_lq(x)), frames, backward[:shown])
            for i, x in enumerate(seen):
                if i > 0:
                    assert feature is not None
                    feature = flow_warp(feature, to_previous[:, i - 1])
                x = x if feature is None else of_feature(feature, add=x)
                feature = bounded(self.forward_trunk(x))
                yield feature

        sr = _shuffled(for_frames(self._enlarged, frames, features()), shown, self.scale)
        assert feature is not None
        if self.clean is None:
            return TrainingOutput(sr, to_previous, to_next), (feature, lq[:, shown - 1])
        state = (feature, lq[:, shown - 1], came[:, shown - 1])
        return TrainingOutput(sr, to_previous, to_next, lq), state

    def _enlarged(self, frame: Tensor, feature: Tensor) -> Tensor:
        """The picture of a frame, as sub-pixels."""
        detail = keep_grey(self.tail(feature).float(), frame)
        return detail + sub_pixels(frame, self.bicubic)

    def _flow(self, reference: Tensor, neighbour: Tensor) -> Tensor:
        return in_cache(self.refine, reference, neighbour, lucas_kanade(reference, neighbour))

    def _flows(self, lq: Tensor) -> tuple[Tensor, Tensor]:
        """Both directions in one batch, (N, T - 1, 2, H, W) each."""
        batch, length, channels, height, width = lq.shape
        if length == 1:
            none = lq.new_zeros(batch, 0, 2, height, width, dtype=torch.float32)
            return none, none
        earlier = lq[:, :-1].reshape(-1, channels, height, width)
        later = lq[:, 1:].reshape(-1, channels, height, width)
        reference, neighbour = torch.cat((later, earlier)), torch.cat((earlier, later))
        flow = self._flow(reference, neighbour)
        to_previous, to_next = flow.view(2, batch, length - 1, 2, height, width)
        return to_previous, to_next

    def _propagate_backward(self, lq: Tensor, to_next: Tensor) -> list[Tensor]:
        """Features of all frames, each knowing the frames after it."""
        of_lq, of_feature = self.backward_trunk.shares(3, self.channels)
        seen = for_frames(of_lq, _channels_last(lq)[::-1])
        features: list[Tensor] = []
        for i, x in zip(reversed(range(lq.shape[1])), seen, strict=True):
            if features:
                x = of_feature(flow_warp(features[-1], to_next[:, i]), add=x)
            features.append(bounded(self.backward_trunk(x)))
        return features[::-1]


def _channels_last(lq: Tensor) -> list[Tensor]:
    """(N, T, C, H, W) to (N, C, H, W) for each frame."""
    return [frame.contiguous(memory_format=torch.channels_last) for frame in lq.unbind(1)]


def _shuffled(pictures: Iterator[Tensor], length: int, scale: int) -> Tensor:
    """(N, 3 * scale**2, H, W) for each of `length` frames to (N, length, 3, H * scale, W * scale).

    Without gradients each goes to its place as it is made; on a CPU the sub-pixels of a pixel's row
    as one value where there is a dtype of that size, which is faster.
    """
    if torch.is_grad_enabled():
        return torch.stack([F.pixel_shuffle(picture, scale) for picture in pictures], dim=1)
    first = next(pictures)
    count, channels, height, width = first.shape
    colours = channels // scale**2
    made = first.new_empty(count, length, colours, height, scale, width, scale)
    on_cpu = first.device.type == "cpu" and first.dtype == torch.float32
    row = _ROWS.get(scale, first.dtype) if on_cpu else first.dtype
    places = made.view(row)
    for i, picture in enumerate(chain([first], pictures)):
        pixels = picture.permute(0, 2, 3, 1).contiguous()
        subs = pixels.view(count, height, width, colours, scale, scale).view(row)
        places[:, i].copy_(subs.permute(0, 3, 1, 4, 2, 5))
    return made.view(count, length, colours, height * scale, width * scale)


def bounded(feature: Tensor) -> Tensor:
    """Hold a feature within `MEMORY_BOUND`; without gradients in place."""
    if torch.is_grad_enabled():
        return feature.clamp(-MEMORY_BOUND, MEMORY_BOUND)
    return feature.clamp_(-MEMORY_BOUND, MEMORY_BOUND)


class FlowCorrection(nn.Module):
    """A learned correction of a flow field, from what still differs after warping with it.

    Starts at zero, so an untrained one changes nothing.
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(8, channels, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 2 * 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        last = self.layers[4]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, reference: Tensor, neighbour: Tensor, flow: Tensor) -> Tensor:
        """Correct `flow` from reference to neighbour, (N, 2, H, W) in pixels, float32."""
        height, width = flow.shape[-2:]
        warped = flow_warp(neighbour, flow, padding="border")
        correction = self.layers(torch.cat((reference, warped, flow / 8), dim=1))
        corrected: Tensor = flow + correction[..., :height, :width].float()
        return corrected
