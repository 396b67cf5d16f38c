"""The check of a finished file against its source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from vsr.color import (
    BT470BG,
    MATRIX_NAMES,
    PRIMARIES_NAMES,
    RANGE_NAMES,
    SMPTE170M,
    TRANSFER_NAMES,
    UNSPECIFIED,
    numbered,
)
from vsr.media.clock import (
    at_start,
    avi_range,
    early_range,
    early_warnings,
    held_times,
    kept_range,
    timecode_warnings,
)
from vsr.media.containers import LABELS, PICTURES, TargetKind, target_kind
from vsr.media.copying import TimeRange, chapter_warnings, check_chapters
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.encode import plan_again
from vsr.media.filters import as_turned, describe_turn, made_upright, parse_chain
from vsr.media.formats import packing_of
from vsr.media.probe import ColorTags, HdrMetadata, SourceInfo, VideoInfo, probe
from vsr.media.reading import describe_lost, packet_times
from vsr.media.streams import StreamPlan, container_warnings, plan_streams, stream_warnings
from vsr.media.types import Check, EncodePlan, FrameMarks, check, marks_of, spans_full_range
from vsr.media.verify_streams import (
    check_streams,
    check_tags,
    cue_warnings,
    pair_streams,
    without_empty,
)
from vsr.options import DecodeOptions, SoundChoice

# Matroska counts in milliseconds; MPEG-TS in 1/90000 s, and is rounded to on both ways.
TOLERANCE = {
    "matroska": Fraction(1, 2000),
    "webm": Fraction(1, 2000),
    "mpegts": Fraction(1, 90000),
}
# In these all streams may start together at any time: times are compared from the first frame.
SHIFTED = ("mpegts", "avi")
MEAN_TOLERANCE = 0.1  # of a plane: enhancement changes detail, not brightness or hue
BLACK, NOT_BLACK = 0.03, 0.1
MOVES, FROZEN = 0.01, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """Facts from the job that wrote the file.

    Attributes:
        plan: Of the video's encoding; None to compare with the source alone.
        streams: Plans of all streams; None to plan them again.
        decode: Options with which the source was decoded.
        sound: What was asked for, to plan the streams again.
        time_range: The part that was kept; None for that of `decode`.
        marks: Of the source's frames as decoded; None to decode them again.
        shape: Of those frames; None for that of the source.
        stand_in: Whether the target is a rehearsal: its times count, not its pictures.
    """

    plan: EncodePlan | None = None
    streams: tuple[StreamPlan, ...] | None = None
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    sound: SoundChoice = "copy"
    time_range: TimeRange | None = None
    marks: FrameMarks | None = None
    shape: Shape | None = None
    stand_in: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """Result of a verification.

    Attributes:
        source, target: Paths; for a file that still has its temporary name, the final one.
        checks: Every check made, in order.
        warnings: What is missing by plan or in the source itself, or matters little.
    """

    source: str
    target: str
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, in sentences."""
        return tuple(str(found) for found in self.checks if found.wrong)

    @property
    def changes(self) -> tuple[str, ...]:
        """What is changed beside picture, sound and times, in sentences."""
        return tuple(str(found) for found in self.checks if found.changed)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """One of "in full", "with changes" and "failed"."""
        if not self.passed:
            return "failed"
        return "with changes" if self.changes else "in full"


