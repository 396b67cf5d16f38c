"""How a video will be encoded, decided before any work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from vsr.color import BT709, GBR, HDR_TRANSFERS, UNSPECIFIED, Siting, assumed_matrix
from vsr.errors import ConfigError, EncodeError
from vsr.media import encoders
from vsr.media.containers import LABELS, MUXERS, PICTURES, TargetKind, target_kind
from vsr.media.encoders import encoder_options, find_encoder, settle_color, video_encoder
from vsr.media.formats import (
    PixelFormatChoice,
    choose_pixel_format,
    encoder_parameters,
    fits,
    has_alpha,
    plane_format,
)
from vsr.media.probe import ColorTags, HdrMetadata, SourceInfo
from vsr.media.types import EncodePlan, PlaneFormat, spans_full_range
from vsr.options import EncodeOptions, parse_options

# What a decoder has to assume where nothing is signalled: H.264 and H.265 say left (H.264 E.2.1,
# chroma_sample_loc_type inferred 0), JPEG (JFIF) says center.
SIGNALS_SITING = ("libx264", "libx265")
CENTERED = ("mjpeg",)
# In these containers FFmpeg writes no pixel shape of its own that PyAV 18 could set; it reaches
# players inside the stream only, and only in these formats.
SHAPELESS_CONTAINERS = ("matroska", "webm", "avi")
CARRIES_SHAPE = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")


def plan_encoding(
    info: SourceInfo,
    target: str | os.PathLike[str],
    *,
    width: int,
    height: int,
    time_base: Fraction,
    frame_rate: Fraction,
    sample_aspect_ratio: Fraction | None,
    plane_format: PlaneFormat,
    options: EncodeOptions | None = None,
) -> EncodePlan:
    """Choose codec, pixel format, options and tags, and prove them by opening the encoder once.

    Args:
        info: The source.
        target: The file, or pattern of pictures, to be written; its extension is the container.
        width, height: Size of the frames to come.
        time_base: Seconds per tick of their pts.
        frame_rate: Nominal frames per second.
        sample_aspect_ratio: Of the frames to come; None where unset.
        plane_format: Layout of the decoded source; its chroma and bit depth are kept if possible.
        options: What the user wants otherwise.

    Returns:
        The plan. Where the source's matrix is not tagged it is written out as what a player has to
        assume at the *source's* size, because the larger output would be taken for another.

    Raises:
        ConfigError: The codec is unknown, cannot encode, does not go into the container, or
            refuses the pixel format or one of the options.
        EncodeError: It refuses the size, or cannot be opened here.
        MuxError: The target's extension is unknown.
    """
    options = options or EncodeOptions()
    kind = target_kind(target)
    wanted = _wanted_format(info, plane_format)
    codec = encoders.find_encoder(kind, options.codec or _default_codec(kind, info, wanted))
    chosen = _pixel_format(kind, codec, wanted, options.pix_fmt)
    _check_size(kind, codec, chosen.planes, width, height)
    color = _color(info, plane_format, chosen.planes)
    siting = _siting(info, codec.name, chosen.planes)
    parameters, hdr, hdr_warnings = _hdr_parameters(info.video.hdr, codec.name)
    parameters |= _siting_parameters(codec.name, chosen.planes, siting)
    chosen_options = parse_options(options.encoder_option)
    shape, shape_warnings = _pixel_shape(sample_aspect_ratio, kind, codec)
    plan = EncodePlan(
        muxer=kind.muxer,
        codec=codec.name,
        pix_fmt=chosen.name,
        planes=replace(chosen.planes, full_range=False),
        width=width,
        height=height,
        time_base=time_base,
        frame_rate=frame_rate,
        constant_interval=1 / frame_rate if kind.muxer == "avi" else None,
        sample_aspect_ratio=shape,
        display_matrix=info.video.display_matrix if _holds_rotation(kind) else None,
        color=color,
        told=color,
        chroma_siting=siting,
        hdr=hdr,
        captions=encoders.carries_captions(codec, chosen_options),
        codec_tag=_codec_tag(kind, codec),
        options=_encoder_options(codec, options, parameters, color, chosen_options),
        warnings=_warnings(info, kind, codec, chosen, hdr_warnings, shape_warnings),
    )
    encoders.try_encoder(kind, plan)
    return settle_color(kind, plan)


def _encoder_options(
    codec: av.Codec,
    options: EncodeOptions,
    parameters: Mapping[str, str],
    color: ColorTags,
    chosen: Mapping[str, str],
) -> dict[str, str]:
    return encoders.encoder_options(
        codec,
        crf=options.crf,
        preset=options.preset,
        parameters=parameters,
        limited_range=color.range != 2,
        chosen=chosen,
    )


def _warnings(
    info: SourceInfo,
    kind: TargetKind,
    codec: av.Codec,
    chosen: PixelFormatChoice,
    hdr: tuple[str, ...],
    shape: tuple[str, ...],
) -> tuple[str, ...]:
    return (
        *_format_warnings(info, codec.name, chosen),
        *hdr,
        *_rotation_warnings(info, kind),
        *shape,
    )


def _wanted_format(info: SourceInfo, source: PlaneFormat) -> PlaneFormat:
    """Ask for ten bits where the transfer is HDR: eight show steps."""
    if _is_hdr(info) and source.bit_depth < 10:
        return replace(source, bit_depth=10)
    return source


def _is_hdr(info: SourceInfo) -> bool:
    return info.video.hdr is not None or info.video.color.transfer in HDR_TRANSFERS


def _default_codec(kind: TargetKind, info: SourceInfo, wanted: PlaneFormat) -> str:
    deep = wanted.bit_depth > 8 or _is_hdr(info)
    if kind.muxer == PICTURES:
        return "png"
    if kind.muxer == "webm":  # the bundled libvpx encodes eight bits only
        return "libsvtav1" if deep else "libvpx-vp9"
    if deep and kind.muxer != "avi":
        return "libx265"
    return "libx264"


def _pixel_format(
    kind: TargetKind, codec: av.Codec, wanted: PlaneFormat, asked: str | None
) -> PixelFormatChoice:
    if asked is None:
        supported = _supported(codec)
        if kind.muxer == PICTURES:  # grey pictures are written as RGB too: one reader for all
            wanted = replace(wanted, chroma="rgb")
        chosen = choose_pixel_format(wanted, supported)
        if chosen is None:
            raise EncodeError(
                kind.pattern,
                f"wanted frames encoded with {codec.name}, which takes none of the formats that "
                "can be made here; choose another --codec, such as libx264",
            )
        return chosen
    return asked_format(codec, asked)


def asked_format(codec: av.Codec, asked: str) -> PixelFormatChoice:
    """Take the pixel format that the user names.

    Raises:
        ConfigError: The encoder cannot be given it.
    """
    planes, supported = plane_format(asked), _supported(codec)
    if planes is None or asked not in supported:
        usable = [name for name in supported if plane_format(name) is not None]
        raise ConfigError(
            f"wanted the pixel format {asked!r}, which {codec.name} cannot be given here; "
            f"choose --pix-fmt among {' '.join(usable) or 'none'}, or another --codec"
        )
    return PixelFormatChoice(name=asked, planes=planes)


def _supported(codec: av.Codec) -> list[str]:
    return [layout.name for layout in codec.video_formats or ()]


def _check_size(
    kind: TargetKind, codec: av.Codec, planes: PlaneFormat, width: int, height: int
) -> None:
    if width < 1 or height < 1:
        raise ValueError(f"wanted a size of at least 1x1, got {width}x{height}")
    if codec.canonical_name in ("h264", "hevc", "av1") and not fits(planes, width, height):
        even = f"{width + width % 2}x{height + height % 2}"
        raise EncodeError(
            kind.pattern,
            f"wanted {width}x{height} with {planes.chroma[0]}:{planes.chroma[1]}:"
            f"{planes.chroma[2]} chroma, which {codec.name} encodes at even sizes only; ask for "
            f"--size {even}, or for full chroma with --pix-fmt yuv444p",
        )


def _color(info: SourceInfo, source: PlaneFormat, planes: PlaneFormat) -> ColorTags:
    color = info.video.color
    if planes.chroma == "rgb":
        return replace(color, matrix=GBR, range=2)
    if planes.full_range or (source.full_range and color.range == 0):
        color = replace(color, range=2)
    elif planes.chroma == "gray" and color.range == 0:
        # Readers differ about untagged grey, so it gets a tag: the range in which it was read.
        color = replace(color, range=2 if spans_full_range(source, 0) else 1)
    if source.chroma == "rgb" or color.matrix == GBR:
        return replace(color, matrix=BT709, range=2 if planes.full_range else 1)
    if color.matrix == UNSPECIFIED and planes.chroma != "gray":
        return replace(color, matrix=assumed_matrix(info.video.width, info.video.height))
    return color


def _siting(info: SourceInfo, codec: str, planes: PlaneFormat) -> Siting:
    siting = info.video.chroma_siting
    if codec in CENTERED:
        return "center"
    if planes.chroma != "420":
        return "left"
    if codec in SIGNALS_SITING or (codec == "libsvtav1" and siting == "topleft"):
        return siting
    return "left"


def _siting_parameters(codec: str, planes: PlaneFormat, siting: Siting) -> dict[str, str]:
    if planes.chroma != "420" or siting == "left":
        return {}
    if codec == "libsvtav1":
        return {"chroma-sample-position": "colocated"}
    if codec in SIGNALS_SITING:
        return {"chromaloc": {"center": "1", "topleft": "2"}[siting]}
    return {}


def _hdr_parameters(
    hdr: HdrMetadata | None, codec: str
) -> tuple[dict[str, str], HdrMetadata | None, tuple[str, ...]]:
    if hdr is None:
        return {}, None, ()
    parameters = encoder_parameters(codec, hdr)
    if parameters is None:
        warning = (
            f"{codec} cannot carry the HDR10 mastering metadata of the input; "
            "it is left out (libx265 and libsvtav1 carry it)"
        )
        return {}, None, (warning,)
    return parameters, hdr, ()


def _codec_tag(kind: TargetKind, codec: av.Codec) -> str | None:
    """Apple's players open HEVC in MP4 only with parameter sets out of band, tagged hvc1."""
    return "hvc1" if codec.canonical_name == "hevc" and kind.muxer in ("mp4", "mov") else None


