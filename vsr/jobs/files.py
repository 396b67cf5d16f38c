"""The files of a batch, and which of them are left to do."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vsr.errors import ConfigError, VsrError
from vsr.jobs.journal import BatchJob, Journal
from vsr.media.containers import MUXERS, VIDEO_SUFFIXES, work_path
from vsr.options import EnhanceOptions
from vsr.work import request

# For sources whose own container cannot be written: it holds anything.
OTHERWISE = ".mkv"

Warn = Callable[[str], None]


def plan_files(
    inputs: Sequence[str],
    output_dir: Path,
    container: str | None,
    warn: Warn = lambda text: None,
) -> list[tuple[Path, Path]]:
    """Find all sources and name their targets; folders keep their tree.

    Args:
        inputs: Files, folders (searched recursively) and glob patterns.
        output_dir: Where the outputs go; files in it are not taken as inputs.
        container: Extension of all outputs (".mp4"); None keeps each one's own if it can be
            written.
        warn: Called with a sentence for each folder that cannot be searched.

    Returns:
        (source, target), absolute and sorted, so that the journal knows a file however and
        wherever its name was typed. If two sources would give one target, theirs keep the whole
        name, "a.avi.mkv" and "a.mpg.mkv", or go into folders named as theirs, "disc1/a.mkv" and
        "disc2/a.mkv".

    Raises:
        ConfigError: An input does not exist, holds or matches no video, or lies in the output
            folder; or the extension is unknown.
    """
    if container is not None and container not in MUXERS:
        raise ConfigError(f"--container must be one of {' '.join(MUXERS)}; got '{container}'")
    found: dict[Path, Path] = {}
    for given in inputs:
        for source, place in _expand(given, output_dir.resolve(), warn):
            found.setdefault(_absolute(source), place)
    names = {
        source: _names(source, place, _suffix(source, container)) for source, place in found.items()
    }
    named = {source: next(more) for source, more in names.items()}
    while True:
        taken = Counter(named.values())
        clashing = [source for source, target in named.items() if taken[target] > 1]
        if not clashing:
            break
        named |= {source: next(names[source]) for source in clashing}
    return sorted((source, _absolute(output_dir) / target) for source, target in named.items())


def _names(source: Path, place: Path, suffix: str) -> Iterator[Path]:
    """Names for an output, best first; no other source has the last one."""
    above = source.parts[1 : -len(place.parts)]
    for depth in range(len(above) + 1):
        full = Path(*above[len(above) - depth :], place)
        yield full.with_suffix(suffix)
        yield full.with_name(full.name + suffix)


def _suffix(source: Path, container: str | None) -> str:
    if container is not None:
        return container
    return source.suffix if source.suffix.lower() in MUXERS else OTHERWISE


def _absolute(path: Path) -> Path:
    """One name for a place: without "..", and unlike `Path.resolve` with links kept."""
    return Path(os.path.abspath(path))


def _expand(given: str, output_dir: Path, warn: Warn) -> Iterator[tuple[Path, Path]]:
    """Sources of an input, and their places relative to the output folder."""
    path = Path(given)
    if path.is_dir():
        matches, root, fault = [path], path, "has no video in it"
    elif path.exists():
        yield path, Path(path.name)
        return
    else:
        matches = [Path(match) for match in sorted(glob.glob(given, recursive=True))]
        if not matches:
            raise ConfigError(
                f"'{given}' is no file or folder, and as a pattern matches nothing; check the path"
            )
        start = given[: min(given.index(sign) for sign in "*?[" if sign in given)]
        root, fault = Path(os.path.dirname(start)), "matches only folders without a video"
    files = [file for match in matches for file in _videos(match, output_dir, warn)]
    if not files:
        if any(_lies_in(match, output_dir) for match in matches):
            raise ConfigError(
                f"'{given}' lies in the output folder '{output_dir}', whose files are not taken as "
                "inputs; choose another --output-dir"
            )
        raise ConfigError(
            f"'{given}' {fault}; videos are found by their extension: name other files one by one"
        )
    yield from ((file, Path(os.path.relpath(file, root))) for file in files)


def _videos(match: Path, output_dir: Path, warn: Warn) -> list[Path]:
    """What an input or a match of a pattern stands for: a folder for all videos in it."""
    if not match.is_dir():
        return [match] if _is_file(match) and not _lies_in(match, output_dir) else []

    def skip(error: OSError) -> None:
        warn(f"the folder '{error.filename}' is left out, it cannot be read: {error.strerror}")

    found: list[Path] = []
    for above, folders, names in os.walk(match, onerror=skip):
        folders[:] = filter(_is_visible, folders)
        found += (Path(above, name) for name in filter(_is_visible, names))
    return [
        path
        for path in found
        if path.suffix.lower() in VIDEO_SUFFIXES
        and _is_file(path)
        and not _lies_in(path, output_dir)
    ]


def _lies_in(path: Path, folder: Path) -> bool:
    return folder in (path.resolve(), *path.resolve().parents)


def _is_visible(name: str) -> bool:
    return not name.startswith(".")


def _is_file(path: Path) -> bool:
    """Whether a path is a file; also true if that cannot be found out: its job gives the reason."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def enqueue(
    journal: Journal,
    files: Sequence[tuple[Path, Path]],
    options: EnhanceOptions,
    *,
    retries: int,
) -> tuple[list[BatchJob], list[BatchJob]]:
    """Put files into the journal, and sort out which are to be done and which cannot be.

    A file is done again if its output is gone, or is to be overwritten because the file or the
    options have changed. One that failed is tried again only while `retries` allows it, and not
    while its output, named as damaged, is there.

    Args:
        journal: Of the output folder.
        files: (source, target).
        options: For all of them.
        retries: How often a failed job is tried again.

    Returns:
        What is to be done; and what failed at once, with its reason, while the journal keeps what
        it knew.
    """
    known = {job.source: job for job in journal.jobs()}
    waiting, refused = [], []
    for before, job in settle(known, files, options, retries=retries):
        if before is not None and job.state == "failed" and job != before:
            refused.append(job)
        elif job != before:
            journal.put(job)
        if job.state == "queued":
            waiting.append(job)
    return waiting, refused


