"""Tests of Python values that come back from a recording."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.wire.values import find_flaws, revive

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: "[REDACTED:" not in text)  # which is told as such
    | st.binary().filter(lambda data: b"[REDACTED:" not in data)
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(dt.timezone(dt.timedelta(hours=-3)))).map(
        lambda moment: moment.replace(fold=0)
    )
    | st.dates()
    | st.times().map(lambda moment: moment.replace(fold=0))
    | st.timedeltas(min_value=dt.timedelta(days=-90_000), max_value=dt.timedelta(days=90_000))
)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.frozensets(inner, max_size=3) | st.tuples(inner, inner), max_leaves=4
)
KEYS = st.text().filter(lambda key: not key.startswith("$"))
VALUES = st.recursive(
    SCALARS | st.sets(HASHABLE, max_size=3) | st.frozensets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def recorded(value, **settings):
    """A value as a recording holds it."""
    return orjson.loads(orjson.dumps(Payloads(**settings).value(value)))


def same(one, other):
    """Whether two values are equal and of the same types, also within."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, set | frozenset):
        return one == other and sorted(map(_types, one)) == sorted(map(_types, other))
    return one == other and repr(one) == repr(other)


def _types(value):
    return f"{type(value)} {sorted(map(_types, value)) if isinstance(value, frozenset | tuple) else ''}"


@given(VALUES)
def test_a_recorded_value_comes_back_as_it_was(value):
    """Whatever has a form of its own comes back equal and of the same types, to any depth."""
    revived = revive(recorded(value))
    assert revived.exact, revived.flaws
    assert same(revived.value, value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 2**64, -(2**64), 2**3000, -(2**3000)])
def test_numbers_that_json_does_not_have_come_back(number):
    """What is no finite number, and integers of any size."""
    value = revive(recorded([number])).value[0]
    assert repr(value) == repr(number) if isinstance(number, float) else value == number


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ({"$type": "tuple", "items": [1, {"$type": "tuple", "items": []}]}, (1, ())),
        ({"$type": "bytearray", "base64": "AAE="}, bytearray(b"\0\1")),
        (
            {"$type": "dict", "items": [[1, "a"], [{"$type": "tuple", "items": [2]}, "b"], ["$type", "c"]]},
            {1: "a", (2,): "b", "$type": "c"},
        ),
    ],
)
def test_forms_of_what_json_cannot_tell_apart_come_back(form, value):
    """Tuples, byte arrays, and dicts whose keys are no texts."""
    revived = revive(form)
    assert revived == (value, ())
    assert type(revived.value) is type(value)


class Own:
    """An object of a program's own."""


@pytest.mark.parametrize(
    ("value", "kind"),
    [(Own(), "opaque"), ([ValueError("no")], "opaque"), ({"a": {"b": range(3)}}, "opaque")],
)
def test_an_object_of_the_programs_own_is_named(value, kind):
    """Its place and its type are told, and that no setting would keep it."""
    (flaw,) = revive(recorded(value)).flaws
    assert flaw.kind == kind
    assert flaw.path.startswith("$")
    assert flaw.what


def test_what_was_cut_is_named_with_its_place():
    """Texts, lists and objects that a small payload has no room for."""
    (text,) = revive(recorded({"it's": ["x" * 500]}, max_size=200)).flaws
    assert text == ("cut", r"$['it\'s'][0]", "$truncated")
    (items,) = revive(recorded({"items": list(range(500))}, max_size=200)).flaws
    assert (items.kind, items.path[:8]) == ("cut", "$.items[")
    (keys,) = revive(recorded({f"k{number}": number for number in range(500)}, max_size=200)).flaws
    assert keys[:2] == ("cut", "$")


def test_what_was_redacted_is_named():
    """A secret that was replaced is a flaw, in a text and in bytes."""
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
    flaws = revive(recorded({"text": f"key {key}", "raw": key.encode()}, redactor=Redactor())).flaws
    assert [flaw[:2] for flaw in flaws] == [("redacted", "$.text"), ("redacted", "$.raw")]
    assert all(flaw.what.startswith("[REDACTED:") for flaw in flaws)


def test_json_of_another_program_keeps_its_types():
    """In a body that was JSON, a `$type` is a key as any other; what was cut or redacted is still told."""
    body = {"$type": "Order, Shop", "items": [{"$type": "set"}]}
    assert find_flaws(body) == ()
    assert [flaw.kind for flaw in find_flaws([body, "[REDACTED:key]", {"$truncated": "a", "length": 9}])] == [
        "redacted",
        "cut",
    ]


@pytest.mark.parametrize(
    "form",
    [
        {"$type": "set", "items": [{"a": 1}]},
        {"$type": "set"},
        {"$type": "bytes", "base64": "?"},
        {"$type": "bytes", "base64": 7},
        {"$type": "decimal", "value": "one"},
        {"$type": "decimal", "value": 1},
        {"$type": "datetime", "value": "yesterday"},
        {"$type": "timedelta", "value": "1"},
        {"$type": "timedelta", "value": None},
        {"$type": "int", "value": "1" * 5000},
        {"$type": "int", "value": "__import__('os')"},
        {"$type": "float", "value": "1e5"},
        {"$type": "dict", "items": [[1]]},
        {"$type": "dict", "items": [[[[]], 1, 2]]},
        {"$type": uuid.__name__, "value": "1"},
    ],
)
def test_a_damaged_form_is_told_and_never_raises(form):
    """A trace is foreign data."""
    assert not revive([form]).exact


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$type", "items", "value", "base64", "$truncated", "a"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.one_of(
        JSON,
        st.builds(
            lambda kind, rest: rest | {"$type": kind},
            st.sampled_from(["set", "tuple", "dict", "int", "bytes", "timedelta", "time"]),
            st.dictionaries(st.sampled_from(["items", "value", "base64", "length", "bits"]), JSON),
        ),
    )
)
def test_no_payload_raises(payload):
    """Whatever stands in a file gives a value or a flaw."""
    revive(payload)
    find_flaws(payload)


def test_deep_nesting_is_told():
    """A payload nested deeper than a recording nests is cut off, without a recursion error."""
    form = []
    for _ in range(5000):
        form = [form]
    assert [flaw.kind for flaw in revive(form).flaws] == ["cut"]


def test_a_decimal_keeps_its_digits():
    """A decimal is equal to another one of fewer digits, and still not the same."""
    assert str(revive(recorded(Decimal("1.10"))).value) == "1.10"
