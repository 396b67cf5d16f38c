"""The streams of a finished file, subtitle cues too, compared with those of its source."""

from __future__ import annotations

import contextlib
import hashlib
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import av
from av.codec.context import Flags2
from av.packet import Packet

from vsr.media.containers import DISPOSITIONS, LABELS
from vsr.media.copying import (
    TIMES_MAY_REPEAT,
    Cue,
    CueFlattener,
    TimeRange,
    is_rest,
    kept_packets,
    put_after,
    text_of,
)
from vsr.media.probe import SourceInfo, StreamInfo
from vsr.media.streams import (
    AVI_SLACK,
    StreamPlan,
    container_tags,
    enhanced_tags,
    holds_language,
    stream_tags,
    written_language,
)
from vsr.media.types import Check, check

UNPACKETED = "pcm_"  # sound that every container cuts into packets of its own
# Half a millisecond, Matroska's step, for each of the two files.
TIME_TOLERANCE = Fraction(1, 1000)
TIMED = ("video", "audio", "subtitle")
# The mp3 decoder states a new rate one frame late; no frame has more samples.
LATE = 2048
# Checked as labels, not as tags.
LABEL_TAGS = ("title", "language")


@dataclass(kw_only=True, slots=True)
class _Packets:
    """Hash, size and times of the packets of one stream.

    Attributes:
        samples: How many the packets decode to, by rate and channels.
        undecodable: How many packets the decoder refuses.
    """

    payload: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    times: array[int] = field(default_factory=lambda: array("q"))
    tick: Fraction = Fraction(1)
    samples: Counter[tuple[int, int]] = field(default_factory=Counter)
    undecodable: int = 0

    def add(self, data: bytes, pts: int | None, tick: Fraction) -> None:
        self.payload.update(data)
        self.size += len(data)
        self.tick = tick
        if pts is not None:
            self.times.append(pts)

    def decode(self, packet: Packet[Any]) -> None:
        """Decode a packet of sound; its samples are only counted."""
        context: Any = packet.stream.codec_context
        if context is None:
            return
        if not context.is_open:
            # Containers differ in which samples at either end are skipped.
            context.flags2 |= Flags2.skip_manual
        try:
            for frame in context.decode(packet):
                self.samples[frame.sample_rate, frame.layout.nb_channels] += frame.samples
        except av.FFmpegError:
            self.undecodable += 1

    def seconds(self, index: int) -> Fraction:
        return self.times[index] * self.tick


def check_streams(
    info: SourceInfo,
    made: SourceInfo,
    plans: Sequence[StreamPlan],
    time_range: TimeRange | None,
    *,
    muxer: str,
    shift: Fraction,
) -> list[Check]:
    """Check that every planned stream is there, with its labels and, if copied, its packets.

    Args:
        info, made: Source and target.
        plans: Of all streams of the source.
        time_range: The part that was kept.
        muxer: Of the target; labels that it does not hold are not checked.
        shift: Seconds by which the target's clock is ahead of the source's.
    """
    pairs, missing = pair_streams(info, made, plans)
    wanted = sum(plan.action != "drop" for plan in plans)
    checks = [
        check(
            "streams",
            not missing,
            f"{wanted} of {len(plans)} streams planned, all there"
            if not missing
            else f"missing: {', '.join(missing)}",
            wanted=wanted,
            missing=len(missing),
        )
    ]
    copied = [
        (plan, before, after)
        for plan, before, after in pairs
        if plan.action == "copy" and before.kind in TIMED
    ]
    if copied:
        ticks = {before.index: after.time_base for _, before, after in copied}
        sources = [before for _, before, _ in copied]
        strict = muxer not in TIMES_MAY_REPEAT
        have = _read(info, sources, time_range, decoding=True, ticks=ticks, strict=strict)
        got = _read(made, [after for _, _, after in copied], None, decoding=True)
        tolerance = AVI_SLACK if muxer == "avi" else TIME_TOLERANCE
        for _, before, after in copied:
            checks.append(
                _check_packets(before, have[before.index], got[after.index], shift, tolerance)
            )
    checks += [_check_labels(muxer, before, after) for _, before, after in pairs]
    return checks


