"""Members of an answer: paths, and answers with one of them changed."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.overrides.grammar import format_path, parse_path
from namel3ss_debug.replay.overrides.mocks import MemberChange, change_member

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (".result", ("result",)),
        (".result.hits[0].price", ("result", "hits", 0, "price")),
        ("""['a b']["c.d"][ -1 ]""", ("a b", "c.d", -1)),
        (".0.a-b", ("0", "a-b")),
        ("", ()),
    ],
)
def test_a_path_is_written_as_in_python_and_javascript(text, path):
    """Names behind dots, numbers and any names in brackets."""
    assert parse_path(text) == path


@given(st.lists(texts | st.integers(-999_999_999, 999_999_999), max_size=6))
def test_a_path_comes_back_when_it_is_written(steps):
    """A law: whatever the names in it are."""
    assert parse_path(format_path(tuple(steps))) == tuple(steps)


@pytest.mark.parametrize(
    ("result", "path", "new"),
    [
        ({"a": 1, "b": 2}, ".result.a", {"a": "new", "b": 2}),
        ({"a": 1}, ".result.b", {"a": 1, "b": "new"}),
        ([1, 2, 3], ".result[1]", [1, "new", 3]),
        ([1, 2, 3], ".result[-1]", [1, 2, "new"]),
        ([1, 2, 3], ".result.0", ["new", 2, 3]),
        ([{"a": [1]}], ".result[0].a[0]", [{"a": ["new"]}]),
        ('{"a": {"b": "é"}}', ".result.a.b", '{"a": {"b": "new"}}'),
        ('[1, "é"]', ".result[0]", '["new", "é"]'),
        (
            {"$type": "app.Weather", "fields": {"temp_c": 20}},
            ".result.temp_c",
            {"$type": "app.Weather", "fields": {"temp_c": "new"}},
        ),
        ({"$type": "tuple", "items": [1, 2]}, ".result[1]", {"$type": "tuple", "items": [1, "new"]}),
        (
            [{"$type": "app.State", "made": "member", "name": "OPEN", "value": "open"}],
            ".result[0]",
            [{"$type": "app.State", "made": "member", "value": "new"}],
        ),
        ([{"$type": "app.Level", "made": "member", "name": "LOW", "value": 1}], ".result[0]", ["new"]),
        (
            {"$type": "app.Order", "made": "object", "fields": {"item": "old"}, "same": 1},
            ".result.item",
            {"$type": "app.Order", "made": "object", "fields": {"item": "new"}},
        ),
        ({"a": 1}, ".result", "new"),
    ],
)
def test_one_member_is_changed(result, path, new):
    """In objects, lists, texts that are JSON, and the forms of Python's own values."""
    outputs = {"result": result, "more": 1}
    before = copy.deepcopy(outputs)
    assert change_member(outputs, MemberChange(parse_path(path), "new"), "search") == {
        "result": new,
        "more": 1,
    }
    assert outputs == before


def test_a_date_is_replaced_by_the_text_of_one():
    """What belonged to the date that was recorded goes with it; a text that is no date is refused."""
    zone = {"$type": "zone", "value": "UTC"}
    outputs = {"result": {"$type": "datetime", "value": "2026-10-25T02:30:00", "fold": 1, "zone": zone}}
    later = change_member(outputs, MemberChange(("result",), "2027-01-01T00:00:00+00:00"), "search")
    assert later == {"result": {"$type": "datetime", "value": "2027-01-01T00:00:00+00:00"}}
    with pytest.raises(MockError, match='"tomorrow" is no datetime'):
        change_member(outputs, MemberChange(("result",), "tomorrow"), "search")


@pytest.mark.parametrize(
    ("result", "path", "message"),
    [
        ({"a": 1, "b": 2}, ".c.d", "search.result.c: the answer has no such member; there are a, b"),
        ({}, ".c.d", "search.result.c: the answer has no such member; it is empty"),
        ([1, 2], "[2]", "search.result[2]: the answer has no such member; result has 2 items"),
        ([1, 2], ".a", "result has 2 items"),
        ("30 days", ".a", "result is a text"),
        ("{broken", ".a", "result is a text"),
        (5, ".a", "result is a number"),
        (None, ".a", "result is null"),
        (
            {"$truncated": "30 d", "length": 9},
            ".a",
            "was cut when it was recorded; max_payload_size 0 keeps 100 levels whole",
        ),
        (
            {"$type": "app.Weather", "repr": "<W>"},
            ".a",
            "result is recorded as app.Weather, whose members are not known",
        ),
        (
            {"$type": "app.Weather", "made": "object", "fields": {"sky": 1, "wind": 2}},
            ".ski",
            "search.result.ski: the answer has no such member; there are sky, wind",
        ),
    ],
)
def test_a_member_that_is_not_there_is_refused(result, path, message):
    """In one line that says how far the path led, and what is there."""
    with pytest.raises(MockError) as caught:
        change_member({"result": result}, MemberChange(parse_path(".result" + path), 1), "search")
    assert message in str(caught.value)


@given(values, st.lists(texts | st.integers(-3, 3), max_size=4), values)
def test_a_change_is_made_or_refused(whole, steps, value):
    """A law: nothing else is raised, the answer itself stays, and what was set is then there."""
    before = copy.deepcopy(whole)
    try:
        after = change_member({"result": whole}, MemberChange(("result", *steps), value), "search")["result"]
    except MockError as problem:
        assert "\n" not in str(problem)
        return
    assert whole == before
    for step in steps:
        after = json.loads(after) if isinstance(after, str) else after
        after = after[int(step)] if isinstance(after, list) else after[str(step)]
    assert after == value
