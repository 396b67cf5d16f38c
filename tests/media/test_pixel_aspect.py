"""The shape of pixels: the container's word counts, filters keep it, and splices may change it."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.media.decode import DecodeOptions, Decoder, DecodeSummary
from vsr.media.frames import PlanarFrame
from vsr.media.probe import probe

RATE = Fraction(25)


def decode(
    path: Path, options: DecodeOptions | None = None
) -> tuple[list[PlanarFrame], DecodeSummary, Decoder]:
    with Decoder(probe(path), options) as decoder:
        frames = list(decoder)
    return frames, decoder.summary, decoder


def with_container_aspect(path: Path, width: int, height: int) -> Path:
    """Set the pixel aspect that an mp4 states; the codec's stays."""
    data = path.read_bytes()
    place = data.index(b"pasp") + 4
    path.write_bytes(data[:place] + struct.pack(">II", width, height) + data[place + 8 :])
    return path


@pytest.mark.parametrize(
    ("field_order", "options"),
    [
        (None, DecodeOptions()),
        (None, DecodeOptions(filter_chain="null")),
        (None, DecodeOptions(filter_chain="scale=32:48,scale=64:48")),
        ("tff", DecodeOptions()),
        ("tff", DecodeOptions(deinterlace="off", filter_chain="null")),
    ],
)
def test_the_containers_pixel_aspect_counts_and_passes_filters(
    tmp_path: Path, field_order: str | None, options: DecodeOptions
) -> None:
    path = make_video(
        tmp_path / "a.mp4", frames=4, rate=RATE, sample_aspect_ratio=Fraction(3, 2),
        field_order=field_order,
    )  # fmt: skip
    frames, summary, decoder = decode(with_container_aspect(path, 3, 4), options)
    assert len(frames) == 4
    assert decoder.sample_aspect_ratio == Fraction(3, 4)
    assert summary.warnings == ()
