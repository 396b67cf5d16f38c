"""Models on a test set, and their results."""

from __future__ import annotations

import hashlib
import json
import math
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from vsr import __version__
from vsr.data.datasets import read_pairs
from vsr.data.degrade import BD_SCALE
from vsr.data.layouts import PROTOCOLS, ClipFiles, Protocol, find_clips
from vsr.devices import choose_device, choose_precision
from vsr.errors import ConfigError, DatasetError
from vsr.evaluation.metrics import SSIM_WINDOW
from vsr.evaluation.scores import WORST_FIRST, ClipScore, FrameScore, average, of_clip, score_frames
from vsr.files import check_place, write_text
from vsr.inference.plan import MIB, make_plan, share_of_memory
from vsr.inference.runner import LqFrame, upscale
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, find_model, load_network
from vsr.ops.color import to_picture
from vsr.options import NEVER, InferenceOptions, Measuring, differences, validated

BASELINE = "bicubic"
Image = NDArray[np.uint8]


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
        identity = identity_of(weights, clip.gt, clip.lq)
        if growing.has(info.name, clip.name, identity):
            continue
        network = network or load_network(info, choose_device(measuring.inference.device))
        begin = time.monotonic()
        frames = measure(info, network, clip, protocol, measuring, tell)
        seconds = time.monotonic() - begin
        score = of_clip(frames)
        entry = ClipResult(identity=identity, score=score, frames=tuple(frames), seconds=seconds)
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
    # The same for all networks, so that figures can be compared: none is computed in int8 unasked.
    plan = make_plan(height, width, measuring.inference, replace(info.facts, int8=False))
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


def _protocol(measuring: Measuring) -> Protocol:
    return PROTOCOLS[validated(Measuring, measuring).protocol]


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


