"""Tests of the order in which recorded answers are delivered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.rerun.delivery import WAIT_SECONDS, DeliveryOrder
from namel3ss_debug.replay.rerun.recorded_calls import END, HEAD, START, Step
from namel3ss_debug.replay.rerun.requests import TaskKey

ONE, TWO = TaskKey(task="Task-1"), TaskKey(task="Task-2")


def steps(*pairs):
    """Steps of boundaries as pairs of a number and a part."""
    return tuple(Step(*pair) for pair in pairs)


TOGETHER = steps((1, START), (2, START), (2, HEAD), (1, HEAD), (1, 0), (2, END), (1, 1), (1, END))
"""Two calls at the same time: the second ends before the first."""


def order_of(recorded, task_keys):
    """The order of a recording whose boundaries have these strands."""
    return DeliveryOrder(recorded, task_keys)


def test_answers_are_delivered_as_they_were():
    """A step may go once all before it have gone."""
    order = order_of(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    assert not order.try_deliver(Step(1, HEAD))  # the second call had begun before
    order.mark_started(2)
    assert not order.try_deliver(Step(1, HEAD))
    assert order.try_deliver(Step(2, HEAD))
    assert not order.try_deliver(Step(2, END))
    assert order.try_deliver(Step(1, HEAD))
    assert order.try_deliver(Step(1, 0))
    assert not order.try_deliver(Step(1, 1))
    assert order.try_deliver(Step(2, END))
    assert order.try_deliver(Step(1, 1))
    assert order.try_deliver(Step(1, END))
    assert order.timed_out == []


def test_what_does_not_come_is_waited_for_only_so_long():
    """After its patience a step goes all the same, and what it waited for goes at once when it comes after all."""
    order = order_of(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    assert not order.try_deliver(Step(1, HEAD), WAIT_SECONDS * 0.9)
    assert order.try_deliver(Step(1, HEAD), WAIT_SECONDS)
    assert [tuple(found) for found in order.timed_out] == [((1, HEAD), (2, START))]
    assert order.out_of_order() == ()
    assert all(
        order.try_deliver(step) for step in steps((1, 0), (1, 1), (1, END))
    )  # and not again for each step
    order.mark_started(2)
    assert order.try_deliver(Step(2, HEAD))
    assert len(order.out_of_order()) == len(order.timed_out) == 1
    order.skip_calls([2])
    assert len(order.out_of_order()) == 1


def test_calls_that_are_not_told_apart_wait_for_each_other():
    """None of them would have had to begin before the other."""
    order = order_of(TOGETHER, {})
    order.mark_started(1)
    assert not order.try_deliver(Step(1, HEAD))
    order.mark_started(2)
    assert order.try_deliver(Step(2, HEAD))
    assert order.try_deliver(Step(1, HEAD))


def test_a_strand_does_not_wait_for_what_it_would_have_had_to_do_itself():
    """In a program that does one thing after the other, a call that was removed or moved costs no time."""
    order = order_of(steps((1, START), (1, END), (2, START), (2, END)), {1: ONE, 2: ONE})
    order.mark_started(2)
    assert order.try_deliver(Step(2, END))
    order.mark_started(1)
    assert order.try_deliver(Step(1, END))
    assert order.timed_out == []


def test_a_strand_waits_for_others_behind_what_it_would_have_had_to_do_itself():
    """What it left out, and what has come in between, keep it from nothing; what another strand has to do does."""
    order = order_of(
        steps((1, START), (2, START), (3, START), (4, START), (4, END)), {1: ONE, 2: TWO, 3: TWO, 4: ONE}
    )
    order.mark_started(2)
    order.mark_started(4)
    assert not order.try_deliver(Step(4, END))
    order.mark_started(3)
    assert order.try_deliver(Step(4, END))


def test_a_strand_waits_for_the_rest_of_what_it_has_begun():
    """A stream that it reads meanwhile is still to come."""
    order = order_of(steps((1, START), (1, 0), (2, START), (1, 1), (2, END)), {1: ONE, 2: ONE})
    order.mark_started(1)
    assert order.try_deliver(Step(1, 0))
    order.mark_started(2)
    assert not order.try_deliver(Step(2, END))
    assert order.try_deliver(Step(1, 1))
    assert order.try_deliver(Step(2, END))


def test_a_step_never_waits_for_its_own():
    """Who delivers no heads, or the whole body at once, need not ask for each."""
    order = order_of(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    order.mark_started(2)
    assert not order.try_deliver(Step(2, END))
    assert order.try_deliver(
        Step(1, 0)
    )  # waits neither for its own head nor for that of the second, which waits for its end
    assert order.try_deliver(Step(2, END))
    assert order.try_deliver(Step(1, END))
    assert order.timed_out == []


def test_what_was_left_out_is_not_waited_for():
    """The inside of a tool that was answered, and what the program gave up."""
    order = order_of(TOGETHER, {1: ONE, 2: TWO})
    order.mark_started(1)
    order.skip_calls([2])
    assert order.try_deliver(Step(1, HEAD))
    assert order.out_of_order() == ()


def test_what_the_recording_does_not_hold_may_always_go():
    """An answer of the user's, or a chunk more than there were."""
    order = order_of(TOGETHER, {1: ONE, 2: TWO})
    assert order.try_deliver(Step(9, HEAD))
    assert order.try_deliver(Step(1, 7))
    order.mark_started(9)
    order.skip_calls([9])


@st.composite
def deliveries(draw):
    """Calls with their chunks, in any order of steps that keeps each call's own; and the strand of each."""
    parts = {
        number: [START, HEAD, *range(draw(st.integers(0, 2))), END]
        for number in range(1, draw(st.integers(1, 5)) + 1)
    }
    recorded = []
    left = {number: list(own) for number, own in parts.items()}
    while left:
        number = draw(st.sampled_from(sorted(left)))
        recorded.append(Step(number, left[number].pop(0)))
        if not left[number]:
            del left[number]
    task_keys = {
        number: draw(st.sampled_from([ONE, TWO, TaskKey(task=f"Task-{number + 2}")])) for number in parts
    }
    return tuple(recorded), task_keys


@given(deliveries(), st.data())
def test_a_run_that_asks_the_same_gets_its_answers_in_the_recorded_order(recorded, data):
    """Whichever delivery asks first, the steps go in the order of the recording, and none loses patience."""
    recorded, _ = recorded
    task_keys = {step.call_number: TaskKey(task=str(step.call_number)) for step in recorded}
    order = order_of(recorded, task_keys)
    left = {number: [step for step in recorded if step.call_number == number] for number in task_keys}
    gone = []
    for number in data.draw(st.permutations(sorted(task_keys))):
        order.mark_started(number)
        left[number].pop(0)
    while any(left.values()):
        waiting = data.draw(st.permutations([own[0] for own in left.values() if own]))
        delivered = [step for step in waiting if order.try_deliver(step)]
        assert delivered
        for step in delivered:
            left[step.call_number].pop(0)
        gone += delivered
    assert gone == [step for step in recorded if step.part != START]
    assert order.timed_out == []


@given(deliveries(), st.data())
def test_with_patience_every_delivery_comes_to_its_end(recorded, data):
    """Whatever is never asked, and whatever is called in another order."""
    recorded, task_keys = recorded
    order = order_of(recorded, task_keys)
    for number in data.draw(st.lists(st.sampled_from(sorted(task_keys)), unique=True)):
        order.mark_started(number)
        for step in recorded:
            if step.call_number == number and step.part != START:
                assert order.try_deliver(step, WAIT_SECONDS)
    assert len(order.out_of_order()) <= len(order.timed_out)
