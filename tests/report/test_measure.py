"""The first pass: films in lockstep, numbers per frame, moments."""

from __future__ import annotations

from fractions import Fraction
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from synthetic import draw_number, make_video, read_number

from vsr.media.probe import probe
from vsr.media.types import PlanarFrame, PlaneFormat
from vsr.ops.color import ColorLayout
from vsr.options import DecodeOptions
from vsr.report.measure import Shown, choose_moments, in_step, measure, nearest_frame, timed


def film(times: list[Fraction]) -> list[Shown]:
    """Frames whose pts is their number."""
    planes = PlaneFormat(name="gray", chroma="gray", bit_depth=8)
    layout = ColorLayout(matrix="bt709", full_range=False, bit_depth=8, chroma="gray")
    return [
        Shown(
            frame=PlanarFrame(planes=(), format=planes, pts=i, duration=1), layout=layout, seconds=t
        )
        for i, t in enumerate(times)
    ]


def shown(reference: list[Shown], *others: list[Shown]) -> list[list[int]]:
    steps = in_step(iter(reference), [iter(other) for other in others], Fraction(1, 24))
    return [[each.frame.pts for each in step] for step in steps]


def even(count: int, rate: int = 24) -> list[Fraction]:
    return [Fraction(i, rate) for i in range(count)]


def test_equal_clocks_pair_frame_by_frame() -> None:
    assert shown(film(even(4)), film(even(4))) == [[i, i] for i in range(4)]


def test_times_rounded_to_milliseconds_pair_frame_by_frame() -> None:
    rounded = [Fraction(round(t * 1000), 1000) for t in even(40)]
    assert shown(film(even(40)), film(rounded)) == [[i, i] for i in range(40)]
    assert shown(film(rounded), film(even(40))) == [[i, i] for i in range(40)]


def test_twice_the_rate_shows_every_second_frame() -> None:
    assert shown(film(even(3)), film(even(6, 48))) == [[0, 0], [1, 2], [2, 4]]


def test_a_lost_frame_shows_the_one_before_it() -> None:
    times = even(5)
    lost = film([times[0], times[1], times[3], times[4]])
    assert shown(film(times), lost) == [[0, 0], [1, 1], [2, 1], [3, 2], [4, 3]]


def test_the_shortest_film_ends_it() -> None:
    assert len(shown(film(even(9)), film(even(9)), film(even(4)))) == 4


@pytest.mark.parametrize("color", [None, (1, 1, 1, 1), (1, 1, 1, 2)])
def test_luma_is_16_to_235_whatever_the_range(
    tmp_path: Path, color: tuple[int, int, int, int] | None
) -> None:
    def halves(index: int, width: int, height: int) -> np.ndarray:
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, width // 2 :] = 255
        return picture

    path = make_video(
        tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt="yuv444p", color=color, picture=halves
    )
    for by_rgb in (False, True):
        luma = next(timed(probe(path), DecodeOptions())).luma(by_rgb=by_rgb)
        assert luma[:, :30].max() == pytest.approx(16, abs=0.1)
        assert luma[:, 34:].min() == pytest.approx(235, abs=0.1)


