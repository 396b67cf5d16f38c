"""Bring decoded frames of any integer pixel format to planes, sample for sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vsr.media.frames import Chroma, Plane, PlaneFormat

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