def _format_warnings(info: SourceInfo, codec: str, chosen: PixelFormatChoice) -> tuple[str, ...]:
    warnings = [f"{codec} has no pixel format like the input's: {x}" for x in chosen.losses]
    if has_alpha(info.video.pix_fmt):
        warnings.append("the input's alpha channel is not enhanced and left out")
    if info.video.color.transfer in HDR_TRANSFERS and chosen.planes.bit_depth < 10:
        warnings.append(
            f"{chosen.name} has {chosen.planes.bit_depth} bits, too few for the curve of an HDR "
            f"input (PQ or HLG): smooth areas will show bands; choose 10 bits, as in yuv420p10le"
        )
    return tuple(warnings)


def _pixel_shape(
    shape: Fraction | None, kind: TargetKind, codec: av.Codec
) -> tuple[Fraction | None, tuple[str, ...]]:
    if shape is None or shape == 1 or codec.canonical_name in CARRIES_SHAPE:
        return shape, ()
    if kind.muxer not in (*SHAPELESS_CONTAINERS, PICTURES):
        return shape, ()
    return None, (
        f"{codec.name} in this kind of output cannot say that pixels are {shape} as wide as high: "
        "the picture will look squeezed or stretched; write mp4, or choose libx264 or libx265",
    )


def _holds_rotation(kind: TargetKind) -> bool:
    return "rotation" in LABELS.get(kind.muxer, ())


