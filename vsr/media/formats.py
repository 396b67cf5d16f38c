"""Pixel formats: decoded frames to planes, planes to encoders, HDR metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vsr.color import SUBSAMPLING, Chroma
from vsr.media.probe import HdrMetadata
from vsr.media.types import Plane, PlaneFormat

YUV_NAME = re.compile(r"yuv([aj]?)(4\d\d)p(9|10|12|14|16)?(le|be)?")
GRAY_NAME = re.compile(r"gray(9|10|12|14|16)?(le|be)?")
GBR_NAME = re.compile(r"gbr(a?)p(9|10|12|14|16)?(le|be)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """How the samples of a pixel format lie in its planes, and how they become planar.

    Attributes:
        kind: "planar": a plane per component; "semiplanar": luma and interleaved chroma;
            "packed": all in one plane; "bits": a bit per pixel; "converted": swscale brings it to
            `through` first.
        format: The planar format of the outcome.
        order: Planar: source planes. Semi-planar: 0 and 1 for U first. Packed: where in a group
            of `step` samples the components lie, for 4:2:2 as (Y, second Y, U, V). Bits: the
            value of white.
        shift: Samples lie in the high bits and go down by so many.
        drops_alpha: The format has an alpha channel, which is left out.
    """

    kind: Literal["planar", "semiplanar", "packed", "bits", "converted"]
    format: PlaneFormat
    order: tuple[int, ...]
    step: int = 1
    shift: int = 0
    big_endian: bool = False
    drops_alpha: bool = False
    through: str = ""


def packing_of(pix_fmt: str) -> Packing | None:
    """Describe a pixel format; None for float, hardware, Bayer and XYZ formats."""
    return _planar(pix_fmt) or _semiplanar(pix_fmt) or _packed(pix_fmt) or _converted(pix_fmt)


def frame_planes(
    frame: VideoFrame, packing: Packing, reformatter: VideoReformatter
) -> tuple[Plane, ...]:
    """Read the planes of a frame, luma first or R, G, B.

    Planar frames are not copied: the arrays keep the frame alive and must not be written to, as
    the decoder may still refer to it.

    Args:
        frame: Of the pixel format that `packing` describes.
        reformatter: Used for "converted" formats; one per decoder, because PyAV 18 otherwise
            keeps a scaler in every frame.
    """
    if packing.kind == "converted":
        frame = reformatter.reformat(frame, format=packing.through, threads=1)
        converted = packing_of(packing.through)
        assert converted is not None
        packing = converted
    if packing.kind == "bits":
        return (_from_bits(frame, white=packing.order[0]),) * 3
    wide = packing.format.bit_depth > 8
    dtype = np.dtype((">u2" if packing.big_endian else "<u2") if wide else "u1")
    if packing.kind == "planar":
        planes = [_visible(frame.planes[i], dtype) for i in packing.order]
    elif packing.kind == "semiplanar":
        chroma = frame.planes[1]
        pairs = _rows(chroma, dtype)[: chroma.height, : 2 * chroma.width]
        planes = [_visible(frame.planes[0], dtype), *(pairs[:, i::2] for i in packing.order)]
    else:
        planes = _unpack(_rows(frame.planes[0], dtype), packing, frame.width, frame.height)
    return tuple(_native(plane >> packing.shift if packing.shift else plane) for plane in planes)


def _rows(plane: VideoPlane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View a plane's memory, padding included, top row first."""
    buffer: Any = plane
    line = abs(plane.line_size) // dtype.itemsize
    rows: NDArray[Any] = np.frombuffer(buffer, dtype).reshape(-1, line)
    # A bottom-up picture (vflip, some AVI and BMP) has a negative line size.
    return rows[::-1] if plane.line_size < 0 else rows


def _visible(plane: VideoPlane, dtype: np.dtype[Any]) -> NDArray[Any]:
    return _rows(plane, dtype)[: plane.height, : plane.width]


def _native(plane: NDArray[Any]) -> Plane:
    """Copy only what torch cannot take: foreign byte order, strides other than row padding."""
    if plane.dtype.byteorder == ">":
        return plane.astype(np.uint16)
    padded_only = plane.strides[1] == plane.itemsize and plane.strides[0] > 0
    return plane if padded_only else np.ascontiguousarray(plane)


def _from_bits(frame: VideoFrame, white: int) -> Plane:
    rows = _rows(frame.planes[0], np.dtype("u1"))[: frame.height]
    bits = np.unpackbits(rows, axis=1)[:, : frame.width]
    return np.where(bits == white, 255, 0).astype(np.uint8)


def _unpack(rows: NDArray[Any], packing: Packing, width: int, height: int) -> list[NDArray[Any]]:
    order, step = packing.order, packing.step
    if packing.format.chroma != "422":
        groups = rows[:height, : width * step]
        return [groups[:, i::step] for i in order]
    pairs = (width + 1) // 2
    groups = rows[:height, : pairs * step]
    luma = np.empty((height, pairs * 2), rows.dtype)
    luma[:, 0::2], luma[:, 1::2] = groups[:, order[0] :: step], groups[:, order[1] :: step]
    return [luma[:, :width], groups[:, order[2] :: step], groups[:, order[3] :: step]]