def verify(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    expected: Expected | None = None,
    *,
    named: str | os.PathLike[str] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> VerifyResult:
    """Decode the whole target and compare it with its source.

    Args:
        source: The input.
        target: The output; may still have its temporary name.
        expected: From the job; without it the source is decoded with the defaults.
        named: The final name of the target, by which its container is known; `target` by default.
        tick: Called for each frame of the target.

    Returns:
        The checks; a difference raises nothing.

    Raises:
        ProbeError, DecodeError: Source or target cannot be read at all.
        MuxError: The target's extension is unknown.
    """
    expected = expected or Expected()
    kind = target_kind(named if named is not None else target)
    info, made = probe(os.fspath(source)), probe(os.fspath(target), gaps=True)
    expected = replace(expected, decode=made_upright(info, expected.decode, kind))
    damaged = False
    warnings: tuple[str, ...] = ()
    if expected.marks is None:
        expected, of_source = _with_source(info, expected, kind.muxer)
        damaged = bool(of_source.error_count or of_source.corrupt)
        found_there = (*describe_lost(of_source.lost), *of_source.warnings)
        warnings = tuple(f"in the source: {sentence}" for sentence in found_there)
    assert expected.marks is not None
    marks = expected.marks
    found, of_target = _with_target(made, tick, stand_in=expected.stand_in)
    kept = expected.time_range or early_range(info, kind.muxer, marks.time_base)
    offset = kept.start if kept else Fraction(0)
    shift = Fraction(0)
    if kind.muxer in SHIFTED and marks and found:
        shift = found.seconds(0) - (marks.seconds(0) - offset)
        offset -= shift
    checks = [
        *of_target,
        _check_count(marks, found),
        *_check_times(kind, expected.plan, marks, found, offset),
        # Damaged frames decode differently from run to run.
        *([] if damaged or expected.stand_in else _check_pictures(marks, found)),
        *_check_video(kind, info, made, expected),
    ]
    if damaged:
        warnings += ("the source is damaged, so its pictures cannot be compared",)
    if kind.muxer != PICTURES and info.format != PICTURES:
        others, missing = _check_others(kind, info, made, expected, found, kept, shift)
        checks += others
        warnings += missing
    return VerifyResult(
        source=os.fspath(source),
        target=os.fspath(named if named is not None else target),
        checks=tuple(checks),
        warnings=warnings,
    )


def is_about_streams(found: Check) -> bool:
    """Whether a check is about streams beside the enhanced one."""
    return found.name == "streams" or found.name.endswith(" packets")


def _with_source(
    info: SourceInfo, expected: Expected, muxer: str
) -> tuple[Expected, DecodeSummary]:
    """Decode the source, and add its frames' marks, their shape and the part kept."""
    with Decoder(info, expected.decode) as frames:
        marks = _marks(info, frames)
        return replace(
            expected,
            marks=marks,
            shape=Shape(frames.width, frames.height, frames.sample_aspect_ratio or Fraction(1)),
            time_range=expected.time_range or kept_range(frames, expected.decode, muxer),
        ), frames.summary


def _with_target(
    made: SourceInfo, tick: Callable[[], None], *, stand_in: bool
) -> tuple[FrameMarks, list[Check]]:
    """Marks of the target's frames, decoded unless they are stand-ins, and whether they decode."""
    if stand_in:
        marks = FrameMarks(made.video.time_base)
        # A file whose packets lost their times counts as one without frames.
        times, marks.last_duration = packet_times(made) or ([], 0)
        marks.pts.extend(times)
        return marks, []
    with Decoder(made, DecodeOptions(deinterlace="off")) as frames:
        return _marks(made, frames, tick), [_check_decodes(frames.summary)]


def _marks(
    info: SourceInfo, frames: Decoder, tick: Callable[[], None] = lambda: None
) -> FrameMarks:
    marks = marks_of(info.video, frames.format, frames.time_base)
    for frame in frames:
        tick()
        marks.add(frame)
    return marks


def _check_others(
    kind: TargetKind,
    info: SourceInfo,
    made: SourceInfo,
    expected: Expected,
    found: FrameMarks,
    kept: TimeRange | None,
    shift: Fraction,
) -> tuple[list[Check], tuple[str, ...]]:
    """Check all but the enhanced stream; sentences about what is missing by plan."""
    assert expected.marks is not None
    tick, streams = expected.marks.time_base, expected.streams
    if streams is None:
        begins = kept or (avi_range(info, found.time_base, tick) if kind.muxer == "avi" else None)
        start = begins.start if begins else Fraction(0)
        streams = plan_streams(info, kind.pattern, begins=start, sound=expected.sound)
    streams = without_empty(info, made, streams, kept, muxer=kind.muxer)
    checks = check_streams(info, made, streams, kept, muxer=kind.muxer, shift=shift)
    if "chapters" in LABELS[kind.muxer]:
        checks.append(check_chapters(info, made, kind.muxer, kept))
    return checks, (
        *stream_warnings(streams),
        *container_warnings(info, kind.pattern),
        *early_warnings(info, kind.muxer, tick, expected.time_range),
        *chapter_warnings(info, kind.muxer, kept),
        *cue_warnings(info, made, pair_streams(info, made, streams)[0], kept),
        *timecode_warnings(info, kept),
        *check_tags(at_start(info, kept), made, streams),
    )


def _check_decodes(summary: DecodeSummary) -> Check:
    good = not summary.error_count and not summary.lost and not summary.corrupt
    return check(
        "decodes",
        good,
        "every packet decodes"
        if good
        else f"{summary.error_count} errors, {summary.lost_count} frames lost, "
        f"{len(summary.corrupt)} damaged: {'; '.join(summary.errors[:3])}",
        errors=summary.error_count,
        lost=summary.lost_count,
        corrupt=len(summary.corrupt),
    )


def _check_count(wanted: FrameMarks, found: FrameMarks) -> Check:
    return check(
        "frames",
        len(wanted) == len(found) > 0,
        f"wanted {len(wanted)} frames, found {len(found)}",
        wanted=len(wanted),
        found=len(found),
    )


def _check_times(
    kind: TargetKind,
    plan: EncodePlan | None,
    wanted: FrameMarks,
    found: FrameMarks,
    offset: Fraction,
) -> list[Check]:
    if kind.muxer == PICTURES or not wanted or not found:
        return []
    tolerance = TOLERANCE.get(kind.muxer, Fraction(0))
    if kind.muxer == "avi":
        interval = (plan and plan.constant_interval) or found.time_base
        tolerance = interval / 2
    pairs = range(min(len(wanted), len(found)))
    places = held_times((wanted.seconds(i) - offset for i in range(len(wanted))), kind.muxer)
    gaps = [places[i] - found.seconds(i) for i in pairs]
    worst = max(range(len(gaps)), key=lambda i: abs(gaps[i]))
    checks = [
        check(
            "timestamps",
            abs(gaps[worst]) <= tolerance,
            f"frame {worst} is {float(gaps[worst]) * 1000:+.4f} ms off, the worst of all; "
            f"{float(tolerance) * 1000:g} ms are allowed"
            if gaps[worst]
            else "every frame at its own time, exactly",
            largest_difference_s=float(abs(gaps[worst])),
            allowed_s=float(tolerance),
        ),
        check(
            "start",
            abs(gaps[0]) <= tolerance,
            f"the video starts {float(gaps[0]) * 1000:+.4f} ms off"
            if gaps[0]
            else "the video starts at its own time",
            difference_s=float(gaps[0]),
        ),
    ]
    if kind.muxer in ("mp4", "mov", "matroska", "webm") and wanted.last_duration:
        lasts = wanted.last_duration * wanted.time_base
        shown = found.last_duration * found.time_base
        checks.append(
            check(
                "last duration",
                abs(lasts - shown) <= 2 * tolerance,
                f"wanted {float(lasts):.6f} s, found {float(shown):.6f} s",
                wanted_s=float(lasts),
                found_s=float(shown),
            )
        )
    return checks


def _check_pictures(wanted: FrameMarks, found: FrameMarks) -> list[Check]:
    pairs = range(min(len(wanted), len(found)))
    shared = 1 if "gray" in (wanted.chroma, found.chroma) else 3
    # A matrix of its own makes other planes of the same colours, so both are brought to one.
    weights = found.luma_weights if wanted.chroma == "rgb" else wanted.luma_weights
    black: list[int] = []
    frozen: list[int] = []
    other: list[int] = []
    largest = 0.0
    for i in pairs:
        want, got = _luma_and_hue(wanted.mean(i), weights), _luma_and_hue(found.mean(i), weights)
        difference = max(abs(a - b) for a, b in zip(want[:shared], got[:shared], strict=True))
        largest = max(largest, difference)
        if got[0] < BLACK and want[0] > NOT_BLACK:
            black.append(i)
        elif difference > MEAN_TOLERANCE:
            other.append(i)
        if wanted.changes[i] > MOVES and found.changes[i] < FROZEN * wanted.changes[i]:
            frozen.append(i)
    return [
        check("not black", not black, _frames("black", black), frames=len(black)),
        check("not frozen", not frozen, _frames("still while the source moves", frozen),
              frames=len(frozen)),
        check("brightness and hue", not other, _frames("of other brightness or hue", other),
              frames=len(other), largest_difference=largest),
    ]  # fmt: skip


def _luma_and_hue(
    rgb: tuple[float, float, float], weights: tuple[float, float]
) -> tuple[float, float, float]:
    """Means of luma and both colour differences, from those of RGB (H.273, 8.3)."""
    (red, green, blue), (kr, kb) = rgb, weights
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    return luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)