def pair_streams(
    info: SourceInfo, made: SourceInfo, plans: Sequence[StreamPlan]
) -> tuple[list[tuple[StreamPlan, StreamInfo, StreamInfo]], list[str]]:
    """Match streams kind by kind, in order: containers move attachments."""
    before = {stream.index: stream for stream in info.streams}
    left: dict[str, list[StreamInfo]] = {}
    for stream in made.streams:
        left.setdefault(stream.kind, []).append(stream)
    pairs, missing = [], []
    for plan in plans:
        if plan.action == "drop":
            continue
        candidates = left.get(plan.kind, [])
        if plan.action == "enhance":
            main = [stream for stream in candidates if stream.index == made.video.index]
            candidates = main + [stream for stream in candidates if stream not in main]
            left[plan.kind] = candidates
        if candidates:
            pairs.append((plan, before[plan.index], candidates.pop(0)))
        else:
            missing.append(f"{plan.kind} {plan.index} ({plan.codec})")
    return pairs, missing


def without_empty(
    info: SourceInfo,
    made: SourceInfo,
    plans: Sequence[StreamPlan],
    time_range: TimeRange | None,
    *,
    muxer: str,
) -> tuple[StreamPlan, ...]:
    """Plan to drop sound and video without a packet in the part kept, which MP4 and MOV drop.

    (They keep subtitles, with an empty cue.) Only reading the packets shows this, at the end.
    """
    if muxer not in ("mp4", "mov") or not pair_streams(info, made, plans)[1]:
        return tuple(plans)
    tracks = {plan.index for plan in plans if plan.action in ("copy", "convert")}
    asked = [s for s in info.streams if s.index in tracks and s.kind in ("audio", "video")]
    have = _read(info, asked, time_range)
    return tuple(
        replace(
            plan,
            action="drop",
            lost_labels=(),
            loses=True,
            reason=f"{plan.kind} track {plan.index} has nothing in "
            f"{'the part that is kept' if time_range else 'it'}, and is left out: {muxer} files "
            "hold no empty tracks",
        )
        if plan.index in have and not have[plan.index].size
        else plan
        for plan in plans
    )


def _read(
    info: SourceInfo,
    streams: Sequence[StreamInfo],
    time_range: TimeRange | None,
    *,
    decoding: bool = False,
    ticks: Mapping[int, Fraction | None] = MappingProxyType({}),
    strict: bool = False,
) -> dict[int, _Packets]:
    """Read the packets of some streams, and decode those of sound where asked.

    With the `ticks` of the target, they are put one after the other as `OtherStreams` does.
    """
    last: dict[int, int | None] = {}
    found = {stream.index: _Packets() for stream in streams}
    kinds = {stream.index: stream.kind for stream in streams}
    for packet in kept_packets(info, kinds, time_range):
        index = packet.stream.index
        if index in ticks:
            last[index] = put_after(packet, last.get(index), ticks[index], strict=strict)
        data = _bare(bytes(packet), info, index)
        found[index].add(data, None if is_rest(packet) else packet.pts, packet.time_base)
        if decoding and kinds[index] == "audio":
            found[index].decode(packet)
    return found


def _bare(data: bytes, info: SourceInfo, index: int) -> bytes:
    """Remove the container's header around a payload."""
    codec = next(stream.codec for stream in info.streams if stream.index == index)
    if codec == "aac" and data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]  # ADTS header, ISO/IEC 14496-3 1.A.2
    return data