def _rotation_warnings(info: SourceInfo, kind: TargetKind) -> tuple[str, ...]:
    if info.video.rotation == 0 or _holds_rotation(kind):
        return ()
    return (
        f"the picture has to be turned by {info.video.rotation} degrees to be upright, which this "
        "kind of output cannot say; write mp4 or mkv to keep it",
    )


# Those that `encode` takes where the user names none.
_USUAL = {"webm": ("libvpx-vp9", "libsvtav1"), "avi": ("libx264",)}
_OTHERWISE = ("libx264", "libx265")


def check_choices(options: EncodeOptions, container: str | None) -> None:
    """Refuse options that suit none of the encoders that files may be given to.

    What depends on a file, such as the size of its picture, is left to `encode.plan_encoding`.

    Args:
        options: As the user gave them.
        container: Extension of all outputs; None if each has its own.

    Raises:
        ConfigError: Naming what was given, and what the first of the encoders takes.
    """
    refused = []
    for name in (options.codec,) if options.codec else _candidates(container):
        try:
            _check(name, options, container)
            return
        except ConfigError as error:
            refused.append(error)
    raise refused[0]


def _candidates(container: str | None) -> tuple[str, ...]:
    if container is not None:
        return _USUAL.get(MUXERS[container], _OTHERWISE)
    return (*_OTHERWISE, *_USUAL["webm"])


def _check(name: str, options: EncodeOptions, container: str | None) -> None:
    codec = _find(name, container)
    if options.pix_fmt is not None:
        asked_format(codec, options.pix_fmt)
    encoder_options(
        codec,
        crf=options.crf,
        preset=options.preset,
        parameters={},
        limited_range=True,
        chosen=parse_options(options.encoder_option),
    )


def _find(name: str, container: str | None) -> av.Codec:
    if container is None:
        return video_encoder(name)
    return find_encoder(TargetKind(muxer=MUXERS[container], pattern=Path(f"*{container}")), name)
