"""Which files a batch is about, and what of them is left to do."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vsr.errors import ConfigError, VsrError
from vsr.jobs.journal import Entry, Journal
from vsr.media.containers import MUXERS, VIDEO_SUFFIXES
from vsr.options import EnhanceOptions
from vsr.work import request, work_path

_BY_NAME = "videos go by extension there: name files of others one by one"
# What cannot be written in its own container goes into one that holds anything.
OTHERWISE = ".mkv"


def plan_files(
    inputs: Sequence[str],
    output_dir: Path,
    container: str | None,
    warn: Callable[[str], None] = lambda text: None,
) -> list[tuple[Path, Path]]:
    """Find all sources and name their targets; folders keep their tree.

    Args:
        inputs: Files, folders (searched through and through) and glob patterns.
        output_dir: Where the outputs go; files in it are not taken as inputs.
        container: Extension of all outputs (".mp4"); None keeps each one's own if it can be
            written.
        warn: Told of each folder that cannot be searched.

    Returns:
        (source, target), absolute and sorted, so that the journal knows a file however it was
        typed, and from wherever. Where two sources would give one target, theirs keep the whole
        name, "a.avi.mkv" and "a.mpg.mkv", or come into folders named as theirs, "disc1/a.mkv" and
        "disc2/a.mkv".

    Raises:
        ConfigError: An input does not exist, holds or matches no video, or lies in the output
            folder; or the extension is unknown.
    """
    if container is not None and container not in MUXERS:
        raise ConfigError(f"--container is one of {' '.join(MUXERS)}; got '{container}'")
    found: dict[Path, Path] = {}
    for given in inputs:
        for source, place in _expand(given, output_dir.resolve(), warn):
            found.setdefault(_absolute(source), place)
    names = {
        source: _names(source, place, _suffix(source, container)) for source, place in found.items()
    }
    named = {source: next(more) for source, more in names.items()}
    while clashing := [source for source, count in _sharing(named).items() if count > 1]:
        named |= {source: next(names[source]) for source in clashing}
    return sorted((source, _absolute(output_dir) / target) for source, target in named.items())


def _sharing(named: Mapping[Path, Path]) -> dict[Path, int]:
    """Count, for each source, those that have its target."""
    taken = Counter(named.values())
    return {source: taken[target] for source, target in named.items()}


def _names(source: Path, place: Path, suffix: str) -> Iterator[Path]:
    """Give names for an output, best first; no other source has the last one."""
    above = source.parts[1 : -len(place.parts)]
    for depth in range(len(above) + 1):
        full = Path(*above[len(above) - depth :], place)
        yield full.with_suffix(suffix)
        yield full.with_name(full.name + suffix)


def _absolute(path: Path) -> Path:
    """Without links followed, as `Path.absolute` does, but without "..": one name for a place."""
    return Path(os.path.abspath(path))


def _expand(
    given: str, output_dir: Path, warn: Callable[[str], None]
) -> Iterator[tuple[Path, Path]]:
    """Give sources and their places relative to the output folder."""
    path = Path(given)
    if path.is_dir():
        inside = _videos_in(path, output_dir, warn)
        if not inside:
            _refuse_outputs(given, [path], output_dir)
            raise ConfigError(f"no video found in the folder '{given}'; {_BY_NAME}")
        yield from ((source, source.relative_to(path)) for source in inside)
    elif path.exists():
        yield path, Path(path.name)
    else:
        matches = sorted(glob.glob(given, recursive=True))
        if not matches:
            raise ConfigError(
                f"'{given}' is no file or folder, and as a pattern matches nothing; check the path"
            )
        root = os.path.dirname(given[: min(given.index(sign) for sign in "*?[" if sign in given)])
        files = [file for match in map(Path, matches) for file in _matched(match, output_dir, warn)]
        if not files:
            _refuse_outputs(given, list(map(Path, matches)), output_dir)
            raise ConfigError(f"'{given}' matches only folders without a video; {_BY_NAME}")
        yield from ((source, Path(os.path.relpath(source, root or os.curdir))) for source in files)


def _refuse_outputs(given: str, paths: Iterable[Path], output_dir: Path) -> None:
    """Say that inputs were left out since they lie in the output folder, if they do."""
    if any(output_dir in (path.resolve(), *path.resolve().parents) for path in paths):
        raise ConfigError(
            f"'{given}' lies in the output folder '{output_dir}', whose files are not taken as "
            "inputs; take another --output-dir"
        )


def _matched(path: Path, output_dir: Path, warn: Callable[[str], None]) -> list[Path]:
    """Give what a match of a pattern stands for: a folder for all videos in it."""
    if path.is_dir():
        return _videos_in(path, output_dir, warn)
    return [path] if _is_file(path) and output_dir not in path.resolve().parents else []


def _videos_in(folder: Path, output_dir: Path, warn: Callable[[str], None]) -> list[Path]:
    def skipped(error: OSError) -> None:
        warn(f"the folder '{error.filename}' is left out, it cannot be read: {error.strerror}")

    found: list[Path] = []
    for above, folders, names in os.walk(folder, onerror=skipped):
        folders[:] = filter(_is_visible, folders)
        found += (Path(above, name) for name in filter(_is_visible, names))
    return [
        path
        for path in found
        if path.suffix.lower() in VIDEO_SUFFIXES
        and _is_file(path)
        and output_dir not in path.resolve().parents
    ]


def _is_visible(name: str) -> bool:
    return not name.startswith(".")


def _is_file(path: Path) -> bool:
    """Tell whether a path is a file, or cannot be looked at: then it fails, with its reason."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _suffix(source: Path, container: str | None) -> str:
    if container is not None:
        return container
    return source.suffix if source.suffix.lower() in MUXERS else OTHERWISE


