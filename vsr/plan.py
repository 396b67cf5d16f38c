"""The plan of a file: all decisions before work begins, printed by `--dry-run`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vsr.data.pictures import color_layout
from vsr.devices import describe_device
from vsr.errors import ConfigError
from vsr.inference.plan import Plan, make_plan
from vsr.media.clock import early_warnings, kept_range, output_range, timecode_warnings
from vsr.media.containers import PICTURES, TargetKind, check_damaged_name, check_target
from vsr.media.copying import TimeRange, chapter_warnings
from vsr.media.decode import Decoder
from vsr.media.encode import plan_encoding
from vsr.media.filters import FilterChain, as_turned, crop_notes, made_upright, parse_chain
from vsr.media.probe import SourceInfo, expected_losses, probe
from vsr.media.reading import check_start
from vsr.media.streams import StreamPlan, container_warnings, plan_streams, stream_warnings
from vsr.media.types import EncodePlan
from vsr.media.verify import Expected
from vsr.models.zoo import ModelInfo, default_model, find_model
from vsr.ops.color import ColorLayout
from vsr.options import (
    DecodeOptions,
    EnhanceOptions,
    InferenceOptions,
    adapter,
    checked,
    decode_options,
    parse_size,
)

# Bits per pixel and frame from which a codec's artefacts are hardly seen: for H.264 those of a
# 7.5 Mbit/s film in 1080p24; older and newer codecs by the factors that are usually quoted.
CLEAN_BITS = {
    "mpeg1video": 0.4,
    "mpeg2video": 0.3,
    "mpeg4": 0.25,
    "msmpeg4v3": 0.25,
    "h263": 0.25,
    "flv1": 0.25,
    "wmv2": 0.25,
    "wmv3": 0.2,
    "vc1": 0.2,
    "vp8": 0.17,
    "h264": 0.15,
    "vp9": 0.1,
    "hevc": 0.1,
    "av1": 0.08,
    "mjpeg": 1.0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One file to one file, planned.

    Attributes:
        info: The source.
        target: Where the result goes, and as what.
        model: The network.
        inference: How frames are given to it.
        decode: What is decoded.
        streams: What becomes of each stream.
        encode: How the video is encoded.
        source_layout, target_layout: What the integers of decoded and encoded planes mean.
        input_size: (width, height) of the frames the network gets.
        time_range: The part that is kept; None for all.
        frames: Estimated number of frames in the output; None if unknown.
        deinterlacing: How, in words; empty without it.
        warnings: What will be assumed, converted or lost.
    """

    info: SourceInfo
    target: TargetKind
    model: ModelInfo
    inference: Plan
    decode: DecodeOptions
    streams: tuple[StreamPlan, ...]
    encode: EncodePlan
    source_layout: ColorLayout
    target_layout: ColorLayout
    input_size: tuple[int, int]
    time_range: TimeRange | None
    frames: int | None
    deinterlacing: str
    warnings: tuple[str, ...]


def plan_job(
    source: str | os.PathLike[str], target: str | os.PathLike[str], options: EnhanceOptions
) -> Job:
    """Plan a file; refuse at once what would fail later.

    Args:
        source: A video, a folder of pictures, or a pattern of them.
        target: A video file, a folder (with a slash at its end) or a pattern of PNG.
        options: What was asked for.

    Raises:
        ConfigError, MediaError, WeightsError: Naming what was wanted and what to do.
    """
    options = checked(options)
    kind = _free_target(source, target, options)
    named = find_model(options.model) if options.model else None
    info = probe(Path(os.fspath(source)))
    decode = made_upright(info, decode_options(options), kind)
    chain = parse_chain(decode.filter_chain)
    if not options.allow_damage:
        check_start(info, decode)
    with Decoder(info, decode) as decoder:
        size = decoder.width, decoder.height
        shown, turn_notes = as_turned(info, chain)
        if chain.text != (options.filter or ""):
            turn_notes = ("pictures hold no turn: they are turned as the input asks players to",)
        model = named or default_model(_factor(options, decoder, shown))
        encode = _plan_encoding(shown, kind, options, decoder, model.scale)
        source_layout, assumed = color_layout(info, decoder.format)
        time_range = kept_range(decoder, decode, kind.muxer)
        frames = estimate_frames(info, decode, decoder.frame_rate)
    model = replace(model, clean=options.clean, steady=options.steady)
    inference = make_plan(size[1], size[0], options.inference, model.facts)
    target_layout, _ = color_layout(
        info, encode.planes, color=encode.color, siting=encode.chroma_siting
    )
    kept = output_range(info, encode, time_range)
    begins = kept.start if kept else Fraction(0)
    streams = plan_streams(info, kind.pattern, begins=begins, sound=options.sound)
    return Job(
        info=info,
        target=kind,
        model=model,
        inference=inference,
        decode=decode,
        streams=streams,
        encode=encode,
        source_layout=source_layout,
        target_layout=target_layout,
        input_size=size,
        time_range=time_range,
        frames=frames,
        deinterlacing=decoder.deinterlacing,
        warnings=(
            *footage_warnings(info, model),
            *_shrinking(size, encode),
            *assumed,
            *turn_notes,
            *crop_notes(info, chain),
            *_deinterlacing_notes(info, decode, chain),
            *encode.warnings,
            *expected_losses(info.video.attached, captions=encode.captions),
            *stream_warnings(streams),
            *container_warnings(info, kind.pattern),
            *early_warnings(info, kind.muxer, encode.time_base, time_range),
            *chapter_warnings(info, kind.muxer, kept),
            *timecode_warnings(info, kept),
            *inference.notes,
        ),
    )


