"""What of a batch is left to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
) -> list[Entry]:
    """Put files into the journal and give those that are to be done.

    A file is done again if it has changed, if other options are given, or if its output is gone.
    One that failed is tried again only while `retries` allows it.

    Args:
        journal: Of the output folder.
        files: (source, target).
        options: For all of them.
        retries: How often a job that failed is tried again.
    """
    known = {entry.source: entry for entry in journal.entries()}
    waiting = []
    for source, target in files:
        entry = Entry(
            source=str(source),
            target=str(target),
            request=_digest(source, options),
            state="queued",
        )
        before = known.get(entry.source)
        if before is not None and _same(before, entry):
            entry = _carry_on(before, target, options, retries)
        if entry != before:
            journal.put(entry)
        if entry.state == "queued":
            waiting.append(entry)
    return waiting


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
