"""One kind of recorded input changed, and nothing else."""

from __future__ import annotations

from collections import Counter

from hypothesis import given as sampled
from hypothesis import strategies

from namel3ss_debug.replay.rerun.doctor import (
    MOVED,
    RunInputs,
    change_hash_seed,
    change_order,
    change_seed,
    clusters,
    move_clock,
    parallel,
)
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import END, START, RecordedCall, RecordedCalls, Step
from namel3ss_debug.replay.rerun.requests import Request, TaskKey
from namel3ss_debug.traces.inputs import Recorded as Inputs

INPUTS = Inputs(
    seed="0" * 31 + "7",
    hash_seed=5,
    clock={"0": {"a": [10, 20], "b": [30]}},
    uuid1={"0": ["00"]},
    started=9,
)


def recorded(steps):
    """A recording with these steps, each boundary on a thread of its own that is named by its number modulo 3."""
    numbers = {step.call_number for step in steps}
    calls = {
        number: RecordedCall(
            number,
            Request("llm", "m", (), task_key=TaskKey(0, str(number % 3)), call_site=f"app.py:{number}"),
        )
        for number in sorted(numbers)
    }
    return RecordedCalls(None, calls, (), tuple(steps))


def plain(steps=()):
    """What a re-run is given as it was recorded."""
    return RunInputs(INPUTS, Plan(recorded(steps)))


def test_the_clock_is_moved_for_all_or_for_some_places():
    """The differences between reads of one place stay."""
    moved = move_clock(plain(), 2).inputs
    assert moved.clock == {"0": {"a": [10 + 2 * MOVED, 20 + 2 * MOVED], "b": [30 + 2 * MOVED]}}
    assert moved.started == 9 + 2 * MOVED
    some = move_clock(plain(), 1, only={"b"}).inputs
    assert (some.clock, some.started) == ({"0": {"a": [10, 20], "b": [30 + MOVED]}}, 9)
    assert INPUTS.clock["0"]["a"] == [10, 20]


def test_each_form_of_a_seed_is_another_one():
    """Of random numbers and of hashes."""
    assert {change_seed(plain(), form).inputs.seed for form in range(1, 9)}.isdisjoint({INPUTS.seed})
    seeds = [change_hash_seed(plain(), form).inputs.hash_seed for form in range(1, 9)]
    assert len({*seeds, INPUTS.hash_seed}) == 9
    assert all(0 < seed < 2**32 for seed in seeds)


def deliveries():
    """Steps of some boundaries, woven into one another."""
    orders = strategies.lists(strategies.integers(1, 6), min_size=1, max_size=24)
    return orders.map(woven)


def woven(order):
    """Each number takes its next step where it stands; what is left follows at the end."""
    left = {number: [START, END] for number in dict.fromkeys(order)}
    steps = [Step(number, left[number].pop(0)) for number in order if left[number]]
    return steps + [Step(number, part) for number, parts in left.items() for part in parts]


@sampled(deliveries())
def test_another_order_has_the_same_steps_and_keeps_each_call_in_order(steps):
    """Only between lines of work the order is another."""
    changed = change_order(plain(steps), 1).plan.recorded.steps
    assert Counter(changed) == Counter(steps)
    for number in {step.call_number for step in steps}:
        own = [step.part for step in changed if step.call_number == number]
        assert own == [step.part for step in steps if step.call_number == number]


@sampled(deliveries())
def test_clusters_are_cut_where_nothing_is_open(steps):
    """Together they are all steps, and no call reaches from one into the next."""
    found = list(clusters(steps))
    assert [step for cluster in found for step in cluster] == steps
    numbers = [{step.call_number for step in cluster} for cluster in found]
    assert sum(map(len, numbers)) == len({step.call_number for step in steps})


def test_calls_one_after_the_other_are_not_parallel_and_stay_as_they_are():
    """Two that overlap on different lines of work are, and the later comes first."""
    apart = woven([1, 1, 2, 2])
    assert list(parallel(recorded(apart))) == []
    assert list(change_order(plain(apart), 1).plan.recorded.steps) == apart
    together = [Step(1, START), Step(2, START), Step(1, END), Step(2, END)]
    assert list(parallel(recorded(together))) == [[1, 2]]
    assert list(change_order(plain(together), 1).plan.recorded.steps) == [
        Step(1, START), Step(2, START), Step(2, END), Step(1, END),
    ]  # fmt: skip


def test_the_other_order_is_never_that_of_the_recording():
    """Also where the call that began last was answered first, what was answered last comes first."""
    steps = [Step(1, START), Step(2, START), Step(2, END), Step(1, END)]
    assert list(change_order(plain(steps), 1).plan.recorded.steps) == [
        Step(1, START), Step(2, START), Step(1, END), Step(2, END),
    ]  # fmt: skip
