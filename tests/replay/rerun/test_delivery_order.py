"""Tests of the order in which recorded answers end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.rerun.delivery import WAIT_SECONDS, DeliveryOrder
from namel3ss_debug.replay.rerun.recorded_calls import END, START, Step
from namel3ss_debug.replay.rerun.requests import TaskKey

ONE, TWO = TaskKey(task="Task-1"), TaskKey(task="Task-2")


def steps(*pairs):
    """Return the steps of calls from pairs of a number and a part."""
    return tuple(Step(*pair) for pair in pairs)


TOGETHER = steps((1, START), (2, START), (2, END), (1, END))
"""Two calls at the same time: the second ends before the first."""


def test_answers_end_in_recorded_order():
    """An answer may end once every start and end before it has happened."""
    order = DeliveryOrder(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    assert not order.try_deliver(1)  # the second call has yet to begin
    order.mark_started(2)
    assert not order.try_deliver(1)
    assert order.try_deliver(2)
    assert order.try_deliver(1)
    assert order.timed_out == []


def test_a_step_that_does_not_happen_is_waited_for_only_so_long():
    """After that the answer ends, and the missing step is delivered at once if it happens after all."""
    order = DeliveryOrder(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    assert not order.try_deliver(1, WAIT_SECONDS * 0.9)
    assert order.try_deliver(1, WAIT_SECONDS)
    assert [tuple(found) for found in order.timed_out] == [(1, (2, START))]
    assert order.out_of_order() == ()
    order.mark_started(2)
    assert order.try_deliver(2)
    assert len(order.out_of_order()) == len(order.timed_out) == 1


def test_calls_of_one_concurrent_task_wait_for_each_other():
    """None of them would have had to begin before the other."""
    order = DeliveryOrder(TOGETHER, {})
    order.mark_started(1)
    assert not order.try_deliver(1)
    order.mark_started(2)
    assert order.try_deliver(2)
    assert order.try_deliver(1)


def test_a_task_does_not_wait_for_a_call_that_it_left_out():
    """In a program that does one thing after the other, a call that was removed or moved costs no time."""
    order = DeliveryOrder(steps((1, START), (1, END), (2, START), (2, END)), {1: ONE, 2: ONE})
    order.mark_started(2)
    assert order.try_deliver(2)
    order.mark_started(1)
    assert order.try_deliver(1)
    assert order.timed_out == []


def test_a_task_that_left_out_a_call_still_waits_for_other_tasks():
    """A call that it left out delays nothing, one that another task has to make does."""
    order = DeliveryOrder(
        steps((1, START), (2, START), (3, START), (4, START), (4, END)), {1: ONE, 2: TWO, 3: TWO, 4: ONE}
    )
    order.mark_started(2)
    order.mark_started(4)
    assert not order.try_deliver(4)
    order.mark_started(3)
    assert order.try_deliver(4)


def test_a_task_waits_for_the_end_of_a_stream_that_it_has_begun():
    """It reads the stream meanwhile."""
    order = DeliveryOrder(steps((1, START), (2, START), (1, END), (2, END)), {1: ONE, 2: ONE})
    order.mark_started(1)
    order.mark_started(2)
    assert not order.try_deliver(2)
    assert order.try_deliver(1)
    assert order.try_deliver(2)


def test_skipped_calls_are_not_waited_for():
    """They are inside of an answered tool, or the program gave them up."""
    order = DeliveryOrder(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    order.skip_calls([2])
    assert order.try_deliver(1)
    assert order.out_of_order() == ()


def test_calls_that_the_trace_does_not_hold_end_at_once():
    """The user's answer to an added call has no place in the order."""
    order = DeliveryOrder(TOGETHER, {1: ONE, 2: TWO})
    assert order.try_deliver(9)
    order.mark_started(9)
    order.skip_calls([9])


@st.composite
def deliveries(draw):
    """Return the steps of some calls in any order, and the task of each call."""
    numbers = range(1, draw(st.integers(1, 5)) + 1)
    recorded: list[Step] = []
    for number in draw(st.permutations([*numbers, *numbers])):
        recorded.append(Step(number, END if Step(number, START) in recorded else START))
    tasks = {
        number: draw(st.sampled_from([ONE, TWO, TaskKey(task=f"Task-{number + 2}")])) for number in numbers
    }
    return tuple(recorded), tasks


@given(deliveries(), st.data())
def test_a_run_that_makes_the_same_calls_gets_their_ends_in_recorded_order(recorded, data):
    """Whichever call asks first, the ends keep their order, and none waits too long."""
    recorded, _ = recorded
    tasks = {step.call_number: TaskKey(task=str(step.call_number)) for step in recorded}
    order = DeliveryOrder(recorded, tasks)
    for number in data.draw(st.permutations(sorted(tasks))):
        order.mark_started(number)
    left, ended = sorted(tasks), []
    while left:
        delivered = [number for number in data.draw(st.permutations(left)) if order.try_deliver(number)]
        assert delivered
        left = [number for number in left if number not in delivered]
        ended += delivered
    assert ended == [step.call_number for step in recorded if step.part == END]
    assert order.timed_out == []


@given(deliveries(), st.data())
def test_after_the_wait_every_answer_ends(recorded, data):
    """It does whatever is never called, and whatever is called in another order."""
    recorded, tasks = recorded
    order = DeliveryOrder(recorded, tasks)
    for number in data.draw(st.lists(st.sampled_from(sorted(tasks)), unique=True)):
        order.mark_started(number)
        assert order.try_deliver(number, WAIT_SECONDS)
    assert len(order.out_of_order()) <= len(order.timed_out)
