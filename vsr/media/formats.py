"""Pixel formats: decoded frames to planes, planes to encoders, HDR metadata.

swscale unpacks and packs where it moves samples without changing them, as
`tests/media/test_formats.py` shows for every format; the exceptions are read and written here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vsr.color import SUBSAMPLING, Chroma
from vsr.media.probe import HdrMetadata
from vsr.media.types import Plane, PlaneFormat

# Not integers of one matrix, or packed so that swscale cannot read or FFmpeg never decodes them.
_UNREADABLE = re.compile(r"bayer|xyz|f16|f32|msb|uyyvyy|(rgb|bgr)4$|^(y2|x2|xv|v30).*be$")
_GBR_ORDER = (2, 0, 1)  # the planes of "gbrp" that hold R, G and B


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """How the samples of a pixel format become planar.

    Attributes:
        format: The planar format of the outcome.
        order: Which planes hold luma and chroma, or R, G and B.
        through: Formats that swscale brings a frame to first, the last one planar. Empty for
            planar formats, whose planes are read in place: swscale changes samples of "gbrap10le".
    """

    format: PlaneFormat
    order: tuple[int, ...]
    through: tuple[str, ...] = ()


def packing_of(pix_fmt: str) -> Packing | None:
    """Describe a pixel format; None for float, hardware, Bayer and XYZ formats."""
    layout = av.VideoFormat(pix_fmt, 16, 16)
    planar = _planar_format(layout)
    if planar is None or _UNREADABLE.search(pix_fmt):
        return None
    parts = [part for part in layout.components if not part.is_alpha]
    few_bits = layout.has_palette or parts[0].bits < 8
    own_planes = len({part.plane for part in layout.components}) == len(layout.components)
    if own_planes and not few_bits:
        order = tuple(part.plane for part in parts)
        return Packing(format=planar, order=order)
    return Packing(
        format=planar,
        order=_order(planar),
        # Straight to planes, swscale fills up five bits with zeros.
        through=("rgb24", planar.name) if few_bits else (planar.name,),
    )


def plane_format(name: str) -> PlaneFormat | None:
    """Layout of the planes from which frames of a pixel format can be filled.

    Args:
        name: FFmpeg name; of the packed ones only those in `PLANAR_TWINS`.

    Returns:
        The planar layout, or None for what cannot be encoded from integer planes: alpha, palettes,
        float, big-endian and bit-packed formats.
    """
    twin = PLANAR_TWINS.get(name, name)
    try:
        planar = _planar_format(av.VideoFormat(twin, 16, 16))
    except ValueError:
        return None
    return planar if planar is not None and planar.name == twin else None


def _planar_format(layout: av.VideoFormat) -> PlaneFormat | None:
    """Planar format with the same samples but alpha; of formats with few bits, 8-bit RGB."""
    parts = [part for part in layout.components if not part.is_alpha]
    if len(parts) not in (1, 3) or parts[0].bits > 16:  # hardware formats have none
        return None
    bits = parts[0].bits
    if layout.has_palette or bits < 8:
        return PlaneFormat(name="gbrp", chroma="rgb", bit_depth=8)
    chroma, full = _chroma_of(layout, len(parts)), layout.name.startswith("yuvj")
    if chroma is None:
        return None
    stem = {"gray": "gray", "rgb": "gbrp"}.get(chroma, f"yuv{'j' if full else ''}{chroma}p")
    name = stem if bits == 8 else f"{stem}{bits}le"
    return PlaneFormat(name=name, chroma=chroma, bit_depth=bits, full_range=full)


def _chroma_of(layout: av.VideoFormat, parts: int) -> Chroma | None:
    if parts == 1:
        return "gray"
    if layout.is_rgb:
        return "rgb"
    factors = (16 // layout.chroma_height(16), 16 // layout.chroma_width(16))
    kinds = ((kind, found) for kind, found in SUBSAMPLING.items() if kind not in ("gray", "rgb"))
    return next((kind for kind, found in kinds if found == factors), None)


def _order(planar: PlaneFormat) -> tuple[int, ...]:
    return {"gray": (0,), "rgb": _GBR_ORDER}.get(planar.chroma, (0, 1, 2))


def shares_chroma(name: str) -> bool:
    """Whether several pixels of a format share a sample of chroma, which then has a siting."""
    layout = av.VideoFormat(name, 16, 16)
    if layout.is_rgb or len(layout.components) < 3:
        return False
    return (layout.chroma_width(16), layout.chroma_height(16)) != (16, 16)


def has_alpha(name: str) -> bool:
    """Whether a pixel format has an alpha channel."""
    return any(part.is_alpha for part in av.VideoFormat(name).components)


def frame_planes(
    frame: VideoFrame, packing: Packing, reformatter: VideoReformatter
) -> tuple[Plane, ...]:
    """Read the planes of a frame, luma first or R, G, B.

    Planar frames are not copied: the arrays keep the frame alive and must not be written to, as
    the decoder may still refer to it.

    Args:
        frame: Of the pixel format that `packing` describes.
        reformatter: Used for packed formats; one per decoder, because PyAV 18 otherwise keeps a
            scaler in every frame.
    """
    for name in packing.through:
        frame = reformatter.reformat(frame, format=name, threads=1)
    end = ">" if frame.format.is_big_endian else "<"
    dtype = np.dtype("u1" if packing.format.bit_depth == 8 else f"{end}u2")
    return tuple(_native(_visible(frame.planes[index], dtype)) for index in packing.order)


def _visible(plane: VideoPlane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View a plane without its padding, top row first."""
    buffer: Any = plane  # PyAV's planes have the buffer protocol; its stubs do not say so
    rows: NDArray[Any] = np.frombuffer(buffer, dtype)
    rows = rows.reshape(-1, abs(plane.line_size) // dtype.itemsize)
    # A bottom-up picture (vflip, some AVI and BMP) has a negative line size.
    rows = rows[::-1] if plane.line_size < 0 else rows
    return rows[: plane.height, : plane.width]


def _native(plane: NDArray[Any]) -> Plane:
    """Copy only what torch cannot take: foreign byte order and negative strides."""
    if plane.dtype.byteorder == ">":
        return plane.astype(np.uint16)
    return plane if plane.strides[0] > 0 else np.ascontiguousarray(plane)


# Formats of encoders whose samples only lie in another order than in a planar one.
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


def choose_pixel_format(source: PlaneFormat, supported: Sequence[str]) -> PixelFormatChoice | None:
    """Choose the smallest format that keeps all the source holds, otherwise the nearest.

    RGB goes to RGB planes, else to 4:4:4; chroma resolution goes before bit depth where an encoder
    offers only one of the two.

    Args:
        source: Ideal layout of the frames to encode.
        supported: FFmpeg names of what the encoder takes.

    Returns:
        The choice with its losses, or None where no supported format can be filled.
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
    had, has = SUBSAMPLING[source.chroma], SUBSAMPLING[planes.chroma]
    if source.chroma != "gray" and planes.chroma == "gray":
        losses.append("colour becomes grey")
    elif source.chroma != "gray" and (has[0] > had[0] or has[1] > had[1]):
        losses.append(f"colour resolution falls from {source.chroma} to {planes.chroma}")
    return tuple(losses)


def _samples(planes: PlaneFormat) -> float:
    """Samples per pixel; RGB counts a little more than 4:4:4, so that YUV stays YUV."""
    if planes.chroma == "gray":
        return 1.0
    down, across = SUBSAMPLING[planes.chroma]
    return 1 + 2 / (across * down) + (0.1 if planes.chroma == "rgb" else 0)


def fits(planes: PlaneFormat, width: int, height: int) -> bool:
    """Whether a picture size is a whole number of chroma samples."""
    down, across = SUBSAMPLING[planes.chroma]
    return width % across == 0 and height % down == 0


def plane_shapes(planes: PlaneFormat, width: int, height: int) -> list[tuple[int, int]]:
    """Rows and columns of each plane of a picture."""
    down, across = SUBSAMPLING[planes.chroma]
    chroma = (-(-height // down), -(-width // across))
    return [(height, width)] + ([] if planes.chroma == "gray" else [chroma] * 2)


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
        pix_fmt: Pixel format of the encoder.
        width, height: Picture size in luma samples.
        base: A frame of that size and of the planar format to fill; a new one without it.

    Raises:
        ValueError: Number, shape or type of the planes do not fit.
    """
    layout = plane_format(pix_fmt)
    if layout is None:
        raise ValueError(f"cannot fill frames of {pix_fmt}")
    wanted = plane_shapes(layout, width, height)
    dtype = np.dtype(np.uint8 if layout.bit_depth == 8 else np.uint16)
    if [plane.shape for plane in planes] != wanted or any(p.dtype != dtype for p in planes):
        got = ", ".join(f"{plane.shape} {plane.dtype}" for plane in planes)
        raise ValueError(f"wanted planes {wanted} of {dtype} ({layout.name}), got {got}")
    frame = base or av.VideoFrame(width, height, layout.name)
    for index, samples in zip(_order(layout), planes, strict=True):
        _visible(frame.planes[index], dtype)[:] = samples
    return frame if layout.name == pix_fmt else _packed(frame, pix_fmt, dtype)


def _packed(planar: av.VideoFrame, pix_fmt: str, dtype: np.dtype[Any]) -> av.VideoFrame:
    frame = planar.reformat(format=pix_fmt, threads=1)
    if pix_fmt == "p010le" and planar.width % 2:
        # swscale leaves out the last column of chroma; the ten bits are the high ones.
        chroma = np.stack([_visible(plane, dtype) for plane in planar.planes[1:]], axis=-1)
        buffer: Any = frame.planes[1]
        pairs = np.frombuffer(buffer, dtype).reshape(-1, frame.planes[1].line_size // 2)
        pairs[: len(chroma), : 2 * chroma.shape[1]] = chroma.reshape(len(chroma), -1) << 6
    return frame


# H.265 (D.3.28): chromaticities in steps of 0.00002, luminances in steps of 0.0001 cd/m2.
CHROMATICITY_STEPS = 50000
LUMINANCE_STEPS = 10000
# Its ranges; decoders take values beyond them for unknown. A darkest luminance of 0 is usual.
CHROMATICITY_X = (Fraction(5, CHROMATICITY_STEPS), Fraction(37000, CHROMATICITY_STEPS))
CHROMATICITY_Y = (Fraction(5, CHROMATICITY_STEPS), Fraction(42000, CHROMATICITY_STEPS))
BRIGHTEST, DARKEST = (5, 10000), (0, 5)
MOST_LIGHT = 65535  # cd/m2, 16 bits


def carried_hdr(
    codec: str, hdr: HdrMetadata | None
) -> tuple[HdrMetadata | None, dict[str, str], tuple[str, ...]]:
    """HDR10 metadata as far as they are valid and an encoder can carry them.

    Args:
        codec: FFmpeg encoder name.
        hdr: Of the source.

    Returns:
        What will be in the stream; the keys and values for `x264-params`, `x265-params` or
        `svtav1-params`; a sentence for each part that is left out.
    """
    if hdr is None:
        return None, {}, ()
    notes = []
    if fault := _display_fault(hdr):
        notes.append(f"the HDR10 mastering display of the input is left out: {fault}")
        hdr = replace(hdr, **dict.fromkeys(_DISPLAY))
    lights = hdr.max_content_light or 0, hdr.max_frame_average_light or 0
    if max(lights) > MOST_LIGHT:
        notes.append(
            f"the HDR10 light levels of the input ({lights[0]} and {lights[1]} cd/m2) are left "
            f"out: at most {MOST_LIGHT} can be stored"
        )
    if not any(lights) or max(lights) > MOST_LIGHT:  # 0 means unknown
        hdr = replace(hdr, max_content_light=None, max_frame_average_light=None)
    if hdr == HdrMetadata():
        return None, {}, tuple(notes)
    parameters = encoder_parameters(codec, hdr)
    if parameters is None:
        notes.append(
            f"{codec} cannot carry the HDR10 mastering metadata of the input; "
            "it is left out (libx265 and libsvtav1 carry it)"
        )
        return None, {}, tuple(notes)
    return hdr, parameters, tuple(notes)


_DISPLAY = ("red", "green", "blue", "white", "min_luminance", "max_luminance")


def _display_fault(hdr: HdrMetadata) -> str:
    """Why a mastering display cannot be stored; empty if it can, or there is none."""
    points = {name: getattr(hdr, name) for name in ("red", "green", "blue", "white")}
    dark, bright = hdr.min_luminance, hdr.max_luminance
    if dark is None and bright is None and not any(points.values()):
        return ""
    missing = [name for name, point in points.items() if point is None]
    if missing:
        return f"its {', '.join(missing)} is missing, and all of it is stored or none"
    if dark is None or bright is None:
        return "its luminances are missing, and all of it is stored or none"
    for name, (x, y) in points.items():
        ranges = (CHROMATICITY_X, CHROMATICITY_Y)
        if not all(low <= v <= high for v, (low, high) in zip((x, y), ranges, strict=True)):
            return f"its {name} at ({float(x):g}, {float(y):g}) is no colour"
    if not (
        BRIGHTEST[0] <= bright <= BRIGHTEST[1]
        and DARKEST[0] <= dark <= DARKEST[1]
        and dark < bright
    ):
        return (
            f"its luminances of {float(dark):g} to {float(bright):g} cd/m2 are no display's (the "
            f"brightest must be {BRIGHTEST[0]} to {BRIGHTEST[1]}, the darkest at most {DARKEST[1]})"
        )
    return ""


def encoder_parameters(codec: str, hdr: HdrMetadata) -> dict[str, str] | None:
    """Library parameters that carry HDR10 metadata.

    Args:
        codec: FFmpeg encoder name.

    Returns:
        Keys and values for `x264-params`, `x265-params` or `svtav1-params`; None where the encoder
        has no way to carry them.
    """
    display, light = _mastering_display(hdr, decimal=codec == "libsvtav1"), _content_light(hdr)
    known: dict[str, dict[str, str | None]] = {
        "libx265": {
            "hdr10": "1", "repeat-headers": "1", "master-display": display, "max-cll": light,
        },
        "libx264": {"mastering-display": display, "cll": light},
        "libsvtav1": {"mastering-display": display, "content-light": light},
    }  # fmt: skip
    if codec not in known:
        return None
    return {key: value for key, value in known[codec].items() if value is not None}


def _mastering_display(hdr: HdrMetadata, *, decimal: bool) -> str | None:
    """Text "G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)": in steps for x264 and x265, or decimal.

    None where primaries or luminances are missing: the text cannot leave out one of them.
    """
    if hdr.red is None or hdr.green is None or hdr.blue is None or hdr.white is None:
        return None
    if hdr.max_luminance is None or hdr.min_luminance is None:
        return None
    points = [("G", hdr.green), ("B", hdr.blue), ("R", hdr.red), ("WP", hdr.white)]
    values = [(name, pair, CHROMATICITY_STEPS, 5) for name, pair in points]
    values.append(("L", (hdr.max_luminance, hdr.min_luminance), LUMINANCE_STEPS, 4))
    written = []
    for name, pair, steps, digits in values:
        first, second = (
            f"{float(x):.{digits}f}" if decimal else str(round(x * steps)) for x in pair
        )
        written.append(f"{name}({first},{second})")
    return "".join(written)


def _content_light(hdr: HdrMetadata) -> str | None:
    """MaxCLL and MaxFALL as "1000,400"; None where neither is known."""
    if hdr.max_content_light is None and hdr.max_frame_average_light is None:
        return None
    return f"{hdr.max_content_light or 0},{hdr.max_frame_average_light or 0}"
