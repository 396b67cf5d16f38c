"""Moments of films as pictures inside a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.data.pictures import read_pictures
from vsr.errors import DecodeError
from vsr.media.h273 import HDR_TRANSFERS
from vsr.media.options import DecodeOptions
from vsr.media.probe import SourceInfo
from vsr.report.facts import clock

# A page is to be sent by mail: bytes of all pictures together, before base64 adds a third.
PICTURE_BYTES = 3_500_000
_QUALITIES = (95, 90, 84, 76, 68, 58)
_HDR_NOTE = "HDR pictures are shown as stored, without tone mapping: paler than on an HDR display."


def packed_moment(
    pictures: Sequence[NDArray[np.uint8]], budget: int, *, seconds: Fraction, note: str
) -> dict[str, Any]:
    """Put a moment into what the page draws.

    Args:
        pictures: Of each film, (H, W, 3) uint8 RGB.
        budget: Bytes for all of them.
        seconds: When it is.
        note: A word or two beside the time, or "".
    """
    packed, quality, factor = pack(pictures, budget)
    return {
        "time": float(seconds),
        "clock": clock(seconds),
        "note": note,
        "quality": quality,
        "factor": factor,
        "images": [f"data:image/webp;base64,{base64.b64encode(p).decode()}" for p in packed],
    }


def hdr_notes(films: Sequence[SourceInfo]) -> list[str]:
    """Say how HDR is shown, if there is some."""
    return [_HDR_NOTE] if any(f.video.color.transfer in HDR_TRANSFERS for f in films) else []


def read_moment(info: SourceInfo, seconds: Fraction) -> NDArray[np.uint8]:
    """Decode one frame, turned as a player turns it."""
    for picture in read_pictures(info.path, DecodeOptions(start=seconds)):
        return np.rot90(picture.rgb, info.video.rotation // 90)
    raise DecodeError(info.path, f"the frame at {float(seconds):.3f} s was there once, now is not")


def pack(pictures: Sequence[NDArray[np.uint8]], budget: int) -> tuple[list[bytes], int, float]:
    """Encode pictures as WebP, all alike, as well as fits.

    Args:
        pictures: (H, W, 3) uint8 RGB.
        budget: Bytes for all of them.

    Returns:
        The files, the quality (0 to 100), and the factor of their sizes: 1 unless even the lowest
        quality was too large.
    """
    factor = 1.0
    while True:
        for quality in _QUALITIES:
            packed = [_webp(picture, quality, factor) for picture in pictures]
            if sum(map(len, packed)) <= budget or factor < 1 / 8:
                return packed, quality, factor
        factor /= 2


def _webp(picture: NDArray[np.uint8], quality: int, factor: float) -> bytes:
    bgr = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)
    if factor < 1:
        bgr = cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not good:
        raise ValueError(f"no WebP of a picture of {picture.shape}")
    return data.tobytes()