_NO_REPORT = "finished and verified by a run that was killed before it had noted its report"


def enqueue(
    journal: Journal,
    files: Sequence[tuple[Path, Path]],
    options: EnhanceOptions,
    *,
    retries: int,
) -> tuple[list[Entry], list[Entry]]:
    """Put files into the journal and give those that are to be done, and those that cannot be.

    A file is done again if its output is gone, or is to be overwritten since the file has changed
    or other options are given. One that failed is tried again only while `retries` allows it.

    Args:
        journal: Of the output folder.
        files: (source, target).
        options: For all of them.
        retries: How often a job that failed is tried again.

    Returns:
        What is to be done; and what failed at once, with its reason, while the journal goes on
        saying of it what it knew.
    """
    known = {entry.source: entry for entry in journal.entries()}
    waiting, refused = [], []
    for before, entry in settle(known, files, options, retries=retries):
        if before is not None and entry.state == "failed" and entry != before:
            refused.append(entry)
        elif entry != before:
            journal.put(entry)
        if entry.state == "queued":
            waiting.append(entry)
    return waiting, refused


def settle(
    known: Mapping[str, Entry],
    files: Sequence[tuple[Path, Path]],
    options: EnhanceOptions,
    *,
    retries: int,
) -> Iterator[tuple[Entry | None, Entry]]:
    """Say of each file what was known of it, and what its job comes to now; note nothing.

    Args:
        known: What the journal says, by source.
        files: (source, target).
        options: For all of them.
        retries: How often a job that failed is tried again.
    """
    for source, target in files:
        entry = _entry(source, target, options)
        before = known.get(entry.source)
        if before is not None and entry.state == "queued":
            if _same(before, entry):
                entry = _carry_on(before, target, options, retries)
            else:
                entry = _unless_in_the_way(before, entry, options)
        yield before, entry


def _entry(source: Path, target: Path, options: EnhanceOptions) -> Entry:
    """Describe a new job; one that has failed if the source cannot be read."""
    entry = Entry(source=str(source), target=str(target), request="", state="queued")
    try:
        return replace(entry, request=_digest(source, options))
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error}); check permissions and the disk"
        return replace(entry, state="failed", error=reason)
    except VsrError as error:
        return replace(entry, state="failed", error=str(error))


def _unless_in_the_way(before: Entry, now: Entry, options: EnhanceOptions) -> Entry:
    """Let a job fail that would only meet an output, before the journal forgets what it knew."""
    if before.state != "done" or options.overwrite or not Path(now.target).exists():
        return now
    made = "was made with other options, or before the file changed"
    there = made if now.target == before.target else "exists already"
    return replace(now, state="failed", error=f"{now.target} {there}; --overwrite makes it again")


def _same(before: Entry, now: Entry) -> bool:
    return (before.request, before.target) == (now.request, now.target)


def _carry_on(before: Entry, target: Path, options: EnhanceOptions, retries: int) -> Entry:
    if before.state == "running":
        # It was killed. An output has its name only when it is verified, so one that is there
        # was finished; without its work folder nothing but its report is missing.
        if target.is_file() and not options.overwrite and not work_path(target).exists():
            return replace(before, state="done", result={"warnings": [_NO_REPORT]})
        return replace(before, state="queued")
    if before.state == "done" and not target.exists():
        return replace(before, state="queued", attempts=0, error=None)
    if before.state == "failed" and before.attempts <= retries:
        return replace(before, state="queued")
    return before


def _digest(source: Path, options: EnhanceOptions) -> str:
    asked = json.dumps(request(source, options), sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()