def _check_packets(
    stream: StreamInfo,
    wanted: _Packets,
    found: _Packets,
    shift: Fraction,
    tolerance: Fraction,
) -> Check:
    name = f"{stream.kind} {stream.index} packets"
    numbers: dict[str, Any] = {
        "wanted_packets": len(wanted.times),
        "found_packets": len(found.times),
        "wanted_sha256": wanted.payload.hexdigest(),
        "found_sha256": found.payload.hexdigest(),
    }
    exact = stream.kind != "video"  # start codes and length fields may differ between containers
    if exact and numbers["wanted_sha256"] != numbers["found_sha256"]:
        return check(
            name,
            False,
            f"{len(wanted.times)} packets of {wanted.size} bytes became "
            f"{len(found.times)} of {found.size}, or others",
            **numbers,
        )
    pairs = range(min(len(wanted.times), len(found.times)))
    if stream.codec.startswith(UNPACKETED):
        pairs = pairs[:1]
    elif len(wanted.times) != len(found.times):
        return check(name, False, "another number of packets", **numbers)
    if stream.kind == "audio":
        if wrong := _decoded_otherwise(wanted, found):
            return check(name, False, wrong, **numbers)
        numbers["samples"] = found.samples.total()
    gaps = [abs(wanted.seconds(i) + shift - found.seconds(i)) for i in pairs]
    worst = max(gaps, default=Fraction(0))
    return check(
        name,
        worst <= tolerance,
        f"{len(found.times)} packets, {'the same payload, ' if exact else ''}"
        f"times differ by at most {float(worst) * 1000:.4f} ms",
        largest_difference_s=float(worst),
        **numbers,
    )


def _decoded_otherwise(wanted: _Packets, found: _Packets) -> str:
    """How sound decodes differently from that of the source, whose damage it may have."""
    if found.undecodable > wanted.undecodable:
        return (
            f"{found.undecodable} of {len(found.times)} packets cannot be decoded, in the source "
            f"{wanted.undecodable}"
        )
    counts = [
        (wanted.samples[form], found.samples[form]) for form in wanted.samples | found.samples
    ]
    late = max((abs(want - got) for want, got in counts), default=0)
    if found.samples.total() != wanted.samples.total() or late > LATE:
        return f"{_forms(wanted)} became {_forms(found)}"
    return ""


def _forms(packets: _Packets) -> str:
    return ", ".join(
        f"{count} samples of {channels} channels at {rate} Hz"
        for (rate, channels), count in packets.samples.items()
    )


def _check_labels(muxer: str, before: StreamInfo, after: StreamInfo) -> Check:
    name = f"{before.kind} {before.index} labels"
    if before.kind in ("attachment", "cover"):
        return check(name, True, "a picture or file needs none")
    held, wrong = LABELS[muxer], []
    if holds_language(muxer, before) and _language(before) != _language(after):
        wrong.append(f"language {before.language} became {after.language}")
    title = stream_tags(before).get("title")
    if "title" in held and title and after.title not in (title, _as_macintosh(title)):
        wrong.append(f"title {title!r} became {after.title!r}")
    lost = (set(before.disposition) & DISPOSITIONS[muxer]) - set(after.disposition)
    wrong += [f"disposition {flag} lost" for flag in sorted(lost)]
    return check(name, not wrong, "; ".join(wrong) or "language, title and dispositions kept")


def _as_macintosh(title: str) -> str:
    """A title as FFmpeg reads it from MP4 if it is too short to be detected as UTF-8.

    FFmpeg makes room for twice as many bytes, and cuts the rest off (libavformat/mov.c,
    mac_to_utf8).
    """
    data = title.encode(errors="surrogateescape")
    return data.decode("mac_roman").encode()[: 2 * len(data)].decode(errors="surrogateescape")


def _language(stream: StreamInfo) -> str:
    """One of the two ISO 639-2 codes of a language; none and "und" are the same."""
    return written_language("mov", stream.language or "und")


