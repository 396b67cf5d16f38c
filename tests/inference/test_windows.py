"""Scores become cuts, cuts become segments, nothing is buffered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vsr.inference.windows import Window, segments, windows


@dataclass(frozen=True)
class Picture:
    number: int
    scene_score: float = 0.0


def lengths(scores: list[float], threshold: float = 7.0) -> list[int]:
    pictures = (Picture(number, score) for number, score in enumerate(scores))
    return [len(list(segment)) for segment in segments(pictures, threshold)]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], []),
        ([0], [1]),
        ([0, 1, 2, 1], [4]),
        ([0, 1, 30, 1], [2, 2]),
        ([0, 1, 30, 1, 40, 0], [2, 2, 2]),
        ([0, 1, 7, 1], [2, 2]),
        ([0, 1, 6.99, 1], [4]),
    ],
)
def test_a_score_at_the_threshold_starts_a_segment(
    scores: list[float], expected: list[int]
) -> None:
    assert lengths(scores) == expected


def test_the_first_frame_starts_no_second_segment() -> None:
    assert lengths([50, 0, 0]) == [3]


def test_the_second_frame_of_a_segment_is_not_judged() -> None:
    assert lengths([0, 12, 0, 0, 30, 12, 0]) == [4, 3]


def test_frames_after_a_cut_are_grouped_as_the_second_shot_alone_is() -> None:
    second = [0.0, 11.0, 1.0, 20.0, 3.0, 9.0]
    assert lengths([0, 1, 0, 25.0, *second[1:]])[1:] == lengths(second)


def test_a_threshold_beyond_the_scale_never_cuts() -> None:
    assert lengths([0, 100, 100, 100], threshold=101) == [4]


def test_every_frame_comes_once_in_order() -> None:
    pictures = [Picture(n, 30.0 * (n % 4 == 3)) for n in range(20)]
    assert [p for segment in segments(pictures, 7) for p in segment] == pictures


def test_frames_are_drawn_only_when_asked_for() -> None:
    drawn: list[int] = []

    def source() -> Iterator[Picture]:
        for number in range(10):
            drawn.append(number)
            yield Picture(number)

    segment = next(segments(source(), 7))
    next(segment)
    assert drawn == [0]


CASES = [(n, size, ahead) for n in range(12) for size in (1, 2, 3, 5) for ahead in (0, 1, 2, 4)]


@pytest.mark.parametrize(("count", "size", "ahead"), CASES)
def test_upscaled_frames_in_a_row_are_the_segment(count: int, size: int, ahead: int) -> None:
    drawn = [w.frames[: w.count] for w in windows(range(count), size, ahead)]
    assert [frame for frames in drawn for frame in frames] == list(range(count))


@pytest.mark.parametrize(("count", "size", "ahead"), CASES)
def test_every_frame_is_upscaled_with_its_lookahead_or_the_end_in_sight(
    count: int, size: int, ahead: int
) -> None:
    for window in windows(range(count), size, ahead):
        assert window.lookahead == ahead or window.frames[-1] == count - 1
        assert len(window.frames) <= size + ahead
        assert window.count >= 1


def test_windows_are_anchored_at_the_start() -> None:
    assert list(windows(range(8), 3, 1)) == [
        Window(frames=(0, 1, 2, 3), lookahead=1),
        Window(frames=(3, 4, 5, 6), lookahead=1),
        Window(frames=(6, 7), lookahead=0, last=True),
    ]


def test_what_fits_with_the_lookahead_is_one_window() -> None:
    whole = Window(frames=tuple(range(6)), lookahead=0, last=True)
    assert list(windows(range(6), 4, 2)) == [whole]


@pytest.mark.parametrize("count", range(9, 30))
def test_with_lookahead_no_last_window_is_a_single_frame(count: int) -> None:
    assert list(windows(range(count), 4, 2))[-1].count > 1


def test_windows_are_drawn_lazily() -> None:
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    iterator = windows(source(), 4, 2)
    next(iterator)
    assert len(drawn) == 7
    next(iterator)
    assert len(drawn) == 11


@pytest.mark.parametrize("count", [1, 4, 6, 7, 9])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_of_a_window_cover_it_in_order(count: int, size: int) -> None:
    window = Window(frames=tuple(range(count)), lookahead=min(2, count - 1))
    done, upscaled = 0, []
    while done < window.count:
        part = window.part(done, size, 2)
        upscaled += part.frames[: part.count]
        done += part.count
        assert part.frames[0] == upscaled[-part.count]
        assert len(part.frames) <= size + 2
    assert upscaled == list(window.frames[: window.count])


def test_a_window_is_its_own_part_at_full_size() -> None:
    window = Window(frames=tuple(range(6)), lookahead=2)
    assert window.part(0, 4, 2) == window


def test_parts_see_the_frames_after_them() -> None:
    window = Window(frames=tuple(range(10)), lookahead=2)
    assert window.part(2, 2, 2) == Window(frames=(2, 3, 4, 5), lookahead=2)
    assert window.part(6, 2, 2) == Window(frames=(6, 7, 8, 9), lookahead=2)


@pytest.mark.parametrize(("size", "ahead"), [(0, 0), (-1, 2), (3, -1)])
def test_sizes_out_of_range_are_refused(size: int, ahead: int) -> None:
    with pytest.raises(ValueError, match="window must be 1 or more"):
        list(windows(range(3), size, ahead))
