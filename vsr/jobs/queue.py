"""What of a batch is left to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vsr.errors import VsrError
from vsr.identity import request
from vsr.jobs.journal import Entry, Journal
from vsr.options import EnhanceOptions
from vsr.resume import work_path

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
