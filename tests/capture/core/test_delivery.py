"""When parts of an answer come, without waiting for it."""

from __future__ import annotations

import asyncio

import pytest

from namel3ss_debug.capture.core import delivery
from namel3ss_debug.capture.core.answers import CallReply
from namel3ss_debug.capture.core.delivery import Delivery, delivery_turn


def test_each_part_comes_after_its_delay():
    """The first delay is that of the head, then one for each piece, the last that of the end; missing ones are none."""
    delivered = Delivery(None, (0.5, 0.0, 0.2, 0.1), pieces=2)
    parts = [("head", 0), ("piece", 0), ("piece", 1), ("end", 0)]
    assert [list(delivered.pauses(*part)) for part in parts] == [[0.5], [], [0.2], [0.1]]
    assert list(Delivery().pauses("end")) == []


def test_an_answer_asks_until_it_may_end():
    """Pauses grow to a bound, and what is told as waited is no more than they could have been."""
    waits = []

    def turn(waited):
        waits.append(waited)
        return len(waits) == 20

    pauses = list(Delivery(turn, pieces=4).pauses("end"))
    assert len(pauses) == 19
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.001, 0.005)
    assert waits == sorted(waits)
    assert waits[-1] <= 2 * sum(pauses)


def test_only_the_end_of_an_answer_has_a_turn():
    """Its head and its pieces do not wait for others."""
    asked = []
    delivered = Delivery(lambda _waited: not asked.append(step), pieces=1)
    for step in ("head", "piece", "end"):
        delivered.wait(step)
    assert asked == ["end"]


def test_a_loop_gets_a_turn_before_each_part():
    """What waits on the loop runs in between, as it would have while a network was waited for."""
    order = []

    async def deliver(name):
        for step in ("head", "end"):
            await Delivery().reach(step)
            order.append((name, step))

    async def both():
        await asyncio.gather(deliver("a"), deliver("b"))

    asyncio.run(both())
    assert order == [("a", "head"), ("b", "head"), ("a", "end"), ("b", "end")]


def test_what_has_no_order_asks_nobody():
    """Only an answer that was given in order has a turn."""
    asked = []

    def may(*question):
        asked.append(question)
        return True

    assert delivery_turn(CallReply(), may, "7") is None
    assert delivery_turn(CallReply(ordered=True), may, "7")(0.0)
    assert asked == [("7", 0.0)]


@pytest.mark.parametrize("turns", range(5))
def test_a_task_goes_on_with_its_answer_before_another_gets_one(turns):
    """However many turns of the loop it needs to see the answer, what it does with it comes first."""
    order = []
    ended = asyncio.Event()

    async def first():
        await Delivery(lambda *_question: True).reach("end")
        ended.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        order.append("first")

    async def second():
        await ended.wait()
        await Delivery(lambda *_question: True).reach("end")
        order.append("second")

    async def both():
        await asyncio.gather(first(), second())

    asyncio.run(both())
    assert order == ["first", "second"]


@pytest.fixture
def running(monkeypatch):
    """Says which thread runs, and what its clock shows."""

    class Running:
        thread, now = 1, 10.0

    monkeypatch.setattr(delivery, "get_ident", lambda: Running.thread)
    monkeypatch.setattr(delivery, "monotonic", lambda: Running.now)
    monkeypatch.setattr(delivery, "_ended", [0, 0.0])
    return Running


def test_nothing_comes_before_another_thread_has_done_something_with_its_answer(running):
    """The call there has to be over first, however long that takes, and then its thread has a moment; so it is for a loop."""
    assert list(Delivery(lambda *_question: True).pauses("end")) == []
    delivery.extend_turn()
    running.thread, asked = 2, []
    waits = Delivery(lambda *_question: not asked.append(1)).pauses("end")
    for _ in range(5):
        assert next(waits) == pytest.approx(0.002)
        running.now += 0.002
    running.thread = 1
    delivery.end_turn()
    running.thread = 2
    assert next(waits) == pytest.approx(0.002)
    assert asked == []
    running.now += 0.0021
    assert next(waits, None) is None
    assert asked == [1]


def test_a_call_that_is_never_over_keeps_others_only_for_a_while(running):
    """Its thread may have been ended."""
    list(Delivery(lambda *_question: True).pauses("end"))
    delivery.extend_turn()
    running.thread = 2
    waits = Delivery(lambda *_question: True).pauses("end")
    assert next(waits) > 0
    running.now += 0.06
    assert next(waits, None) is None


def test_one_thread_asks_at_a_time(running):
    """What another one is given meanwhile is not known yet, so it would not be waited for."""
    other = Delivery(lambda *_question: pytest.fail("asked")).pauses("end")

    def turn(*_question):
        running.thread = 2
        assert next(other) == pytest.approx(0.001)
        running.thread = 1
        return True

    assert list(Delivery(turn).pauses("end")) == []
    running.thread = 2
    assert next(other) == pytest.approx(0.002)
