"""The matrices by which YUV is made of RGB, by their codes in ITU-T H.273, table 4."""

from __future__ import annotations

from vsr.media.probe import VideoInfo

UNSPECIFIED = 2
BT709, BT470BG, SMPTE170M, GBR = 1, 5, 6, 0
BT709_WEIGHTS = (0.2126, 0.0722)
_WEIGHTS = {  # (Kr, Kb)
    1: BT709_WEIGHTS,
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


def assumed_matrix(width: int, height: int) -> int:
    """Give the H.273 matrix that players assume for untagged video of this size."""
    if height > 576 or width > 1024:
        return BT709
    return BT470BG if height == 576 else SMPTE170M


def luma_weights(video: VideoInfo) -> tuple[float, float]:
    """Give the shares of red and of blue in the luma of a film, as `ops.color` reads it."""
    by_size = assumed_matrix(video.width, video.height)
    return _WEIGHTS.get(video.color.matrix, _WEIGHTS[by_size])
