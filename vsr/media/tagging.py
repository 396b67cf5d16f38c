"""Find which colour tags an encoder can write into a container, by writing one frame.

H.264, H.265 and AV1 hold all tags in their own headers. Of the others some hold none, some know
one matrix or one range only, and containers make up for it or not. What cannot be tagged is
converted to what players will take it for.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import av

from vsr.errors import ConfigError, EncodeError
from vsr.media.containers import PICTURES, TargetKind
from vsr.media.encoders import add_video_stream, black_frame, refusal
from vsr.media.frames import spans_full_range
from vsr.media.h273 import (
    HDR_TRANSFERS,
    MATRIX_NAMES,
    UNSPECIFIED,
    assumed_matrix,
    one_matrix,
)
from vsr.media.pixel_formats import plane_format
from vsr.media.probe import ColorTags, VideoInfo, probe

if TYPE_CHECKING:
    from vsr.media.encode import EncodePlan

TAGS_ALL = ("h264", "hevc", "av1")
BT2020_PRIMARIES = 9
_USUAL_POINTS = {1: (1, 1), 5: (5, 6), 6: (6, 6)}  # matrix: primaries and transfer of its standard


def settle_color(kind: TargetKind, plan: EncodePlan) -> EncodePlan:
    """Give a plan whose colours the finished file will be read with as they are meant.

    Args:
        kind: What is written.
        plan: Its `color` is what is wanted.

    Returns:
        The plan; where the file can say less, `told` is what it says, `color` what players take
        that for, and a warning names the difference.

    Raises:
        ConfigError: The tags that would be lost are those of HDR or BT.2020, without which the
            picture looks wrong.
        EncodeError: The encoder opens, but refuses a frame.
    """
    try:
        return _settled(kind, plan)
    except av.FFmpegError as error:
        raise EncodeError(kind.pattern, refusal(plan, error)) from error


def _settled(kind: TargetKind, plan: EncodePlan) -> EncodePlan:
    if kind.muxer == PICTURES or av.Codec(plan.codec, "w").canonical_name in TAGS_ALL:
        return plan
    for wanted in (plan.color, _filled(plan.color)):
        told = _written(plan, wanted)
        if _holds(told, wanted, plan):
            return replace(plan, color=wanted, told=told.color)
    color = _taken_for(told, plan)
    told = _written(plan, color)
    _refuse_hdr(kind, plan, told.color)
    return replace(
        plan,
        color=color,
        told=told.color,
        warnings=(*plan.warnings, _difference(kind, plan, color, told.color)),
    )


def _written(plan: EncodePlan, color: ColorTags) -> VideoInfo:
    """Write one black frame with these tags, and read it again."""
    plan = replace(plan, color=color)
    with tempfile.TemporaryDirectory(prefix="vsr-") as folder:
        path = Path(folder) / "frame"
        with av.open(str(path), "w", format=plan.muxer) as output:
            stream = add_video_stream(output, plan)
            output.mux(stream.encode(black_frame(plan)))
            output.mux(stream.encode(None))
        return probe(path).video


def _filled(color: ColorTags) -> ColorTags:
    """Add what goes with a matrix: MP4 and MOV tag all of them or none."""
    primaries, transfer = _USUAL_POINTS.get(color.matrix, (UNSPECIFIED, UNSPECIFIED))
    return replace(
        color,
        primaries=primaries if color.primaries == UNSPECIFIED else color.primaries,
        transfer=transfer if color.transfer == UNSPECIFIED else color.transfer,
    )


def _holds(told: VideoInfo, wanted: ColorTags, plan: EncodePlan) -> bool:
    """Tell whether nothing that is wanted is lost, and the planes are read as they are made."""
    meant = _taken_for(told, replace(plan, color=wanted))
    return (
        wanted.primaries in (told.color.primaries, UNSPECIFIED)
        and wanted.transfer in (told.color.transfer, UNSPECIFIED)
        and one_matrix(meant.matrix) == one_matrix(wanted.matrix)
        and meant.range == (wanted.range or meant.range)
    )


def _taken_for(told: VideoInfo, plan: EncodePlan) -> ColorTags:
    """Give the tags by which a player reads this file, whatever it says."""
    planes = plane_format(told.pix_fmt)
    assert planes is not None, told.pix_fmt
    full = spans_full_range(planes, told.color.range)
    color = replace(plan.color, range=2 if full else 1)
    if planes.chroma in ("gray", "rgb"):
        return color
    untagged = told.color.matrix == UNSPECIFIED
    by_size = assumed_matrix(told.width, told.height)
    return replace(color, matrix=by_size if untagged else told.color.matrix)


def _refuse_hdr(kind: TargetKind, plan: EncodePlan, told: ColorTags) -> None:
    wanted = plan.color
    lost = []
    if wanted.transfer in HDR_TRANSFERS and told.transfer != wanted.transfer:
        lost.append("HDR (PQ or HLG)")
    if wanted.primaries == BT2020_PRIMARIES and told.primaries != wanted.primaries:
        lost.append("BT.2020 primaries")
    if lost:
        raise ConfigError(
            f"the input has {' and '.join(lost)}, which {plan.codec} in {kind.pattern.suffix} "
            "cannot tag, so that players would show wrong colours; name the output .mkv, or "
            "choose --codec libx265"
        )


def _difference(kind: TargetKind, plan: EncodePlan, made: ColorTags, told: ColorTags) -> str:
    wanted = plan.color
    parts = []
    if one_matrix(made.matrix) != one_matrix(wanted.matrix):
        parts.append(f"converted to {MATRIX_NAMES[one_matrix(made.matrix)]}")
    if wanted.range and made.range != wanted.range:
        parts.append(f"converted to {'full' if made.range == 2 else 'limited'} range")
    lost = [
        name
        for name in ("primaries", "transfer")
        if getattr(wanted, name) not in (getattr(told, name), UNSPECIFIED)
    ]
    if lost:
        parts.append(f"without tags of {' and '.join(lost)}")
    return f"{plan.codec} in {kind.pattern.suffix} cannot tag the colours of the input: " + (
        ", ".join(parts)
    )
