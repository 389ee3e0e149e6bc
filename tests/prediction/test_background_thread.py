"""Background threads: order, bounds, exceptions, and an end in every case."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from geopointseg.prediction.background_thread import WriteBehind, read_ahead


class Broken(BaseException):
    """Not even an Exception."""


def counted(stop, error=None, made=None):
    for value in range(stop):
        if made is not None:
            made.append(value)
        yield value
    if error is not None:
        raise error


def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith(("reader", "writer"))]


def test_items_are_read_in_order_and_not_far_ahead():
    made = []
    with closing(read_ahead(counted(20, made=made), 2)) as items:
        for value, item in enumerate(items):
            assert item == value
            assert len(made) <= value + 4
    assert made == list(range(20))
    assert not threads()


@pytest.mark.parametrize("error", [ValueError("bad"), Broken("worse")])
def test_errors_of_the_reader_come_after_its_items(error):
    seen = []
    with (
        pytest.raises(type(error), match=str(error)),
        closing(read_ahead(counted(3, error), 2)) as items,
    ):
        seen.extend(items)
    assert not threads()


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_consumer_may_stop_early(taken):
    made = []
    with closing(read_ahead(counted(100, made=made), 2)) as items:
        for _ in range(taken):
            next(items)
    assert len(made) <= taken + 3
    assert not threads()


def test_items_are_handled_in_order_by_the_end_of_the_block():
    handled = []
    with WriteBehind(handled.append, 2) as writer:
        for value in range(30):
            writer.put(value)
    assert handled == list(range(30))
    assert not threads()


@pytest.mark.parametrize("position", [0, 3, 29])
def test_nothing_is_handled_after_an_error(position):
    handled = []

    def handle(value):
        if value == position:
            raise Broken(f"at {value}")
        handled.append(value)

    with pytest.raises(Broken, match=f"at {position}"), WriteBehind(handle, 2) as writer:
        for value in range(30):
            writer.put(value)
    assert handled == list(range(position))
    assert not threads()


def test_pending_items_are_dropped_when_the_block_fails():
    handled, may_go_on = [], threading.Event()

    def handle(value):
        may_go_on.wait(10)
        handled.append(value)

    def fail():
        with WriteBehind(handle, 5) as writer:
            for value in range(4):
                writer.put(value)
            threading.Timer(0.2, may_go_on.set).start()
            raise Broken

    with pytest.raises(Broken):
        fail()
    assert handled == [0]
    assert not threads()
