"""The report of a finished file: its provenance, and what was verified."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vsr import __version__
from vsr.errors import DiskError
from vsr.files import read_error, sha256
from vsr.media.decode import DecodeSummary
from vsr.media.probe import counted_losses
from vsr.media.reading import describe_lost
from vsr.media.types import FrameMarks
from vsr.media.verify import VerifyResult
from vsr.options import EnhanceOptions
from vsr.plan import Job

# What decides the pixels and the file; the rest of the environment does not.
VERSIONS = ("torch", "av", "numpy")
_WORST = 5
# dB. Noise and blocks that a network takes away cost less; its own artefacts, once they grow, more.
_UNLIKE = 20.0
_DAMAGED = Fraction(1, 10)  # share of lost frames above which an output is named as damaged
_NAMED_LOSSES = 5


class Warnings:
    """Pass each warning on once.

    Attributes:
        said: All of them so far, in order.
    """

    def __init__(self, tell: Callable[[str], None] = lambda sentence: None) -> None:
        """Start with none said.

        Args:
            tell: Gets each as it comes.
        """
        self.said: list[str] = []
        self._tell = tell

    def __call__(self, sentence: str) -> None:
        """Pass a warning on, unless it came before."""
        if sentence not in self.said:
            self.said.append(sentence)
            self._tell(sentence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What is known of an output when its last piece is finished.

    Attributes:
        summary: What decoding met.
        marks: Of all frames that were decoded.
        resumed: Frames that an earlier run had finished.
        seconds: From opening the source until now.
        network_seconds: Inside the network.
        hosts: The machines that made its pieces.
    """

    summary: DecodeSummary
    marks: FrameMarks
    resumed: int
    seconds: float
    network_seconds: float
    hosts: tuple[str, ...] = (platform.node(),)


