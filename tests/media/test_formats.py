"""Planes of every pixel format hold the samples that were stored, in one order."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from av.video.reformatter import VideoReformatter

from vsr.media.formats import frame_planes, packing_of

SIZE = (66, 50)


@pytest.mark.parametrize("pix_fmt", sorted(synthetic.PLANAR_TWINS))
def test_packed_formats_are_unpacked_without_loss(pix_fmt: str) -> None:
    picture = synthetic.draw_number(5, *SIZE)
    frame = synthetic.make_frame(picture, pix_fmt)
    packing = packing_of(pix_fmt)
    assert packing is not None
    twin = synthetic.PLANAR_TWINS[pix_fmt]
    assert packing.format.name == twin
    stored = synthetic.rgb_to_planes(picture, twin)
    expected = [stored[i] for i in (2, 0, 1)] if twin.startswith("gbrp") else stored
    for plane, values in zip(
        frame_planes(frame, packing, VideoReformatter()), expected, strict=True
    ):
        assert np.array_equal(plane, values)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10be", "gray16be", "gbrp12be", "yuv422p16be"])
def test_big_endian_samples_come_in_native_order(pix_fmt: str) -> None:
    picture = synthetic.draw_number(9, *SIZE)
    frame = synthetic.make_frame(picture, pix_fmt)
    packing = packing_of(pix_fmt)
    assert packing is not None
    native = synthetic.rgb_to_planes(picture, pix_fmt[:-2] + "le")
    expected = [native[i] for i in (2, 0, 1)] if pix_fmt.startswith("gbrp") else native
    for plane, values in zip(
        frame_planes(frame, packing, VideoReformatter()), expected, strict=True
    ):
        assert plane.dtype == np.uint16
        assert np.array_equal(plane, values)


def test_planar_frames_are_not_copied() -> None:
    frame = synthetic.make_frame(synthetic.draw_number(1, *SIZE), "yuv420p")
    packing = packing_of("yuv420p")
    assert packing is not None
    planes = frame_planes(frame, packing, VideoReformatter())
    np.frombuffer(frame.planes[0], np.uint8)[:4] = (1, 2, 3, 4)
    assert planes[0][0, :4].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("pix_fmt", ["rgba", "argb", "yuva444p12le", "gbrap", "ya8", "vuya"])
def test_formats_with_alpha_say_that_they_drop_it(pix_fmt: str) -> None:
    packing = packing_of(pix_fmt)
    assert packing is not None
    assert packing.drops_alpha


@pytest.mark.parametrize("pix_fmt", ["grayf32le", "gbrpf32le", "bayer_bggr8", "xyz12le", "cuda"])
def test_formats_without_integer_pictures_are_unknown(pix_fmt: str) -> None:
    assert packing_of(pix_fmt) is None


@pytest.mark.parametrize("pix_fmt", ["rgb565le", "bgr555le", "rgb8", "monob", "monow"])
def test_formats_of_few_bits_become_rgb(pix_fmt: str) -> None:
    picture = np.zeros((50, 66, 3), np.uint8)
    picture[:, 33:] = 255
    frame = synthetic.make_frame(picture, "gbrp").reformat(format=pix_fmt)
    packing = packing_of(pix_fmt)
    assert packing is not None
    for plane in frame_planes(frame, packing, VideoReformatter()):
        assert np.abs(plane.astype(int) - picture[..., 0]).max() <= 3  # white in rgb8 is 252
