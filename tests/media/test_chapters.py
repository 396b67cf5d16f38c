"""Chapters: which are kept, and what becomes of them in MP4, one after another."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from synthetic_streams import enhance_nearest, make_rich_video

from vsr.media.chapters import chapter_warnings
from vsr.media.copying import TimeRange
from vsr.media.probe import probe
from vsr.media.verify import verify

Times = list[tuple[int, int, str]]

GAP: Times = [(0, 200, "A"), (300, 400, "B")]
OVERLAP: Times = [(0, 600, "A"), (100, 300, "B"), (300, 600, "C")]
LATE: Times = [(0, 400, "A"), (400, 900, "B"), (2000, 3000, "C")]
LATER_FIRST: Times = [(100, 300, "A"), (300, 600, "B")]
UNTITLED: Times = [(0, 100, "A"), (100, 400, ""), (400, 600, "B")]
EMPTY: Times = [(0, 600, "A"), (600, 600, "End")]


def in_seconds(chapters: Times) -> tuple[tuple[Fraction, Fraction, str], ...]:
    return tuple((Fraction(a, 1000), Fraction(b, 1000), title) for a, b, title in chapters)


def film_with(path: Path, chapters: Times) -> Path:
    return make_rich_video(path, frames=4, chapters=in_seconds(chapters))


@pytest.mark.parametrize(
    ("suffix", "chapters", "wanted", "said"),
    [
        (".mp4", GAP, [(0, 300, "A"), (300, 400, "B")], "1 of 2 will end where the next begins"),
        (".mp4", OVERLAP, [(0, 100, "A"), (100, 300, "B"), (300, 600, "C")], "1 of 3 will end"),
        (".mp4", LATE, [(0, 400, "A"), (400, 2000, "B"), (2000, 3000, "C")], "1 of 3 will end"),
        (
            ".mov",
            LATER_FIRST,
            [(0, 100, ""), *LATER_FIRST],
            "first chapter begins 0.100 s after the start",
        ),
        (".mov", UNTITLED, UNTITLED, ""),
        (".mp4", EMPTY, [EMPTY[0], (600, 601, "End")], ""),
    ],
)
def test_every_chapter_begins_at_its_time_and_what_changes_is_said(
    tmp_path: Path, suffix: str, chapters: Times, wanted: Times, said: str
) -> None:
    source = film_with(tmp_path / "in.mkv", chapters)
    target = tmp_path / f"out{suffix}"
    expected, _ = enhance_nearest(source, target)
    assert probe(target).chapters == in_seconds(wanted)
    warnings = chapter_warnings(probe(source), suffix[1:], None)
    assert [said in warning for warning in warnings] == [True] * bool(said)
    found = verify(source, target, expected)
    assert not found.problems
    assert set(warnings) <= set(found.warnings)


@pytest.mark.parametrize("chapters", [GAP, OVERLAP, LATE, LATER_FIRST])
def test_matroska_holds_them_as_they_are(tmp_path: Path, chapters: Times) -> None:
    source = film_with(tmp_path / "in.mkv", chapters)
    target = tmp_path / "out.mkv"
    expected, _ = enhance_nearest(source, target)
    assert probe(target).chapters == in_seconds(chapters)
    assert not verify(source, target, expected).problems
    assert chapter_warnings(probe(source), "matroska", None) == ()


def test_only_chapters_of_the_kept_part_count(tmp_path: Path) -> None:
    info = probe(film_with(tmp_path / "in.mkv", LATE))
    assert chapter_warnings(info, "mp4", TimeRange(start=Fraction(1, 2), stop=Fraction(1))) == ()


@pytest.mark.parametrize("muxer", ["mp4", "matroska", "avi"])
def test_nothing_is_said_where_there_are_none(tmp_path: Path, muxer: str) -> None:
    assert chapter_warnings(probe(film_with(tmp_path / "in.mkv", [])), muxer, None) == ()


def test_a_wrong_chapter_is_described_in_plain_words(tmp_path: Path) -> None:
    source = film_with(tmp_path / "in.mkv", [(0, 300, "A"), (300, 600, "B")])
    other = film_with(tmp_path / "other.mkv", [(0, 200, "A"), (200, 600, "B")])
    expected, _ = enhance_nearest(other, tmp_path / "out.mkv")
    (problem,) = verify(source, tmp_path / "out.mkv", expected).problems
    assert problem == (
        "chapters: chapter 1, 'A' from 0.000 s to 0.300 s, became 'A' from 0.000 s to 0.200 s"
    )