def _free_target(
    source: str | os.PathLike[str], target: str | os.PathLike[str], options: EnhanceOptions
) -> TargetKind:
    """The target's kind; refused where it, or what it is named if it lacks much, must not be."""
    kind = check_target(source, target, overwrite=options.overwrite)
    if not options.allow_damage:
        check_damaged_name(kind, overwrite=options.overwrite)
    return kind


def footage_warnings(info: SourceInfo, model: ModelInfo) -> tuple[str, ...]:
    """Warn where a network that was trained on clean pictures meets visibly compressed ones.

    The rule: the file's bits per pixel and frame, sound included, against what the codec needs to
    look clean (`CLEAN_BITS`). Codecs that are not in that table, lossless ones and pictures among
    them, count as clean; so do files that do not tell their length.
    """
    video = info.video
    needed = CLEAN_BITS.get(video.codec)
    length = video.duration or info.duration
    frames = video.frame_count or (length and length * video.frame_rate)
    if model.degradation not in ("bicubic", "blur") or needed is None or not frames:
        return ()
    bits = 8 * info.size_bytes / float(frames * video.width * video.height)
    if bits >= needed:
        return ()
    return (
        f"'{model.name}' is made for {model.purpose.partition(';')[0]}; this is {video.codec} at "
        f"{bits:.2f} bits per pixel, where {needed} look clean: its artefacts will be enlarged "
        "as well; `vsr models` tells which networks are made for such footage",
    )


def _shrinking(size: tuple[int, int], encode: EncodePlan) -> tuple[str, ...]:
    """Warn where the output has fewer pixels than the input, which loses what it shows."""
    width, height = size
    if encode.width >= width and encode.height >= height:
        return ()
    return (
        f"the output is smaller than the input, {encode.width}x{encode.height} of {width}x{height} "
        "pixels: detail is lost; choose a larger --height or --size, or --scale",
    )


def _deinterlacing_notes(
    info: SourceInfo, decode: DecodeOptions, chain: FilterChain
) -> tuple[str, ...]:
    own = chain.deinterlacers
    interlaced = info.video.field_order in ("top-first", "bottom-first")
    if decode.deinterlace != "auto" or not interlaced or not own:
        return ()
    return (
        f"the video is interlaced and left to {', '.join(own)} of the filter chain; "
        "--deinterlace frame runs bwdif before the chain",
    )


def _plan_encoding(
    info: SourceInfo, kind: TargetKind, options: EnhanceOptions, decoder: Decoder, scale: int
) -> EncodePlan:
    width, height, aspect = target_size(
        options,
        (decoder.width, decoder.height),
        scale,
        decoder.sample_aspect_ratio,
        info.video.rotation,
    )
    return plan_encoding(
        info,
        kind.pattern,
        width=width,
        height=height,
        time_base=decoder.time_base,
        frame_rate=decoder.frame_rate,
        sample_aspect_ratio=aspect,
        plane_format=decoder.format,
        options=options.encode,
    )


def _factor(options: EnhanceOptions, decoder: Decoder, info: SourceInfo) -> float:
    """How many times larger the picture becomes; four times by default."""
    size = decoder.width, decoder.height
    width, height, _ = target_size(
        options, size, 4, decoder.sample_aspect_ratio, info.video.rotation
    )
    return max(width / size[0], height / size[1])


def target_size(
    options: EnhanceOptions,
    size: tuple[int, int],
    network_scale: int,
    aspect: Fraction | None,
    rotation: int,
) -> tuple[int, int, Fraction | None]:
    """Turn the size asked for into stored width, height and pixel aspect.

    Heights and sizes are meant as shown, so a turned phone video is turned here. With --size, the
    pixel aspect makes up for a changed shape: circles stay circles.

    Returns:
        (width, height, sample aspect ratio); the sides are even where the option leaves a choice.
    """
    width, height = size
    turned = rotation % 180 != 0
    if options.size is not None:
        new_width, new_height = parse_size(options.size)
        if turned:
            new_width, new_height = new_height, new_width
        stretch = Fraction(width * new_height, height * new_width)
        # Up to one pixel of rounding is not meant as a new shape.
        if abs(new_height * width - new_width * height) <= max(width, height):
            return new_width, new_height, aspect
        return new_width, new_height, (aspect or Fraction(1)) * stretch
    if options.height is not None:
        factor = Fraction(options.height, width if turned else height)
        sides = [round(width * factor / 2) * 2, round(height * factor / 2) * 2]
        sides[0 if turned else 1] = options.height
        return max(2, sides[0]), max(2, sides[1]), aspect
    scale = options.scale or network_scale
    return width * scale, height * scale, aspect


