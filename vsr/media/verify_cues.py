"""Compare converted subtitles with those of the source: every text, and when it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import av

from vsr.media.copying import TimeRange, is_filler, move_into_range, settle_time
from vsr.media.cues import Cue, CueFlattener, text_of
from vsr.media.probe import SourceInfo, StreamInfo
from vsr.media.source import open_source, read_packets
from vsr.media.streams import StreamPlan

Pair = tuple[StreamPlan, StreamInfo, StreamInfo]

# Starts and lengths are each rounded to a millisecond.
TOLERANCE = Fraction(1, 500)


def cue_warnings(
    info: SourceInfo, made: SourceInfo, pairs: Sequence[Pair], time_range: TimeRange | None
) -> tuple[str, ...]:
    """Say how many texts of converted subtitles are missing, or not shown when they were.

    Letters and digits are compared: markup is written differently in every format.
    """
    converted = [p for p in pairs if p[0].action == "convert" and p[0].kind == "subtitle"]
    if not converted:
        return ()
    wanted = _read(info, [before.index for _, before, _ in converted], time_range)
    found = _read(made, [after.index for _, _, after in converted], None)
    said = []
    for plan, before, after in converted:
        cues = wanted[before.index]
        shown = list(_flat(cues) if plan.codec == "mov_text" else cues)
        missing = _missing(shown, before.time_base, found[after.index], after.time_base)
        if missing:
            first = float(missing[0].start * before.time_base)
            said.append(
                f"{len(missing)} of {len(shown)} texts of subtitle stream {before.index} are "
                f"missing or shown at another time after conversion, the first at {first:.3f} s"
            )
    return tuple(said)


def _read(
    info: SourceInfo, indices: Sequence[int], time_range: TimeRange | None
) -> Mapping[int, list[Cue]]:
    cues: dict[int, list[Cue]] = {index: [] for index in indices}
    source, _ = open_source(info.path)
    with source:
        packets = read_packets(source, [source.streams[index] for index in indices])
        while True:
            try:
                packet = next(packets)
                settle_time(packet, "subtitle")
                if not packet.size or is_filler(packet) or packet.pts is None:
                    continue
                if not move_into_range(packet, "subtitle", time_range):
                    continue
                context: Any = packet.stream.codec_context
                for text in context.decode2(packet) or ():
                    end = packet.pts + (packet.duration or 0)
                    cues[packet.stream.index].append(Cue(start=packet.pts, end=end, event=text.ass))
            except (StopIteration, av.EOFError):
                return cues
            except av.FFmpegError:
                continue  # the writer counts what cannot be converted


def _flat(cues: Sequence[Cue]) -> Iterator[Cue]:
    flattener = CueFlattener()
    for cue in cues:
        yield from flattener.add(cue)
    yield from flattener.until(None)


def _missing(
    wanted: Sequence[Cue], tick: Fraction, found: Sequence[Cue], found_tick: Fraction
) -> list[Cue]:
    shown: dict[str, list[tuple[Fraction, Fraction]]] = {}
    for cue in found:
        times = cue.start * found_tick, cue.end * found_tick
        shown.setdefault(_letters(cue), []).append(times)
    missing = []
    for cue in wanted:
        letters, times = _letters(cue), (cue.start * tick, cue.end * tick)
        same = [
            at
            for at in shown.get(letters, ())
            if max(abs(a - b) for a, b in zip(at, times, strict=True)) <= TOLERANCE
        ]
        if same:
            shown[letters].remove(same[0])
        elif letters:
            missing.append(cue)
    return missing


def _letters(cue: Cue) -> str:
    text = re.sub(r"\{.*?\}|<.*?>|\\[Nnh]", " ", text_of(cue.event).decode(errors="replace"))
    return "".join(filter(str.isalnum, text))
