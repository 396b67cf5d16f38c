"""What became of each file of a batch, on the disk after every change (SQLite)."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from vsr import files
from vsr.errors import BusyError, ConfigError, DiskError, VsrError

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
class BatchJob:
    """One file of a batch.

    Attributes:
        source, target: Paths.
        request: Hash of the source's identity and the options; another hash is another job.
        state: Where it stands.
        attempts: How often it has been tried.
        error: Why it failed, or why it was left; else None.
        result: target, frames, seconds, warnings and report of a finished job; a failed one has it
            if its output is there, named as damaged.
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

    def jobs(self) -> list[BatchJob]:
        """List all jobs.

        Raises:
            sqlite3.Error: The file cannot be read, or holds something else.
        """
        rows = self._connection.execute(
            "select source, target, request, state, attempts, error, result from jobs "
            "order by rowid"
        )
        try:
            return [
                BatchJob(
                    source=os.fsdecode(source),
                    target=os.fsdecode(target),
                    request=request,
                    state=state,
                    attempts=attempts,
                    error=None if error is None else os.fsdecode(error),
                    result=json.loads(result),
                )
                for source, target, request, state, attempts, error, result in rows
            ]
        except (TypeError, ValueError) as error:
            raise sqlite3.DatabaseError(f"a row is damaged: {error}") from error

    def put(self, job: BatchJob) -> None:
        """Add or replace a job; it is on the disk when this returns."""
        if job.state not in get_args(State):
            raise ValueError(f"no state of a job: {job.state}")
        with self._connection:
            self._connection.execute(
                "insert into jobs (source, target, request, state, attempts, error, result) "
                "values (?, ?, ?, ?, ?, ?, ?) on conflict (source) do update set "
                "target = excluded.target, request = excluded.request, state = excluded.state, "
                "attempts = excluded.attempts, error = excluded.error, result = excluded.result",
                (*map(_kept, astuple(job)[:-1]), json.dumps(dict(job.result))),
            )


def _kept(value: object) -> object:
    """A value as SQLite takes it: names that are not UTF-8, as in old archives, become bytes."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return os.fsencode(str(value))
    return value


@contextmanager
def claim(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep other batches away from an output folder: they would take this one's work for theirs.

    Args:
        folder: Made if it does not exist.
        warn: Called with a sentence if its file system has no locks.

    Raises:
        ConfigError: Another batch is running there, or the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = files.take(folder / _LOCK, warn)
    except OSError as error:
        raise ConfigError(
            f"'{folder}' cannot be made or written to ({error.strerror}); choose another "
            "--output-dir"
        ) from error
    if lock is None:
        raise ConfigError(
            f"another vsr batch is running in '{folder}': wait for it, or choose another "
            "--output-dir; --status prints its state, --workers runs several files at once"
        )
    with lock:
        yield


def is_claimed(folder: Path) -> bool:
    """Whether a batch is running in an output folder."""
    return files.is_taken(folder / _LOCK)


@contextmanager
def open_journal(folder: Path, *, create: bool = True) -> Iterator[Journal]:
    """Open the journal of an output folder.

    Raises:
        ConfigError: There is none and `create` is false, or the file is no journal.
        DiskError: Its disk is full or fails; also while it is in use.
        BusyError: Another program keeps it locked.
    """
    path = folder / NAME
    if not create and not path.exists():
        raise ConfigError(f"'{folder}' has no journal of a batch; give the --output-dir of one")
    with connected(path) as connection:
        yield Journal(connection)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database whose changes are on the disk when they are committed.

    Any thread may use it, one at a time.

    Raises:
        VsrError: As `open_journal`.
    """
    try:
        connection = sqlite3.connect(path, check_same_thread=False)
        try:
            connection.execute("pragma synchronous = full")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _reason(path, error) from error


def _reason(path: Path, error: sqlite3.Error) -> VsrError:
    """Why a journal cannot be used, and what can be done about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where it happened
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return DiskError(
            path,
            f"the journal cannot be written, the disk is full or fails ({error}; "
            f"{files.free_space(path)}); make room, then repeat the command",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(
            path, f"another program uses the journal ({error}); end it and repeat this"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigError(
            f"the journal '{path}' cannot be written ({error}); check its permissions, or choose "
            "another --output-dir"
        )
    return ConfigError(f"the journal '{path}' cannot be used ({error}); move it away")
