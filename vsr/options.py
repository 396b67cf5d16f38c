"""What a user may choose: reading, encoding, inference; without torch and av."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from vsr.errors import ConfigError

Deinterlace = Literal["auto", "off", "frame", "field"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeOptions:
    """What part of a file is decoded, and through which filters.

    Attributes:
        start, duration: Seconds from the file's first frame: frames with
            start <= t < start + duration are given.
        deinterlace: "auto" runs bwdif on interlaced streams only, one frame per frame, and leaves
            it to `filter_chain` if that deinterlaces; "frame" runs it on any stream; "field"
            makes one frame of each field, doubling the rate.
        filter_chain: Any libavfilter chain, run after deinterlacing.
        threads: Decoder threads; 0 takes all cores.
    """

    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    deinterlace: Deinterlace = "auto"
    filter_chain: str | None = None
    threads: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeOptions:
    """How the video is encoded; what is left open is chosen by the container and the source."""

    codec: str | None = None
    """FFmpeg encoder name, such as libx264, libx265, libsvtav1, ffv1, prores_ks; by default
    libx264, for ten bits libx265, in WebM libvpx-vp9 or libsvtav1."""

    crf: float | None = None
    """Constant quality; lower is better; the scale is the encoder's own. By default 16 for libx264,
    18 for libx265, 20 for libvpx-vp9, 22 for libsvtav1."""

    preset: str | None = None
    """The encoder's speed preset; by default medium for libx264 and libx265, 8 for libsvtav1."""

    pix_fmt: str | None = None
    """FFmpeg pixel format name; by default one of the source's chroma and depth."""

    encoder_option: tuple[str, ...] = ()
    """A further option of the encoder as name=value, by FFmpeg's names; may be given again."""


def parse_options(given: Sequence[str]) -> dict[str, str]:
    """Read "name=value" options; the last of a name wins.

    Raises:
        ConfigError: If one has no name or no value.
    """
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"--encoder-option wants name=value, such as tune=film; got '{text}'")
        options[name] = value
    return options


CUT_SCORE = 7.0


PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferenceOptions:
    """How the network is run."""

    window: int | None = None
    """Frames the network gets at once; by default what suits the model and the memory."""

    lookahead: int | None = None
    """Frames beyond the window that are looked at, not upscaled; by default as the model needs."""

    tile: int | None = None
    """Longest side of a tile in input pixels; by default whole frames if they fit in memory."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    precision: PrecisionChoice = "auto"
    """auto is fp16 on CUDA, bf16 on a CPU with bf16 instructions, else fp32."""

    scene_threshold: float = CUT_SCORE
    """Scene score (libavfilter scdet, 0 to 100) that counts as a cut; 101 for never."""

    memory_limit: int | None = None
    """MiB the network may use; by default most of what is free on the device, which the workers of
    a batch share. A limit that is given is for each of them."""


NEVER = 101
_LEAST = {"window": 1, "lookahead": 0, "tile": 16, "memory_limit": 1}


def check_options(options: InferenceOptions) -> None:
    """Refuse numbers out of range.

    Raises:
        ConfigError: Naming the option as the command line calls it.
    """
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag} must be at least {least}; got {value}")
    # Not a number compares as false, whichever way one asks.
    if not 0 <= options.scene_threshold <= NEVER:
        raise ConfigError(
            f"--scene-threshold is between 0 and 100, or {NEVER} for never; got "
            f"{options.scene_threshold:g}"
        )


_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_SIZE = re.compile(r"(\d+)[x×](\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceOptions:
    """How one file is enhanced; the defaults suit most files."""

    model: str | None = None
    """A name that `vsr models` lists, or a weight file; by default the bundled one for real
    footage that fits the size asked for."""

    scale: Literal[1, 2, 4] | None = None
    """Times the input's width and height; by default the network's own scale."""

    height: int | None = None
    """Height of the picture as shown, in pixels; the width follows. By default as --scale says."""

    size: str | None = None
    """WIDTHxHEIGHT of the picture as shown; the pixels' shape makes up for another aspect. By
    default as --scale says."""

    start: str | None = None
    """Where to begin: seconds, or [[HH:]MM:]SS, from the first frame; by default 0."""

    duration: str | None = None
    """How much to enhance, written like start; by default all of it."""

    strength: float = 1.0
    """1 for the network's picture, 0 for the bicubic one, between for a blend."""

    clean: float | None = None
    """How much of the correction of the cleaning stage is taken, 0 to 1; by default 1 where the
    network has such a stage, else 0. Any network can be given it."""

    deinterlace: Deinterlace = "auto"
    """auto: on interlaced video only; frame: always; field: a frame per field, twice the rate."""

    filter: str | None = None
    """A libavfilter chain run on the frames before the network, such as "crop=iw:ih-8"."""

    inference: InferenceOptions = field(default_factory=InferenceOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)

    overwrite: bool = False
    """Replace the output if it exists."""

    piece: int = 240
    """Frames after which finished work is safe from interruption; a keyframe starts each piece."""

    resume: bool = True
    """Go on with what an interrupted run has finished."""


def parse_time(text: str, option: str) -> Fraction:
    """Read seconds or [[HH:]MM:]SS[.fraction], exactly.

    Raises:
        ConfigError: Naming the option.
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"--{option} wants seconds or [[HH:]MM:]SS, such as 90 or 1:30.5; got '{text}'"
        )
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT.

    Raises:
        ConfigError: If it is not two positive integers.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    width, height = (int(side) for side in match.groups()) if match else (0, 0)
    if not (width and height):
        raise ConfigError(f"--size wants WIDTHxHEIGHT such as 1920x1080; got '{text}'")
    return width, height


def decode_options(options: EnhanceOptions) -> DecodeOptions:
    """Say what part of the source is decoded, and through which filters."""
    return DecodeOptions(
        start=parse_time(options.start, "start") if options.start else Fraction(0),
        duration=parse_time(options.duration, "duration") if options.duration else None,
        deinterlace=options.deinterlace,
        filter_chain=options.filter,
    )


def check(options: EnhanceOptions) -> None:
    """Refuse options that contradict each other or lie out of range.

    Raises:
        ConfigError: Naming them.
    """
    chosen = [name for name in ("scale", "height", "size") if getattr(options, name) is not None]
    if len(chosen) > 1:
        both = " and ".join(f"--{name}" for name in chosen)
        raise ConfigError(f"{both} contradict each other; give one of them")
    if not 0 <= options.strength <= 1:
        raise ConfigError(f"--strength is between 0 and 1; got {options.strength:g}")
    if options.clean is not None and not 0 <= options.clean <= 1:
        raise ConfigError(f"--clean is between 0 and 1; got {options.clean:g}")
    if options.height is not None and options.height < 2:
        raise ConfigError(f"--height is in pixels, 2 at least; got {options.height}")
    if options.piece < 1:
        raise ConfigError(f"--piece is a number of frames, 1 at least; got {options.piece}")
    if options.size is not None:
        parse_size(options.size)
    if options.start is not None:
        parse_time(options.start, "start")
    if options.duration is not None and parse_time(options.duration, "duration") == 0:
        raise ConfigError(f"--duration must be more than 0; got {options.duration}")
    check_options(options.inference)
