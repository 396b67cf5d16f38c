"""Colours as plain numbers: code points of ITU-T H.273, chroma subsampling, luma weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Matrix = Literal["bt601", "bt709", "bt2020", "smpte240m", "fcc"]
Chroma = Literal["gray", "420", "422", "444", "440", "411", "410", "rgb"]
Siting = Literal["left", "center", "topleft"]

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {  # (Kr, Kb), H.273 table 4
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}
MATRIX_OF_CODE: dict[int, Matrix] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
}
SUBSAMPLING: dict[Chroma, tuple[int, int]] = {  # (vertical, horizontal)
    "gray": (1, 1),
    "420": (2, 2),
    "422": (1, 2),
    "444": (1, 1),
    "440": (2, 1),
    "411": (1, 4),
    "410": (4, 4),
    "rgb": (1, 1),
}
UNSPECIFIED = 2
BT709, BT470BG, SMPTE170M, GBR = 1, 5, 6, 0  # matrices
PRIMARIES_NAMES = {
    1: "BT.709", 4: "BT.470 M", 5: "BT.601 625", 6: "BT.601 525", 7: "SMPTE 240M", 8: "film",
    9: "BT.2020", 10: "XYZ", 11: "DCI P3", 12: "P3", 22: "EBU 3213",
}  # fmt: skip
TRANSFER_NAMES = {
    1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 7: "SMPTE 240M", 8: "linear",
    9: "log 100:1", 10: "log 316:1", 11: "xvYCC", 12: "BT.1361", 13: "sRGB", 14: "BT.2020, 10 bit",
    15: "BT.2020, 12 bit", 16: "PQ", 17: "DCI", 18: "HLG",
}  # fmt: skip
MATRIX_NAMES = {
    0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 8: "YCgCo",
    9: "BT.2020", 10: "BT.2020, constant luminance", 14: "ICtCp",
}  # fmt: skip
RANGE_NAMES = {1: "limited", 2: "full"}  # FFmpeg's codes
LINEAR = 8  # transfer
HDR_TRANSFERS = (16, 18)  # PQ (SMPTE ST 2084) and HLG (ARIB STD-B67)
_SAME_MATRIX = {6: 5, 10: 9}  # 10, of constant luminance, is read as 9
BT709_WEIGHTS = LUMA_WEIGHTS["bt709"]


def one_matrix(code: int) -> int:
    """One code for matrices that are the same."""
    return _SAME_MATRIX.get(code, code)


def assumed_matrix(width: int, height: int) -> int:
    """Matrix that players assume for untagged video of this size."""
    if height > 576 or width > 1024:
        return BT709
    return BT470BG if height == 576 else SMPTE170M


def luma_weights(matrix: int, width: int, height: int) -> tuple[float, float]:
    """Shares of red and blue (Kr, Kb) in the luma of a film, as `ops.color` reads it."""
    by_size = MATRIX_OF_CODE[assumed_matrix(width, height)]
    return LUMA_WEIGHTS[MATRIX_OF_CODE.get(one_matrix(matrix), by_size)]


def numbered(names: Mapping[int, str], code: int) -> str:
    """Name and number of a code: "HLG (18)"."""
    if code == UNSPECIFIED:
        return "untagged"
    return f"{names[code]} ({code})" if code in names else str(code)
