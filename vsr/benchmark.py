"""Models on a test set, and their results."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray

from vsr import __version__
from vsr.data.clips import content_key
from vsr.data.datasets import read_pairs
from vsr.data.degrade import BD_SCALE
from vsr.data.layouts import PROTOCOLS, ClipFiles, Protocol, find_clips
from vsr.devices import choose_device, choose_precision
from vsr.errors import Cancel, ConfigError, DatasetError, stop_if
from vsr.evaluation.metrics import SSIM_WINDOW, luma, own_metric
from vsr.evaluation.natural import LEAST_SIDES, niqe
from vsr.evaluation.perceptual import LEAST_SIDE, StLpips, load_stlpips
from vsr.evaluation.scores import (
    ClipScore,
    FrameScore,
    Measure,
    of_clip,
    score_frames,
)
from vsr.files import check_place
from vsr.inference.plan import MIB, make_plan, share_of_memory
from vsr.inference.runner import LqFrame, upscale
from vsr.media.xpsnr import Xpsnr
from vsr.models.contract import NetworkFacts, VideoNetwork, as_network, evaluating
from vsr.models.zoo import ModelInfo, device_of, facts_of, find_model, load_network
from vsr.ops.color import to_picture
from vsr.options import (
    METRICS,
    NEVER,
    InferenceOptions,
    Measuring,
    source_hash,
    text_of,
    validated,
)
from vsr.results import ClipResult, Growing, Results

BASELINE = "bicubic"
Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A model to be measured.

    Attributes:
        name: In tables.
        facts: For planning.
        weights: What tells it from others in kept results: a hash of its weights.
        load: Gives the network, in evaluation mode.
        device: Where it computes.
    """

    name: str
    facts: NetworkFacts
    weights: str | None
    load: Callable[[], VideoNetwork]
    device: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateProgress:
    """How far a measurement is.

    Attributes:
        model, clip: What is being measured.
        frames: Of this clip, measured so far.
        done: Clips finished, of all models.
        total: Clips in all, of all models.
    """

    model: str
    clip: str
    frames: int
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Watch:
    """What a caller wants to hear, and when to stop."""

    tell: Callable[[str], None]
    progress: Callable[[EvaluateProgress], None]
    cancel: Cancel | None


def evaluate(
    models: Sequence[str | PathLike[str] | VideoNetwork] | Mapping[str, VideoNetwork],
    data: str | PathLike[str],
    measuring: Measuring,
    *,
    results: str | PathLike[str] | None = None,
    tell: Callable[[str], None] = lambda line: None,
    progress: Callable[[EvaluateProgress], None] = lambda now: None,
    cancel: Cancel | None = None,
) -> Results:
    """Measure models, and `bicubic` before them, on the clips of a test set.

    Frames pass through decoder, degradation, engine and metrics one after the other; memory does
    not grow with the length of a clip, unless `whole_clip` asks for it or the protocol degrades
    clips as a whole (`folder-real`).

    Args:
        models: Names, weight files or networks, all of one scale; or networks by the name that
            each shall have. Networks are measured in evaluation mode.
        data: The folder of the test set.
        measuring: The protocol and the rest.
        results: A JSON file, written every few seconds and at the end, however it ends; clips
            that it holds already, measured alike with the same weights, are not measured again,
            except with networks that are given: their code may have changed.
        tell: Gets a line for each clip and each warning.
        progress: Called after each frame and each clip.
        cancel: Set it, from any thread, to stop before the next frame or clip.

    Raises:
        CancelledError: `cancel` was set; what was measured is in `results`.
        ConfigError: A model or the protocol is not known, or the scales differ.
        MuxError: The file of results cannot be written.
        DatasetError: The folder is not laid out as the protocol needs.
    """
    measuring = validated(Measuring, measuring, "measuring")
    protocol = PROTOCOLS[measuring.protocol]
    found = _models(models, protocol, measuring.inference.device)
    clips = find_clips(Path(text_of(data, "the folder of the test set")), protocol)
    kept = None if results is None else Path(text_of(results, "the file of results"))
    table = Results(
        protocol=protocol.name,
        scale=found[0].facts.scale,
        on_luma=protocol.on_luma,
        settings=_settings(measuring),
        entries={},
    )
    if kept is not None:
        check_place(kept)
        table = table.resumed(kept) if kept.exists() else table
    watch = _Watch(tell=tell, progress=progress, cancel=cancel)
    with Growing(table, kept) as growing:
        for number, model in enumerate(found):
            done, total = number * len(clips), len(found) * len(clips)
            now = EvaluateProgress(model=model.name, clip="", frames=0, done=done, total=total)
            on_device = replace(measuring.inference, device=model.device)
            chosen = replace(measuring, inference=on_device)
            _measure_all(model, clips, protocol, chosen, growing, watch, now)
    return growing.table.of([model.name for model in found], [clip.name for clip in clips])


