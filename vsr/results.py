"""Results of models on a test set: kept as JSON, printed as tables."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from vsr.errors import ConfigError
from vsr.evaluation.scores import WORST_FIRST, ClipScore, FrameScore, average
from vsr.files import write_text
from vsr.options import STEADINESS, differences

# With more clips than this only the mean is printed; the JSON has all.
_MOST_COLUMNS = 10
_VERSION = 4
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
    "stlpips": ("ST-LPIPS", 1, 4),
    "niqe": ("NIQE", 1, 2),
    "xpsnr": ("XPSNR (dB)", 1, 2),
}
_FURTHER = {"stlpips": "lower is better", "niqe": "lower is better", "xpsnr": "higher is better"}
_WORDS = {"infinite": math.inf, "minus infinite": -math.inf}

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
    shown = names if 1 < len(names) <= _MOST_COLUMNS else []
    tables = [_quality_table(results, shown)]
    tables += [_further_table(results, shown, name) for name in _FURTHER if _has(results, name)]
    if any(_has(results, name) for name in STEADINESS):
        tables.append(_over_time(results))
    if any(results.mean(model).own for model in results.entries):
        tables.append(_own(results))
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


def _further_table(results: Results, names: Sequence[str], measure: str) -> Table:
    rows = []
    for model, clips in results.entries.items():
        scores = [*(clips[name].score for name in names), results.mean(model)]
        rows.append((model, *(_cell(getattr(score, measure), measure) for score in scores)))
    return (f"{_MEASURES[measure][0]}, {_FURTHER[measure]}", *names, "mean"), rows


def _has(results: Results, measure: str) -> bool:
    return any(getattr(results.mean(model), measure) is not None for model in results.entries)


def _cell(value: float | None, measure: str) -> str:
    _, factor, digits = _MEASURES[measure]
    return "-" if value is None else f"{factor * value:.{digits}f}"


def _over_time(results: Results) -> Table:
    shown = [name for name in STEADINESS if _has(results, name)]
    rows = []
    for model in results.entries:
        mean = results.mean(model)
        warping = _warping(mean.warping, mean.warping_absolute)
        cells = {name: _cell(getattr(mean, name), name) for name in shown} | {"warping": warping}
        rows.append((model, *(cells[name] for name in shown)))
    mean = results.mean(next(iter(results.entries)))
    truth = {"warping": _warping(mean.warping_of_truth, mean.warping_absolute_of_truth)}
    rows.append(("the truth itself", *(truth.get(name, "0") for name in shown)))
    heads = {**{name: _MEASURES[name][0] for name in shown}, "warping": "warping (1e-3 / levels)"}
    return ("model", *(heads[name] for name in shown)), rows


def _own(results: Results) -> Table:
    means = {model: results.mean(model).own for model in results.entries}
    names = list(next(iter(means.values())))
    return ("model", *names), [
        (model, *("-" if (x := own[name]) is None else f"{x:.4g}" for name in names))
        for model, own in means.items()
    ]


def _warping(squared: float | None, absolute: float | None) -> str:
    if squared is None or absolute is None:
        return "-"
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


def comma_separated(results: Results) -> str:
    """Write every frame as a line of CSV, with the means of each clip and model.

    The column `frame` counts from 0, or is "mean"; `clip` is "mean" for the mean over clips. A
    value that a frame does not have is empty.
    """
    shown = [f.name for f in fields(FrameScore) if f.name != "own" and _has(results, f.name)]
    own = list(results.mean(next(iter(results.entries))).own)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "clip", "frame", *shown, *own))

    def write(model: str, clip: str, frame: int | str, score: FrameScore) -> None:
        values = [getattr(score, name) for name in shown]
        writer.writerow((model, clip, frame, *values, *(score.own[name] for name in own)))

    for model, clips in results.entries.items():
        for clip, entry in clips.items():
            for index, frame in enumerate(entry.frames):
                write(model, clip, index, frame)
            write(model, clip, "mean", entry.score)
        write(model, "mean", "mean", results.mean(model))
    return text.getvalue()


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
    """JSON has no infinity; the PSNR of equal frames, for example, is written as a word."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return next((word for word, number in _WORDS.items() if value == number), value)


def _number(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _number(item) for key, item in value.items()}
    return _WORDS.get(value, value) if isinstance(value, str) else value


def _clip_result(value: Mapping[str, Any]) -> ClipResult:
    score, frames = _number(value["score"]), map(_number, value["frames"])
    worst = {name: tuple(found) for name, found in score["worst"].items()}
    return ClipResult(
        identity=value["identity"],
        score=ClipScore(**{**score, "worst": worst}),
        frames=tuple(FrameScore(**frame) for frame in frames),
        seconds=value["seconds"],
    )
