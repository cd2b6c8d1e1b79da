"""Why a program does something else when it runs again, told from what its runs did."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from namel3ss_debug.replay.rerun.doctor import (
    CLOCK,
    HASH_SEED,
    RANDOMNESS,
    Diagnosis,
    DoctorRun,
    RunInputs,
    describe_change,
    first_difference,
)
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.traces.inputs import Recorded as Inputs

INPUTS = Inputs(seed="00", hash_seed=5, clock={"0": {"a": [10], "b": [20]}})
OUTCOME = SimpleNamespace(divergences=(), refused=(), stop=None, problem="", not_done=False, trace=None)


def ended(text, status=0):
    """A re-run that printed this."""
    return DoctorRun(text.encode(), status, OUTCOME)


def diagnosis(program, *names, **more):
    """The causes for a program, which is a function of its inputs; and how often it was run."""
    inputs = RunInputs(INPUTS, Plan(None))
    first = DoctorRun(program(INPUTS).encode(), 0, printed={0: "app.py:3"})

    def again(change, _what_for):
        return ended(program(change(inputs).inputs))

    found = Diagnosis(first, names, again, **more)
    return [(cause.source, cause.replayed, cause.places) for cause in found.causes()], found.runs


def test_a_program_that_does_the_same_is_run_twice():
    """Or as often as asked."""
    assert diagnosis(lambda _inputs: "same", CLOCK, HASH_SEED) == ([], 2)
    assert diagnosis(lambda _inputs: "same", CLOCK, HASH_SEED, repeat=3) == ([], 4)


def test_what_is_kept_under_a_random_name_is_found_again_by_the_same_one():
    """On other random numbers the program does the same; where what it reads has changed, it is run on those recorded too."""
    kept = []

    def program(inputs):
        kept.append(inputs.seed)
        return str(kept.count(inputs.seed))

    assert diagnosis(program, RANDOMNESS) == ([], 2)
    kept.clear()
    assert diagnosis(program, RANDOMNESS, changed=lambda: True) == ([("unknown", False, ())], 3)
    assert diagnosis(lambda _inputs: "same", RANDOMNESS, changed=lambda: True) == ([], 3)


@pytest.mark.parametrize(
    ("name", "program"),
    [
        (CLOCK, lambda inputs: str(inputs.clock)),
        (RANDOMNESS, lambda inputs: inputs.seed),
        (HASH_SEED, lambda inputs: str(inputs.hash_seed)),
    ],
)
def test_what_follows_from_one_kind_of_input_is_told_by_it(name, program):
    """The others are not named."""
    causes, _ = diagnosis(program, CLOCK, RANDOMNESS, HASH_SEED)
    assert causes == [(name, True, ())]


def test_of_several_lines_that_read_the_clock_the_one_that_matters_is_named():
    """Each is given another time alone."""
    sites = {"app.py:1": frozenset("a"), "app.py:2": frozenset("b")}
    causes, _ = diagnosis(lambda inputs: str(inputs.clock["0"]["b"]), CLOCK, sites=sites)
    assert causes == [(CLOCK, True, ("app.py:2",))]


def test_what_no_input_explains_is_an_error_beside_what_one_does():
    """A counter differs in each run; the same lines in another order are a matter of order."""
    numbers = iter(range(100))
    assert diagnosis(lambda _inputs: str(next(numbers)), CLOCK)[0] == [("unknown", False, ())]
    turns = iter(["a\nb\n", "b\na\n", "b\na\n"])
    assert diagnosis(lambda _inputs: next(turns), HASH_SEED)[0] == [("order", False, ())]


def test_chance_is_not_taken_for_a_cause():
    """Two runs with the same changed input differ, although the one with everything as recorded does not."""
    turns = iter(["a\nb\n", "b\na\n", "a\nb\n", "b\na\n", "a\nb\n"])
    assert diagnosis(lambda _inputs: next(turns), HASH_SEED)[0] == [("order", False, ())]


def test_the_first_difference_of_output_is_named_by_the_line_that_prints_it():
    """Another exit status comes before it."""
    first = DoctorRun(
        b"same\nat 10:00 today\nat 10:01 today\n", 0, printed={0: "a.py:1", 1: "a.py:2", 2: "a.py:2"}
    )
    found = first_difference(first, ended("same\nat 17:30 today\nat 17:31 today\n"))
    assert (found.reaches, found.call_site, found.what) == ("output", "a.py:2", "10:00 -> 17:30")
    assert first_difference(first, ended("", 1)).what == "0 -> 1"
    assert first_difference(first, ended(first.stdout.decode())) is None


def test_a_run_that_was_stopped_is_not_compared_by_its_output():
    """It has not come to its end."""
    stop = SimpleNamespace(kind="new", request=None)
    outcome = SimpleNamespace(divergences=(), refused=(), stop=stop, problem="")
    assert first_difference(DoctorRun(b"one\ntwo\n", 0), DoctorRun(b"one\n", -15, outcome)) is None


@pytest.mark.parametrize(
    ("old", "new", "describe_unanswered"),
    [
        ("same", "same", ""),
        ("", "more", "nothing -> more"),
        ("at 12:30.", "at 17:45.", "12:30 -> 17:45"),
        ("a b c", "a c", "b -> nothing"),
        ("x" * 100, "y", f"{'x' * 59}… -> y"),
    ],
)
def test_the_part_of_two_texts_that_differs_is_told_in_whole_words(old, new, describe_unanswered):
    """What is the same around it is left out."""
    assert describe_change(old, new) == describe_unanswered