def _measure_all(
    model: Candidate,
    clips: Sequence[ClipFiles],
    protocol: Protocol,
    measuring: Measuring,
    growing: Growing,
    watch: _Watch,
    now: EvaluateProgress,
) -> None:
    """Measure a model on the clips that a table lacks."""
    network: VideoNetwork | None = None
    for number, clip in enumerate(clips, now.done + 1):
        stop_if(watch.cancel)
        now = replace(now, clip=clip.name)
        identity = identity_of(model.weights, clip.gt, clip.lq)
        if growing.has(model.name, clip.name, identity):
            now = replace(now, done=number)
            watch.progress(now)
            continue
        network = network or model.load()
        begin = time.monotonic()
        with evaluating(network):
            frames = _measure(model, network, clip, protocol, measuring, watch, now)
        seconds = time.monotonic() - begin
        score = of_clip(frames)
        entry = ClipResult(identity=identity, score=score, frames=tuple(frames), seconds=seconds)
        growing.add(model.name, clip.name, entry)
        watch.tell(_line(model.name, clip.name, score, seconds))
        now = replace(now, done=number)
        watch.progress(replace(now, frames=len(frames)))


def _measure(
    model: Candidate,
    network: VideoNetwork,
    clip: ClipFiles,
    protocol: Protocol,
    measuring: Measuring,
    watch: _Watch,
    now: EvaluateProgress,
) -> list[FrameScore]:
    """Score the frames of one clip."""

    def watched(pairs: Iterable[tuple[Image, Image]]) -> Iterator[tuple[Image, Image]]:
        for count, pair in enumerate(pairs, 1):
            stop_if(watch.cancel)
            yield pair
            watch.progress(replace(now, frames=count))

    pairs = watched(_run_clip(model, network, clip, protocol, measuring, watch.tell))
    if protocol.center_only:
        found = list(pairs)
        pairs = iter(found[len(found) // 2 :][:1])
    return score_frames(
        pairs,
        on_luma=protocol.on_luma,
        border=measuring.border,
        steadiness=measuring.metrics,
        measures=_measures(measuring.metrics, model.device),
    )


def _measures(metrics: Sequence[str], device: str) -> dict[str, Measure]:
    """Prepare what is measured beside PSNR, SSIM and steadiness, for one clip.

    Raises:
        ConfigError: One is not known.
        WeightsError: Those of ST-LPIPS are not installed.
    """
    found: dict[str, Measure] = {}
    for name in metrics:
        if ":" in name:
            found[name] = own_metric(name)
        elif name == "stlpips":
            found[name] = partial(_stlpips, device)
            _loaded_stlpips(device)
        elif name == "niqe":
            found[name] = lambda sr, gt: niqe(sr)
        elif name == "xpsnr":
            judge = Xpsnr()
            found[name] = lambda sr, gt, judge=judge: judge.score(  # type: ignore[misc]
                *(luma(picture).round().astype(np.uint8) for picture in (sr, gt))
            )
        elif name not in METRICS:
            known = ", ".join(METRICS)
            raise ConfigError(
                f"no metric '{name}'; known: {known}, or a function of your own as module:name"
            )
    return found


@cache
def _loaded_stlpips(device: str) -> StLpips:
    return load_stlpips("alex").to(device)


def _stlpips(device: str, sr: Image, gt: Image) -> float:
    pictures = [torch.from_numpy(x).to(device).permute(2, 0, 1)[None] / 255 for x in (sr, gt)]
    with torch.inference_mode():
        return float(_loaded_stlpips(device)(*pictures))


def _run_clip(
    model: Candidate,
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
    source = read_pairs(clip, protocol, model.facts.scale, frames=measuring.frames, room=room)
    first = next(source, None)
    if first is None:
        raise DatasetError(f"clip '{clip.name}' has no frames: '{clip.gt}'")
    _check_size(clip, first.gt, measuring)
    height, width = first.lq.shape[-2:]
    # The same for all networks, so that figures can be compared: none is computed in int8 unasked.
    plan = make_plan(height, width, measuring.inference, replace(model.facts, int8=False))
    for note in plan.notes:
        tell(f"note: {clip.name}: {note}")
    frames: Iterable[LqFrame[Image]] = (
        LqFrame(source=pair.gt, lq=pair.lq, pts=index, scene_score=pair.scene_score)
        for index, pair in enumerate(chain([first], source))
    )
    if measuring.whole_clip:
        held = list(frames)
        frames = [*held, *reversed(held)] if protocol.center_only else held
        plan = replace(plan, window=len(frames), lookahead=0, scene_threshold=NEVER)
    with torch.inference_mode():
        upscaled = upscale(frames, network, plan, warn=tell)
        if not (measuring.whole_clip and protocol.center_only):
            for done in upscaled:
                yield to_picture(done.sr), done.source
            return
        # A clip followed by its mirror image: the mean of both predictions of each frame.
        both = list(upscaled)
    for there, back in zip(both[: len(both) // 2], reversed(both), strict=False):
        yield to_picture((there.sr + back.sr) / 2), there.source


def _check_size(clip: ClipFiles, truth: Image, measuring: Measuring) -> None:
    height, width = truth.shape[:2]
    if min(height, width) - 2 * measuring.border < SSIM_WINDOW:
        raise DatasetError(
            f"clip '{clip.name}': {width}x{height} less a border of {measuring.border} is smaller "
            f"than SSIM's window of {SSIM_WINDOW}x{SSIM_WINDOW}"
        )
    least = LEAST_SIDE["alex"]
    sides = {"stlpips": (least, least), "niqe": LEAST_SIDES}
    for name in sides.keys() & set(measuring.metrics):
        short, long = sides[name]
        if min(height, width) < short or max(height, width) < long:
            raise DatasetError(
                f"clip '{clip.name}': {width}x{height} is too small for {name}, which needs "
                f"{long}x{short}; leave it out of --metrics"
            )


def _models(
    models: Sequence[str | PathLike[str] | VideoNetwork] | Mapping[str, VideoNetwork],
    protocol: Protocol,
    device: str,
) -> list[Candidate]:
    """Find the models, the baseline first, at their common scale."""
    found: dict[str, Candidate] = {}
    for name, given in _named(models):
        if isinstance(given, str):
            if given != BASELINE:
                found[given] = _of_info(find_model(given), device)
        elif name in (BASELINE, *found):
            raise ConfigError(f"'{name}' names two models of the table; name networks apart")
        else:
            found[name] = _of_network(name, given, device)
    scales = sorted({model.facts.scale for model in found.values()}) or [4]
    if len(scales) > 1:
        each = ", ".join(f"{model.name} x{model.facts.scale}" for model in found.values())
        raise ConfigError(f"one table wants models of one scale, got {each}; run them apart")
    if protocol.degradation == "bd" and scales[0] != BD_SCALE:
        raise ConfigError(
            f"{protocol.name} shrinks by {BD_SCALE}, the model enlarges by {scales[0]}; "
            "take a -bi protocol"
        )
    base = replace(find_model(BASELINE), hyper_parameters={"scale": scales[0]})
    return [_of_info(base, device), *found.values()]


def _named(models: object) -> Iterator[tuple[str, str | VideoNetwork]]:
    """Check the models that a caller gave, and name the networks among them.

    Raises:
        ConfigError: Something else is among them.
    """
    if isinstance(models, Mapping):
        for name, network in models.items():
            yield text_of(name, "the name of a network"), as_network(network)
    elif isinstance(models, Iterable) and not isinstance(models, str | bytes):
        kinds: Counter[str] = Counter()
        for model in models:
            if isinstance(model, str | PathLike):
                yield "", os.fspath(model)
                continue
            kind = type(as_network(model)).__name__
            kinds[kind] += 1
            yield f"{kind} {kinds[kind]}" if kinds[kind] > 1 else kind, model
    else:
        raise ConfigError(
            "models wants a list of names, weight files and networks, such as ['compact-x4']; got "
            + (repr(models) if isinstance(models, str) else type(models).__name__)
        )


def _of_info(info: ModelInfo, device: str) -> Candidate:
    chosen = choose_device(device)
    return Candidate(
        name=info.name,
        facts=info.facts,
        weights=info.weight_hash,
        load=lambda: load_network(info, chosen),
        device=str(chosen),
    )


def _of_network(name: str, network: VideoNetwork, device: str) -> Candidate:
    return Candidate(
        name=name,
        facts=facts_of(network),
        weights=f"given {uuid4().hex}",
        load=lambda: network,
        device=device_of(network, device),
    )


def _settings(measuring: Measuring) -> dict[str, Any]:
    """List what numbers depend on; results measured otherwise do not go into one table."""
    options = measuring.inference
    _measures(measuring.metrics, str(choose_device(options.device)))
    own = {name: source_hash(name) for name in measuring.metrics if ":" in name}
    return {
        "whole_clip": measuring.whole_clip,
        "border": measuring.border,
        "frames": measuring.frames,
        "metrics": sorted({"psnr", "ssim", *measuring.metrics} - own.keys()),
        "precision": choose_precision(options.precision, choose_device(options.device)),
        "window": options.window,
        "lookahead": options.lookahead,
        "tile": options.tile,
        "scene_threshold": options.scene_threshold,
        **({"metric": own} if own else {}),
    }


def _line(model: str, clip: str, score: ClipScore, seconds: float) -> str:
    return (
        f"{model}, {clip}: {score.psnr:.2f} / {score.ssim:.4f}, {score.frames} frames, "
        f"{seconds:.1f} s"
    )


# Of metrics and degradations; to be raised when they give other numbers, so that nobody's table
# mixes those with numbers from before.
_METHOD = 1


def identity_of(weights: str | None, *paths: Path | None) -> str:
    """Identity of what was measured and how.

    Args:
        weights: Their hash.
        paths: What was measured, see `content_key`.
    """
    digest = hashlib.sha256(f"{__version__} {_METHOD} {weights}".encode())
    for path in paths:
        digest.update(f"|{'' if path is None else content_key(path)}".encode())
    return digest.hexdigest()[:16]
