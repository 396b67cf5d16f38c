"""The plan for encoding a video, made before any work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from vsr.color import BT709, GBR, HDR_TRANSFERS, UNSPECIFIED, Chroma, Siting, assumed_matrix
from vsr.errors import ConfigError, EncodeError, MediaError
from vsr.media.containers import LABELS, MUXERS, PICTURES, TargetKind, target_kind
from vsr.media.encoders import (
    carries_captions,
    encoder_options,
    find_encoder,
    settle_color,
    settle_shape,
    try_encoder,
    video_encoder,
)
from vsr.media.filters import UPRIGHT, describe_turn, turn_of_matrix
from vsr.media.formats import (
    PixelFormatChoice,
    carried_hdr,
    choose_pixel_format,
    fits,
    has_alpha,
    packing_of,
    plane_format,
)
from vsr.media.probe import ColorTags, SourceInfo, VideoInfo
from vsr.media.types import EncodePlan, PlaneFormat, spans_full_range
from vsr.options import EncodeOptions, parse_options

# Without a signal decoders assume left for H.264 and H.265 (H.264 E.2.1, chroma_sample_loc_type
# inferred 0), and center for JPEG (JFIF).
_CHROMALOC = {"center": {"chromaloc": "1"}, "topleft": {"chromaloc": "2"}}
SIGNALS_SITING: dict[str, Mapping[str, Mapping[str, str]]] = {
    "libx264": _CHROMALOC,
    "libx265": _CHROMALOC,
    "libsvtav1": {"topleft": {"chroma-sample-position": "colocated"}},
}
CENTERED = ("mjpeg",)


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
        options: Choices of the user.

    Returns:
        The plan. An untagged matrix of the source is tagged as what players assume at the
        *source's* size, because they would assume another for the larger output.

    Raises:
        ConfigError: The codec is unknown, cannot encode, does not fit the container, or refuses
            the pixel format or one of the options.
        EncodeError: It refuses the size, or cannot be opened here.
        MuxError: The target's extension is unknown.
    """
    options = options or EncodeOptions()
    kind = target_kind(target)
    codec, chosen = _codec_and_format(info, kind, plane_format, options)
    _check_size(kind, codec, chosen.planes, width, height)
    color = _color(info, plane_format, chosen.planes)
    siting, signals = _siting(info, codec.name, chosen.planes)
    hdr, parameters, hdr_warnings = carried_hdr(codec.name, info.video.hdr)
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
        sample_aspect_ratio=sample_aspect_ratio,
        display_matrix=_matrix(info, width, height) if _holds_rotation(kind) else None,
        color=color,
        told=color,
        chroma_siting=siting,
        hdr=hdr,
        captions=carries_captions(codec, parse_options(options.encoder_option)),
        codec_tag=_codec_tag(kind, codec),
        options=encoder_options(
            codec, options, parameters={**parameters, **signals}, limited_range=color.range != 2
        ),
        warnings=(*_warnings(info, kind, codec.name, chosen), *hdr_warnings),
    )
    try_encoder(kind, plan)
    return settle_shape(kind, settle_color(kind, plan))


def plan_again(
    info: SourceInfo, made: SourceInfo, target: Path, aspect: Fraction
) -> EncodePlan | None:
    """Plan an encoding as it must have been planned for a file that exists.

    Args:
        info: The source.
        made: The file.
        target: Its final name.
        aspect: Pixel aspect wanted, before the codec or the container rounds it.

    Returns:
        The plan; None where nothing here encodes such a file.
    """
    video = made.video
    source, packing = packing_of(info.video.pix_fmt), packing_of(video.pix_fmt)
    if source is None or packing is None:
        return None
    for options in _choices(video, packing.format):
        try:
            return plan_encoding(
                info,
                target,
                width=video.width,
                height=video.height,
                time_base=1 / video.frame_rate,  # encoders of MPEG-2 take no other
                frame_rate=video.frame_rate,
                sample_aspect_ratio=aspect,
                plane_format=source.format,
                options=options,
            )
        except (ConfigError, MediaError):
            continue
    return None