def _frames(what: str, frames: Sequence[int]) -> str:
    if not frames:
        return f"no frame is {what}"
    return f"{len(frames)} frames are {what}, the first is number {frames[0]}"


class Shape(NamedTuple):
    """Size of pictures in pixels, and width of a pixel over its height."""

    width: int
    height: int
    aspect: Fraction


def _check_video(
    kind: TargetKind, info: SourceInfo, made: SourceInfo, expected: Expected
) -> list[Check]:
    """Compare size, shape of pixels, rotation, colour tags and HDR metadata."""
    plan, chain = expected.plan, parse_chain(expected.decode.filter_chain)
    shown = as_turned(info, chain)[0]
    before, after, found = shown.video, made.video, _shape(made.video)
    checks = []
    if plan is not None:
        checks.append(
            _equal("size", f"{plan.width}x{plan.height}", f"{after.width}x{after.height}")
        )
    if kind.muxer == PICTURES:
        return checks
    aspects, matrices = [], []
    colors, hdrs = [], []
    if plan is None:  # what the source has is right too, whoever wrote the file
        aspect = _aspect_wanted(expected.shape or _shape(before), found)
        plan = plan_again(shown, made, kind.pattern, aspect)
        aspects, matrices = [aspect], [before.display_matrix]
        colors, hdrs = [before.color], [before.hdr]
    if plan is not None:
        aspects.append(plan.sample_aspect_ratio or Fraction(1))
        matrices.append(plan.display_matrix)
        colors.append(plan.told)
        hdrs.append(plan.hdr)
    checks.append(_any("sample aspect ratio", map(str, aspects), str(found.aspect)))
    if "rotation" in LABELS[kind.muxer]:
        checks.append(
            _any("rotation", map(describe_turn, matrices), describe_turn(after.display_matrix))
        )
    tags = _read_tags(after)
    gray = plan.planes.chroma == "gray" if plan else after.pix_fmt.startswith("gray")
    checks.append(_first_passed(_check_color(color, tags, gray=gray) for color in colors))
    checks.append(_first_passed(_check_hdr(hdr, after.hdr) for hdr in hdrs))
    return checks


