"""Tests of where a re-run and its recording part and meet again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.rerunning.boundaries import Question
from namel3ss_debug.replay.rerunning.divergences import (
    Divergence,
    Joined,
    Match,
    difference_of,
    in_order,
    path_changes,
    summary,
)
from namel3ss_debug.replay.rerunning.recorded import Boundary


def boundary(number):
    """A recorded boundary."""
    return Boundary(number, Question("llm", "m", (), number=number, call_site=f"app.py:{number}"))


def changed(number, recorded):
    """A question that stands for another one."""
    return Divergence("changed", number, Question("llm", "m", (), number=number), boundary(recorded))


def test_a_run_without_divergence_has_nothing_to_tell():
    """All exact: no first, no kinds, nothing joined."""
    found = summary((), [Match(1, 1, "exact"), Match(3, 3, "exact")])
    assert (found.first, found.kinds, found.exact, found.joined) == (None, {}, 2, None)


def test_where_a_run_met_its_recording_again():
    """The first exact question behind the first divergence, and how many followed it in a row."""
    matches = [Match(1, 1, "exact"), Match(3, 3, "changed"), Match(5, 5, "exact"), Match(7, 7, "exact")]
    assert summary([changed(3, 3)], matches).joined == Joined(5, 5, 2, to_the_end=True)
    matches += [Match(9, 9, "changed"), Match(11, 11, "exact")]
    assert summary([changed(3, 3), changed(9, 9)], matches).joined == Joined(5, 5, 2, to_the_end=False)


def test_a_run_that_never_met_its_recording_again():
    """Every later question was changed too."""
    matches = [Match(1, 1, "exact"), Match(3, 3, "changed"), Match(5, 5, "changed")]
    found = summary([changed(5, 5), changed(3, 3)], matches)
    assert (found.first.number, found.kinds, found.joined) == (3, {"changed": 2}, None)


def test_a_missing_call_is_joined_at_the_question_that_came_instead():
    """The question behind it is the recorded one, so the run has met its recording at once."""
    matches = [Match(1, 1, "exact"), Match(3, 5, "exact"), Match(5, 7, "exact")]
    missing = Divergence("missing", 3, None, boundary(3))
    assert summary([missing], matches).joined == Joined(3, 5, 2, to_the_end=True)
    at_the_end = Divergence("missing", 0, None, boundary(9))
    assert summary([at_the_end], matches).joined is None


def test_expected_questions_are_listed_and_no_parting():
    """They got an answer that did not know of the user's, which the report says."""
    matches = [
        Match(1, 1, "exact", given=True),
        Match(3, 3, "expected"),
        Match(5, 5, "changed"),
        Match(7, 7, "exact"),
        Match(9, 9, "expected"),
    ]
    found = summary([changed(5, 5)], matches)
    assert (found.given, [match.number for match in found.expected]) == (1, [3, 9])
    assert found.joined == Joined(7, 7, 2, to_the_end=True)


def test_divergences_stand_in_the_order_of_the_run():
    """What is missing stands before what was asked in its place, and what is missing at the end is last."""
    at_the_end, before = (
        Divergence("missing", 0, None, boundary(9)),
        Divergence("missing", 5, None, boundary(4)),
    )
    found = [at_the_end, changed(5, 5), before, changed(3, 3)]
    assert in_order(found) == (found[3], before, found[1], at_the_end)


def test_a_divergence_knows_the_lines_of_code():
    """Then and now; none where one side asked nothing."""
    found = Divergence("missing", 5, None, boundary(4))
    assert (found.call_site_then, found.call_site_now) == ("app.py:4", None)
    assert Divergence("new", 5, boundary(7).question, None).call_site_now == "app.py:7"


def test_the_first_places_in_which_values_differ():
    """By JSON paths in the order of the keys; items between equal ones are compared with each other."""
    old = {"a": 1, "b": {"c": [1, {"d": 2}, 3]}, "it's": "x", "gone": None}
    new = {"a": 1.0, "b": {"c": [0, 1, {"d": 4}, 3]}, "it's": "y", "come": True}
    assert [tuple(change) for change in path_changes(old, new)] == [
        ("$.a", "changed", 1, 1.0),
        ("$.b.c[0]", "added", None, 0),
        ("$.b.c[2].d", "changed", 2, 4),
        (r"$['it\'s']", "changed", "x", "y"),
        ("$.gone", "dropped", None, None),
        ("$.come", "added", None, True),
    ]
    assert len(path_changes(old, new, most=2)) == 2


def test_true_is_not_one():
    """Python takes them for equal, JSON does not."""
    assert [tuple(change) for change in path_changes([True, 0], [1, False])] == [
        ("$[0]", "changed", True, 1),
        ("$[1]", "changed", 0, False),
    ]


def nested(value, depth):
    """A value inside so many lists."""
    for _ in range(depth):
        value = [value]
    return value


def test_deep_and_long_values_are_compared():
    """Nested deeper than a recording nests, as deep as JSON may, and lists of many items."""
    assert path_changes(nested(0, 200), nested(0, 200)) == ()
    assert len(path_changes(nested(0, 200), nested(1, 200))) == 1
    path_changes(nested(0, 1000), nested(1, 1000))
    assert path_changes(list(range(5000)), [*range(4999), "x"])[0][:2] == ("$[4999]", "changed")


def test_the_id_of_a_call_is_no_difference_of_it():
    """A model gives every call an id of its own."""
    old, new = {"arguments": {"q": 1}, "call_id": "a"}, {"arguments": {"q": 1}, "call_id": "b"}
    assert difference_of("tool", old, new).paths == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


def canonical(value):
    """A value whose equality is that of JSON."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return type(value).__name__, value


@given(JSON, JSON)
def test_there_is_a_difference_exactly_where_values_are_not_equal(old, new):
    """None for equal values, at least one for others, and the same each time."""
    assert bool(path_changes(old, new)) == (canonical(old) != canonical(new))
    assert path_changes(old, old) == ()