def _choices(video: VideoInfo, planes: PlaneFormat) -> Iterator[EncodeOptions]:
    """Encoders and pixel formats from which a film may have come, the likely ones first."""
    names = _ENCODERS.get(video.codec, (video.codec,))
    full = video.color.range == 2
    for name in names:
        with contextlib.suppress(ConfigError):
            formats = [(plane_format(x), x) for x in _supported(video_encoder(name))]
            alike = [
                (layout.full_range != full, x)
                for layout, x in formats
                if layout and (layout.chroma, layout.bit_depth) == (planes.chroma, planes.bit_depth)
            ]
            for _, pix_fmt in sorted(alike, key=lambda choice: choice[0]):
                yield EncodeOptions(codec=name, pix_fmt=pix_fmt)
    yield from (EncodeOptions(codec=name) for name in names)


def _codec_and_format(
    info: SourceInfo, kind: TargetKind, source: PlaneFormat, options: EncodeOptions
) -> tuple[av.Codec, PixelFormatChoice]:
    is_hdr = info.video.hdr is not None or info.video.color.transfer in HDR_TRANSFERS
    bits = max(source.bit_depth, 10) if is_hdr else source.bit_depth  # eight show steps in HDR
    codec = find_encoder(kind, options.codec or _default_codec(kind, deep=bits > 8))
    if options.pix_fmt is not None:
        return codec, asked_format(codec, options.pix_fmt)
    # Grey pictures are written as RGB too: one reader for all.
    chroma: Chroma = "rgb" if kind.muxer == PICTURES else source.chroma
    chosen = choose_pixel_format(replace(source, bit_depth=bits, chroma=chroma), _supported(codec))
    if chosen is None:
        raise EncodeError(
            kind.pattern,
            f"{codec.name} takes no pixel format that can be filled here; choose another --codec, "
            "such as libx264",
        )
    return codec, chosen


def _default_codec(kind: TargetKind, *, deep: bool) -> str:
    if kind.muxer == PICTURES:
        return "png"
    if kind.muxer == "webm":  # the bundled libvpx encodes eight bits only
        return "libsvtav1" if deep else "libvpx-vp9"
    if deep and kind.muxer != "avi":
        return "libx265"
    return "libx264"


def asked_format(codec: av.Codec, asked: str) -> PixelFormatChoice:
    """The pixel format chosen by the user.

    Raises:
        ConfigError: The encoder does not take it, or it cannot be filled.
    """
    planes, supported = plane_format(asked), _supported(codec)
    if planes is None or asked not in supported:
        usable = [name for name in supported if plane_format(name) is not None]
        raise ConfigError(
            f"{codec.name} cannot encode the pixel format {asked!r} here; choose --pix-fmt among "
            f"{' '.join(usable) or 'none'}, or another --codec"
        )
    return PixelFormatChoice(name=asked, planes=planes)


def _supported(codec: av.Codec) -> list[str]:
    return [layout.name for layout in codec.video_formats or ()]


def _check_size(
    kind: TargetKind, codec: av.Codec, planes: PlaneFormat, width: int, height: int
) -> None:
    if width < 1 or height < 1:
        raise ValueError(f"the size must be at least 1x1, not {width}x{height}")
    if codec.canonical_name in ("h264", "hevc", "av1") and not fits(planes, width, height):
        even = f"{width + width % 2}x{height + height % 2}"
        raise EncodeError(
            kind.pattern,
            f"{codec.name} encodes {':'.join(planes.chroma)} chroma at even sizes only, not "
            f"{width}x{height}; use --size {even}, or full chroma with --pix-fmt yuv444p",
        )


def _color(info: SourceInfo, source: PlaneFormat, planes: PlaneFormat) -> ColorTags:
    color = info.video.color
    if planes.chroma == "rgb":
        return replace(color, matrix=GBR, range=2)
    if planes.full_range or (source.full_range and color.range == 0):
        color = replace(color, range=2)
    elif planes.chroma == "gray" and color.range == 0:
        # Readers differ on untagged grey, so it gets a tag: the range in which it was read.
        color = replace(color, range=2 if spans_full_range(source, 0) else 1)
    if source.chroma == "rgb" or color.matrix == GBR:
        return replace(color, matrix=BT709, range=2 if planes.full_range else 1)
    if color.matrix == UNSPECIFIED and planes.chroma != "gray":
        return replace(color, matrix=assumed_matrix(info.video.width, info.video.height))
    return color