def _check_hdr(wanted: HdrMetadata | None, found: HdrMetadata | None) -> Check:
    if wanted == found:
        return check("HDR metadata", True, "kept" if found else "none, as in the source")
    difference = f"wanted {wanted}, found {found}"
    return check("HDR metadata", _same_hdr(wanted, found), difference)


def _first_passed(checks: Iterable[Check]) -> Check:
    """The first of some that passed, otherwise the last."""
    done = list(checks)
    return next((made for made in done if made.passed), done[-1])


def _shape(video: VideoInfo) -> Shape:
    return Shape(video.width, video.height, video.sample_aspect_ratio or Fraction(1))


def _aspect_wanted(source: Shape, found: Shape) -> Fraction:
    """Pixel aspect with which a picture of this size looks like the source.

    The source's, or that which makes up for another size; the one found if it differs by no more
    than the pixel to which sides are rounded.
    """
    exact = source.aspect * Fraction(source.width * found.height, source.height * found.width)
    pixel = max(Fraction(1, found.width), Fraction(1, found.height))
    if abs(found.aspect / exact - 1) <= pixel:
        return found.aspect
    return source.aspect if abs(source.aspect / exact - 1) <= pixel else exact


def _read_tags(video: VideoInfo) -> ColorTags:
    """Tags of a film, with the range that players assume if none is written.

    Grey, as of FFV1 in AVI, is read as full; YUV as limited, such as the grey of x264, which comes
    back as YUV and for which x264 writes no range.
    """
    packing = packing_of(video.pix_fmt)
    if packing is None or video.color.range:
        return video.color
    return replace(video.color, range=2 if spans_full_range(packing.format, 0) else 1)


def _check_color(wanted: ColorTags, found: ColorTags, *, gray: bool) -> Check:
    """Compare the tags that the source has; those it lacks may be filled in."""
    if gray:
        wanted = replace(wanted, matrix=UNSPECIFIED)
    if {found.matrix, wanted.matrix} == {BT470BG, SMPTE170M}:  # one matrix (H.273, table 4)
        found = replace(found, matrix=wanted.matrix)
    tags = {"primaries": PRIMARIES_NAMES, "transfer": TRANSFER_NAMES, "matrix": MATRIX_NAMES}
    wrong = [
        f"{name} {numbered(names, before)} became {numbered(names, after)}"
        for name, names in tags.items()
        if (before := getattr(wanted, name)) not in (after := getattr(found, name), UNSPECIFIED)
    ]
    if wanted.range not in (found.range, 0):
        after = RANGE_NAMES.get(found.range, "untagged")
        wrong.append(f"range {RANGE_NAMES[wanted.range]} became {after}")
    return check("colour tags", not wrong, "; ".join(wrong) or "kept")


def _same_hdr(wanted: HdrMetadata | None, found: HdrMetadata | None) -> bool:
    """Compare within the steps of the bit streams."""
    if wanted is None or found is None:
        return wanted is found
    steps = dict.fromkeys(("red", "green", "blue", "white"), Fraction(1, 50000))
    steps |= dict.fromkeys(("min_luminance", "max_luminance"), Fraction(1, 1000))
    for name, step in steps.items():
        a, b = getattr(wanted, name), getattr(found, name)
        if a is None or b is None:
            if a is not b:
                return False
            continue
        pairs = zip(a, b, strict=True) if isinstance(a, tuple) else ((a, b),)
        if any(abs(x - y) > step for x, y in pairs):
            return False
    light = ("max_content_light", "max_frame_average_light")
    return all((getattr(wanted, name) or 0) == (getattr(found, name) or 0) for name in light)


def _any(name: str, wanted: Iterable[str], found: str) -> Check:
    """Compare with several values that are right."""
    return _first_passed(_equal(name, each, found) for each in wanted)


def _equal(name: str, wanted: str, found: str) -> Check:
    same = wanted == found
    return check(name, same, f"{found}" if same else f"wanted {wanted}, found {found}")
