"""Tests of where two JSON values differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire.value_changes import diff_values


def test_the_first_places_in_which_values_differ():
    """By JSON paths in the order of the keys; items between equal ones are compared with each other."""
    old = {"a": 1, "b": {"c": [1, {"d": 2}, 3]}, "it's": "x", "gone": None}
    new = {"a": 1.0, "b": {"c": [0, 1, {"d": 4}, 3]}, "it's": "y", "come": True}
    assert [tuple(change) for change in diff_values(old, new)] == [
        ("$.a", "changed", 1, 1.0),
        ("$.b.c[0]", "added", None, 0),
        ("$.b.c[2].d", "changed", 2, 4),
        (r"$['it\'s']", "changed", "x", "y"),
        ("$.gone", "dropped", None, None),
        ("$.come", "added", None, True),
    ]
    assert len(diff_values(old, new, most=2)) == 2


def test_true_is_not_one():
    """Python takes them for equal, JSON does not."""
    assert [tuple(change) for change in diff_values([True, 0], [1, False])] == [
        ("$[0]", "changed", True, 1),
        ("$[1]", "changed", 0, False),
    ]


def test_what_is_left_of_a_list_is_dropped():
    """Items behind the last equal one have no partner."""
    assert [change[:3] for change in diff_values([1, "a", "b"], [1])] == [
        ("$[1]", "dropped", "a"),
        ("$[2]", "dropped", "b"),
    ]


def test_an_item_with_its_keys_in_another_order_is_the_same():
    """Of two lists, one with an item more, nothing else is told."""
    old = ["x", {"a": 1, "b": 2}]
    assert [tuple(change) for change in diff_values(old, [{"b": 2, "a": 1}])] == [
        ("$[0]", "dropped", "x", None)
    ]


def nested(value, depth):
    """A value inside so many lists."""
    for _ in range(depth):
        value = [value]
    return value


def test_deep_and_long_values_are_compared():
    """Nested deeper than a recording nests, as deep as JSON may, and lists of many items."""
    assert diff_values(nested(0, 200), nested(0, 200)) == ()
    assert len(diff_values(nested(0, 200), nested(1, 200))) == 1
    diff_values(nested(0, 1000), nested(1, 1000))
    assert diff_values(list(range(5000)), [*range(4999), "x"])[0][:2] == ("$[4999]", "changed")


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
    assert bool(diff_values(old, new)) == (canonical(old) != canonical(new))
    assert diff_values(old, old) == ()
