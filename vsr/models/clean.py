"""The cleaning stage: noise and blocks go before anything is aligned, propagated or enlarged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.models.contract import State, TrainableNetwork, VideoNetwork
from vsr.models.layers import ResidualBlock, Stage, for_frames

_NEIGHBOURHOOD = 9
_COLOURED = 2 / 255
_SIZE = 8.0


class Clean(TrainableNetwork):
    """A correction of each frame, from the frame and its two neighbours as they are.

    Works at half the size inside, on 2x2 blocks of pixels as channels. Its last layer starts at
    zero, so an untrained one changes nothing. Where a picture has no colour, neither has the
    correction.

    At the ends of a segment, and at the end of a window without lookahead, the frame itself stands
    in for the missing neighbour.

    Args:
        channels: Features.
        blocks: Residual blocks.

    Attributes:
        scale: 1: the size stays.
        min_size: 1: no padding needed.
        strength: Share of the correction that is taken, 0 to 1.

    Source: RealBasicVSR (Chan et al., CVPR 2022), sec. 3.2, for cleaning before propagation;
    FastDVDnet (Tassano et al., CVPR 2020) for neighbours without alignment.
    """

    scale = 1
    min_size = 1

    def __init__(self, *, channels: int = 64, blocks: int = 8) -> None:
        super().__init__()
        self.channels = channels
        self.strength = 1.0
        self.body = Stage(
            nn.Conv2d(4 * 12, channels, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            *(ResidualBlock(channels) for _ in range(blocks)),
            nn.Conv2d(channels, 12, 3, padding=1),
        )
        last = self.body[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Clean a window; see `contract.VideoNetwork`. The state is the last frame as it came."""
        length = lq.shape[1]
        if not 0 <= lookahead < length:
            raise ValueError(f"lookahead {lookahead} in a window of {length} frames")
        shown = length - lookahead
        cleaned = self.frames(lq, None if state is None else state[0], shown)
        return cleaned, (lq[:, shown - 1],)

    def frames(self, lq: Tensor, before: Tensor | None, shown: int) -> Tensor:
        """Clean the first frames of a window.

        Args:
            lq: (N, T, 3, H, W), 0 to 1.
            before: The frame before them, (N, 3, H, W), or None.
            shown: How many are cleaned, 1 to T.

        Returns:
            (N, shown, 3, H, W).
        """
        if not self.strength:
            return lq[:, :shown]
        frames = list(lq[:, : shown + 1].unbind(1))
        earlier = [frames[0] if before is None else before, *frames[: shown - 1]]
        later = [*frames[1:], frames[-1]][:shown]
        return torch.stack(list(for_frames(self._cleaned, frames[:shown], earlier, later)), dim=1)

    def _cleaned(self, frame: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
        seen = torch.cat((frame - 0.5, _prominent(frame, [earlier, later])), dim=1)
        height, width = frame.shape[-2:]
        padded = F.pad(seen, (0, width % 2, 0, height % 2), mode="replicate")
        blocks = F.pixel_unshuffle(padded, 2).contiguous(memory_format=torch.channels_last)
        correction = F.pixel_shuffle(self.body(blocks), 2)[..., :height, :width] / _SIZE
        return frame + self.strength * keep_grey(correction.float(), frame)


def _prominent(frames: Tensor, neighbours: list[Tensor]) -> Tensor:
    """Show what noise and blocks do: detail, and differences to the neighbours, both near size one.

    Beside the brightness of a picture they would be a hundredth of what the first layer sees, and
    training would take long to find them.
    """
    around = F.pad(frames, (2, 2, 2, 2), mode="replicate")
    detail = frames - F.avg_pool2d(around, 5, stride=1)
    return _SIZE * torch.cat((detail, *(other - frames for other in neighbours)), dim=1)


class Cleaned(nn.Module):
    """A network behind a cleaning stage; see `contract.VideoNetwork`.

    Args:
        stage: Cleans all frames that the network sees.
        network: Any other.

    Attributes:
        scale, min_size: Those of the network.
    """

    def __init__(self, stage: Clean, network: VideoNetwork) -> None:
        super().__init__()
        self.stage = stage
        self.network = network
        self.scale = network.scale
        self.min_size = network.min_size

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Clean and upscale a window; the last entry of the state is the last frame as it came."""
        length = lq.shape[1]
        cleaned = self.stage.frames(lq, None if state is None else state[-1], length)
        sr, after = self.network(cleaned, None if state is None else state[:-1], lookahead)
        return sr, (*after, lq[:, length - lookahead - 1])


def keep_grey(correction: Tensor, picture: Tensor) -> Tensor:
    """Take the colour out of a correction where the picture has none.

    The colour of a correction fades where no pixel nearby differs between channels by two of 255
    levels, and is gone where none differs at all: black-and-white film stays so, to the bit.

    Args:
        correction: (N, 3, H, W), or (N, 3 * S, H, W) for S sub-pixels in the order of
            `nn.PixelShuffle`.
        picture: (N, 3, H, W), 0 to 1.

    Returns:
        The shape of `correction`.
    """
    spread = (picture.amax(1, keepdim=True) - picture.amin(1, keepdim=True)).float()
    half = _NEIGHBOURHOOD // 2
    rows = F.max_pool2d(spread, (_NEIGHBOURHOOD, 1), stride=1, padding=(half, 0))
    near = F.max_pool2d(rows, (1, _NEIGHBOURHOOD), stride=1, padding=(0, half))
    colour = (near / _COLOURED).clamp(max=1).to(correction)
    # Channels last: what the convolution before gives, and what its sums are fast in.
    count, _, height, width = correction.shape
    pixels = correction.permute(0, 2, 3, 1).reshape(count, height, width, 3, -1)
    grey = (pixels[..., :1, :] + pixels[..., 1:2, :]).add_(pixels[..., 2:, :]).div_(3)
    kept = grey.lerp(pixels, colour.permute(0, 2, 3, 1)[..., None])
    return kept.flatten(3).permute(0, 3, 1, 2)
