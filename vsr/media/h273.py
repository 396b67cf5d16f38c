"""Colours by their code points in ITU-T H.273: which mean the same, what untagged video is."""

from __future__ import annotations

from vsr.media.probe import VideoInfo

UNSPECIFIED = 2
BT709, BT470BG, SMPTE170M, GBR = 1, 5, 6, 0  # matrices
MATRIX_NAMES = {1: "BT.709", 4: "FCC", 5: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
HDR_TRANSFERS = (16, 18)  # PQ (SMPTE ST 2084) and HLG (ARIB STD-B67)
_SAME_MATRIX = {6: 5, 10: 9}  # 10, of constant luminance, is read as 9
BT709_WEIGHTS = (0.2126, 0.0722)
_WEIGHTS = {  # (Kr, Kb), table 4
    1: BT709_WEIGHTS,
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


def one_matrix(code: int) -> int:
    """Give one code for the matrices that are the same."""
    return _SAME_MATRIX.get(code, code)


def assumed_matrix(width: int, height: int) -> int:
    """Give the matrix that players assume for untagged video of this size."""
    if height > 576 or width > 1024:
        return BT709
    return BT470BG if height == 576 else SMPTE170M


def luma_weights(video: VideoInfo) -> tuple[float, float]:
    """Give the shares of red and of blue in the luma of a film, as `ops.color` reads it."""
    by_size = one_matrix(assumed_matrix(video.width, video.height))
    return _WEIGHTS.get(one_matrix(video.color.matrix), _WEIGHTS[by_size])