def settle(
    known: Mapping[str, BatchJob],
    files: Sequence[tuple[Path, Path]],
    options: EnhanceOptions,
    *,
    retries: int,
) -> Iterator[tuple[BatchJob | None, BatchJob]]:
    """What was known of each file, and its job as it stands now; nothing is written.

    Args:
        known: Jobs of the journal, by source.
        files: (source, target).
        options: For all of them.
        retries: How often a failed job is tried again.
    """
    for source, target in files:
        job = _new_job(source, target, options)
        before = known.get(job.source)
        if before is not None and job.state == "queued":
            if (before.request, before.target) == (job.request, job.target):
                job = _continued(before, target, options, retries)
            elif before.state == "done" and not options.overwrite and target.exists():
                # To fail here keeps what the journal knows of the output that is in the way.
                reason = "exists already"
                if before.target == job.target:
                    reason = "was made with other options, or before the file changed"
                error = f"{job.target} {reason}; --overwrite makes it again"
                job = replace(job, state="failed", error=error)
        yield before, job


def _new_job(source: Path, target: Path, options: EnhanceOptions) -> BatchJob:
    """A job for a file; it has failed already if the source cannot be read."""
    job = BatchJob(source=str(source), target=str(target), request="", state="queued")
    try:
        asked = json.dumps(request(source, options), sort_keys=True)
    except VsrError as error:
        return replace(job, state="failed", error=str(error))
    return replace(job, request=hashlib.sha256(asked.encode()).hexdigest())


_NO_REPORT = "finished and verified by a run that was killed before it could write its report"


def _continued(before: BatchJob, target: Path, options: EnhanceOptions, retries: int) -> BatchJob:
    if before.state == "running":
        # It was killed. An output has its name only when it is verified, so one that is there
        # was finished; without its work folder nothing but its report is missing.
        if target.is_file() and not options.overwrite and not work_path(target).exists():
            return replace(before, state="done", result={"warnings": [_NO_REPORT]})
        return replace(before, state="queued")
    if before.state == "done" and not target.exists():
        return replace(before, state="queued", attempts=0, error=None)
    if before.state == "failed" and before.result:
        # Another try would make the same damaged output.
        made = Path(before.result["target"]).exists()
        return before if made else replace(before, state="queued", attempts=0, result={})
    if before.state == "failed" and before.attempts <= retries:
        return replace(before, state="queued")
    return before
