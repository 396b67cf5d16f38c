"""What the report of an enhanced file says that it should be, for `vsr verify`."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vsr.errors import ConfigError
from vsr.inference.options import InferenceOptions
from vsr.media.verify import Expected
from vsr.options import EnhanceOptions
from vsr.planning import plan_job


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
    options = _options_of(_report_of(Path(target), report), report)
    job = plan_job(source, target, options)
    return Expected(
        plan=job.encode, streams=job.streams, decode=job.decode, time_range=job.time_range
    )


def _report_of(target: Path, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"report '{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"report '{path}' is not JSON: {error}") from error
    if not isinstance(found, dict) or "jobs" not in found:
        return found if isinstance(found, dict) else {}
    for job in found["jobs"]:
        if Path(job["target"]).resolve() == target.resolve():
            report: dict[str, Any] = job.get("report", {})
            return report
    raise ConfigError(f"summary '{path}' names no job whose output is '{target}'")


def _options_of(report: dict[str, Any], path: Path) -> EnhanceOptions:
    """Read the options; of the model only its scale matters, so that no weights are wanted."""
    try:
        options = TypeAdapter(EnhanceOptions).validate_python(report["options"])
        scale = report["model"]["scale"]
    except (KeyError, TypeError, ValidationError) as error:
        raise ConfigError(
            f"'{path}' is no report of this version's `vsr enhance --report` or "
            "`vsr batch --summary`; give the options themselves, such as --start"
        ) from error
    if (options.scale, options.height, options.size) == (None, None, None):
        options = replace(options, scale=scale)
    return replace(
        options, model=None, overwrite=True, inference=InferenceOptions(device="cpu", tile=16)
    )
