"""Planes to RGB and back, against published numbers and an independent float64 computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.color import SUBSAMPLING, Chroma, Matrix, Siting
from vsr.ops.color import (
    ColorLayout,
    plane_sizes,
    planes_to_rgb,
    resolve_layout,
    rgb_to_planes,
    to_levels,
    to_picture,
)


def layout(**changes: object) -> ColorLayout:
    usual: dict[str, object] = {
        "matrix": "bt709",
        "full_range": False,
        "bit_depth": 8,
        "chroma": "420",
        "siting": "left",
    }
    return ColorLayout(**(usual | changes))


def constant_planes(
    codes: tuple[int, ...], of: ColorLayout, height: int, width: int
) -> list[Tensor]:
    return [
        torch.full(size, code, dtype=torch.int32)
        for code, size in zip(codes, plane_sizes(of, height, width), strict=False)
    ]


def codes_of(rgb: tuple[float, float, float], of: ColorLayout) -> tuple[int, ...]:
    picture = torch.tensor(rgb)[:, None, None].expand(3, 8, 8)
    return tuple(int(plane[3, 3]) for plane in rgb_to_planes(picture, of))


def smooth_picture(height: int, width: int, channels: int = 3) -> Tensor:
    y = torch.linspace(0, 1, height)[:, None]
    x = torch.linspace(0, 1, width)[None]
    waves = [torch.sin(3.1 * x * (c + 1) + 2.3 * y + c) * 0.3 + 0.5 for c in range(channels)]
    return torch.stack(waves)


# Rec. ITU-R BT.601-7, BT.709-6, BT.2020-2; the 8-bit codes of pure colours as printed in
# test-signal tables (75 % and 100 % bars).
@pytest.mark.parametrize(
    ("matrix", "rgb", "codes"),
    [
        ("bt709", (1, 0, 0), (63, 102, 240)),
        ("bt709", (0, 1, 0), (173, 42, 26)),
        ("bt709", (0, 0, 1), (32, 240, 118)),
        ("bt709", (1, 1, 0), (219, 16, 138)),
        ("bt601", (1, 0, 0), (81, 90, 240)),
        ("bt601", (0, 1, 0), (145, 54, 34)),
        ("bt601", (0, 0, 1), (41, 240, 110)),
        ("bt2020", (1, 0, 0), (74, 97, 240)),
        ("bt2020", (0, 0, 1), (29, 240, 119)),
        ("smpte240m", (1, 0, 0), (62, 102, 240)),
        ("fcc", (0, 0, 1), (40, 240, 110)),
    ],
)
def test_primary_colours_have_their_published_codes(
    matrix: str, rgb: tuple[float, float, float], codes: tuple[int, ...]
) -> None:
    assert codes_of(rgb, layout(matrix=matrix)) == codes


@pytest.mark.parametrize(
    ("bit_depth", "full_range", "white", "neutral"),
    [
        (8, False, 235, 128),
        (8, True, 255, 128),
        (10, False, 940, 512),
        (10, True, 1023, 512),
        (12, False, 3760, 2048),
        (16, False, 60160, 32768),
        (16, True, 65535, 32768),
    ],
)
def test_white_has_the_code_of_its_range_and_depth(
    bit_depth: int, full_range: bool, white: int, neutral: int
) -> None:
    of = layout(bit_depth=bit_depth, full_range=full_range)
    assert codes_of((1, 1, 1), of) == (white, neutral, neutral)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("bit_depth", [8, 10, 12, 16])
@pytest.mark.parametrize("chroma", ["420", "444", "gray", "rgb"])
def test_every_code_of_a_neutral_picture_comes_back(
    chroma: Chroma, bit_depth: int, full_range: bool
) -> None:
    of = layout(chroma=chroma, bit_depth=bit_depth, full_range=full_range)
    luma = torch.arange(1 << bit_depth, dtype=torch.int32).view(-1, 16)
    planes = [luma]
    if chroma == "rgb":
        planes = [luma, luma.flip(0), luma.flip(1)]
    elif chroma != "gray":
        size = plane_sizes(of, *luma.shape)[1]
        planes += [torch.full(size, 128 << (bit_depth - 8), dtype=torch.int32)] * 2
    back = rgb_to_planes(planes_to_rgb(planes, of), of)
    assert all(torch.equal(a, b.to(torch.int32)) for a, b in zip(planes, back, strict=True))


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
def test_luma_comes_back_exactly_beside_any_chroma(matrix: Matrix, siting: Siting) -> None:
    of = layout(matrix=matrix, siting=siting)
    luma = torch.arange(256, dtype=torch.uint8).view(16, 16)
    planes = [luma, *(torch.randint(0, 256, (8, 8), dtype=torch.uint8) for _ in range(2))]
    assert torch.equal(rgb_to_planes(planes_to_rgb(planes, of), of)[0], luma)


@pytest.mark.parametrize(("bit_depth", "full_range"), [(8, False), (8, True), (10, False)])
def test_444_comes_back_exactly(bit_depth: int, full_range: bool) -> None:
    of = layout(chroma="444", bit_depth=bit_depth, full_range=full_range)
    dtype = torch.uint8 if bit_depth == 8 else torch.uint16
    planes = [torch.randint(0, 1 << bit_depth, (32, 40)).to(dtype) for _ in range(3)]
    back = rgb_to_planes(planes_to_rgb(planes, of), of)
    assert [p.dtype for p in back] == [dtype] * 3
    assert all(torch.equal(a, b) for a, b in zip(planes, back, strict=True))


def test_grey_codes_give_grey_rgb() -> None:
    of = layout()
    rgb = planes_to_rgb(constant_planes((90, 128, 128), of, 6, 8), of)
    torch.testing.assert_close(rgb, torch.full((3, 6, 8), (90 - 16) / 219))


def test_codes_above_white_and_below_black_are_not_clamped_in_rgb() -> None:
    of = layout()
    assert planes_to_rgb(constant_planes((254, 128, 128), of, 2, 2), of).min() > 1.08
    assert planes_to_rgb(constant_planes((1, 128, 128), of, 2, 2), of).max() < -0.06


def test_codes_beyond_the_depth_are_clamped() -> None:
    assert codes_of((1.5, 1.5, 1.5), layout()) == (255, 128, 128)
    assert codes_of((-1, -1, -1), layout(bit_depth=10)) == (0, 512, 512)
    assert codes_of((0, 0, 1), layout(full_range=True))[1] == 255


def lanczos(x: float) -> float:
    return float(np.sinc(x) * np.sinc(x / 3)) if abs(x) < 3 else 0.0


def positions(count: int, factor: int, centred: bool) -> list[float]:
    return [factor * k + ((factor - 1) / 2 if centred else 0) for k in range(count)]


def dense(targets: list[float], sources: list[float], stretch: float) -> NDArray[np.float64]:
    """Resampling matrix from samples at `sources` to samples at `targets`, edges repeated."""
    step = sources[1] - sources[0]
    matrix = np.zeros((len(targets), len(sources)))
    for row, at in enumerate(targets):
        reach = math.ceil(3 * stretch / step) + 1
        nearest = round((at - sources[0]) / step)
        for index in range(nearest - reach, nearest + reach + 1):
            weight = lanczos((at - (sources[0] + index * step)) / stretch)
            matrix[row, min(max(index, 0), len(sources) - 1)] += weight
    return matrix / matrix.sum(1, keepdims=True)


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("chroma", ["420", "422", "440", "411", "410"])
@pytest.mark.parametrize("size", [(24, 32), (23, 29)])
def test_chroma_equals_a_dense_float64_computation(
    chroma: Chroma, siting: Siting, size: tuple[int, int]
) -> None:
    of = layout(chroma=chroma, siting=siting, bit_depth=12)
    height, width = size
    down, across = SUBSAMPLING[chroma]
    rows = positions(-(-height // down), down, siting != "topleft")
    columns = positions(-(-width // across), across, siting == "center")
    pixels_y, pixels_x = positions(height, 1, False), positions(width, 1, False)
    rgb = smooth_picture(height, width)
    r, g, b = rgb.double().numpy()
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    shrink_y, shrink_x = dense(rows, pixels_y, down), dense(columns, pixels_x, across)
    expected = [
        shrink_y @ difference @ shrink_x.T * 3584 + 2048
        for difference in ((b - luma) / 1.8556, (r - luma) / 1.5748)
    ]
    planes = rgb_to_planes(rgb, of)
    for plane, want in zip(planes[1:], expected, strict=True):
        assert np.abs(plane.numpy().astype(float) - want).max() <= 0.501
    grow_y, grow_x = dense(pixels_y, rows, down), dense(pixels_x, columns, across)
    blue, red = (
        grow_y @ ((plane.numpy().astype(float) - 2048) / 3584) @ grow_x.T for plane in planes[1:]
    )
    decoded_luma = (planes[0].numpy().astype(float) - 256) / 3504
    got = planes_to_rgb(planes, of).double().numpy()
    np.testing.assert_allclose(got[0], decoded_luma + 1.5748 * red, atol=2e-6)
    np.testing.assert_allclose(got[2], decoded_luma + 1.8556 * blue, atol=2e-6)
    green = (decoded_luma - 0.2126 * got[0] - 0.0722 * got[2]) / 0.7152
    np.testing.assert_allclose(got[1], green, atol=2e-6)


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("chroma", ["420", "422", "411", "410"])
def test_a_chroma_ramp_stays_where_it_is(chroma: Chroma, siting: Siting) -> None:
    of = layout(chroma=chroma, siting=siting, bit_depth=12)
    slope = 0.005
    ramp = torch.arange(48) * slope
    rgb = torch.full((3, 48, 48), 0.4)
    rgb[2] += ramp[None] + ramp[:, None]
    back = planes_to_rgb(rgb_to_planes(rgb, of), of)
    shift = (back - rgb)[2, 14:-14, 14:-14].mean() / slope
    assert abs(shift) < 0.01


def test_reading_with_the_wrong_siting_shifts_chroma_by_half_a_pixel() -> None:
    ramp = torch.full((3, 32, 32), 0.4)
    ramp[2] += torch.arange(32) * 0.01
    planes = rgb_to_planes(ramp, layout(siting="left", bit_depth=12))
    shifted = planes_to_rgb(planes, layout(siting="center", bit_depth=12))[2] - ramp[2]
    blue_share = 1 - 0.0722
    assert shifted[16, 16] == pytest.approx(-0.005 * blue_share, abs=5e-4)


@pytest.mark.parametrize("siting", ["left", "center"])
def test_a_chroma_zone_plate_loses_little(siting: Siting) -> None:
    y, x = torch.arange(96.0)[:, None], torch.arange(128.0)[None]
    of = layout(chroma="420", siting=siting)
    rgb = torch.full((3, 96, 128), 0.5)
    rgb[0] += 0.2 * torch.sin(x * x / 260 + y / 9)
    rgb[2] += 0.2 * torch.sin(y * y / 200 - x / 11)
    error = planes_to_rgb(rgb_to_planes(rgb, of), of) - rgb
    assert 10 * math.log10(1 / float(error.square().mean())) > 38


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (7, 9)])
@pytest.mark.parametrize("chroma", ["420", "422", "440", "411", "410"])
def test_odd_and_tiny_sizes_keep_their_size_and_colour(
    chroma: Chroma, size: tuple[int, int]
) -> None:
    of = layout(chroma=chroma)
    rgb = torch.tensor([0.7, 0.3, 0.5])[:, None, None].expand(3, *size)
    planes = rgb_to_planes(rgb, of)
    assert tuple(tuple(p.shape) for p in planes) == plane_sizes(of, *size)
    back = planes_to_rgb(planes, of)
    assert back.shape == (3, *size)
    torch.testing.assert_close(back, rgb, atol=0.01, rtol=0)


def test_odd_sizes_round_the_chroma_planes_up() -> None:
    assert plane_sizes(layout(chroma="420"), 5, 7) == ((5, 7), (3, 4), (3, 4))
    assert plane_sizes(layout(chroma="411"), 5, 7) == ((5, 7), (5, 2), (5, 2))
    assert plane_sizes(layout(chroma="gray"), 5, 7) == ((5, 7),)


def test_a_batch_equals_its_pictures_one_by_one() -> None:
    of = layout()
    batch = torch.rand(3, 3, 10, 12)
    planes = rgb_to_planes(batch, of)
    single = [rgb_to_planes(picture, of) for picture in batch]
    assert all(torch.equal(p[i], single[i][k]) for k, p in enumerate(planes) for i in range(3))
    rgb = planes_to_rgb(planes, of)
    assert torch.equal(rgb[1], planes_to_rgb(single[1], of))


def test_the_wanted_dtype_is_given() -> None:
    of = layout()
    planes = constant_planes((90, 128, 128), of, 4, 4)
    assert planes_to_rgb(planes, of, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert rgb_to_planes(torch.rand(3, 4, 4, dtype=torch.float16), of)[0].dtype == torch.uint8


def test_planes_are_only_read() -> None:
    of = layout(chroma="444")
    planes = [torch.rand(4, 4) * 200 for _ in range(3)]
    before = [p.clone() for p in planes]
    planes_to_rgb(planes, of)
    rgb = torch.rand(3, 4, 4)
    kept = rgb.clone()
    rgb_to_planes(rgb, of)
    assert torch.equal(rgb, kept)
    assert all(torch.equal(a, b) for a, b in zip(planes, before, strict=True))


def test_planes_of_the_wrong_size_are_refused() -> None:
    planes = [torch.zeros(8, 8), torch.zeros(4, 3), torch.zeros(4, 4)]
    with pytest.raises(ValueError, match="420 planes must measure"):
        planes_to_rgb(planes, layout())


def test_depths_outside_8_to_16_are_refused() -> None:
    with pytest.raises(ValueError, match="got 32"):
        layout(bit_depth=32)


@pytest.mark.parametrize(
    ("width", "height", "matrix"),
    [(720, 480, "bt601"), (1024, 576, "bt601"), (1280, 720, "bt709"), (320, 1080, "bt709")],
)
def test_an_untagged_matrix_follows_the_size(width: int, height: int, matrix: str) -> None:
    resolved, assumed = resolve_layout(
        chroma="420", bit_depth=8, width=width, height=height, range_code=1
    )
    assert resolved.matrix == matrix
    assert len(assumed) == 1
    assert "untagged colour matrix" in assumed[0]
    assert f"{width}x{height}" in assumed[0]


@pytest.mark.parametrize(
    ("code", "matrix"),
    [(1, "bt709"), (4, "fcc"), (5, "bt601"), (6, "bt601"), (7, "smpte240m"), (9, "bt2020")],
)
def test_a_tagged_matrix_is_obeyed_in_silence(code: int, matrix: str) -> None:
    resolved, assumed = resolve_layout(
        chroma="420", bit_depth=10, width=64, height=48, matrix_code=code, range_code=1
    )
    assert (resolved.matrix, resolved.bit_depth, assumed) == (matrix, 10, ())


@pytest.mark.parametrize(
    ("chroma", "range_code", "by_format", "full", "sentences"),
    [
        ("420", 0, False, False, 1),
        ("420", 1, False, False, 0),
        ("420", 2, False, True, 0),
        ("420", 0, True, True, 0),
        ("gray", 0, False, True, 0),
        ("gray", 1, False, False, 0),
        ("rgb", 0, False, True, 0),
    ],
)
def test_the_range_is_limited_unless_something_says_full(
    chroma: Chroma, range_code: int, by_format: bool, full: bool, sentences: int
) -> None:
    resolved, assumed = resolve_layout(
        chroma=chroma,
        bit_depth=8,
        width=64,
        height=48,
        matrix_code=6,
        range_code=range_code,
        full_range_format=by_format,
    )
    assert resolved.full_range is full
    assert len(assumed) == sentences


@pytest.mark.parametrize(("code", "phrase"), [(10, "constant luminance"), (8, "matrix 8")])
def test_a_matrix_that_is_not_supported_is_named(code: int, phrase: str) -> None:
    _, assumed = resolve_layout(
        chroma="420", bit_depth=8, width=64, height=48, matrix_code=code, range_code=1
    )
    assert phrase in " ".join(assumed)


@pytest.mark.parametrize(
    ("value", "level"), [(0, 0), (1, 255), (-0.2, 0), (1.2, 255), (0.4 / 255, 0), (0.6 / 255, 1)]
)
def test_levels_are_the_nearest_there_is(value: float, level: int) -> None:
    assert to_levels(torch.tensor(value)) == level


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_is_not_rounded_twice(kind: torch.dtype) -> None:
    x = torch.linspace(0, 1, 997).to(kind)
    assert torch.equal(to_levels(x), (x.double() * 255).round().to(torch.uint8))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_channels_come_last(shape: tuple[int, ...]) -> None:
    rgb = torch.rand(shape)
    found = to_picture(rgb)
    assert found.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], to_levels(rgb[..., channel, :, :]))
