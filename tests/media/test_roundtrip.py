"""Clips through real encoders and back, in memory."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import draw_number, read_number, rgb_to_planes

from vsr.errors import EncodeError
from vsr.media.roundtrip import ClipPlanes, CodecSettings, round_trip

CODECS = ("libx264", "libx265", "mpeg4", "mpeg2video")


def clip(frames: int = 5, width: int = 96, height: int = 64) -> ClipPlanes:
    pictures = [draw_number(index, width, height) for index in range(frames)]
    planes = [rgb_to_planes(picture, "yuv420p") for picture in pictures]
    luma, blue, red = (np.stack([frame[i] for frame in planes]) for i in range(3))
    return luma, blue, red


@pytest.mark.parametrize("codec", CODECS)
def test_every_frame_comes_back_in_its_place(codec: str) -> None:
    planes = clip()
    decoded, size = round_trip(planes, CodecSettings(codec=codec, quantiser=24))
    assert [plane.shape for plane in decoded] == [plane.shape for plane in planes]
    assert [read_number(frame) for frame in decoded[0]] == [0, 1, 2, 3, 4]
    assert 0 < size < sum(plane.size for plane in planes)


@pytest.mark.parametrize("codec", CODECS)
def test_a_coarser_quantiser_costs_quality_and_saves_bytes(codec: str) -> None:
    planes = clip(3)
    errors, sizes = [], []
    for quantiser in (18, 26, 34):
        decoded, size = round_trip(planes, CodecSettings(codec=codec, quantiser=quantiser))
        errors.append(float(np.mean((decoded[0].astype(float) - planes[0]) ** 2)))
        sizes.append(size)
    assert errors[0] < errors[1] < errors[2]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_clip_gives_the_same_bits(codec: str) -> None:
    results = []
    for junk in range(6):
        held = [np.full(1 + 997 * junk * i, junk, np.uint8) for i in range(9)]  # other memory
        results.append(round_trip(clip(6, 66, 64), CodecSettings(codec=codec, quantiser=28)))
        del held
    for planes, size in results[1:]:
        assert size == results[0][1]
        for a, b in zip(planes, results[0][0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("codec", "width", "height", "message"),
    [
        ("libx264", 65, 64, "65x64.*libx264"),
        ("h263", 66, 64, "66x64.*h263"),
        ("libx265", 64, 32, "at least 64x64, not 64x32"),
        ("no_such_codec", 64, 64, "no_such_codec"),
    ],
)
def test_what_an_encoder_refuses_is_an_error(
    codec: str, width: int, height: int, message: str
) -> None:
    with pytest.raises(EncodeError, match=message):
        round_trip(clip(2, width, height), CodecSettings(codec=codec, quantiser=28))