# With more clips than this only the mean is printed; the JSON has all.
_MOST_COLUMNS = 10
_VERSION = 3
# Of metrics and degradations; to be raised when they give other numbers, so that nobody's table
# mixes those with numbers from before.
_METHOD = 1
# A file is written as a whole, which takes the longer the more clips it holds. Between two times
# lie so many seconds, and so many times what the last one took.
_LEAST_UNSAVED = 5.0
_TIMES_SAVING = 20
# Head of a column, factor and digits of what is printed below it.
_MEASURES = {
    "psnr": ("PSNR (dB)", 1, 2),
    "tof": ("tOF (px)", 1, 3),
    "warping": ("warping error (1e-3)", 1000, 3),
    "flicker": ("flicker (levels)", 1, 3),
}

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipResult:
    """One model on one clip.

    Attributes:
        identity: Of the weights and the files measured.
        score: Means over the clip.
        frames: Each frame.
        seconds: It took, decoding and measuring included.
    """

    identity: str
    score: ClipScore
    frames: tuple[FrameScore, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """A table: models by clips.

    Attributes:
        protocol, scale, on_luma, settings: How it was measured.
        entries: By model, then by clip, in order.
    """

    protocol: str
    scale: int
    on_luma: bool
    settings: Mapping[str, Any]
    entries: Mapping[str, Mapping[str, ClipResult]]

    def of(self, models: Sequence[str], clips: Sequence[str]) -> Results:
        """The part for these models and clips, in this order."""
        entries = {m: {c: self.entries[m][c] for c in clips} for m in models}
        return replace(self, entries=entries)

    def mean(self, model: str) -> ClipScore:
        """Take the mean over the clips of a model."""
        return average([entry.score for entry in self.entries[model].values()])

    def save(self, path: Path) -> None:
        """Write as JSON, so that a crash leaves the old file or the new one.

        Raises:
            MuxError: The disk refuses.
        """
        value = {
            "version": _VERSION,
            "protocol": self.protocol,
            "scale": self.scale,
            "on_luma": self.on_luma,
            "settings": dict(self.settings),
            "models": {
                model: {
                    "mean": _plain(asdict(self.mean(model))),
                    "clips": {name: _plain(asdict(entry)) for name, entry in clips.items()},
                }
                for model, clips in self.entries.items()
            },
        }
        write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def resumed(self, path: Path) -> Results:
        """Take up the entries of a file that was measured alike.

        Raises:
            ConfigError: It was not, or is no such file.
        """
        try:
            value = json.loads(path.read_text())
            found = {key: value[key] for key in ("version", "protocol", "scale", "settings")}
            entries = {
                model: {name: _clip_result(entry) for name, entry in item["clips"].items()}
                for model, item in value["models"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"'{path}' exists and is no file of results; give --json another name"
            ) from error
        wanted = {
            "version": _VERSION,
            "protocol": self.protocol,
            "scale": self.scale,
            "settings": dict(self.settings),
        }
        wrong = ", ".join(differences(found, wanted))
        if wrong:
            raise ConfigError(
                f"'{path}' holds results measured in another way ({wrong}); give --json another "
                "name, or remove it"
            )
        return replace(self, entries=entries)


class Growing:
    """A table that grows; its file is written every few seconds and at the end, however it ends."""

    def __init__(self, table: Results, path: Path | None) -> None:
        """Start with what is in the table; without a path nothing is written."""
        self._table = table
        self._entries = {model: dict(clips) for model, clips in table.entries.items()}
        self._path = path
        self._unsaved = False
        self._due = time.monotonic() + _LEAST_UNSAVED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._save()

    @property
    def table(self) -> Results:
        """What it holds now."""
        return replace(self._table, entries=self._entries)

    def has(self, model: str, clip: str, identity: str) -> bool:
        """Whether a clip was measured with the same weights, files and method."""
        entry = self._entries.get(model, {}).get(clip)
        return entry is not None and entry.identity == identity

    def add(self, model: str, clip: str, entry: ClipResult) -> None:
        """Put in one more, or another in its place.

        Raises:
            MuxError: The disk refuses.
        """
        self._entries.setdefault(model, {})[clip] = entry
        self._unsaved = True
        if time.monotonic() >= self._due:
            self._save()

    def _save(self) -> None:
        if self._path is None or not self._unsaved:
            return
        begin = time.monotonic()
        self.table.save(self._path)
        end = time.monotonic()
        self._unsaved = False
        self._due = end + max(_LEAST_UNSAVED, _TIMES_SAVING * (end - begin))


def identity_of(weights: str | None, *paths: Path | None) -> str:
    """Identity of what was measured and how.

    Args:
        weights: Their hash.
        paths: What was measured; names and sizes of the files count.
    """
    digest = hashlib.sha256(f"{__version__} {_METHOD} {weights}".encode())
    for path in paths:
        files = sorted(path.iterdir()) if path is not None and path.is_dir() else [path]
        for file in files:
            if file is not None and file.is_file():
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        digest.update(b"|")
    return digest.hexdigest()[:16]


def markdown(results: Results, width: int | None = None) -> str:
    """Print the table of the papers; below it steadiness, if it was measured, and worst frames.

    Args:
        results: What was measured.
        width: Characters of a terminal; wider tables are continued below. None for one table each.
    """
    names = list(next(iter(results.entries.values())))
    channel = "Y" if results.on_luma else "RGB"
    over = f"{len(names)} clip{'' if len(names) == 1 else 's'}"
    title = (
        f"{results.protocol}, x{results.scale}: PSNR (dB) / SSIM on {channel}, 8-bit frames, "
        f"mean over frames, then over {over}"
    )
    tables = [_quality_table(results, names if 1 < len(names) <= _MOST_COLUMNS else [])]
    if all(results.mean(model).tof is not None for model in results.entries):
        tables.append(_over_time(results))
    tables.append(_worst(results))
    lines = textwrap.wrap(title, width or len(title))
    for found in tables:
        lines += ["", *table(*found, width=width)]
    return "\n".join(lines)


def _quality_table(results: Results, names: Sequence[str]) -> Table:
    rows = []
    for model, clips in results.entries.items():
        cells = [_quality(clips[name].score) for name in names]
        rows.append((model, *cells, _quality(results.mean(model))))
    return ("model", *names, "mean"), rows


def _over_time(results: Results) -> Table:
    rows = []
    for model in results.entries:
        mean = results.mean(model)
        warping = _warping(mean.warping, mean.warping_absolute)
        rows.append((model, f"{mean.tof:.3f}", warping, f"{mean.flicker:.3f}"))
    mean = results.mean(next(iter(results.entries)))
    warping = _warping(mean.warping_of_truth, mean.warping_absolute_of_truth)
    rows.append(("the truth itself", "0", warping, "0"))
    return ("model", "tOF (px)", "warping (1e-3 / levels)", "flicker (levels)"), rows


def _warping(squared: float | None, absolute: float | None) -> str:
    assert squared is not None
    assert absolute is not None
    return f"{1000 * squared:.3f} / {absolute:.3f}"


def _worst(results: Results) -> Table:
    """Name the worst frame of each model by each measure, over all clips."""
    scores = [entry.score for clips in results.entries.values() for entry in clips.values()]
    shown = [name for name in WORST_FIRST if any(name in score.worst for score in scores)]
    rows = []
    for model, clips in results.entries.items():
        rows.append((model, *(_worst_of(clips, name) for name in shown)))
    return ("worst frame by", *(_MEASURES[name][0] for name in shown)), rows


def _worst_of(clips: Mapping[str, ClipResult], measure: str) -> str:
    _, factor, digits = _MEASURES[measure]
    found = [
        (getattr(entry.frames[entry.score.worst[measure][0]], measure), name)
        for name, entry in clips.items()
        if measure in entry.score.worst
    ]
    if not found:
        return ""
    value, name = min(found, key=lambda pair: WORST_FIRST[measure] * pair[0])
    return f"{name} {clips[name].score.worst[measure][0]}: {factor * value:.{digits}f}"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None
) -> list[str]:
    """Lay out a Markdown table that reads well as plain text.

    Args:
        head: Names of the columns.
        rows: Cells.
        width: Characters per line; columns that do not fit go into a further table with the first
            column again. None for no limit.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines: list[str] = []
    for columns in _blocks(widths, width):
        lines += [""] * bool(lines)
        for row in (head, ["-" * width for width in widths], *rows):
            lines.append("| " + " | ".join(row[i].ljust(widths[i]) for i in columns) + " |")
    return lines


def _blocks(widths: Sequence[int], limit: int | None) -> list[list[int]]:
    """Deal columns out, each block with the first one and at least one more."""
    blocks = [[0]]
    for column in range(1, len(widths)):
        taken = sum(widths[i] + 3 for i in (*blocks[-1], column)) + 1
        if limit is not None and taken > limit and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(column)
    return blocks


def _quality(score: ClipScore) -> str:
    return f"{score.psnr:.2f} / {score.ssim:.4f}"


def _plain(value: Any) -> Any:  # noqa: ANN401
    """JSON has no infinity; the PSNR of equal frames is written as a word."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return "infinite" if value == math.inf else value


def _number(value: Any) -> Any:  # noqa: ANN401
    return math.inf if value == "infinite" else value


def _clip_result(value: Mapping[str, Any]) -> ClipResult:
    score = {key: _number(item) for key, item in value["score"].items()}
    frames = [{key: _number(item) for key, item in frame.items()} for frame in value["frames"]]
    worst = {name: tuple(found) for name, found in score["worst"].items()}
    return ClipResult(
        identity=value["identity"],
        score=ClipScore(**{**score, "worst": worst}),
        frames=tuple(FrameScore(**frame) for frame in frames),
        seconds=value["seconds"],
    )
