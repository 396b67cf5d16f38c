"""Refuse what no file could be encoded with, before any file is opened."""

from __future__ import annotations

from pathlib import Path

import av

from vsr.errors import ConfigError
from vsr.media.containers import MUXERS, TargetKind
from vsr.media.encode import asked_format
from vsr.media.encoders import encoder_options, find_encoder, video_encoder
from vsr.media.options import EncodeOptions, parse_options

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
