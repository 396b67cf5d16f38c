"""`vsr info`: what the probe sees."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from vsr.cli.terminal import counted, print_line
from vsr.color import MATRIX_NAMES, PRIMARIES_NAMES, RANGE_NAMES, TRANSFER_NAMES, numbered
from vsr.errors import ConfigError

if TYPE_CHECKING:
    from vsr.media.probe import SourceInfo, VideoInfo


def info(
    file: Annotated[Positional[str | None], arg(metavar="[FILE]")] = None,
    *,
    encoders: bool = False,
    profiles: bool = False,
    json_: bool = False,
) -> int:
    """Show what a video file holds; or the encoders of this machine; or the profiles.

    Args:
        file: A video, a folder of pictures, or a pattern such as frames/%06d.png; by default none,
            with --encoders or --profiles.
        encoders: List the video encoders, those in hardware too, each tried with a frame.
        profiles: List the ready profiles for --profile, and what each is for.
        json_: Print all of it as JSON, for programs.
    """
    if (file is not None) + encoders + profiles != 1:
        raise ConfigError("vsr info takes a FILE, --encoders or --profiles, one of them")
    if profiles:
        return _profiles(json_)
    if encoders or file is None:
        return _encoders(json_)
    from vsr.media.probe import probe

    found = probe(file)
    if json_:
        print(json.dumps(dataclasses.asdict(found), default=str, indent=2))
    else:
        for line in describe(found):
            print_line(line)
    return 0


def _encoders(json_: bool) -> int:
    from vsr.media.encoders import list_encoders

    found = list_encoders()
    if json_:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        depths = "/".join(map(str, one.depths))
        kind = f"{one.format}, {'hardware' if one.hardware else 'software'}"
        state = f"not here: {one.trouble}" if one.trouble else f"{depths} bit"
        print_line(f"{one.name:18} {kind:22} {state}")
        if not one.trouble:
            print(
                textwrap.fill(
                    " ".join(one.pix_fmts), 80, initial_indent=" " * 19, subsequent_indent=" " * 19
                )
            )
    return 0


def _profiles(json_: bool) -> int:
    from vsr.profiles import ready_profiles

    found = ready_profiles()
    if json_:
        print(json.dumps(found, indent=2))
        return 0
    for name, description in found.items():
        print(textwrap.fill(f"{name:18} {description}", 80, subsequent_indent=" " * 19))
    return 0


def describe_picture(video: VideoInfo) -> str:
    """Size, rate, number of frames and codec of a video."""
    rate = f"{float(video.frame_rate):.3f}".rstrip("0").rstrip(".")
    count = "" if video.frame_count is None else f", {counted(video.frame_count, 'frame')}"
    return f"{video.width}x{video.height}, {rate} fps{count}, {video.codec}"


def describe(found: SourceInfo) -> list[str]:
    """A file in words, a line per fact."""
    from vsr.media.formats import shares_chroma
    from vsr.media.probe import crop_of
    from vsr.report.facts import clock

    video = found.video
    size = f"{found.size_bytes / 1e6:.2f} MB"
    length = "unknown length"
    if found.duration is not None:
        length = f"{clock(found.duration)} ({float(found.duration):.3f} s)"
    lines = [f"{found.path}: {found.format}, {length}, {size}"]
    lines.append(f"  picture   {describe_picture(video)}")
    color = video.color
    siting = f", chroma {video.chroma_siting}" if shares_chroma(video.pix_fmt) else ""
    lines.append(
        f"  pixels    {video.pix_fmt}, {video.bit_depth} bit{siting}, "
        f"{RANGE_NAMES.get(color.range, 'untagged')} range"
    )
    lines.append(
        f"  colour    primaries {numbered(PRIMARIES_NAMES, color.primaries)}, "
        f"transfer {numbered(TRANSFER_NAMES, color.transfer)}, "
        f"matrix {numbered(MATRIX_NAMES, color.matrix)}" + (", HDR10 metadata" if video.hdr else "")
    )
    shape = "square pixels"
    if video.sample_aspect_ratio not in (None, 1):
        shape = f"pixel aspect {video.sample_aspect_ratio}"
    turned = f", rotated {video.rotation} degrees" if video.rotation else ""
    lines.append(f"  shape     {shape}{turned}, fields {video.field_order}")
    crop = crop_of(found)
    if crop is not None:
        lines.append(f"  hidden    {crop} ({crop.as_filter})")
    if video.attached:
        lines.append(f"  carries   {', '.join(video.attached)}")
    for stream in found.streams:
        name = f' "{stream.title}"' if stream.title else ""
        language = f" ({stream.language})" if stream.language else ""
        flags = f" [{', '.join(stream.disposition)}]" if stream.disposition else ""
        lines.append(
            f"  stream {stream.index}  {stream.kind}: {stream.codec} "
            f"{stream.details}{language}{name}{flags}".rstrip()
        )
    for start, end, title in found.chapters:
        lines.append(f"  chapter   {clock(start)} to {clock(end)}  {title}")
    lines += [f"  tag       {key}: {value}" for key, value in found.tags.items()]
    return lines
