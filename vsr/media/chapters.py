"""The chapters of an output: those of the kept part, in the order that the target can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from vsr.media.checks import Check, check
from vsr.media.containers import LABELS
from vsr.media.copying import TimeRange
from vsr.media.probe import SourceInfo

Chapter = tuple[Fraction, Fraction, str]

# The text track that holds their names there has one sample after another, from zero on.
CONTIGUOUS = ("mp4", "mov")
TOLERANCE = Fraction(1, 1000)


def kept_chapters(
    info: SourceInfo, muxer: str, time_range: TimeRange | None
) -> tuple[Chapter, ...]:
    """List (start, end, title), in seconds on the output's clock, as the target will hold them.

    MP4 and MOV hold chapters one after another from zero on: each ends where the next begins, and
    an untitled one comes before a first that begins later. So every chapter begins at its time.
    """
    chapters = tuple(_in_range(info.chapters, time_range))
    return _one_after_another(chapters) if muxer in CONTIGUOUS else chapters


def chapter_warnings(info: SourceInfo, muxer: str, time_range: TimeRange | None) -> tuple[str, ...]:
    """Say in sentences how the chapters will differ from those of the kept part of the source."""
    if "chapters" not in LABELS.get(muxer, ()):
        return ()
    before = sorted(_in_range(info.chapters, time_range), key=_start)
    after = kept_chapters(info, muxer, time_range)
    added, after = len(after) - len(before), after[len(after) - len(before) :]
    said = []
    if added:
        said.append(
            f"the first chapter begins {float(before[0][0]):.3f} s after the start, and {muxer} "
            "files hold chapters from the start on: an untitled one will fill that time"
        )
    moved = sum(abs(a[1] - b[1]) > TOLERANCE for a, b in zip(before, after, strict=True))
    if moved:
        said.append(
            f"{muxer} files hold chapters only one after another: {moved} of {len(before)} will "
            "end where the next begins (mkv files hold their ends); all begin at their times"
        )
    return tuple(said)


def for_muxer(chapters: Sequence[Chapter], muxer: str) -> list[dict[str, Any]]:
    """Put chapters into PyAV's words; the text track of MP4 skips those without a title tag."""
    written = []
    for number, (begin, end, title) in enumerate(chapters):
        tick = Fraction(1, math.lcm(begin.denominator, end.denominator))
        if tick.denominator >= 2**31:
            tick = Fraction(1, 1_000_000)
        written.append(
            {
                "id": number,
                "start": round(begin / tick),
                "end": round(end / tick),
                "time_base": tick,
                "metadata": {"title": title} if title or muxer in CONTIGUOUS else {},
            }
        )
    return written


def check_chapters(
    info: SourceInfo, made: SourceInfo, muxer: str, time_range: TimeRange | None
) -> Check:
    """Check number, times and titles of the chapters that lie in the kept range."""
    wanted, found = kept_chapters(info, muxer, time_range), made.chapters
    if len(wanted) != len(found):
        return check("chapters", False, f"wanted {len(wanted)} chapters, found {len(found)}")
    for number, (want, got) in enumerate(zip(wanted, found, strict=True), 1):
        late = max(abs(want[0] - got[0]), abs(want[1] - got[1]))
        if late > TOLERANCE or want[2] != got[2]:
            return check("chapters", False, f"chapter {number}, {_say(want)}, became {_say(got)}")
    return check("chapters", True, f"{len(found)} kept", count=len(found))


def _in_range(chapters: Iterable[Chapter], time_range: TimeRange | None) -> Iterator[Chapter]:
    if time_range is None:
        yield from chapters
        return
    start, stop = time_range.start, time_range.stop
    for begin, end, title in chapters:
        if end > start and (stop is None or begin < stop):
            last = end if stop is None else min(end, stop)
            yield max(begin, start) - start, last - start, title


def _one_after_another(chapters: Sequence[Chapter]) -> tuple[Chapter, ...]:
    ordered = sorted(chapters, key=_start)
    made = []
    for number, (start, end, title) in enumerate(ordered):
        last = number == len(ordered) - 1
        # A last one that lasts for no time would be read as lasting until the film ends.
        made.append((start, max(end, start + TOLERANCE) if last else ordered[number + 1][0], title))
    if made and made[0][0] > TOLERANCE:
        return ((Fraction(0), made[0][0], ""), *made)
    return tuple(made)


def _start(chapter: Chapter) -> Fraction:
    return chapter[0]


def _say(chapter: Chapter) -> str:
    start, end, title = chapter
    return f"{title or 'untitled'!r} from {float(start):.3f} s to {float(end):.3f} s"
