"""What a batch will do and what it will take, before it is done: rehearsals and estimates."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.errors import VsrError
from vsr.estimate import Estimate, estimate, mean
from vsr.jobs.files import settle
from vsr.jobs.journal import NAME, BatchJob, open_journal
from vsr.media.containers import target_kind
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import load_network
from vsr.options import EnhanceOptions
from vsr.plan import Job, plan_job
from vsr.rehearsal import rehearse
from vsr.work import borrowed_folder, is_published

# Files planned alike are tried this often, spread over all of them; the mean serves the others.
_TRIED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A file that is to be done.

    Attributes:
        job: Its plan.
        seconds, size: Time and bytes of the output; None if unknown.
    """

    job: Job
    seconds: float | None
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a batch would do.

    Attributes:
        planned: The files that are to be done, in order.
        failed: (source, reason) of those that would fail, or have failed and are not tried again.
        done: Number of files already done.
    """

    planned: tuple[Planned, ...]
    failed: tuple[tuple[str, str], ...]
    done: int

    @property
    def frames(self) -> int:
        """Frames of all planned files whose length is known."""
        return sum(each.job.frames or 0 for each in self.planned)

    @property
    def seconds(self) -> float:
        """Time for all planned files, one after the other, as far as known."""
        return sum(each.seconds or 0 for each in self.planned)

    @property
    def size(self) -> int:
        """Bytes of all outputs, as far as known."""
        return sum(each.size or 0 for each in self.planned)

    @property
    def unknown(self) -> int:
        """Number of planned files of unknown length or size."""
        return sum(each.size is None for each in self.planned)


def rehearse_file(
    source: Path, target: Path, options: EnhanceOptions, warn: Callable[[str], None]
) -> None:
    """Plan a file that is to be done, and rehearse its output on its disk.

    Args:
        source, target: Of the file.
        options: What was asked for.
        warn: Called with everything that will be assumed, converted or lost.

    Raises:
        BusyError: Another process is at work on the same target.
        DiskError: The disk has no room even for the rehearsal.
        VsrError: The file would fail; as `plan_job` and `rehearse`.
    """
    if is_published(target):
        return
    job = plan_job(source, target, options)
    with borrowed_folder(target, warn) as folder:
        job = rehearse(job, folder)
    for warning in job.warnings:
        warn(warning)


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
        output_dir: Folder of the journal, if there is one; nothing is written there.
        options: For all of them.
        retries: How often a failed file would be tried again.
        tick: Called after each file.
    """
    known: dict[str, BatchJob] = {}
    if (output_dir / NAME).exists():
        with open_journal(output_dir, create=False) as journal:
            known = {each.source: each for each in journal.jobs()}
    jobs: list[Job] = []
    failed: list[tuple[str, str]] = []
    done = 0
    for _, each in settle(known, files, options, retries=retries):
        done += each.state == "done"
        if each.state == "failed":
            failed.append((each.source, each.error or ""))
        elif each.state == "queued":
            try:
                jobs.append(_plan(Path(each.source), Path(each.target), options))
            except (VsrError, OSError) as error:
                failed.append((each.source, str(error)))
        tick()
    planned = []
    for job, cost in zip(jobs, _estimates(jobs, options), strict=True):
        seconds = cost.seconds_for(job) if cost else None
        size = cost.bytes_for(job, options.piece) if cost else None
        planned.append(Planned(job=job, seconds=seconds, size=size))
    return Forecast(planned=tuple(planned), failed=tuple(failed), done=done)


def _plan(source: Path, target: Path, options: EnhanceOptions) -> Job:
    """Plan a job whose folder may not exist yet.

    Raises:
        VsrError: As `plan_job` and `rehearse`.
    """
    if target.parent.is_dir():
        return rehearse(plan_job(source, target, options))
    with tempfile.TemporaryDirectory(prefix="vsr-batch-") as folder:
        stand_in = Path(folder) / target.name
        try:
            job = rehearse(plan_job(source, stand_in, options))
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
                continue  # maybe damaged at that place only; others of its kind serve as well
        tried = [one for index in indices if (one := found[index]) is not None]
        for index in indices:
            found[index] = found[index] or (mean(tried) if tried else None)
    return found


def _kind(job: Job) -> Hashable:
    """What the time and size of a frame depend on, apart from its content."""
    encode = job.encode
    coded = (encode.codec, encode.pix_fmt, tuple(sorted(encode.options.items())))
    size = (job.input_size, encode.width, encode.height)
    return (size, coded, job.model.name, job.inference.device, job.info.video.codec)
