"""Decode a whole film, as tests of the decoder do."""

from __future__ import annotations

from pathlib import Path

from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.probe import probe
from vsr.media.types import PlanarFrame
from vsr.options import DecodeOptions


def decode(path: Path, **options: object) -> tuple[list[PlanarFrame], DecodeSummary, Decoder]:
    """All frames, what was met on the way, and the decoder; options as of `DecodeOptions`."""
    with Decoder(probe(path), DecodeOptions(**options)) as decoder:  # type: ignore[arg-type]
        frames = list(decoder)
    return frames, decoder.summary, decoder
