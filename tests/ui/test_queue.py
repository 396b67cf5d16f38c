"""The queue on the disk: order, states, and the command line that does the same."""

from __future__ import annotations

import functools
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tyro

from vsr.cli.enhance import enhance
from vsr.cli.words import REGISTRY
from vsr.errors import VsrError
from vsr.media.containers import work_path
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.ui.queue import Film, Queue, chosen, command
from vsr.ui.worker import StoppedError, Worker, start

OPTIONS = EnhanceOptions(
    model="bicubic",
    height=480,
    start="1:02",
    clean=0.5,
    strength=0.25,
    skip=False,
    allow_damage=True,
    inference=InferenceOptions(precision="fp32"),
    encode=EncodeOptions(codec="libx265", crf=20.5, encoder_option=("tune=grain", "aq-mode=3")),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[tuple[Queue, list[tuple[str, Any]]]]:
    """A queue that nobody works through, and what it told."""
    told: list[tuple[str, Any]] = []
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        yield Queue(connection, lambda kind, content: told.append((kind, content))), told


def again(path: Path) -> list[Film]:
    """The films that another server would find."""
    with closing(sqlite3.connect(path)) as connection:
        return Queue(connection, lambda kind, content: None).films()


def test_films_stay_with_their_options_in_their_order(path: Path, opened: Any) -> None:  # noqa: ANN401
    queue, told = opened
    names = [(f"/in/{name}.mp4", f"/out/{name}.mp4") for name in ("a", "b", "c\udcff")]
    added = queue.add(names, OPTIONS)
    assert again(path) == queue.films() == added
    queue.move(added[2].id, added[0].id)
    queue.move(added[0].id, None)
    assert [film.source for film in again(path)] == ["/in/c\udcff.mp4", "/in/b.mp4", "/in/a.mp4"]
    assert told[-1] == ("order", [added[2].id, added[1].id, added[0].id])
    queue.pause(True)
    with closing(sqlite3.connect(path)) as connection:
        assert Queue(connection, lambda kind, content: None).paused


def test_cancelled_films_go_on_at_the_end_and_removed_ones_leave_nothing(
    path: Path,
    tmp_path: Path,
    opened: Any,  # noqa: ANN401
) -> None:
    queue, _ = opened
    target = tmp_path / "a.mp4"
    first, second = queue.add([("/in/a.mp4", str(target)), ("/in/b.mp4", "/out/b.mp4")], OPTIONS)
    queue.cancel(first.id)
    assert queue.film(first.id).state == "cancelled"
    queue.again(first.id, overwrite=True)
    assert [film.id for film in again(path)] == [second.id, first.id]
    assert queue.film(first.id).options.overwrite
    work_path(target).mkdir()
    (work_path(target) / "000000.json").write_text("{}")
    target.write_text("an output that was there before")
    queue.remove(first.id)
    assert not work_path(target).exists()
    assert target.exists()
    assert [film.id for film in again(path)] == [second.id]
    with pytest.raises(VsrError, match="not in the queue any more"):
        queue.film(first.id)


def test_removing_a_film_leaves_the_work_on_its_output_to_another(
    tmp_path: Path,
    opened: Any,  # noqa: ANN401
) -> None:
    queue, _ = opened
    target = tmp_path / "a.mp4"
    (first,) = queue.add([("/in/a.mp4", str(target))], OPTIONS)
    queue.cancel(first.id)
    (second,) = queue.add([("/in/b.mp4", str(target))], OPTIONS)
    work_path(target).mkdir()
    queue.remove(first.id)
    assert work_path(target).exists()
    queue.remove(second.id)
    assert not work_path(target).exists()


def test_a_stop_while_the_process_starts_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    begin = start

    def slow(serve: Any) -> Any:  # noqa: ANN401
        started = begin(serve)
        worker.stop()  # from another thread, in the page
        return started

    monkeypatch.setattr("vsr.ui.worker.start", slow)
    with closing(worker), pytest.raises(StoppedError):
        worker.ask("what_is", "/in/a.mp4")


def test_two_films_cannot_become_one(opened: Any) -> None:  # noqa: ANN401
    queue, _ = opened
    queue.add([("/in/a.mp4", "/out/a.mp4")], OPTIONS)
    with pytest.raises(VsrError, match="output of a film in the queue already"):
        queue.add([("/in/b.mp4", "/out/b.mp4"), ("/in/c.mp4", "/out/a.mp4")], OPTIONS)
    assert len(queue.films()) == 1


def test_a_disk_that_refuses_is_told_and_the_queue_goes_on(path: Path, opened: Any) -> None:  # noqa: ANN401
    queue, told = opened
    (film,) = queue.add([("/in/a.mp4", "/out/a.mp4")], OPTIONS)
    with closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute("begin exclusive")
        queue._connection.execute("pragma busy_timeout = 0")
        queue.cancel(film.id)
    assert queue.film(film.id).state == "cancelled"
    assert any(kind == "trouble" and "cannot be saved" in text for kind, text in told)


def test_the_command_line_means_the_same_options() -> None:
    film = Film(id=1, place=1, source="/in/it's -- $HOME.mp4", target="/out/x.mp4", options=OPTIONS)
    words = shlex.split(command(film))
    assert words[:4] == ["vsr", "enhance", film.source, film.target]
    read: dict[str, Any] = {}

    def note(*given: Any, **named: Any) -> int:  # noqa: ANN401
        read.update(named)
        return 0

    tyro.cli(
        functools.wraps(enhance)(note),
        args=words[2:],
        config=(tyro.conf.FlagCreatePairsOff,),
        registry=REGISTRY,
    )
    assert read["options"] == OPTIONS
    assert chosen(EnhanceOptions()) == {}
