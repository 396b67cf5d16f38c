"""The queue: films, options and what became of them, on the disk after every change.

A thread works through it, film by film, in a process of its own. Whatever dies, page, server or
machine, the films stay in the queue, and a film half done goes on from its finished pieces.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vsr import files
from vsr.errors import VsrError
from vsr.media.containers import work_path
from vsr.options import EnhanceOptions, adapter, validated
from vsr.profiles import flat
from vsr.ui.worker import GO_ON, HOLD, StoppedError, Worker

State = Literal["queued", "running", "done", "failed", "cancelled"]
_SCHEMA = """
create table if not exists films (
    id integer primary key autoincrement,
    place integer not null,
    source blob not null,
    target blob not null,
    options text not null,
    state text not null,
    error text,
    result text not null
);
create table if not exists settings (name text primary key, value text not null);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """One film in the queue.

    Attributes:
        id: Number, never used twice.
        place: Order in the queue.
        source, target: Paths.
        options: What was asked for.
        state: Where it stands.
        error: Why it failed; else None.
        result: As in `BatchJob`.
        progress: How far it is; empty unless it is running.
        notes: What was said on the way.
    """

    id: int
    place: int
    source: str
    target: str
    options: EnhanceOptions
    state: State = "queued"
    error: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Queue:
    """All films, and the thread that works through them."""

    def __init__(self, connection: sqlite3.Connection, tell: Callable[[str, Any], None]) -> None:
        """Read what is there; nothing is begun before `start`.

        Args:
            connection: Of the database.
            tell: Called from any thread with "film" and a `Film` that is new or has changed,
                "removed" and an id, "order" and ids, "paused" and whether, "newest" and a
                picture, "trouble" and a sentence.
        """
        self._connection = connection
        self._tell = tell
        self._worker = Worker()
        self._changed = threading.Condition(threading.RLock())
        self._closing = False
        self._newest: tuple[int, str] | None = None
        connection.executescript(_SCHEMA)
        rows = connection.execute(
            "select id, place, source, target, options, state, error, result from films"
        )
        self._films = {row[0]: _film(row) for row in rows}
        # Those that were being worked on when the server was killed go on first.
        self._interrupted = {film.id for film in self._films.values() if film.state == "running"}
        for number in self._interrupted:
            self._films[number] = replace(self._films[number], state="queued")
        found = connection.execute("select value from settings where name = 'paused'").fetchone()
        self._paused = found is not None and found[0] == "yes"
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is being worked on is saved and goes on at the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._worker.close()

    @property
    def paused(self) -> bool:
        """Whether it holds."""
        return self._paused

    def newest(self, number: int) -> str | None:
        """The newest enhanced picture of a film, if it is the one that is being worked on."""
        found = self._newest
        return found[1] if found is not None and found[0] == number else None

    def films(self) -> list[Film]:
        """All films, in order."""
        with self._changed:
            return sorted(self._films.values(), key=lambda film: film.place)

    def film(self, number: int) -> Film:
        """A film.

        Raises:
            VsrError: There is none of this number.
        """
        with self._changed:
            if number not in self._films:
                raise VsrError("this film is not in the queue any more")
            return self._films[number]

    def add(self, films: Sequence[tuple[str, str]], options: EnhanceOptions) -> list[Film]:
        """Put films at the end of the queue.

        Args:
            films: (source, target).
            options: For all of them.

        Raises:
            VsrError: Another film of the queue will have the same name.
        """
        with self._changed:
            taken = {f.target for f in self._films.values() if f.state in ("queued", "running")}
            for _, target in films:
                if target in taken:
                    raise VsrError(
                        f"{target} is the output of a film in the queue already; choose another "
                        "name"
                    )
                taken.add(target)
            place = max((film.place for film in self._films.values()), default=0)
            added = []
            with self._saving():
                for offset, (source, target) in enumerate(films, 1):
                    row = (place + offset, *map(os.fsencode, (source, target)), _text(options))
                    number = self._connection.execute(
                        "insert into films (place, source, target, options, state, result) "
                        "values (?, ?, ?, ?, 'queued', '{}')",
                        row,
                    ).lastrowid
                    assert number is not None
                    film = Film(id=number, place=place + offset, source=source, target=target,
                                options=options)  # fmt: skip
                    added.append(film)
            if len(added) < len(films):
                raise VsrError("the queue cannot be saved; make room on its disk")
            for film in added:
                self._films[film.id] = film
                self._tell("film", film)
            self._changed.notify_all()
            return added

    def pause(self, paused: bool) -> None:
        """Hold, or go on; a film that is being worked on holds between two frames."""
        with self._changed:
            self._paused = paused
            with self._saving():
                self._connection.execute(
                    "insert into settings values ('paused', ?) on conflict (name) do update set "
                    "value = excluded.value",
                    ("yes" if paused else "no",),
                )
            self._worker.say(HOLD if paused else GO_ON)
            self._tell("paused", paused)
            self._changed.notify_all()

    def cancel(self, number: int) -> None:
        """Stop a film, or take it out of turn; what is finished of it stays on the disk."""
        with self._changed:
            film = self.film(number)
            if film.state not in ("queued", "running"):
                return
            self._put(replace(film, state="cancelled", progress={}))
            if film.state == "running":
                self._worker.stop()

    def again(self, number: int, *, overwrite: bool = False) -> None:
        """Put a film that failed or was cancelled at the end of the queue; it goes on.

        Args:
            number: Of the film.
            overwrite: Replace an output that exists.
        """
        with self._changed:
            film = self.film(number)
            if film.state not in ("failed", "cancelled"):
                return
            place = max(each.place for each in self._films.values()) + 1
            options = replace(film.options, overwrite=film.options.overwrite or overwrite)
            self._put(
                replace(film, state="queued", error=None, place=place, result={}, options=options)
            )
            self._tell_order()
            self._changed.notify_all()

    def move(self, number: int, before: int | None) -> None:
        """Move a film before another one, or to the end."""
        with self._changed:
            self.film(number)
            order = [film.id for film in self.films() if film.id != number]
            at = order.index(before) if before in order else len(order)
            order.insert(at, number)
            with self._saving():
                for place, each in enumerate(order, 1):
                    if self._films[each].place != place:
                        self._films[each] = replace(self._films[each], place=place)
                        self._connection.execute(
                            "update films set place = ? where id = ?", (place, each)
                        )
            self._tell_order()

    def remove(self, number: int) -> None:
        """Forget a film that is not being worked on, and drop what is unfinished of it.

        Raises:
            VsrError: It is being worked on.
        """
        with self._changed:
            film = self.film(number)
            if film.state == "running":
                raise VsrError("this film is being worked on; cancel it first")
            del self._films[number]
            with self._saving():
                self._connection.execute("delete from films where id = ?", (number,))
            self._tell("removed", number)
            others = any(each.target == film.target for each in self._films.values())
        work = work_path(Path(film.target))
        if film.state != "done" and not others and not files.is_taken(work / "lock"):
            shutil.rmtree(work, ignore_errors=True)

    def _work(self) -> None:
        """Do what is queued, until `close`."""
        while True:
            self._worker.renew()
            film = self._next()
            if film is None:
                return
            kind, content = "failed", "stopped"
            try:
                kind, content = self._worker.ask(
                    "enhance",
                    film.source,
                    film.target,
                    film.options,
                    film.id in self._interrupted,
                    tell=partial(self._hear, film.id),
                )
            except StoppedError:
                kind = "stopped"
            except VsrError as error:
                content = f"{film.source}: {error}"
            self._settle(film.id, kind, content)

    def _next(self) -> Film | None:
        """Wait for a film to do; None at the end."""
        with self._changed:
            while not self._closing:
                waiting = [film for film in self.films() if film.state == "queued"]
                if waiting and not self._paused:
                    first = [film for film in waiting if film.id in self._interrupted]
                    film = replace((first or waiting)[0], state="running", notes=(), progress={})
                    self._put(film)
                    return film
                self._changed.wait()
        return None

    def _hear(self, number: int, kind: str, content: Any) -> None:  # noqa: ANN401
        with self._changed:
            film = self._films.get(number)
            if film is None or film.state != "running":
                return
            if kind == "progress":
                self._show(replace(film, progress=content))
                if self._paused:  # said before there was somebody to hear it
                    self._worker.say(HOLD)
            elif kind == "newest":
                self._newest = (number, content)
                self._tell("newest", {"id": number, "picture": content})
            elif kind == "warning":
                self._show(replace(film, notes=(*film.notes, content)))

    def _settle(self, number: int, kind: str, content: Any) -> None:  # noqa: ANN401
        with self._changed:
            film = self._films.get(number)
            self._interrupted.discard(number)
            if film is None or film.state != "running":
                return
            film = replace(film, progress={})
            if kind == "done":
                film = replace(film, state="done", error=None, result=content)
            elif kind == "damaged":
                film = replace(film, state="failed", error=content[0], result=content[1])
            elif kind == "stopped" and self._closing:
                film = replace(film, state="running")  # as if killed: it goes on first
            else:
                film = replace(film, state="failed", error=str(content))
            self._put(film)

    def _show(self, film: Film) -> None:
        self._films[film.id] = film
        self._tell("film", film)

    def _put(self, film: Film) -> None:
        """Keep a change, and tell it."""
        self._films[film.id] = film
        with self._saving():
            self._connection.execute(
                "update films set place = ?, options = ?, state = ?, error = ?, result = ? "
                "where id = ?",
                (
                    film.place,
                    _text(film.options),
                    film.state,
                    None if film.error is None else json.dumps(film.error),
                    json.dumps(dict(film.result)),
                    film.id,
                ),
            )
        self._tell("film", film)

    def _tell_order(self) -> None:
        self._tell("order", [film.id for film in self.films()])

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """A transaction; where the disk refuses, the queue goes on and that is told."""
        try:
            with self._connection:
                yield
        except sqlite3.Error as error:
            self._tell("trouble", f"the queue cannot be saved ({error}); make room on its disk")