def _siting(info: SourceInfo, codec: str, planes: PlaneFormat) -> tuple[Siting, Mapping[str, str]]:
    """Chroma siting of the output, and the library parameters that signal it."""
    if codec in CENTERED:
        return "center", {}
    siting = info.video.chroma_siting
    signals = SIGNALS_SITING.get(codec, {}) if planes.chroma == "420" else {}
    return (siting, signals[siting]) if siting in signals else ("left", {})


def _codec_tag(kind: TargetKind, codec: av.Codec) -> str | None:
    """Tag hvc1 (parameter sets out of band), without which Apple's players refuse HEVC in MP4."""
    return "hvc1" if codec.canonical_name == "hevc" and kind.muxer in ("mp4", "mov") else None


def _warnings(
    info: SourceInfo, kind: TargetKind, codec: str, chosen: PixelFormatChoice
) -> tuple[str, ...]:
    warnings = [f"{codec} has no pixel format like the input's: {x}" for x in chosen.losses]
    if has_alpha(info.video.pix_fmt):
        warnings.append("the input's alpha channel is left out: it is not enhanced")
    if info.video.color.transfer in HDR_TRANSFERS and chosen.planes.bit_depth < 10:
        warnings.append(
            f"{chosen.name} has {chosen.planes.bit_depth} bits, too few for an HDR input (PQ or "
            "HLG): smooth areas will show bands; choose 10 bits, such as yuv420p10le"
        )
    matrix = info.video.display_matrix
    if turn_of_matrix(matrix) != UPRIGHT and not _holds_rotation(kind):
        turn = f"rotation of {info.video.rotation} degrees"
        turn += ", mirrored," if " mirrored" in describe_turn(matrix) else ""
        warnings.append(
            f"this kind of output cannot hold the {turn} that makes the picture upright; write "
            "mp4 or mkv to keep it"
        )
    return tuple(warnings)


def _matrix(info: SourceInfo, width: int, height: int) -> tuple[int, ...] | None:
    """Display matrix of the source for a picture of another size.

    Its translation moves the turned picture to where it begins at (0, 0), so it is as long as the
    sides of the picture (ISO/IEC 14496-12, 6.2.2: x' = ax + cy + tx, y' = bx + dy + ty).
    """
    matrix, video = info.video.display_matrix, info.video
    if matrix is None:
        return None
    a, b, u, c, d, v, tx, ty, w = matrix
    wider, higher = Fraction(width, video.width), Fraction(height, video.height)
    across, down = wider if abs(a) >= abs(c) else higher, higher if abs(d) >= abs(b) else wider
    return a, b, u, c, d, v, round(tx * across), round(ty * down), w


def _holds_rotation(kind: TargetKind) -> bool:
    return "rotation" in LABELS.get(kind.muxer, ())


# Encoders of a format other than the one that FFmpeg prefers.
_ENCODERS = {
    "h264": ("libx264", "libx264rgb"), "hevc": ("libx265",), "av1": ("libsvtav1",),
    "vp9": ("libvpx-vp9",), "prores": ("prores_ks",),
}  # fmt: skip
# Encoders that `_default_codec` may choose.
_USUAL = {"webm": ("libvpx-vp9", "libsvtav1"), "avi": ("libx264",)}
_OTHERWISE = ("libx264", "libx265")


def check_choices(options: EncodeOptions, container: str | None) -> None:
    """Refuse options that no encoder takes to which files may go.

    Whatever depends on a file, such as its picture's size, is left to `plan_encoding`.

    Args:
        options: Choices of the user.
        container: Extension of all outputs; None if each has its own.

    Raises:
        ConfigError: What the first of the encoders refuses.
    """
    names = (*_OTHERWISE, *_USUAL["webm"])
    if container is not None:
        names = _USUAL.get(MUXERS[container], _OTHERWISE)
    refused = []
    for name in (options.codec,) if options.codec else names:
        try:
            _check(name, options, container)
            return
        except ConfigError as error:
            refused.append(error)
    raise refused[0]


def _check(name: str, options: EncodeOptions, container: str | None) -> None:
    if container is None:
        codec = video_encoder(name)
    else:
        kind = TargetKind(muxer=MUXERS[container], pattern=Path(f"*{container}"))
        codec = find_encoder(kind, name)
    if options.pix_fmt is not None:
        asked_format(codec, options.pix_fmt)
    encoder_options(codec, options, parameters={}, limited_range=True)
