"""What a user may choose about enhancing one file. No torch here: `vsr --help` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from vsr.errors import ConfigError
from vsr.inference.options import InferenceOptions, check_options
from vsr.media.options import DecodeOptions, Deinterlace, EncodeOptions

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_SIZE = re.compile(r"(\d+)[x×](\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceOptions:
    """How one file is enhanced; the defaults suit most files."""

    model: str | None = None
    """A name that `vsr models` lists, or a weight file; by default the bundled one for real
    footage that fits the size asked for."""

    scale: Literal[2, 4] | None = None
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
