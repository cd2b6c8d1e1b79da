"""Shapes of values: how they are described, and what does not have one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.checks.shapes import check_shape, describe_shape, find_misfits

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (["a"], "text"),
        ([None, "a"], "text or null"),
        (
            [{"price": 39.9, "id": 7, "tags": ["x"]}],
            {"price": "number 0.8 to 2000", "id": "number", "tags": ["text"]},
        ),
        ([{"a": 1, "b": True}, {"a": 3}], {"a": "number 0.02 to 150"}),
        (['{"a": "b"}'], {"a": "text"}),
        ([0], "number"),
        ([[]], "list"),
        ([{"$type": "app.Order", "fields": {"x": 1}}], "object"),
        ([-11.5, 0], "number 0.23 to 580"),
    ],
)
def test_a_shape_is_what_all_values_have(values, shape):
    """Types, keys, and the size of numbers that are no names or counts."""
    assert describe_shape(values) == shape
    assert all(not list(find_misfits(shape, value)) for value in values)


@pytest.mark.parametrize(
    ("shape", "value", "misfits"),
    [
        ("number 1 to 100", 3900, [("", "is 3900, not number 1 to 100")]),
        ({"a": {"b": "text"}}, {"a": {}}, [(".a.b", "is missing")]),
        ({"a": "text"}, "nothing", [("", 'is "nothing", not an object')]),
        ([{"a": "text or null"}], [{"a": None}, {"a": 1}], [("[1].a", "is 1, not text or null")]),
        (["any"], {}, [("", "is {}, not a list")]),
        ("number", True, [("", "is true, not number")]),
    ],
)
def test_a_misfit_is_named_by_its_path(shape, value, misfits):
    """With the value that is there."""
    assert list(find_misfits(shape, value)) == misfits


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_values_have_the_shape_that_describes_them(values):
    """Whatever they are, and the shape is one."""
    shape = describe_shape(values)
    check_shape(shape)
    assert [misfit for value in values for misfit in find_misfits(shape, value)] == []
