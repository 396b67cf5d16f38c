"""Pixel formats of encoders: which one holds what the source holds, and how planes lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from vsr.media.frames import Chroma, Plane, PlaneFormat

# (horizontal, vertical) luma samples per chroma sample.
SUBSAMPLING: dict[Chroma, tuple[int, int]] = {
    "444": (1, 1),
    "440": (1, 2),
    "422": (2, 1),
    "420": (2, 2),
    "411": (4, 1),
    "410": (4, 4),
}
# Formats that encoders want and whose samples only lie in another order than in a planar one.
PLANAR_TWINS = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "rgb24": "gbrp",
    "rgb48be": "gbrp16le",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelFormatChoice:
    """A pixel format of an encoder.

    Attributes:
        name: What the encoder is opened with ("p010le").
        planes: How the frames handed over are laid out ("yuv420p10le").
        losses: What the source holds and this format does not, as phrases.
    """

    name: str
    planes: PlaneFormat
    losses: tuple[str, ...] = ()


def plane_format(name: str) -> PlaneFormat | None:
    """Describe a pixel format by its planes.

    Args:
        name: FFmpeg name; of the packed ones only those whose samples can be put in order.

    Returns:
        The planar layout, or None for what cannot be encoded from integer planes: alpha, palettes,
        float, big-endian and bit-packed formats.
    """
    try:
        layout = av.VideoFormat(PLANAR_TWINS.get(name, name), 16, 16)
    except ValueError:
        return None
    components = layout.components
    if not components:  # formats of frames that live on a device
        return None
    planar = len({part.plane for part in components}) == len(components)
    plain = not (layout.is_big_endian or layout.has_palette or layout.is_bit_stream)
    deep = components[0].bits
    floating = any(mark in layout.name for mark in ("f16", "f32", "msb"))
    if not planar or not plain or floating or not 8 <= deep <= 16 or len(components) not in (1, 3):
        return None
    chroma = _chroma_of(layout)
    if chroma is None:
        return None
    return PlaneFormat(
        name=layout.name,
        chroma=chroma,
        bit_depth=deep,
        full_range=layout.name.startswith("yuvj"),
    )


def _chroma_of(layout: av.VideoFormat) -> Chroma | None:
    if len(layout.components) == 1:
        return "gray"
    if layout.is_rgb:
        return "rgb"
    factors = (16 // layout.chroma_width(16), 16 // layout.chroma_height(16))
    return next((chroma for chroma, found in SUBSAMPLING.items() if found == factors), None)


def shares_chroma(name: str) -> bool:
    """Tell whether several pixels share a sample of chroma, which then lies somewhere."""
    layout = av.VideoFormat(name, 16, 16)
    if layout.is_rgb or len(layout.components) < 3:
        return False
    return (layout.chroma_width(16), layout.chroma_height(16)) != (16, 16)


def has_alpha(name: str) -> bool:
    """Tell whether a pixel format has an alpha channel."""
    return any(part.is_alpha for part in av.VideoFormat(name).components)


def choose_pixel_format(source: PlaneFormat, supported: Sequence[str]) -> PixelFormatChoice | None:
    """Choose the format that keeps all the source holds, the smallest of those, or the nearest.

    RGB goes to RGB planes, else to 4:4:4; chroma resolution goes before bit depth where an encoder
    offers only one of the two.

    Args:
        source: What the frames to encode would ideally be.
        supported: FFmpeg names of what the encoder takes.

    Returns:
        The choice with its losses, or None where nothing that is supported can be filled.
    """
    choices = []
    for name in supported:
        planes = plane_format(name)
        if planes is None or planes.full_range:
            continue
        losses = _losses(source, planes)
        lost_chroma = sum("colour" in loss for loss in losses)
        deeper = planes.bit_depth - source.bit_depth
        more = _samples(planes) - _samples(source)
        rank = (lost_chroma, max(0, -deeper), abs(more), abs(deeper), planes.name != name)
        choices.append((rank, PixelFormatChoice(name=name, planes=planes, losses=losses)))
    return min(choices, key=lambda choice: choice[0])[1] if choices else None


def _losses(source: PlaneFormat, planes: PlaneFormat) -> tuple[str, ...]:
    losses = []
    if planes.bit_depth < source.bit_depth:
        losses.append(f"{source.bit_depth} bits per sample become {planes.bit_depth}")
    if source.chroma == "gray":
        return tuple(losses)
    if planes.chroma == "gray":
        losses.append("colour becomes grey")
    else:
        had, has = _factors(source.chroma), _factors(planes.chroma)
        if has[0] > had[0] or has[1] > had[1]:
            losses.append(f"colour resolution falls from {source.chroma} to {planes.chroma}")
    return tuple(losses)


def _factors(chroma: Chroma) -> tuple[int, int]:
    return SUBSAMPLING.get(chroma, (1, 1))


def _samples(planes: PlaneFormat) -> float:
    """Samples per pixel; RGB counts a little more than 4:4:4, so that YUV stays YUV."""
    if planes.chroma == "gray":
        return 1.0
    across, down = _factors(planes.chroma)
    return 1 + 2 / (across * down) + (0.1 if planes.chroma == "rgb" else 0)


def fits(planes: PlaneFormat, width: int, height: int) -> bool:
    """Tell whether a picture size is a whole number of chroma samples."""
    across, down = _factors(planes.chroma)
    return width % across == 0 and height % down == 0


def fill_frame(
    planes: Sequence[Plane],
    pix_fmt: str,
    width: int,
    height: int,
    base: av.VideoFrame | None = None,
) -> av.VideoFrame:
    """Copy planes into a frame of the encoder's pixel format, sample for sample.

    Args:
        planes: (H, W) arrays in the layout of `plane_format(pix_fmt)`, luma first or R, G, B.
        pix_fmt: What the encoder was opened with.
        width, height: Picture size in luma samples.
        base: A frame of that format and size to fill; a new one without it.

    Raises:
        ValueError: Number, shape or type of the planes do not fit.
    """
    layout = plane_format(pix_fmt)
    if layout is None:
        raise ValueError(f"cannot fill frames of {pix_fmt}")
    _check_planes(planes, layout, width, height)
    frame = base or av.VideoFrame(width, height, pix_fmt)
    views = [_view(plane, layout.bit_depth) for plane in frame.planes]
    samples: list[NDArray[Any]] = list(planes)
    if pix_fmt in ("nv12", "nv16", "p010le", "p210le"):
        shift = 6 if pix_fmt.startswith("p") else 0  # p010: the ten bits are the high ones
        chroma = np.stack(samples[1:], axis=-1).reshape(samples[1].shape[0], -1)
        _fill(views[0], samples[0] << shift)
        _fill(views[1], chroma << shift)
    elif pix_fmt in ("rgb24", "rgb48be"):
        packed = np.stack(samples, axis=-1).reshape(height, -1)
        _fill(views[0], packed.byteswap() if pix_fmt == "rgb48be" else packed)
    else:
        order = (1, 2, 0) if layout.chroma == "rgb" else range(len(samples))  # gbrp
        for view, index in zip(views, order, strict=True):
            _fill(view, samples[index])
    return frame


def _check_planes(planes: Sequence[Plane], layout: PlaneFormat, width: int, height: int) -> None:
    across, down = _factors(layout.chroma)
    chroma = (-(-height // down), -(-width // across))
    wanted = [(height, width)] if layout.chroma == "gray" else [(height, width), chroma, chroma]
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    if [plane.shape for plane in planes] != wanted or any(p.dtype != dtype for p in planes):
        got = ", ".join(f"{plane.shape} {plane.dtype}" for plane in planes)
        raise ValueError(f"wanted planes {wanted} of {np.dtype(dtype)} ({layout.name}), got {got}")


def _view(plane: VideoPlane, bit_depth: int) -> NDArray[Any]:
    dtype = np.dtype(np.uint8 if bit_depth == 8 else "<u2")
    buffer: Any = plane  # PyAV's planes have the buffer protocol; its stubs do not say so
    view: NDArray[Any] = np.frombuffer(buffer, dtype)
    return view.reshape(-1, plane.line_size // dtype.itemsize)


def _fill(view: NDArray[Any], values: NDArray[Any]) -> None:
    view[: values.shape[0], : values.shape[1]] = values