def check_tags(
    info: SourceInfo, made: SourceInfo, plans: Sequence[StreamPlan] = ()
) -> tuple[str, ...]:
    """Sentences about tags of file and streams that the target lacks; few containers hold all."""
    tags = [made.tags, *(stream.tags for stream in made.streams)]
    lost = _lost(container_tags(info), tags)
    warnings = [f"the target does not hold the tags {', '.join(lost)}"] if lost else []
    # MP4 has the reel's name with the timecode, and one creation time for the whole file.
    common = [stream.tags for stream in made.streams if stream.kind == "data"]
    common.append({key: made.tags[key] for key in made.tags if key.lower() == "creation_time"})
    for _, before, after in pair_streams(info, made, plans)[0]:
        if before.kind in ("attachment", "cover"):
            continue
        tags_of = enhanced_tags if before.index == info.video.index else stream_tags
        named = {k: v for k, v in tags_of(before).items() if k.lower() not in LABEL_TAGS}
        lost = _lost(named, [after.tags, *common])
        if lost:
            warnings.append(
                f"the target does not hold the tags {', '.join(lost)} of {before.kind} stream "
                f"{before.index}"
            )
    return tuple(warnings)


def _lost(wanted: Mapping[str, str], found: Iterable[Mapping[str, str]]) -> list[str]:
    values = {_meaning(value) for some in found for value in some.values()}
    return sorted(key for key, value in wanted.items() if _meaning(value) not in values)


def _meaning(value: str) -> str | datetime:
    """A value, or the point in time it states: containers write those with different digits."""
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return value


Pair = tuple[StreamPlan, StreamInfo, StreamInfo]

# Starts and lengths are each rounded to a millisecond.
TOLERANCE = Fraction(1, 500)


def cue_warnings(
    info: SourceInfo, made: SourceInfo, pairs: Sequence[Pair], time_range: TimeRange | None
) -> tuple[str, ...]:
    """Sentences about texts of converted subtitles that are missing or shown at another time.

    Letters and digits are compared: markup differs between formats.
    """
    converted = [p for p in pairs if p[0].action == "convert" and p[0].kind == "subtitle"]
    if not converted:
        return ()
    wanted = _read_cues(info, [before.index for _, before, _ in converted], time_range)
    found = _read_cues(made, [after.index for _, _, after in converted], None)
    warnings = []
    for plan, before, after in converted:
        cues = wanted[before.index]
        shown = list(_flat(cues) if plan.codec == "mov_text" else cues)
        missing = _missing(shown, before.time_base, found[after.index], after.time_base)
        if missing:
            first = float(missing[0].start * before.time_base)
            warnings.append(
                f"{len(missing)} of {len(shown)} texts of subtitle stream {before.index} are "
                f"missing or shown at another time after conversion, the first at {first:.3f} s"
            )
    return tuple(warnings)


def _read_cues(
    info: SourceInfo, indices: Sequence[int], time_range: TimeRange | None
) -> Mapping[int, list[Cue]]:
    cues: dict[int, list[Cue]] = {index: [] for index in indices}
    for packet in kept_packets(info, dict.fromkeys(indices, "subtitle"), time_range):
        context: Any = packet.stream.codec_context
        if packet.pts is None:
            continue
        with contextlib.suppress(av.FFmpegError):  # the writer counts damaged ones
            for text in context.decode2(packet) or ():
                end = packet.pts + (packet.duration or 0)
                cues[packet.stream.index].append(Cue(start=packet.pts, end=end, event=text.ass))
    return cues


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
    for same in shown.values():
        same.sort()
    missing = []
    for cue in wanted:
        start, end = cue.start * tick, cue.end * tick
        same = shown.get(letters := _letters(cue), [])
        place = bisect_left(same, (start - TOLERANCE,))
        while place < len(same) and same[place][0] <= start + TOLERANCE:
            if abs(same[place][1] - end) <= TOLERANCE:
                del same[place]
                break
            place += 1
        else:
            if letters:
                missing.append(cue)
    return missing


def _letters(cue: Cue) -> str:
    text = re.sub(r"\{.*?\}|<.*?>|\\[Nnh]", " ", text_of(cue.event).decode(errors="replace"))
    return "".join(filter(str.isalnum, text))