def lossless(path: Path, frames: int, shift: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    return make_video(
        path,
        frames=frames,
        size=size,
        codec="ffv1",
        pix_fmt="yuv444p",
        picture=lambda i, w, h: np.clip(draw_number(i, w, h).astype(int) + shift, 0, 255).astype(
            np.uint8
        ),
    )


def test_equal_films_have_the_highest_psnr_and_no_flicker(tmp_path: Path) -> None:
    films = [probe(lossless(tmp_path / name, 4)) for name in ("a.mkv", "b.mkv")]
    found = measure(films)
    assert list(found.curves[0].psnr) == [100.0] * 4
    assert isnan(found.curves[0].flicker[0])
    assert list(found.curves[0].flicker[1:]) == [0.0] * 3
    assert list(found.difference) == [0.0] * 4


def test_psnr_is_that_of_the_luma_planes(tmp_path: Path) -> None:
    def flat(level: int) -> Path:
        return make_video(
            tmp_path / f"{level}.mkv",
            frames=2,
            codec="ffv1",
            pix_fmt="gray",
            color=(1, 1, 1, 1),
            picture=lambda i, w, h: np.full((h, w, 3), level, np.uint8),
        )

    found = measure([probe(flat(100)), probe(flat(120))])
    codes = [round(16 + 219 * level / 255) for level in (100, 120)]
    wanted = 20 * np.log10(255 / (codes[1] - codes[0]))
    assert found.curves[0].psnr[0] == pytest.approx(wanted, abs=1e-3)


def test_an_output_of_another_size_is_brought_to_the_references(tmp_path: Path) -> None:
    small, large = lossless(tmp_path / "a.mkv", 3), lossless(tmp_path / "b.mkv", 3, size=(256, 192))
    found = measure([probe(small), probe(large)])
    assert found.frames == 3
    assert 10 < min(found.curves[0].psnr) < 60
    assert min(found.difference) > 0


def test_memory_of_the_past_ends_at_a_cut(tmp_path: Path) -> None:
    def two_scenes(index: int, width: int, height: int) -> np.ndarray:
        level = 40 + index if index < 6 else 200 + index
        return np.full((height, width, 3), level, np.uint8)

    a = make_video(
        tmp_path / "a.mkv", frames=12, codec="ffv1", pix_fmt="yuv444p", picture=two_scenes
    )
    found = measure([probe(a), probe(a)])
    assert found.cuts == [6]
    assert [i for i, value in enumerate(found.curves[0].flicker) if isnan(value)] == [0, 6]


def test_a_part_is_compared_from_its_start(tmp_path: Path) -> None:
    whole = lossless(tmp_path / "a.mkv", 12)
    part = make_video(
        tmp_path / "b.mkv",
        frames=5,
        codec="ffv1",
        pix_fmt="yuv444p",
        picture=lambda i, w, h: draw_number(i + 4, w, h),
    )
    start = Fraction(4 * 1001, 24000) - Fraction(1, 1000)
    found = measure([probe(whole), probe(part)], start=start)
    assert list(found.curves[0].psnr) == [100.0] * 5


def test_moments_are_the_largest_differences_apart_from_each_other() -> None:
    difference = [0.0] * 100
    for index, value in ((10, 9.0), (11, 8.9), (50, 5.0), (90, 7.0)):
        difference[index] = value
    assert choose_moments(difference, [], 3) == [10, 50, 90]


def test_the_frame_before_a_cut_is_no_moment() -> None:
    difference = [0.0] * 40
    difference[19], difference[20] = 9.0, 8.0
    assert choose_moments(difference, [20], 1) == [20]


def test_a_short_film_has_fewer_moments() -> None:
    assert choose_moments([1.0, 2.0], [], 6) == [0, 1]


def test_the_nearest_frame_is_taken() -> None:
    assert nearest_frame(even(10), Fraction(1, 10)) == 2
    assert nearest_frame(even(10), Fraction(99)) == 9


def test_the_pictures_are_those_of_the_moment(tmp_path: Path) -> None:
    from vsr.report.moments import read_moment

    info = probe(make_video(tmp_path / "a.mp4", frames=30, size=(128, 96)))
    found = measure([info, info])
    for index in (0, 7, 29):
        assert read_number(read_moment(info, found.times[0][index])) == index


def test_the_pictures_of_a_part_are_those_that_were_measured(tmp_path: Path) -> None:
    """Of a telephone's film, whose frames come 26 to 40 ms apart."""
    from vsr.report.moments import read_moment

    steps = np.random.default_rng(1).integers(26, 41, 59)
    pts, tick = [0, *np.cumsum(steps).tolist()], Fraction(1, 1000)
    whole = probe(make_video(tmp_path / "a.mkv", size=(128, 96), pts=pts, time_base=tick))
    start = Fraction(7, 10)
    first = next(i for i, at in enumerate(pts) if at * tick >= start)
    part = make_video(
        tmp_path / "b.mkv", size=(128, 96), pts=[at - pts[first] for at in pts[first:]],
        time_base=tick, picture=lambda i, *size: draw_number(i + first, *size),
    )  # fmt: skip
    films = [whole, probe(part)]
    found = measure(films, start=start)
    assert found.frames == len(pts) - first
    for index in range(found.frames):
        for info, place in zip(films, found.places(index), strict=True):
            assert read_number(read_moment(info, place)) == index + first


def test_a_film_that_players_turn_is_measured_as_they_show_it(tmp_path: Path) -> None:
    turned = probe(make_video(tmp_path / "a.mp4", frames=3, size=(128, 96), rotation=-90))
    upright = make_video(
        tmp_path / "b.mp4", frames=3, size=(96, 128),
        picture=lambda i, *_: np.rot90(draw_number(i, 128, 96), turned.video.rotation // 90),
    )  # fmt: skip
    assert min(measure([turned, probe(upright)]).curves[0].psnr) > 30