def estimate_frames(info: SourceInfo, options: DecodeOptions, rate: Fraction) -> int | None:
    """Estimate how many frames will come, for progress and the room on the disk.

    Args:
        info: The source.
        options: What of it is decoded.
        rate: Frame rate of what comes, after filters.

    Returns:
        The number, exact for a whole file that states it and for a constant rate; None where
        nobody knows.
    """
    if not parse_chain(options.filter_chain).keeps_count:
        return None
    video = info.video
    length = video.duration or info.duration
    there = None if length is None else round(length * video.frame_rate)
    if options.start == 0 and options.duration is None and video.frame_count is not None:
        there = video.frame_count
    first = ceil(options.start * video.frame_rate)
    ends = [] if there is None else [there]
    if options.duration is not None:
        # A frame belongs to the part if it starts in it.
        ends.append(ceil((options.start + options.duration) * video.frame_rate))
    return max(1, round((min(ends) - first) * rate / video.frame_rate)) if ends else None


def describe(job: Job, *, notes: bool = True) -> Iterator[str]:
    """The plan in words, a line per decision.

    Args:
        job: The plan.
        notes: Its warnings too.
    """
    width, height = job.input_size
    encode, plan = job.encode, job.inference
    count = "" if job.frames is None else f", {job.frames:,} frames"
    yield f"{job.info.path} -> {job.target.pattern}"
    yield f"  picture   {width}x{height} -> {encode.width}x{encode.height}{count}"
    if job.deinterlacing:
        yield f"  fields    deinterlaced by {job.deinterlacing}"
    yield f"  model     {job.model.name} (x{job.model.scale}): {job.model.purpose}"
    if job.model.cleaning:
        stage = "its own stage" if job.model.has_stage else "the stage of clean-x1 before it"
        yield f"  cleaning  {job.model.cleaning:.0%} of the correction, by {stage}"
    if job.model.steady:
        yield f"  steady    {job.model.steady:.0%}: blended with the result before, along the flow"
    tile = "whole frames" if plan.tile is None else f"tiles of {plan.tile} px"
    yield f"  runs      on {describe_device(plan.device)} in {plan.precision}"
    yield f"  windows   {plan.window} frames at once and {plan.lookahead} ahead, {tile}"
    options = " ".join(f"{key}={value}" for key, value in encode.options.items())
    yield f"  encoder   {encode.codec} {encode.pix_fmt} {options}".rstrip()
    if job.target.muxer != PICTURES:
        for stream in job.streams:
            what = stream.action + (f" to {stream.codec}" if stream.action == "convert" else "")
            why = f" ({stream.reason})" if stream.reason else ""
            yield f"  stream {stream.index}  {stream.kind}: {what}{why}"
    if notes:
        for warning in job.warnings:
            yield f"  note      {warning}"


def expected_by_report(
    source: str | os.PathLike[str], target: str | os.PathLike[str], report: Path
) -> Expected:
    """Plan a file again by the options that its report has, and say what is to be found in it.

    Args:
        source: What was enhanced.
        target: What came out; its extension is the one it was written with.
        report: As `vsr enhance --report` writes it, or the summary of `vsr batch`, from which the
            job of the target is taken.

    Raises:
        ConfigError: It is no such report, or has no job of this target.
        MediaError: The source cannot be read.
    """
    told = _report_of(Path(target), report)
    options = _options_of(told, report)
    job = plan_job(source, target, options)
    # Those of the report were mended by a rehearsal.
    try:
        streams = adapter(tuple[StreamPlan, ...]).validate_python(told["streams"])
    except (KeyError, ValidationError) as error:
        raise _no_report(report) from error
    return Expected(plan=job.encode, streams=streams, decode=job.decode, time_range=job.time_range)


def _report_of(target: Path, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"report '{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"report '{path}' is not JSON: {error}") from error
    if not isinstance(found, dict) or "jobs" not in found:
        return found if isinstance(found, dict) else {}
    try:
        for job in found["jobs"]:
            if Path(job["target"]).resolve() == target.resolve():
                report: dict[str, Any] = job.get("report", {})
                return report
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_report(path) from error
    raise ConfigError(f"summary '{path}' names no job whose output is '{target}'")


def _no_report(path: Path) -> ConfigError:
    return ConfigError(
        f"'{path}' is no report of this version's `vsr enhance --report` or "
        "`vsr batch --summary`; give the options themselves, such as --start"
    )


def _options_of(report: dict[str, Any], path: Path) -> EnhanceOptions:
    """Read the options; of the model only its scale matters, so that no weights are wanted."""
    try:
        options: EnhanceOptions = adapter(EnhanceOptions).validate_python(report["options"])
        scale = report["model"]["scale"]
    except (KeyError, TypeError, ValidationError) as error:
        raise _no_report(path) from error
    if (options.scale, options.height, options.size) == (None, None, None):
        options = replace(options, scale=scale)
    return replace(
        options, model=None, overwrite=True, inference=InferenceOptions(device="cpu", tile=16)
    )
