"""What a batch would do and take, without doing it."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.errors import VsrError
from vsr.estimate import Estimate, estimate, mean
from vsr.jobs.files import settle
from vsr.jobs.journal import NAME, Entry, open_journal
from vsr.media.containers import target_kind
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import load_network
from vsr.options import EnhanceOptions
from vsr.plan import Job, plan_job

# Of files that are planned alike so many are tried, spread over all; the others go by them.
_TRIED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a batch would do.

    Attributes:
        jobs: Of the files that are to be done, in order.
        estimates: What each of them takes; None where that could not be tried.
        failed: (source, reason) of those that would fail, or have failed and are not tried again.
        done: How many are done already.
    """

    jobs: tuple[Job, ...]
    estimates: tuple[Estimate | None, ...]
    failed: tuple[tuple[str, str], ...]
    done: int


def forecast(
    files: Sequence[tuple[Path, Path]],
    output_dir: Path,
    options: EnhanceOptions,
    *,
    retries: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> Forecast:
    """Plan the files of a batch that are left to do, and try frames of some.

    Args:
        files: (source, target).
        output_dir: Whose journal is asked, if there is one; nothing is written there.
        options: For all of them.
        retries: How often a file that failed would be tried again.
        tick: Called after each file.
    """
    known: dict[str, Entry] = {}
    if (output_dir / NAME).exists():
        with open_journal(output_dir, create=False) as journal:
            known = {entry.source: entry for entry in journal.entries()}
    jobs: list[Job] = []
    failed: list[tuple[str, str]] = []
    done = 0
    for _, entry in settle(known, files, options, retries=retries):
        done += entry.state == "done"
        if entry.state == "failed":
            failed.append((entry.source, entry.error or ""))
        elif entry.state == "queued":
            try:
                jobs.append(_plan(Path(entry.source), Path(entry.target), options))
            except (VsrError, OSError) as error:
                failed.append((entry.source, str(error)))
        tick()
    return Forecast(
        jobs=tuple(jobs),
        estimates=tuple(_estimates(jobs, options)),
        failed=tuple(failed),
        done=done,
    )


def _plan(source: Path, target: Path, options: EnhanceOptions) -> Job:
    """Plan a job whose folder need not exist yet.

    Raises:
        VsrError: As `plan_job`.
    """
    if target.parent.is_dir():
        return plan_job(source, target, options)
    with tempfile.TemporaryDirectory(prefix="vsr-batch-") as folder:
        stand_in = Path(folder) / target.name
        try:
            job = plan_job(source, stand_in, options)
        except VsrError as error:
            raise VsrError(str(error).replace(str(stand_in), str(target))) from error
    return replace(job, target=target_kind(target))


def _estimates(jobs: Sequence[Job], options: EnhanceOptions) -> list[Estimate | None]:
    networks: dict[Hashable, VideoNetwork] = {}
    kinds: dict[Hashable, list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        kinds[_kind(job)].append(index)
    found: list[Estimate | None] = [None] * len(jobs)
    for indices in kinds.values():
        for index in indices[:: max(1, len(indices) // _TRIED)][:_TRIED]:
            job = jobs[index]
            key = (job.model.name, job.inference.device)
            if key not in networks:
                networks[key] = load_network(job.model, job.inference.device)
            try:
                found[index] = estimate(job, options, networks[key])
            except VsrError:
                continue  # others of its kind tell as much; it may be damaged at that place only
        tried = [one for index in indices if (one := found[index]) is not None]
        for index in indices:
            found[index] = found[index] or (mean(tried) if tried else None)
    return found


def _kind(job: Job) -> Hashable:
    """Tell jobs apart whose frames take another time or weigh otherwise, whatever they show."""
    encode = job.encode
    coded = (encode.codec, encode.pix_fmt, tuple(sorted(encode.options.items())))
    size = (job.input_size, encode.width, encode.height)
    return (size, coded, job.model.name, job.inference.device, job.info.video.codec)