def _planar(name: str) -> Packing | None:
    if match := YUV_NAME.fullmatch(name):
        special, chroma, bits, end = match.groups()
        target = _yuv(chroma, int(bits or 8), special == "j")
        return Packing(
            kind="planar",
            format=target,
            order=(0, 1, 2),
            big_endian=end == "be",
            drops_alpha=special == "a",
        )
    if match := GRAY_NAME.fullmatch(name):
        bits, end = match.groups()
        return Packing(
            kind="planar", format=_gray(int(bits or 8)), order=(0,), big_endian=end == "be"
        )
    if match := GBR_NAME.fullmatch(name):
        alpha, bits, end = match.groups()
        return Packing(
            kind="planar",
            format=_rgb(int(bits or 8)),
            order=(2, 0, 1),
            big_endian=end == "be",
            drops_alpha=bool(alpha),
        )
    return None


def _semiplanar(name: str) -> Packing | None:
    fixed = {
        "nv12": ("420", 8, (0, 1)),
        "nv21": ("420", 8, (1, 0)),
        "nv16": ("422", 8, (0, 1)),
        "nv24": ("444", 8, (0, 1)),
        "nv42": ("444", 8, (1, 0)),
        "nv20le": ("422", 10, (0, 1)),
        "nv20be": ("422", 10, (0, 1)),
    }
    if name in fixed:
        chroma, bits, order = fixed[name]
        return Packing(
            kind="semiplanar",
            format=_yuv(chroma, bits),
            order=order,
            big_endian=name.endswith("be"),
        )
    match = re.fullmatch(r"p([024])(10|12|16)(le|be)", name)
    if match is None:
        return None
    chroma = {"0": "420", "2": "422", "4": "444"}[match[1]]
    return Packing(
        kind="semiplanar",
        format=_yuv(chroma, int(match[2])),
        order=(0, 1),
        shift=16 - int(match[2]),
        big_endian=match[3] == "be",
    )


def _packed(name: str) -> Packing | None:
    pairs_422 = {"yuyv422": (0, 2, 1, 3), "uyvy422": (1, 3, 0, 2), "yvyu422": (0, 2, 3, 1)}
    if name in pairs_422:
        return Packing(kind="packed", format=_yuv("422", 8), order=pairs_422[name], step=4)
    if match := re.fullmatch(r"y2(10|12|16)(le|be)", name):
        bits = int(match[1])
        return Packing(
            kind="packed",
            format=_yuv("422", bits),
            order=(0, 2, 1, 3),
            step=4,
            shift=16 - bits,
            big_endian=match[2] == "be",
        )
    whole_444 = {"ayuv": (1, 2, 3), "vuya": (2, 1, 0), "vuyx": (2, 1, 0), "uyva": (1, 0, 2)}
    if name in whole_444:
        return Packing(
            kind="packed",
            format=_yuv("444", 8),
            order=whole_444[name],
            step=4,
            drops_alpha="a" in name,
        )
    if match := re.fullmatch(r"y(a)(8|16(le|be))", name):
        deep = 8 if match[2] == "8" else 16
        return Packing(
            kind="packed",
            format=_gray(deep),
            order=(0,),
            step=2,
            big_endian=match[3] == "be",
            drops_alpha=True,
        )
    # rgb24, bgr0, argb, rgb48be, rgba64le, ...: the letters are the order in memory.
    if match := re.fullmatch(r"([0a]?)(rgb|bgr)([0a]?)(24|48le|48be|64le|64be)?", name):
        letters = match[1] + match[2] + match[3]
        if (match[4] or "") in ("24", "48le", "48be") and len(letters) == 4:
            return None
        if match[4] is None and len(letters) == 3:
            return None
        return Packing(
            kind="packed",
            format=_rgb(16 if match[4] and match[4] != "24" else 8),
            order=tuple(letters.index(letter) for letter in "rgb"),
            step=len(letters),
            big_endian=name.endswith("be"),
            drops_alpha="a" in letters,
        )
    return None


def _converted(name: str) -> Packing | None:
    """Formats of few bits or with a palette: 8-bit RGB holds all they have, swscale unpacks it."""
    few_bits = re.fullmatch(r"(rgb|bgr)(444|555|565)(le|be)|(rgb|bgr)(8|4|4_byte)", name)
    if name in ("monow", "monob"):
        return Packing(kind="bits", format=_rgb(8), order=(0 if name == "monow" else 1,))
    if few_bits or name == "pal8":
        return Packing(kind="converted", format=_rgb(8), order=(0, 1, 2), through="rgb24")
    if name in ("x2rgb10le", "x2bgr10le"):
        return Packing(kind="converted", format=_rgb(10), order=(0, 1, 2), through="gbrp10le")
    return None


