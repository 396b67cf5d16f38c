"""Results of `vsr evaluate`: kept as JSON, taken up again, printed as the papers print them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError
from vsr.evaluation.scores import ClipScore, FrameScore, average

# More columns than this nobody reads; the mean and the JSON remain.
_MOST_COLUMNS = 10
_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
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
    entries: Mapping[str, Mapping[str, Entry]]

    def has(self, model: str, clip: str, identity: str) -> bool:
        """Tell whether a clip was measured with these very weights and files."""
        entry = self.entries.get(model, {}).get(clip)
        return entry is not None and entry.identity == identity

    def having(self, model: str, clip: str, entry: Entry) -> Results:
        """Give the results with one more."""
        clips = {**self.entries.get(model, {}), clip: entry}
        return replace(self, entries={**self.entries, model: clips})

    def of(self, models: Sequence[str], clips: Sequence[str]) -> Results:
        """Give the part for these models and clips, in this order."""
        entries = {m: {c: self.entries[m][c] for c in clips} for m in models}
        return replace(self, entries=entries)

    def mean(self, model: str) -> ClipScore:
        """Take the mean over the clips of a model."""
        return average([entry.score for entry in self.entries[model].values()])

    def save(self, path: Path) -> None:
        """Write as JSON, so that a crash leaves the old file or the new one."""
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
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
        os.replace(part, path)

    def resumed(self, path: Path) -> Results:
        """Take up the entries of a file that was measured alike.

        Raises:
            ConfigError: It was not, or is no such file.
        """
        try:
            value = json.loads(path.read_text())
            found = {key: value[key] for key in ("version", "protocol", "scale", "settings")}
            entries = {
                model: {name: _entry(entry) for name, entry in item["clips"].items()}
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
        wrong = _differences(wanted, found)
        if wrong:
            raise ConfigError(
                f"'{path}' holds results measured otherwise ({wrong}); give --json another name, "
                "or remove it"
            )
        return replace(self, entries=entries)


def fingerprint(weights: str | None, *paths: Path | None) -> str:
    """Tell measured things apart: the hash of the weights, and names and sizes of the files."""
    digest = hashlib.sha256((weights or "").encode())
    for path in paths:
        files = sorted(path.iterdir()) if path is not None and path.is_dir() else [path]
        for file in files:
            if file is not None and file.is_file():
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        digest.update(b"|")
    return digest.hexdigest()[:16]


def markdown(results: Results) -> str:
    """Print the table of the papers, and below it the one of steadiness, if it was measured."""
    names = list(next(iter(results.entries.values())))
    shown = names if 1 < len(names) <= _MOST_COLUMNS else []
    rows = []
    for model, clips in results.entries.items():
        cells = [_quality(clips[name].score) for name in shown]
        rows.append((model, *cells, _quality(results.mean(model))))
    channel = "Y" if results.on_luma else "RGB"
    lines = [
        f"{results.protocol}, x{results.scale}: PSNR (dB) / SSIM on {channel}, 8-bit frames, "
        f"mean over frames, then over {len(names)} clip{'' if len(names) == 1 else 's'}",
        "",
        *table(("model", *shown, "mean"), rows),
    ]
    if all(results.mean(model).tof is not None for model in results.entries):
        lines += ["", *_over_time(results)]
    return "\n".join(lines)


def _over_time(results: Results) -> list[str]:
    rows = []
    for model, clips in results.entries.items():
        mean = results.mean(model)
        clip = min(clips, key=lambda name: clips[name].score.worst_psnr or math.inf)
        score = clips[clip].score
        assert mean.warping is not None
        rows.append(
            (
                model,
                f"{mean.tof:.3f}",
                f"{1000 * mean.warping:.3f}",
                f"{mean.flicker:.3f}",
                f"{clip}, frame {score.worst[0]}: {score.worst_psnr:.2f}",
            )
        )
    truth = results.mean(next(iter(results.entries))).warping_of_truth
    assert truth is not None
    rows.append(("the truth itself", "0", f"{1000 * truth:.3f}", "0", ""))
    head = ("model", "tOF (px)", "warping error (1e-3)", "flicker (levels)", "worst frame (dB)")
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a Markdown table that reads well as plain text."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _quality(score: ClipScore) -> str:
    return f"{score.psnr:.2f} / {score.ssim:.4f}"


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    pairs = []
    for key, value in wanted.items():
        other = found[key]
        if isinstance(value, dict) and isinstance(other, dict):
            keys = [name for name in value if other.get(name) != value[name]]
            pairs += [f"{name} {other.get(name)} instead of {value[name]}" for name in keys]
        elif other != value:
            pairs.append(f"{key} {other} instead of {value}")
    return ", ".join(pairs)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """JSON has no infinity; the PSNR of equal frames is written as a word."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return "infinite" if value == math.inf else value


def _number(value: Any) -> Any:  # noqa: ANN401
    return math.inf if value == "infinite" else value


def _entry(value: Mapping[str, Any]) -> Entry:
    score = {key: _number(item) for key, item in value["score"].items()}
    frames = [{key: _number(item) for key, item in frame.items()} for frame in value["frames"]]
    return Entry(
        identity=value["identity"],
        score=ClipScore(**{**score, "worst": tuple(score["worst"])}),
        frames=tuple(FrameScore(**frame) for frame in frames),
        seconds=value["seconds"],
    )
