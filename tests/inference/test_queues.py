"""Threads and queues: order, errors, early ends, and no thread left behind."""

from __future__ import annotations

import gc
import threading
import time
import traceback
import weakref
from collections.abc import Iterator

import pytest

from vsr.inference.queues import Sink, prefetch


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Thing:
    """Something that can be referred to weakly."""


def wait_until(reached: object) -> None:
    deadline = time.monotonic() + 5
    while not reached() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.001)


def test_prefetch_gives_everything_in_order() -> None:
    assert list(prefetch(iter(range(100)), 3)) == list(range(100))


def test_prefetch_of_nothing_is_nothing() -> None:
    assert list(prefetch([], 1)) == []


def test_prefetch_runs_ahead_by_its_depth_and_no_further() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    items = prefetch(source(), 2)
    assert next(items) == 0
    wait_until(lambda: len(made) == 4)
    time.sleep(0.05)
    assert len(made) == 4  # one taken, two ready, one waiting for room
    items.close()  # type: ignore[attr-defined]


def test_prefetch_makes_items_in_another_thread() -> None:
    names = set(prefetch((threading.current_thread().name for _ in range(3)), 1))
    assert names == {"prefetch"}


def test_prefetch_raises_the_producers_error_after_its_items_with_its_traceback() -> None:
    def faulty_source() -> Iterator[int]:
        yield 1
        raise OSError("no more tape")

    items = prefetch(faulty_source(), 4)
    assert next(items) == 1
    with pytest.raises(OSError, match="no more tape") as caught:
        next(items)
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert "faulty_source" in names


def test_closing_prefetch_early_closes_its_source() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = prefetch(endless(), 2)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed.is_set()


def test_an_error_at_the_consumer_ends_the_producer() -> None:
    def consume(items: Iterator[int]) -> None:
        for _ in items:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        consume(prefetch(iter(range(10**9)), 2))
    gc.collect()


def test_prefetch_that_was_never_asked_starts_no_thread() -> None:
    before = threading.active_count()
    items = prefetch(range(5), 1)
    assert threading.active_count() == before
    del items


def test_prefetch_holds_no_item_it_has_given_away() -> None:
    references: list[weakref.ref[Thing]] = []

    def source() -> Iterator[Thing]:
        for _ in range(20):
            thing = Thing()
            references.append(weakref.ref(thing))
            yield thing
            del thing

    alive = [sum(r() is not None for r in references) for _ in prefetch(source(), 3)]
    assert max(alive) <= 6


@pytest.mark.parametrize("depth", [0, -1])
def test_a_queue_without_room_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="depth must be 1"):
        prefetch([], depth)


def test_a_sink_of_less_than_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be 0"):
        Sink(print, -1)


def test_a_sink_without_depth_works_where_it_is_called() -> None:
    done: list[tuple[str, int]] = []
    with Sink(lambda item: done.append((threading.current_thread().name, item)), 0) as sink:
        sink.put(1)
        assert done == [(threading.current_thread().name, 1)]
        sink.put(2)
    assert [item for _, item in done] == [1, 2]
    with pytest.raises(ZeroDivisionError), Sink(lambda item: 1 // item, 0) as failing:
        failing.put(0)


def test_a_sink_does_everything_in_order_before_it_closes() -> None:
    done: list[int] = []
    with Sink(done.append, 2) as sink:
        for number in range(50):
            sink.put(number)
    assert done == list(range(50))


def test_a_sink_works_in_another_thread() -> None:
    names: set[str] = set()
    with Sink(lambda _: names.add(threading.current_thread().name), 1) as sink:
        sink.put(0)
    assert names == {"sink"}


def test_a_full_sink_makes_put_wait() -> None:
    gate = threading.Event()
    sink: Sink[int] = Sink(lambda _: gate.wait(5), 1)
    finished = threading.Event()

    def fill() -> None:
        for number in range(3):
            sink.put(number)
        finished.set()

    filler = threading.Thread(target=fill)
    filler.start()
    assert not finished.wait(0.05)
    gate.set()
    assert finished.wait(5)
    filler.join()
    sink.close()


def fail_at_three(number: int) -> None:
    if number == 3:
        raise OSError("disk full")


def put_all(sink: Sink[int], count: int) -> None:
    with sink:
        for number in range(count):
            sink.put(number)


def test_put_raises_what_the_function_raised() -> None:
    with pytest.raises(OSError, match="disk full") as caught:
        put_all(Sink(fail_at_three, 1), 10**6)
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert "fail_at_three" in names


def test_close_raises_what_the_function_raised() -> None:
    sink = Sink(fail_at_three, 8)
    for number in range(3, 6):
        sink._waiting.put(number)
    with pytest.raises(OSError, match="disk full"):
        sink.close()


def test_nothing_is_done_after_an_error() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        fail_at_three(number)
        done.append(number)

    with pytest.raises(OSError, match="disk full"):
        put_all(Sink(work, 8), 8)
    assert done == [0, 1, 2]


def test_an_error_beside_the_sink_drops_what_waits_and_is_not_hidden() -> None:
    gate = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        gate.wait(5)
        done.append(number)

    opener = threading.Timer(0.05, gate.set)

    def put_and_fail() -> None:
        with Sink(work, 4) as sink:
            for number in range(4):
                sink.put(number)
            opener.start()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        put_and_fail()
    assert len(done) <= 1
    opener.join()


def test_a_closed_sink_refuses_items() -> None:
    sink: Sink[int] = Sink(print, 1)
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.put(1)


def test_closing_a_sink_twice_is_harmless() -> None:
    sink: Sink[int] = Sink(print, 1)
    sink.close()
    sink.close()
