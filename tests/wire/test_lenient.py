"""Reading and writing JSON that no provider should send."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire import lenient

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.text() | st.dictionaries(st.text(), st.integers() | st.text()))
def test_arguments_are_read_back(arguments):
    """Arguments, objects or text that is no JSON, survive writing and reading."""
    assert lenient.load_arguments(lenient.dump_arguments(arguments)) == arguments


def test_no_arguments_are_an_empty_object():
    """A call without arguments has `{}`, whether the provider sends nothing, null or empty text."""
    assert lenient.load_arguments("") == lenient.load_arguments(None) == {}


def test_arguments_that_a_model_tore_are_sent_as_they_were():
    """Text that is no JSON stays the text it was, and no quotes are put around it."""
    assert lenient.dump_arguments('{"city": "Gra') == '{"city": "Gra'


@given(json_values)
def test_anything_is_written_as_json(value):
    """Lone surrogates, huge integers and infinities do not stop the writing."""
    json.loads(lenient.dump(value))


def test_nesting_beyond_every_limit_is_written_as_null():
    """What no JSON writer can write becomes null."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert lenient.dump(deep) == b"null"


@pytest.mark.parametrize(
    ("value", "told"),
    [(3, 3), (3.0, 3), (0, 0), (3.5, None), (-1, None), (True, None), ("3", None), (float("nan"), None)],
)
def test_a_count_is_a_whole_number_that_counts(value, told):
    """Booleans, texts, fractions and negative numbers count nothing."""
    assert lenient.count(value) == told