def make_report(
    job: Job,
    options: EnhanceOptions,
    made: Made,
    result: VerifyResult,
    written: Path,
    fidelity: Sequence[float],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The report as values that JSON holds.

    Args:
        job: The plan.
        options: What was asked for.
        made: What is known of the output.
        result: What verification found.
        written: The finished file, which may not have its name yet.
        fidelity: Of all frames, in dB.
        warnings: All of them.
    """
    report: dict[str, Any] = plain(
        {
            "vsr": __version__,
            "versions": {name: version(name) for name in VERSIONS},
            "python": platform.python_version(),
            "host": platform.node(),
            "frames_made_on": made.hosts,
            "platform": platform.platform(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "source": {
                "path": os.fspath(job.info.path),
                "size_bytes": job.info.size_bytes,
                "sha256": _hash_of_source(job.info.path),
                "format": job.info.format,
                "video": asdict(job.info.video),
                "tags": job.info.tags,
            },
            "target": {**_target(job), "sha256": _hash(written)},
            "model": _model(job),
            "options": asdict(options),
            "inference": asdict(job.inference),
            "streams": [asdict(stream) for stream in job.streams],
            "decoding": asdict(made.summary),
            "fidelity": describe_fidelity(made.marks.pts, fidelity, job.encode.time_base),
            "frames": len(made.marks),
            "repeated_frames": made.summary.repeated,
            "resumed_frames": made.resumed,
            "seconds": round(made.seconds, 3),
            "network_seconds": round(made.network_seconds, 3),
            "verified": result.verdict,
            "verification": asdict(result),
            "warnings": list(warnings),
        }
    )
    return report


def describe_plan(job: Job) -> dict[str, Any]:
    """A plan as values that JSON holds, under the names of the report."""
    plan: dict[str, Any] = plain(
        {
            "source": {
                "path": os.fspath(job.info.path),
                "size_bytes": job.info.size_bytes,
                "format": job.info.format,
                "video": asdict(job.info.video),
            },
            "target": _target(job),
            "model": _model(job),
            "inference": asdict(job.inference),
            "streams": [asdict(stream) for stream in job.streams],
            "warnings": job.warnings,
            "frames": job.frames,
        }
    )
    return plan


def _target(job: Job) -> dict[str, Any]:
    return {
        "path": os.fspath(job.target.pattern),
        "width": job.encode.width,
        "height": job.encode.height,
        "codec": job.encode.codec,
        "pix_fmt": job.encode.pix_fmt,
        "encoder_options": dict(job.encode.options),
    }


def _model(job: Job) -> dict[str, Any]:
    return {
        "name": job.model.name,
        "architecture": job.model.architecture,
        "scale": job.model.scale,
        "weights_sha256": job.model.weight_hash,
        "clean": job.model.cleaning,
        "clean_sha256": job.model.stage_hash,
        "steady": job.model.steady,
    }


def describe_fidelity(
    pts: Sequence[int], fidelity: Sequence[float], time_base: Fraction
) -> dict[str, Any]:
    """Mean and worst of what `runner.fidelity` measured; of frames that repeat, the first."""
    changes = [i for i, db in enumerate(fidelity) if i == 0 or db != fidelity[i - 1]]
    worst = sorted(changes, key=fidelity.__getitem__)[:_WORST]
    return {
        "measure": "PSNR of luma in dB: the result scaled down to the input's size, before it is "
        "encoded, against the input; 100 where they are equal",
        "mean_db": round(sum(fidelity) / len(fidelity), 3),
        "lowest_db": round(fidelity[worst[0]], 3),
        "worst_frames": [
            {
                "frame": index,
                "pts": pts[index],
                "seconds": round(float(pts[index] * time_base), 6),
                "db": round(fidelity[index], 3),
            }
            for index in worst
        ],
        "time_base": time_base,
    }


def describe_unlike(
    pts: Sequence[int], fidelity: Sequence[float], time_base: Fraction
) -> Iterator[str]:
    """Warn of frames that differ strongly from the input."""
    unlike = [index for index, db in enumerate(fidelity) if db < _UNLIKE]
    if unlike:
        yield (
            f"{len(unlike)} frames are unlike the input (fidelity below {_UNLIKE:g} dB), the first "
            f"at {float(pts[unlike[0]] * time_base):.3f} s: look at them; if the network has made "
            "something up, take another --model, or cut there with --start and --duration"
        )


def describe_losses(summary: DecodeSummary, *, captions: bool) -> Iterator[str]:
    """The frames lost to damage in the source, and what other frames lost.

    Args:
        summary: What decoding met.
        captions: Whether the encoder carries closed captions.
    """
    yield from describe_lost(summary.lost)
    if summary.corrupt:
        yield f"{len(summary.corrupt)} frames of the input are damaged, and enhanced as they are"
    if summary.repaired_pts:
        yield f"{summary.repaired_pts} frames had times that went backwards; repaired"
    yield from counted_losses(summary.attached, captions=captions, captioned=summary.captioned)


def describe_damage(summary: DecodeSummary) -> str | None:
    """The losses by time where they are more than a tenth of the film; None otherwise."""
    lost, all_frames = summary.lost_count, summary.decoded + summary.lost_count
    if lost <= all_frames * _DAMAGED:
        return None
    shown = summary.lost[:_NAMED_LOSSES]
    times = "; ".join(describe_lost(shown))
    if left := summary.lost[_NAMED_LOSSES:]:
        times += f"; {sum(run.count for run in left)} more at {len(left)} later times"
    return f"{lost} of {all_frames} frames of the input are lost ({times})"


def plain(value: Any) -> Any:  # noqa: ANN401
    """Reduce values to what JSON holds; fractions stay exact, as "24000/1001"."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (Fraction, Path)):
        return str(value)
    return value


def _hash_of_source(path: Path) -> str | None:
    """As `_hash`; None too where its disk fails: the frames lost there are reported."""
    try:
        return _hash(path)
    except DiskError:
        return None


def _hash(path: Path) -> str | None:
    """None for folders and patterns of pictures.

    Raises:
        MediaError: The file cannot be read any more.
    """
    try:
        return sha256(path) if path.is_file() else None
    except OSError as error:
        raise read_error(path, error) from error