def _film(row: Sequence[Any]) -> Film:
    number, place, source, target, options, state, error, result = row
    return Film(
        id=number,
        place=place,
        source=os.fsdecode(source),
        target=os.fsdecode(target),
        options=validated(EnhanceOptions, json.loads(options)),
        state=state,
        error=None if error is None else json.loads(error),
        result=json.loads(result),
    )


def _text(options: EnhanceOptions) -> str:
    return json.dumps(chosen(options))


def chosen(options: EnhanceOptions) -> dict[str, Any]:
    """The options that are not at their defaults, as nested dicts."""
    found: dict[str, Any] = adapter(EnhanceOptions).dump_python(options, exclude_defaults=True)
    return found


def command(film: Film) -> str:
    """The command line that does the same, for a shell."""
    words = ["vsr", "enhance", film.source, film.target, *_flags(film.options)]
    return shlex.join(word.encode(errors="replace").decode() for word in words)


def _flags(options: EnhanceOptions) -> Iterator[str]:
    defaults = flat(EnhanceOptions())
    for name, value in flat(options).items():
        flag = "--" + name.replace("_", "-")
        if value == defaults[name]:
            continue
        if isinstance(value, bool):
            yield flag if value else flag.replace("--", "--no-", 1)
        elif isinstance(value, tuple):
            for one in value:
                yield from (flag, str(one))
        else:
            yield from (flag, str(value))
