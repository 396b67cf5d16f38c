"""Subtitles that overlap, parted into cues one after another, as MP4's text tracks hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Fields of an ASS event before its text: order, layer, style, name, three margins, effect.
FIELDS_BEFORE_TEXT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """A text and when it is shown.

    Attributes:
        start, end: In ticks; the end is excluded.
        event: As FFmpeg's decoders give it: an ASS event without its times.
    """

    start: int
    end: int
    event: bytes


class CueFlattener:
    """Part overlapping cues at every start and end; those shown together become one, by lines.

    Nothing is shown earlier, later or shorter than before. A cue that comes when its time has been
    given already is shown from there on.
    """

    def __init__(self) -> None:
        self._shown: list[Cue] = []
        self._now: int | None = None

    def add(self, cue: Cue) -> Iterator[Cue]:
        """Take the next cue, in order of starts; give what is settled by that."""
        yield from self.until(cue.start)
        now = cue.start if self._now is None else max(self._now, cue.start)
        self._now = now
        self._shown.append(
            Cue(start=now, end=max(cue.end, now + 1), event=cue.event)  # never lost
        )

    def until(self, time: int | None) -> Iterator[Cue]:
        """Give all that is shown before a time; None for the rest."""
        while self._shown:
            assert self._now is not None
            end = min(cue.end for cue in self._shown)
            end = end if time is None else min(end, time)
            if end <= self._now:
                return
            yield Cue(start=self._now, end=end, event=_joined([cue.event for cue in self._shown]))
            self._now = end
            self._shown = [cue for cue in self._shown if cue.end > end]


def text_of(event: bytes) -> bytes:
    """Give the text of an ASS event."""
    return event.split(b",", FIELDS_BEFORE_TEXT)[-1]


def _joined(events: Sequence[bytes]) -> bytes:
    """Put the texts of ASS events under one another; styles end where their text does."""
    *before, first = events[0].split(b",", FIELDS_BEFORE_TEXT)
    texts = [first, *(text_of(event) for event in events[1:])]
    shown = b"\\N".join(
        text + b"{\\r}" * (b"{" in text and number < len(texts))
        for number, text in enumerate(texts, 1)
    )
    return b",".join([*before, shown])
