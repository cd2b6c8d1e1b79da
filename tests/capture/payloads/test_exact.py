"""Values of tools: what is recorded of them comes back, or something says that it does not."""

from __future__ import annotations

import datetime as dt
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Payloads, exact
from namel3ss_debug.capture.payloads.exact import STANDARD
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.wire import values

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(ZoneInfo("Europe/Oslo")))
    | st.dates()
    | st.times(timezones=st.none() | st.just(ZoneInfo("UTC")))
    | st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999))
    | st.uuids()
    | st.sampled_from([PurePosixPath("a/b"), PurePosixPath(), Path("/a b"), PureWindowsPath("c:/x")])
)
keys = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])) | st.dates()
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys | st.tuples(keys, keys), inner, max_size=4)
        | st.sets(keys | st.tuples(keys, keys), max_size=4)
        | st.frozensets(keys, max_size=4)
        | st.binary().map(bytearray)
        | st.builds(deque, st.lists(inner, max_size=4), st.none() | st.integers(0, 9))
        | st.dictionaries(keys, inner, max_size=4).map(OrderedDict)
        | st.dictionaries(keys, st.integers(), max_size=4).map(Counter)
        | st.dictionaries(keys, inner, max_size=4).map(lambda items: defaultdict(list, items))
        | st.dictionaries(st.from_regex(r"[a-z_]+\Z"), inner, max_size=4).map(
            lambda held: SimpleNamespace(**held)
        )
        | st.fixed_dictionaries({"$type": inner})
        | st.fixed_dictionaries({"$truncated": inner})
    ),
    max_leaves=12,
)


def types(value):
    """A value with the type of everything in it beside it."""
    if isinstance(value, SimpleNamespace):
        return SimpleNamespace, types(vars(value))
    if isinstance(value, dict):
        factory = getattr(value, "default_factory", None)
        return type(value), factory, [(types(key), types(item)) for key, item in value.items()]
    if isinstance(value, dt.datetime | dt.time):
        return type(value), value.isoformat(), value.fold, repr(value.tzinfo)
    if isinstance(value, list | tuple | deque):
        return type(value), getattr(value, "maxlen", None), [types(item) for item in value]
    return type(value), sorted(map(repr, map(types, value))) if isinstance(value, set | frozenset) else value


@given(trees)
def test_what_is_recorded_of_a_value_gives_it_back(value):
    """Values of the standard library come back as they were, in type and order, through the bytes of a file."""
    recorded = exact(Payloads(), value)
    revived = values.revive(orjson.loads(orjson.dumps(recorded.json)))
    assert recorded.inexact == ()
    assert revived.exact
    assert types(revived.value) == types(value)


class Bits(enum.Flag):
    """Flags."""

    A = 1
    B = 2


class Far(dt.tzinfo):
    """A zone of the program's own."""

    def utcoffset(self, _moment):
        """Five hours."""
        return dt.timedelta(hours=5)


@pytest.mark.parametrize(
    "value",
    [
        defaultdict(lambda: 1, a=1),
        deque([object()]),
        object(),
        range(3),
        memoryview(b"x"),
        {1}.__iter__(),
        dt.datetime(2026, 1, 1, tzinfo=Far()),
        "\ud800",
        type("Own", (int,), {})(1),
        type("OwnDict", (dict,), {})(a=1),
        {"a": 1}.keys(),
        ValueError(object()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_come_back_is_told(value):
    """Wherever it stands, either its form or the list beside it says that a value is not given back."""
    for whole in (value, [value], {"a": (value,)}, {1: value}):
        recorded = exact(Payloads(), whole)
        assert recorded.inexact or not values.revive(recorded.json).exact


def test_secrets_do_not_reach_the_form():
    """Texts and what stands under secret names are replaced in every form, and what is replaced does not count as exact."""
    secret = "sk-proj-" + "k7Qz" * 12
    value = ({1: secret, "password": "hunter2", ("password",): 1}, {"password": "hunter2"})
    recorded = exact(Payloads(Redactor()), value)
    written = orjson.dumps(recorded.json)
    assert secret.encode() not in written
    assert b"hunter2" not in written
    assert not values.revive(recorded.json).exact


def test_a_value_beyond_the_bounds_is_cut_and_says_so():
    """A result is as large as payloads may be, and what is left out shows."""
    for value in (dict.fromkeys(range(99), "x" * 50), tuple("x" * 50 for _ in range(99))):
        recorded = exact(Payloads(max_size=1000), value)
        assert len(orjson.dumps(recorded.json)) < 4000
        assert not values.revive(recorded.json).exact


def test_a_value_inside_itself_ends():
    """A container that holds itself is told as such."""
    value = []
    value.append((value,))
    assert not values.revive(exact(Payloads(), value).json).exact


def test_both_sides_know_the_same_forms():
    """Every form that is written as giving a value back is read so."""
    assert STANDARD == values.STANDARD


@pytest.mark.parametrize(("module", "comes_back"), [("langchain_core.messages.base", True), ("app", False)])
def test_the_text_of_a_message_of_langchain_is_a_text(module, comes_back):
    """Its class is there for older code alone; another kind of text is another value."""
    names = {"__slots__": (), "__module__": module, "__qualname__": "TextAccessor"}
    made = exact(Payloads(), {"told": type("TextAccessor", (str,), names)("cold")})
    assert made.json == {"told": "cold"}
    assert made.inexact == (() if comes_back else ("app.TextAccessor",))


@pytest.mark.parametrize(
    "kind", [dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace, dt.time(1, 2).replace], ids=["datetime", "time"]
)
@pytest.mark.parametrize(
    "zone", [dt.UTC, dt.timezone(dt.timedelta(hours=1), "CET"), dt.timezone(dt.timedelta(0), "UTC")], ids=repr
)
def test_the_name_of_an_offset_comes_back(kind, zone):
    """A date in the zone of the machine has one, and a program prints it."""
    moment = kind(tzinfo=zone)
    recorded = exact(Payloads(), [moment])
    made = values.revive(orjson.loads(orjson.dumps(recorded.json)))
    assert (recorded.inexact, made.flaws) == ((), ())
    assert repr(made.value[0]) == repr(moment)
