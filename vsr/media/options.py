"""What a user may choose about decoding and encoding. No av here: `vsr --help` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
