"""Planes of every pixel format hold the samples that were stored, in one order."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
import synthetic
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vsr.media.formats import frame_planes, packing_of, plane_shapes

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


# Where the samples of luma and chroma, or of R, G and B, lie in memory: samples per group, bits,
# shift, and places in the group; by FFmpeg's documentation of its pixel formats, not by swscale.
PACKED = {
    "yuyv422": ("yuv422p", 4, 0, (0, 1, 3)),
    "uyvy422": ("yuv422p", 4, 0, (1, 0, 2)),
    "yvyu422": ("yuv422p", 4, 0, (0, 3, 1)),
    "y210le": ("yuv422p10le", 4, 6, (0, 1, 3)),
    "y212le": ("yuv422p12le", 4, 4, (0, 1, 3)),
    "y216le": ("yuv422p16le", 4, 0, (0, 1, 3)),
    "ayuv": ("yuv444p", 4, 0, (1, 2, 3)),
    "vuya": ("yuv444p", 4, 0, (2, 1, 0)),
    "vuyx": ("yuv444p", 4, 0, (2, 1, 0)),
    "uyva": ("yuv444p", 4, 0, (1, 0, 2)),
    "vyu444": ("yuv444p", 3, 0, (1, 2, 0)),
    "ayuv64le": ("yuv444p16le", 4, 0, (1, 2, 3)),
    "ayuv64be": ("yuv444p16le", 4, 0, (1, 2, 3)),
    "xv36le": ("yuv444p12le", 4, 4, (1, 0, 2)),
    "xv48le": ("yuv444p16le", 4, 0, (1, 0, 2)),
    "ya8": ("gray", 2, 0, (0,)),
    "ya16le": ("gray16le", 2, 0, (0,)),
    "ya16be": ("gray16le", 2, 0, (0,)),
    **{
        name: ("gbrp", len(name), 0, tuple(name.index(letter) for letter in "rgb"))
        for name in ("0bgr", "0rgb", "abgr", "argb", "bgr0", "bgra", "rgb0", "rgba")
    },
    **{
        f"{letters}{bits}{end}": (
            "gbrp" if bits == 24 else "gbrp16le",
            len(letters),
            0,
            tuple(letters.index(letter) for letter in "rgb"),
        )
        for letters in ("rgb", "bgr", "rgba", "bgra")
        for bits, end in ((24, ""), (48, "le"), (48, "be"), (64, "le"), (64, "be"))
        if (len(letters) == 4) == (bits == 64)
    },
}
SEMIPLANAR = {
    "nv12": ("yuv420p", 0, False),
    "nv21": ("yuv420p", 0, True),
    "nv16": ("yuv422p", 0, False),
    "nv24": ("yuv444p", 0, False),
    "nv42": ("yuv444p", 0, True),
    "nv20le": ("yuv422p10le", 0, False),
    "nv20be": ("yuv422p10le", 0, False),
    **{
        f"p{digit}{bits}{end}": (f"yuv{chroma}p{bits}le", 16 - bits, False)
        for digit, chroma in (("0", 420), ("2", 422), ("4", 444))
        for bits in (10, 12, 16)
        for end in ("le", "be")
    },
}


def filled(pix_fmt: str, width: int, height: int, shift: int) -> av.VideoFrame:
    """Fill all memory of a frame with random samples of as many bits as its format has."""
    frame = av.VideoFrame(width, height, pix_fmt)
    random = np.random.default_rng(1)
    bits = frame.format.components[0].bits
    for plane in frame.planes:
        if bits == 8:
            plane.update(random.integers(0, 256, plane.buffer_size, np.uint8).tobytes())
            continue
        samples = random.integers(0, 1 << bits, plane.buffer_size // 2, np.uint16) << shift
        end = ">u2" if pix_fmt.endswith("be") else "<u2"
        plane.update(samples.astype(end).tobytes())
    return frame


def memory(plane: object, line_size: int, pix_fmt: str, bits: int) -> NDArray[Any]:
    dtype = np.dtype("u1" if bits == 8 else ">u2" if pix_fmt.endswith("be") else "<u2")
    rows = np.frombuffer(plane, dtype).reshape(-1, line_size // dtype.itemsize)  # type: ignore[call-overload]
    return rows.astype(np.int64)


@pytest.mark.parametrize("size", [(66, 50), (35, 19)])
@pytest.mark.parametrize("color_range", [0, 1, 2])
@pytest.mark.parametrize("pix_fmt", sorted(PACKED))
def test_packed_samples_are_moved_and_not_changed(
    pix_fmt: str, color_range: int, size: tuple[int, int]
) -> None:
    twin, step, shift, places = PACKED[pix_fmt]
    width, height = size
    frame = filled(pix_fmt, width, height, shift)
    frame.color_range, frame.colorspace = color_range, 1
    packing = packing_of(pix_fmt)
    assert packing is not None
    assert packing.format.name == twin
    (plane,) = frame.planes
    rows = memory(plane, plane.line_size, pix_fmt, packing.format.bit_depth)[:height] >> shift
    if packing.format.chroma == "422":
        second = (places[0] + 2) % 4
        groups = rows[:, : (width + 1) // 2 * step]
        luma = np.stack([groups[:, places[0] :: 4], groups[:, second::4]], -1)
        expected = [luma.reshape(height, -1)[:, :width], *(groups[:, i::4] for i in places[1:])]
    else:
        expected = [rows[:, : width * step][:, i::step] for i in places]
    for found, values in zip(
        frame_planes(frame, packing, VideoReformatter()), expected, strict=True
    ):
        assert np.array_equal(found, values)


@pytest.mark.parametrize("size", [(66, 50), (35, 19)])
@pytest.mark.parametrize("color_range", [0, 1, 2])
@pytest.mark.parametrize("pix_fmt", sorted(SEMIPLANAR))
def test_interleaved_chroma_is_moved_and_not_changed(
    pix_fmt: str, color_range: int, size: tuple[int, int]
) -> None:
    twin, shift, red_first = SEMIPLANAR[pix_fmt]
    frame = filled(pix_fmt, *size, shift)
    frame.color_range, frame.colorspace = color_range, 1
    packing = packing_of(pix_fmt)
    assert packing is not None
    assert packing.format.name == twin
    bits = packing.format.bit_depth
    luma, chroma = (memory(p, p.line_size, pix_fmt, bits) >> shift for p in frame.planes)
    rows, columns = plane_shapes(packing.format, *size)[1]
    pairs = chroma[:rows, : 2 * columns]
    blue, red = (pairs[:, 1::2], pairs[:, 0::2]) if red_first else (pairs[:, 0::2], pairs[:, 1::2])
    for found, values in zip(
        frame_planes(frame, packing, VideoReformatter()),
        (luma[: size[1], : size[0]], blue, red),
        strict=True,
    ):
        assert np.array_equal(found, values)


@pytest.mark.parametrize("pix_fmt", sorted(av.video.format.names))
def test_every_format_that_is_described_can_be_read(pix_fmt: str) -> None:
    packing = packing_of(pix_fmt)
    if packing is None:
        return
    frame = av.VideoFrame(16, 16, pix_fmt)
    planes = frame_planes(frame, packing, VideoReformatter())
    assert [plane.shape for plane in planes] == plane_shapes(packing.format, 16, 16)
    assert {plane.dtype.itemsize * 8 for plane in planes} == {
        8 if packing.format.bit_depth == 8 else 16
    }


@pytest.mark.parametrize("pix_fmt", ["gbrap10le", "gbrap16be", "yuva444p12le"])
def test_planes_beside_alpha_are_read_in_place(pix_fmt: str) -> None:
    frame = filled(pix_fmt, 34, 20, 0)
    packing = packing_of(pix_fmt)
    assert packing is not None
    order = (2, 0, 1) if pix_fmt.startswith("gbr") else (0, 1, 2)
    for found, index in zip(frame_planes(frame, packing, VideoReformatter()), order, strict=True):
        plane = frame.planes[index]
        rows = memory(plane, plane.line_size, pix_fmt, packing.format.bit_depth)
        assert np.array_equal(found, rows[:20, :34])


def test_planar_frames_are_not_copied() -> None:
    frame = synthetic.make_frame(synthetic.draw_number(1, *SIZE), "yuv420p")
    packing = packing_of("yuv420p")
    assert packing is not None
    planes = frame_planes(frame, packing, VideoReformatter())
    np.frombuffer(frame.planes[0], np.uint8)[:4] = (1, 2, 3, 4)
    assert planes[0][0, :4].tolist() == [1, 2, 3, 4]


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
