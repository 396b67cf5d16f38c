"""JPEG and video codecs as degradations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.errors import EncodeError
from vsr.media.roundtrip import ClipPlanes, CodecSettings, round_trip
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes, to_picture

_TRIES = 5
# All encoders take it; x265 takes nothing smaller.
_LEAST_SIDE = 64
_VIDEO = ColorLayout(matrix="bt601", full_range=False, bit_depth=8, chroma="420")


def jpeg(clip: Tensor, quality: Sequence[float]) -> Tensor:
    """Compress each frame as a JPEG (4:2:0), on the CPU.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        quality: Of each frame, 0 to 100.

    Returns:
        The same shape and device, 0 to 1.
    """
    decoded = []
    for frame, value in zip(to_picture(clip), quality, strict=True):
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        done, packed = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, round(value)))
        back = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert done
        assert back is not None
        decoded.append(cv2.cvtColor(back, cv2.COLOR_BGR2RGB))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).to(clip) / 255


def compress(clip: Tensor, settings: CodecSettings) -> Tensor:
    """Send a clip through a video codec (4:2:0), on the CPU.

    It is padded to even sides of at least 64 pixels, which is what encoders take, and cut back.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        settings: Encoder and quantiser.

    Returns:
        The same shape and device, 0 to 1.

    Raises:
        EncodeError: See `round_trip`.
    """
    height, width = clip.shape[-2:]
    below, right = (max(size % 2, _LEAST_SIDE - size) for size in (height, width))
    padded = F.pad(clip.to("cpu"), (0, right, 0, below), mode="replicate")
    layout = replace(_VIDEO, full_range=settings.codec == "mjpeg")
    luma, blue, red = (plane.numpy() for plane in rgb_to_planes(padded, layout))
    planes: ClipPlanes = (luma, blue, red)
    decoded, _ = round_trip(planes, settings)
    rgb = planes_to_rgb([torch.from_numpy(plane) for plane in decoded], layout)
    return rgb[..., :height, :width].clamp(0, 1).to(clip)


def compress_with_any(
    clip: Tensor,
    codecs: Sequence[str],
    quantiser: tuple[float, float],
    gop: tuple[int, int],
    rng: np.random.Generator,
) -> Tensor:
    """Send a clip through a codec drawn at random; where it refuses, draw again.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        codecs: Names of encoders.
        quantiser, gop: Ranges drawn from.
        rng: Drawn from.

    Returns:
        The same shape and device, 0 to 1.

    Raises:
        EncodeError: If five draws in a row are refused.
    """
    refused: EncodeError | None = None
    for _ in range(_TRIES):
        settings = CodecSettings(
            codec=codecs[int(rng.integers(len(codecs)))],
            quantiser=rng.uniform(*quantiser),
            gop=int(rng.integers(gop[0], gop[1] + 1)),
        )
        try:
            return compress(clip, settings)
        except EncodeError as error:
            refused = error
    assert refused is not None
    raise refused
