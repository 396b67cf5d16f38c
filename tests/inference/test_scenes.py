"""Scores become cuts, cuts become segments, nothing is buffered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vsr.inference.scenes import segments


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
