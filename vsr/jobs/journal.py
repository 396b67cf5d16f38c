"""What became of each file of a batch, on the disk after every change (SQLite)."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from vsr import files
from vsr.errors import ConfigError

State = Literal["queued", "running", "done", "failed"]
NAME = ".vsr-batch.sqlite"
_LOCK = ".vsr-batch.lock"
_SCHEMA = """
create table if not exists jobs (
    source text primary key,
    target text not null,
    request text not null,
    state text not null,
    attempts integer not null default 0,
    error text,
    result text not null default '{}'
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A job as the journal knows it.

    Attributes:
        source, target: Paths.
        request: Hash of the source's identity and the options; another one is another job.
        state: Where it stands.
        attempts: How often it has been tried.
        error: Why it failed; None where it did not.
        result: frames, seconds, warnings and report of a finished job.
    """

    source: str
    target: str
    request: str
    state: State
    attempts: int = 0
    error: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """The jobs of one output folder, in the order in which they were added."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(_SCHEMA)

    def entries(self) -> list[Entry]:
        """List all jobs."""
        rows = self._connection.execute(
            "select source, target, request, state, attempts, error, result from jobs "
            "order by rowid"
        )
        return [
            Entry(
                source=_given(source), target=_given(target), request=request, state=state,
                attempts=attempts, error=None if error is None else _given(error),
                result=json.loads(result),
            )
            for source, target, request, state, attempts, error, result in rows
        ]  # fmt: skip

    def put(self, entry: Entry) -> None:
        """Add or replace a job; it is on the disk when this returns."""
        if entry.state not in get_args(State):
            raise ValueError(f"no state of a job: {entry.state}")
        with self._connection:
            self._connection.execute(
                "insert into jobs (source, target, request, state, attempts, error, result) "
                "values (?, ?, ?, ?, ?, ?, ?) on conflict (source) do update set "
                "target = excluded.target, request = excluded.request, state = excluded.state, "
                "attempts = excluded.attempts, error = excluded.error, result = excluded.result",
                (
                    _kept(entry.source), _kept(entry.target), entry.request, entry.state,
                    entry.attempts, None if entry.error is None else _kept(entry.error),
                    json.dumps(dict(entry.result)),
                ),
            )  # fmt: skip


def _kept(text: str) -> str | bytes:
    """Give text as SQLite takes it: names that are not UTF-8, as of old archives, as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _given(kept: str | bytes) -> str:
    return os.fsdecode(kept)


@contextmanager
def claim(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep other batches away from an output folder: each would take the other's work for its own.

    Args:
        folder: Made if it does not exist.
        warn: Told where its file system has no locks.

    Raises:
        ConfigError: Another batch is at work there, or the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = files.take(folder / _LOCK, warn)
    except OSError as error:
        raise ConfigError(
            f"'{folder}' cannot be made or written to ({error.strerror}); take another --output-dir"
        ) from error
    if lock is None:
        raise ConfigError(
            f"another vsr batch is at work on '{folder}': wait for it, or take another "
            "--output-dir; --status tells how it stands, --workers does several files at once"
        )
    with lock:
        yield


def is_claimed(folder: Path) -> bool:
    """Tell whether a batch is at work on an output folder."""
    return files.is_taken(folder / _LOCK)


@contextmanager
def open_journal(folder: Path, *, create: bool = True) -> Iterator[Journal]:
    """Open the journal of an output folder.

    Raises:
        ConfigError: There is none and none is to be made, or the file is no journal.
    """
    path = folder / NAME
    if not create and not path.exists():
        raise ConfigError(f"'{folder}' holds no journal of a batch; give the --output-dir of one")
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute("pragma synchronous = full")
            yield Journal(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConfigError(f"the journal '{path}' cannot be used ({error}); move it away") from error