def _yuv(chroma: str, bits: int, full_range: bool = False) -> PlaneFormat:
    kinds: dict[str, Chroma] = {
        "420": "420",
        "422": "422",
        "444": "444",
        "440": "440",
        "411": "411",
        "410": "410",
    }
    name = f"yuv{'j' if full_range else ''}{chroma}p{'' if bits == 8 else f'{bits}le'}"
    return PlaneFormat(name=name, chroma=kinds[chroma], bit_depth=bits, full_range=full_range)


def _gray(bits: int) -> PlaneFormat:
    return PlaneFormat(name="gray" if bits == 8 else f"gray{bits}le", chroma="gray", bit_depth=bits)


def _rgb(bits: int) -> PlaneFormat:
    return PlaneFormat(name="gbrp" if bits == 8 else f"gbrp{bits}le", chroma="rgb", bit_depth=bits)


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
    factors = (16 // layout.chroma_height(16), 16 // layout.chroma_width(16))
    kinds = ((kind, found) for kind, found in SUBSAMPLING.items() if kind not in ("gray", "rgb"))
    return next((kind for kind, found in kinds if found == factors), None)


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
        had, has = SUBSAMPLING[source.chroma], SUBSAMPLING[planes.chroma]
        if has[0] > had[0] or has[1] > had[1]:
            losses.append(f"colour resolution falls from {source.chroma} to {planes.chroma}")
    return tuple(losses)


def _samples(planes: PlaneFormat) -> float:
    """Samples per pixel; RGB counts a little more than 4:4:4, so that YUV stays YUV."""
    if planes.chroma == "gray":
        return 1.0
    down, across = SUBSAMPLING[planes.chroma]
    return 1 + 2 / (across * down) + (0.1 if planes.chroma == "rgb" else 0)


def fits(planes: PlaneFormat, width: int, height: int) -> bool:
    """Tell whether a picture size is a whole number of chroma samples."""
    down, across = SUBSAMPLING[planes.chroma]
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
    down, across = SUBSAMPLING[layout.chroma]
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


# H.265 (D.3.28): chromaticities in steps of 0.00002, luminances in steps of 0.0001 cd/m2.
CHROMATICITY_STEPS = 50000
LUMINANCE_STEPS = 10000


def mastering_display(hdr: HdrMetadata) -> str | None:
    """Write a mastering display as x264 and x265 take it: "G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)".

    Returns:
        The text, or None where primaries or luminances are missing: the message has no way to
        leave out one of them.
    """
    points = _points(hdr)
    if points is None or hdr.max_luminance is None or hdr.min_luminance is None:
        return None
    colors = "".join(
        f"{name}({round(x * CHROMATICITY_STEPS)},{round(y * CHROMATICITY_STEPS)})"
        for name, (x, y) in points
    )
    highest = round(hdr.max_luminance * LUMINANCE_STEPS)
    lowest = round(hdr.min_luminance * LUMINANCE_STEPS)
    return f"{colors}L({highest},{lowest})"


def mastering_display_decimal(hdr: HdrMetadata) -> str | None:
    """Write a mastering display as SVT-AV1 takes it: the same with decimal numbers."""
    points = _points(hdr)
    if points is None or hdr.max_luminance is None or hdr.min_luminance is None:
        return None
    colors = "".join(f"{name}({float(x):.5f},{float(y):.5f})" for name, (x, y) in points)
    return f"{colors}L({float(hdr.max_luminance):.4f},{float(hdr.min_luminance):.4f})"


def content_light(hdr: HdrMetadata) -> str | None:
    """Write MaxCLL and MaxFALL: "1000,400"; None where neither is known."""
    if hdr.max_content_light is None and hdr.max_frame_average_light is None:
        return None
    return f"{hdr.max_content_light or 0},{hdr.max_frame_average_light or 0}"


def encoder_parameters(codec: str, hdr: HdrMetadata) -> dict[str, str] | None:
    """Give the library parameters that carry the metadata.

    Args:
        codec: FFmpeg encoder name.

    Returns:
        Keys and values for `x264-params`, `x265-params` or `svtav1-params`; None where the encoder
        has no way to carry them.
    """
    if codec == "libx265":
        known = {
            "hdr10": "1",
            "repeat-headers": "1",
            "master-display": mastering_display(hdr),
            "max-cll": content_light(hdr),
        }
    elif codec == "libx264":
        known = {"mastering-display": mastering_display(hdr), "cll": content_light(hdr)}
    elif codec == "libsvtav1":
        known = {
            "mastering-display": mastering_display_decimal(hdr),
            "content-light": content_light(hdr),
        }
    else:
        return None
    return {key: value for key, value in known.items() if value is not None}


def _points(
    hdr: HdrMetadata,
) -> tuple[tuple[str, tuple[Fraction, Fraction]], ...] | None:
    if hdr.red is None or hdr.green is None or hdr.blue is None or hdr.white is None:
        return None
    return (("G", hdr.green), ("B", hdr.blue), ("R", hdr.red), ("WP", hdr.white))
