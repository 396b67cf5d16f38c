"""Models on a test set: the table of the papers, by the engine that `vsr enhance` runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vsr.data.datasets import Pair, read_pairs
from vsr.data.degrade import BD_SCALE
from vsr.data.layouts import PROTOCOLS, ClipFiles, Protocol, find_clips
from vsr.devices import choose_device
from vsr.durable import check_place
from vsr.errors import ConfigError, DatasetError
from vsr.evaluation.metrics import SSIM_WINDOW
from vsr.evaluation.scores import ClipScore, FrameScore, of_clip, score_frames
from vsr.inference.device import choose_precision
from vsr.inference.options import InferenceOptions
from vsr.inference.plan import MIB, Plan, make_plan, share_of_memory
from vsr.inference.runner import RgbFrame, enhance_frames
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, find_model, load_network
from vsr.ops.color import to_picture
from vsr.results import Entry, Growing, Results, fingerprint

BASELINE = "bicubic"
Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """How clips are measured.

    Attributes:
        protocol: A key of `PROTOCOLS`.
        inference: As for `vsr enhance`.
        whole_clip: Give each clip to the network at once, as papers do; Vimeo-90K clips are then
            mirrored to 14 frames and both predictions of the middle frame averaged.
        border: Pixels left out at each edge.
        frames: Of each clip, from the first; None for all.
        over_time: Take the scores of steadiness too.
    """

    protocol: str
    inference: InferenceOptions = field(default_factory=InferenceOptions)
    whole_clip: bool = False
    border: int = 0
    frames: int | None = None
    over_time: bool = True


def evaluate(
    models: Sequence[str],
    data: str | Path,
    measuring: Measuring,
    *,
    results: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Results:
    """Measure models, and `bicubic` before them, on the clips of a test set.

    Frames pass through decoder, degradation, engine and metrics one after the other; memory does
    not grow with the length of a clip, unless `whole_clip` asks for it or the protocol degrades
    clips as a whole (`folder-real`).

    Args:
        models: Names or weight files; all of one scale.
        data: The folder of the test set.
        measuring: The protocol and the rest.
        results: A JSON file, written every few seconds and at the end, however it ends; clips
            that it holds already, measured alike with the same weights, are not measured again.
        tell: Gets a line for each clip and each warning.

    Raises:
        ConfigError: A model or the protocol is not known, or the scales differ.
        MuxError: The file of results cannot be written.
        DatasetError: The folder is not laid out as the protocol needs.
    """
    protocol = _protocol(measuring)
    infos = _models(models, protocol)
    clips = find_clips(Path(data), protocol)
    table = Results(
        protocol=protocol.name,
        scale=infos[0].scale,
        on_luma=protocol.on_luma,
        settings=_settings(measuring),
        entries={},
    )
    if results is not None:
        check_place(results)
        table = table.resumed(results) if results.exists() else table
    with Growing(table, results) as growing:
        for info in infos:
            _measure_all(info, clips, protocol, measuring, growing, tell)
    return growing.table.of([info.name for info in infos], [clip.name for clip in clips])


def _measure_all(
    info: ModelInfo,
    clips: Sequence[ClipFiles],
    protocol: Protocol,
    measuring: Measuring,
    growing: Growing,
    tell: Callable[[str], None],
) -> None:
    """Measure a model on the clips that a table lacks."""
    weights = info.weight_hash
    network: VideoNetwork | None = None
    for clip in clips:
        identity = fingerprint(weights, clip.gt, clip.lq)
        if growing.has(info.name, clip.name, identity):
            continue
        network = network or load_network(info, choose_device(measuring.inference.device))
        begin = time.monotonic()
        frames = measure(info, network, clip, protocol, measuring, tell)
        seconds = time.monotonic() - begin
        score = of_clip(frames)
        entry = Entry(identity=identity, score=score, frames=tuple(frames), seconds=seconds)
        growing.add(info.name, clip.name, entry)
        tell(_line(info.name, clip.name, score, seconds))


def measure(
    info: ModelInfo,
    network: VideoNetwork,
    clip: ClipFiles,
    protocol: Protocol,
    measuring: Measuring,
    tell: Callable[[str], None],
) -> list[FrameScore]:
    """Score the frames of one clip."""
    pairs = run_clip(info, network, clip, protocol, measuring, tell)
    if protocol.center_only:
        found = list(pairs)
        pairs = iter(found[len(found) // 2 :][:1])
    return score_frames(
        pairs,
        on_luma=protocol.on_luma,
        border=measuring.border,
        over_time=measuring.over_time,
    )


def run_clip(
    info: ModelInfo,
    network: VideoNetwork,
    clip: ClipFiles,
    protocol: Protocol,
    measuring: Measuring,
    tell: Callable[[str], None],
) -> Iterator[tuple[Image, Image]]:
    """Send one clip through the engine.

    Yields:
        (output, truth), (H, W, 3) uint8, in order.

    Raises:
        DatasetError: The two sides of the clip do not belong together.
    """
    room = share_of_memory(InferenceOptions(device="cpu")) * MIB
    source = read_pairs(clip, protocol, info.scale, frames=measuring.frames, room=room)
    first = next(source, None)
    if first is None:
        raise DatasetError(f"clip '{clip.name}' has no frames: '{clip.gt}'")
    _check_size(clip, first.gt, measuring)
    height, width = first.lq.shape[-2:]
    plan = make_plan(height, width, measuring.inference, info.facts)
    for note in plan.notes:
        tell(f"note: {clip.name}: {note}")
    truths: deque[Image] = deque()
    frames = _passing(chain([first], source), truths)
    if measuring.whole_clip:
        held = list(frames)
        frames = iter(held)
        mirrored = [*held, *reversed(held)] if protocol.center_only else held
        plan = replace(plan, window=len(mirrored), lookahead=0, scene_threshold=101.0)
        if protocol.center_only:
            yield from _mirrored(mirrored, network, plan, truths, tell)
            return
    with torch.inference_mode():
        for done in enhance_frames(frames, network, plan, warn=tell):
            yield to_picture(done.rgb), truths.popleft()


def _passing(pairs: Iterable[Pair], truths: deque[Image]) -> Iterator[RgbFrame]:
    """Give the frames to the engine, and keep their truths until they come out."""
    for index, pair in enumerate(pairs):
        truths.append(pair.gt)
        yield RgbFrame(rgb=pair.lq, pts=index, duration=1, scene_score=pair.scene_score)


def _mirrored(
    frames: Sequence[RgbFrame],
    network: VideoNetwork,
    plan: Plan,
    truths: deque[Image],
    tell: Callable[[str], None],
) -> Iterator[tuple[Image, Image]]:
    """Average the two predictions of each frame of a clip followed by its mirror image."""
    with torch.inference_mode():
        done = [frame.rgb for frame in enhance_frames(frames, network, plan, warn=tell)]
    for there, back in zip(done[: len(done) // 2], reversed(done), strict=False):
        yield to_picture((there + back) / 2), truths.popleft()


def _protocol(measuring: Measuring) -> Protocol:
    if measuring.protocol not in PROTOCOLS:
        raise ConfigError(f"no protocol '{measuring.protocol}'; known: {', '.join(PROTOCOLS)}")
    if measuring.border < 0 or (measuring.frames is not None and measuring.frames < 1):
        raise ConfigError(
            f"--border must be 0 or more and --frames 1 or more, got {measuring.border} "
            f"and {measuring.frames}"
        )
    return PROTOCOLS[measuring.protocol]


def _check_size(clip: ClipFiles, truth: Image, measuring: Measuring) -> None:
    height, width = truth.shape[:2]
    if min(height, width) - 2 * measuring.border < SSIM_WINDOW:
        raise DatasetError(
            f"clip '{clip.name}': {width}x{height} less a border of {measuring.border} is smaller "
            f"than SSIM's window of {SSIM_WINDOW}x{SSIM_WINDOW}"
        )


def _models(names: Sequence[str], protocol: Protocol) -> list[ModelInfo]:
    """Find the models, the baseline first, at their common scale."""
    infos = [find_model(name) for name in dict.fromkeys(names) if name != BASELINE]
    scales = sorted({info.scale for info in infos}) or [4]
    if len(scales) > 1:
        found = ", ".join(f"{info.name} x{info.scale}" for info in infos)
        raise ConfigError(f"one table wants models of one scale, got {found}; run them apart")
    if protocol.degradation == "bd" and scales[0] != BD_SCALE:
        raise ConfigError(
            f"{protocol.name} shrinks by {BD_SCALE}, the model enlarges by {scales[0]}; "
            "take a -bi protocol"
        )
    base = find_model(BASELINE)
    return [replace(base, hyper_parameters={"scale": scales[0]}), *infos]


def _settings(measuring: Measuring) -> dict[str, str | float | None]:
    """List what numbers depend on; results measured otherwise do not go into one table."""
    options = measuring.inference
    return {
        "whole_clip": measuring.whole_clip,
        "border": measuring.border,
        "frames": measuring.frames,
        "over_time": measuring.over_time,
        "precision": choose_precision(options.precision, choose_device(options.device)),
        "window": options.window,
        "lookahead": options.lookahead,
        "tile": options.tile,
        "scene_threshold": options.scene_threshold,
    }


def _line(model: str, clip: str, score: ClipScore, seconds: float) -> str:
    return (
        f"{model}, {clip}: {score.psnr:.2f} / {score.ssim:.4f}, {score.frames} frames, "
        f"{seconds:.1f} s"
    )
