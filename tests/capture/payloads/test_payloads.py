"""Whatever a program holds becomes JSON: readable, redacted, bounded, and the program does not notice."""

from __future__ import annotations

import array
import asyncio
import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import gc
import io
import itertools
import json
import math
import os
import pathlib
import re
import signal
import string
import subprocess
import sys
import threading
import types
import typing
import uuid
import weakref
from unittest import mock

import orjson
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Converted, Payloads, exact, to_json
from namel3ss_debug.traces.redaction.redactor import Redactor

SECRET = "sk-" + "proj-" + string.ascii_letters
FAKE_PASSWORD = "hunter2" * 2


def whole(value):
    """The value as JSON without redaction and bounds."""
    return to_json(value, redactor=None)


def raising(error):
    """A method that raises."""

    def method(*_args, **_kwargs):
        raise error

    return method


def instance(name, *bases, of=(), **body):
    """An object of a class made on the spot."""
    return type(name, bases or (object,), body)(*of)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Mode(str, enum.Enum):  # noqa: UP042  # not the same: its text is "Mode.FAST"
    FAST = "fast"


class Point(typing.NamedTuple):
    x: int
    y: str


@dataclasses.dataclass
class Login:
    user: str
    password: str
    seen: typing.ClassVar[int] = 3


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int = 1


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int
    when: dt.datetime | None = None
    hidden: pydantic.SecretStr | None = None


class Asking:
    """Counts how often it is asked anything."""

    asked = 0

    @functools.cached_property
    def rows(self):
        """What costs a query."""
        Asking.asked += 1
        return [1]

    def __getattr__(self, name):
        Asking.asked += 1
        raise AttributeError(name)

    def __len__(self):
        Asking.asked += 1
        return 3

    def __iter__(self):
        Asking.asked += 1
        return iter([1])


def generator():
    """Yields once."""
    yield 1


FORMS = [
    (None, None),
    (True, True),
    (-3, -3),
    (1.5, 1.5),
    ("text", "text"),
    ((1, (2,)), [1, [2]]),
    (float("nan"), {"$type": "float", "value": "nan"}),
    (-math.inf, {"$type": "float", "value": "-inf"}),
    (2**64 - 1, 2**64 - 1),
    (2**64, {"$type": "int", "value": str(2**64)}),
    (-(2**63) - 1, {"$type": "int", "value": str(-(2**63) - 1)}),
    (10**5000, {"$type": "int", "value": hex(10**5000)}),
    ("a\ud800b", "a\\ud800b"),
    (
        {1: "a", None: 2, 1.5: 3, (1, 2): 4, "\udc80": 5},
        {"1": "a", "None": 2, "1.5": 3, "(1, 2)": 4, "\\udc80": 5},
    ),
    ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
    (b"\x00\xff", {"$type": "bytes", "base64": "AP8="}),
    (bytearray(b"abc"), {"$type": "bytes", "base64": "YWJj"}),
    (memoryview(b"abc"), {"$type": "bytes", "base64": "YWJj"}),
    (memoryview(b"abcdef")[::2], {"$type": "bytes", "base64": base64.b64encode(b"ace").decode()}),
    ({3, 1, 2}, {"$type": "set", "items": [1, 2, 3]}),
    (frozenset("ba"), {"$type": "frozenset", "items": ["a", "b"]}),
    ({"a", 1, (1, 2)}, {"$type": "set", "items": ["a", 1, [1, 2]]}),
    (decimal.Decimal("1.10"), {"$type": "decimal", "value": "1.10"}),
    (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), {"$type": "datetime", "value": "2024-01-02T00:00:00+00:00"}),
    (dt.date(2024, 1, 2), {"$type": "date", "value": "2024-01-02"}),
    (dt.time(1, 2), {"$type": "time", "value": "01:02:00"}),
    (dt.timedelta(minutes=1), {"$type": "timedelta", "value": 60.0}),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (pathlib.Path("a"), "a"),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Mode.FAST, "fast"),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(list, a=[1]), {"a": [1]}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.UserDict(a=1), {"a": 1}),
    (collections.UserList([1]), [1]),
    (collections.UserString("u"), "u"),
    (collections.deque([1, 2]), {"$type": "collections.deque", "items": [1, 2]}),
    ({"a": 1}.keys(), {"$type": "dict_keys", "items": ["a"]}),
    (array.array("d", [1.0]), {"$type": "array.array", "items": [1.0]}),
    (collections.ChainMap({"a": 1}), {"$type": "collections.ChainMap", "fields": {"maps": [{"a": 1}]}}),
    (types.SimpleNamespace(a=1), {"$type": "types.SimpleNamespace", "fields": {"a": 1}}),
    (range(10**12), {"$type": "range", "repr": "range(0, 1000000000000)"}),
    (re.compile("a"), {"$type": "re.Pattern", "repr": "re.compile('a')"}),
    (1 + 2j, {"$type": "complex", "repr": "(1+2j)"}),
    (generator(), {"$type": "generator", "repr": "<generator object generator>"}),
    (iter([1]), {"$type": "list_iterator", "repr": "<list_iterator object>"}),
    (itertools.count(), {"$type": "itertools.count", "repr": "count(0)"}),
    (threading.Lock(), {"$type": "_thread.lock", "repr": "<unlocked _thread.lock object>"}),
    (io.StringIO(), {"$type": "_io.StringIO", "repr": "<_io.StringIO object>"}),
    (os, {"$type": "module", "repr": "os"}),
    (json.dumps, {"$type": "function", "repr": "json.dumps"}),
    (io.StringIO, {"$type": "type", "repr": "_io.StringIO"}),
    (object(), {"$type": "object", "repr": "<object object>"}),
    (ValueError("bad"), {"$type": "exception", "class": "ValueError", "message": "bad"}),
    (KeyError(1), {"$type": "exception", "class": "KeyError", "message": "1", "args": [1]}),
]


@pytest.mark.parametrize(("value", "expected"), FORMS, ids=lambda value: type(value).__name__)
def test_forms(value, expected):
    """Each kind of value has its form, which orjson takes as it is."""
    result = Payloads().convert(value)
    assert result == Converted(expected, cut=False, redacted=False)
    orjson.dumps(result.value)


def test_records_give_their_fields():
    """Dataclasses, named tuples, pydantic models and attrs classes are shown by their fields, in order."""
    here = __name__
    assert whole(Login("u", "p")) == {"$type": f"{here}.Login", "fields": {"user": "u", "password": "p"}}
    assert whole(Slotted()) == {"$type": f"{here}.Slotted", "fields": {"a": 1}}
    assert whole(Point(1, "b")) == {"$type": f"{here}.Point", "fields": {"x": 1, "y": "b"}}
    model = whole(Model(a=1, when=dt.datetime(2024, 1, 1), hidden="x", more=2))  # noqa: DTZ001
    assert model["fields"]["a"] == 1
    assert model["fields"]["when"]["$type"] == "datetime"
    assert model["fields"]["more"] == 2
    assert "**" in model["fields"]["hidden"]["repr"]


@pytest.mark.parametrize(
    ("module", "given"),
    [
        ("pydantic_ai._run_context", {"deps": {"user": "u"}, "retry": 0}),
        ("agno.run.base", {"session_state": {}}),
    ],
)
def test_the_run_that_a_tool_is_given_is_shown_by_what_is_of_the_program(module, given):
    """It holds the agent and all messages, too, which are other ones in each run."""
    context = dataclasses.make_dataclass("RunContext", [*given, "agent", "messages"])
    context.__module__ = module
    shown = whole(context(*given.values(), object(), [1]))
    assert shown == {"$type": f"{module}.RunContext", "fields": given}


def test_validators_of_pydantic_are_not_asked_what_they_hold():
    """They tell an address of memory, and their fields in an order that is another one in each run."""
    for held in (Model.__pydantic_validator__, Model.__pydantic_serializer__):
        name = f"pydantic_core._pydantic_core.{type(held).__name__}"
        assert whole(held) == {"$type": name, "repr": f"<{name} object>"}


def test_attrs_classes_give_their_fields():
    """An attrs class is known by what attrs leaves in it."""
    attrs = pytest.importorskip("attrs")
    made = attrs.make_class("Pair", ["x", "y"])(1, [2])
    assert whole(made)["fields"] == {"x": 1, "y": [2]}


def test_exception_groups_tell_their_members():
    """The exceptions inside a group are there too."""
    form = whole(ExceptionGroup("g", [ValueError("x")]))
    assert form["exceptions"] == [{"$type": "exception", "class": "ValueError", "message": "x"}]


def of_module(name, module, **body):
    """A class that says it comes from a library that is not installed here."""
    return type(name, (), {"__module__": module, **body})


def test_arrays_and_tables_are_known_by_name():
    """Numpy and pandas are never imported; what calls itself so is asked for its shape and first items."""
    flat = mock.MagicMock()
    flat.__getitem__.side_effect = lambda part: mock.Mock(tolist=lambda: list(range(2000))[part])
    made = of_module("ndarray", "numpy", dtype="int64", shape=(40, 50), size=2000, flat=flat)()
    result = Payloads().convert(made)
    assert result.cut
    assert result.value["dtype"] == "int64"
    assert result.value["shape"] == [40, 50]
    assert result.value["items"][-2:] == [999, {"$truncated": 1000}]
    number = of_module("float32", "numpy", item=lambda _: 1.5)
    base = of_module("generic", "numpy")
    assert whole(type("float32", (number, base), {"__module__": "numpy"})()) == 1.5
    located = mock.MagicMock()
    located.__getitem__.return_value.values.tolist.return_value = [[1, FAKE_PASSWORD]]
    frame = of_module("DataFrame", "pandas", shape=(1, 2), columns=["a", "password"], iloc=located)()
    form = to_json(frame, redactor=Redactor())
    assert form["rows"] == [{"a": 1, "password": "[REDACTED:key]"}]
    assert form["shape"] == [1, 2]


def test_real_arrays_and_tables():
    """The same with the real libraries, where they are installed."""
    numpy = pytest.importorskip("numpy")
    assert whole(numpy.float64(1.5)) == 1.5
    assert whole(numpy.int32(3)) == 3
    assert whole(numpy.arange(4).reshape(2, 2))["items"] == [0, 1, 2, 3]


def test_nothing_is_imported_to_recognise_a_value():
    """The libraries whose values are recognised stay out of a program that does not use them."""
    program = (
        "import sys; from namel3ss_debug.capture.payloads import Payloads; Payloads().value(object());"
        "print({'numpy', 'pandas', 'pydantic', 'attrs', 'attr', 'torch', 'django'} & sys.modules.keys())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


class MetaHostile(type):
    """Its classes can neither be hashed, compared nor named."""

    __hash__ = raising(ValueError())
    __eq__ = raising(ValueError())
    __repr__ = raising(ValueError())
    __instancecheck__ = raising(ValueError())
    __subclasscheck__ = raising(ValueError())


MetaHostile.__module__ = property(raising(ValueError()))
MetaHostile.__qualname__ = "MetaHostile"
NamelessClass = MetaHostile("NamelessClass", (), {})


def nested(depth):
    """A list in a list in a list."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def own_cycle():
    """A dict and a list that hold each other."""
    inner = []
    inner.append({"back": inner})
    return inner


def growing():
    """A list to which the `repr` of its item adds another item."""
    items = []
    items.append(instance("Growing", __repr__=lambda _: items.append(items[0]) or "one more"))
    return items


def shrinking():
    """A dict that the `repr` of its value empties."""
    table = {}
    table["a"] = instance("Shrinking", __repr__=lambda _: table.clear() or "gone")
    table["b"] = 2
    return table


def dead_proxy():
    """A weak reference to an object that is gone."""
    return weakref.proxy(instance("Gone"))


def released():
    """A view of memory that was given back."""
    view = memoryview(b"x")
    view.release()
    return view


def coroutine():
    """A coroutine that nobody awaited."""

    async def later():
        await asyncio.sleep(0)

    made = later()
    made.close()
    return made


async def async_generator():
    """Yields once."""
    yield 1


def traceback_of_a_failure():
    """Where a division by zero happened."""
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 // 0
    return caught.tb


class Everything:
    """Overrides whatever it can with a failure."""

    __getattribute__ = raising(SystemExit(3))
    __getattr__ = raising(SystemExit(3))
    __repr__ = raising(SystemExit(3))
    __str__ = raising(SystemExit(3))
    __hash__ = raising(SystemExit(3))
    __eq__ = raising(SystemExit(3))
    __len__ = raising(SystemExit(3))
    __iter__ = raising(SystemExit(3))
    __bool__ = raising(SystemExit(3))
    __format__ = raising(SystemExit(3))
    __reduce_ex__ = raising(SystemExit(3))


class LyingName:
    """Says that it is a dict of the language itself."""


LyingName.__module__, LyingName.__qualname__ = "builtins", "dict"

HOSTILE = {
    "repr raises": (lambda: instance("A", __repr__=raising(ValueError("x"))), "repr raised ValueError"),
    "repr exits": (lambda: instance("A", __repr__=raising(SystemExit(3))), "repr raised SystemExit"),
    "repr interrupts": (
        lambda: instance("A", __repr__=raising(KeyboardInterrupt())),
        "repr raised KeyboardInterrupt",
    ),
    "repr cancels": (lambda: instance("A", __repr__=raising(asyncio.CancelledError())), "raised asyncio"),
    "repr ends generators": (
        lambda: instance("A", __repr__=raising(GeneratorExit())),
        "raised GeneratorExit",
    ),
    "repr out of memory": (lambda: instance("A", __repr__=raising(MemoryError())), "raised MemoryError"),
    "repr is a number": (lambda: instance("A", __repr__=lambda _: 5), "repr raised TypeError"),
    "repr is a subclass": (
        lambda: instance(
            "A", __repr__=lambda _: instance("S", str, of=("said",), __str__=raising(OSError()))
        ),
        "said",
    ),
    "repr recurses": (lambda: instance("A", __repr__=lambda self: repr(self)), "repr raised RecursionError"),  # noqa: PLW0108
    "repr is huge": (lambda: instance("A", __repr__=lambda _: "x" * 10**7), "xxxx"),
    "class lies": (lambda: instance("A", __class__=property(lambda _: dict)), ".A object"),
    "class raises": (lambda: instance("A", __class__=property(raising(ValueError()))), ".A object"),
    "dict raises": (lambda: instance("A", __dict__=property(raising(ValueError()))), ".A object"),
    "dict is a number": (lambda: instance("A", __dict__=5), ".A object"),
    "slots unset": (lambda: dataclasses.make_dataclass("A", ["x"], slots=True).__new__, "__new__"),
    "everything raises": (lambda: object.__new__(Everything), "repr raised SystemExit"),
    "everything as a key": (
        lambda: {instance("K", __str__=raising(SystemExit())): 1},
        "str raised SystemExit",
    ),
    "nameless class": (lambda: NamelessClass, "NamelessClass"),
    "nameless object": (lambda: NamelessClass(), "NamelessClass"),  # noqa: PLW0108
    "lying name": (LyingName, "dict object"),
    "str that lies": (
        lambda: instance(
            "S",
            str,
            of=("hey",),
            __str__=raising(OSError()),
            __len__=lambda _: 10**9,
            __eq__=raising(OSError()),
            __hash__=raising(OSError()),
        ),
        '"hey"',
    ),
    "str as a key": (lambda: {instance("S", str, of=("hey",), __str__=raising(OSError())): 1}, '{"hey":1}'),
    "int that lies": (
        lambda: instance("I", int, of=(7,), __int__=raising(OSError()), __lt__=raising(OSError())),
        "7",
    ),
    "float that lies": (lambda: instance("F", float, of=(1.5,), __float__=raising(OSError())), "1.5"),
    "bytes that lie": (
        lambda: instance("B", bytes, of=(b"abc",), __bytes__=raising(OSError()), __len__=raising(OSError())),
        "YWJj",
    ),
    "dict that lies": (
        lambda: instance(
            "D",
            dict,
            of=({"a": 1},),
            items=raising(OSError()),
            __iter__=raising(OSError()),
            __len__=raising(OSError()),
        ),
        '{"a":1}',
    ),
    "list that lies": (
        lambda: instance("L", list, of=([1, 2],), __iter__=raising(OSError()), __len__=lambda _: -1),
        "[1,2]",
    ),
    "tuple that lies": (
        lambda: instance("T", tuple, of=((1, 2),), __iter__=raising(OSError()), _fields=5),
        "[1,2]",
    ),
    "set that lies": (
        lambda: instance("S", set, of=({1},), __iter__=raising(OSError()), __len__=raising(OSError())),
        "[1]",
    ),
    "deque that lies": (
        lambda: instance("Q", collections.deque, of=([1],), __iter__=raising(OSError())),
        '"items":[1]',
    ),
    "endless items": (
        lambda: instance("E", collections.UserList, __iter__=lambda _: itertools.count()),
        "[]",
    ),
    "date that lies": (
        lambda: instance("D", dt.datetime, of=(2024, 1, 1), isoformat=raising(OSError())),
        "2024-01-01",
    ),
    "zone that raises": (
        lambda: dt.datetime(2024, 1, 1, tzinfo=instance("Z", dt.tzinfo, utcoffset=raising(OSError()))),
        "datetime",
    ),
    "decimal that lies": (
        lambda: instance(
            "D", decimal.Decimal, of=("1.5",), __str__=raising(OSError()), __repr__=raising(OSError())
        ),
        "raised OSError",
    ),
    "message raises": (
        lambda: instance("E", Exception, of=("x",), __str__=raising(SystemExit())),
        "str raised SystemExit",
    ),
    "mock": (mock.Mock, "Mock"),
    "magic mock": (lambda: mock.MagicMock(name="it"), "it"),
    "async mock": (mock.AsyncMock, "AsyncMock"),
    "sentinel": (lambda: mock.sentinel.it, "sentinel.it"),
    "cycle": (own_cycle, '[{"back":{"$cycle":true}}]'),
    "deep list": (lambda: nested(100_000), '{"$truncated":1}'),
    "growing list": (growing, "one more"),
    "shrinking dict": (shrinking, '"b":2'),
    "huge number": (lambda: 1 << 10**7, '"bits":10000001'),
    "huge range as items": (lambda: (range(10**12),), "range(0, 1000000000000)"),
    "dead proxy": (dead_proxy, "weak"),
    "released view": (released, "released"),
    "two-dimensional view": (lambda: memoryview(bytes(range(4))).cast("B", (2, 2)), "AAECAw=="),
    "coroutine": (coroutine, "coroutine object"),
    "async generator": (async_generator, "async_generator object"),
    "partial": (lambda: functools.partial(json.dumps, [1] * 10**6), "json.dumps"),
    "bound method": (lambda: Login("u", FAKE_PASSWORD).__eq__, ".__eq__"),
    "frame": (sys._getframe, "frame"),
    "traceback": (traceback_of_a_failure, "traceback object"),
    "ellipsis": (lambda: ..., "Ellipsis"),
    "surrogates": (lambda: ["\ud83d", "\ude00", {"\udfff": "\ud800"}], "\\\\udfff"),
    "nul": (lambda: "a\x00b\x1b", "\\u0000"),
    "not a number as a key": (lambda: {math.nan: 1, math.inf: 2}, '"nan":1'),
    "weak set": (lambda: weakref.WeakSet(), "WeakSet"),  # noqa: PLW0108
    "signal": (lambda: signal.SIGINT, "2"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "kept"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("max_size", [0, 2000])
def test_hostile_values_are_contained_and_readable(make, kept, max_size):
    """No value raises into the program, grows beyond bounds, or leaves nothing to read."""
    result = Payloads(Redactor(), max_size).convert(make())
    text = orjson.dumps(result.value).decode()
    assert kept in text or (max_size and result.cut)
    assert len(text) < 20_000


def test_a_broken_value_spoils_nothing_beside_it():
    """What stands beside a hostile value stays as it is."""
    value = {"a": 1, "b": object.__new__(Everything), "c": [2, Everything, "x"]}
    result = whole(value)
    assert result["a"] == 1
    assert result["c"][::2] == [2, "x"]


def test_nothing_is_asked_of_an_object_but_its_repr():
    """No lazy attribute is computed, no item fetched, no length taken."""
    value = Asking()
    whole([value, {"a": value}])
    assert Asking.asked == 0
    assert "rows" not in vars(value)


def test_iterators_are_not_consumed():
    """A generator, a file and a map give their items to the program, not to the tracer."""
    values = [generator(), iter([1]), map(int, "1"), io.StringIO("1"), zip([1], [2], strict=True)]
    whole(values)
    assert [next(value) for value in values] == [1, 1, 1, "1", (1, 2)]


def test_no_live_object_is_kept():
    """When the program drops its objects they go, whatever the tracer made of them."""

    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)
    payloads = Payloads(Redactor(), 0)
    kept = payloads.value({"a": [held], "list": [1, 2]})
    del held
    gc.collect()
    assert gone() is None
    assert kept["list"] == [1, 2]


def test_what_the_program_changes_later_does_not_change():
    """The JSON is a copy."""
    payloads = Payloads()
    value = {"a": "x", "b": 1}
    payloads.value(value)
    kept = payloads.value(value)
    value["a"] = "y"
    assert kept == {"a": "x", "b": 1}


def test_values_of_secret_names_and_secrets_in_texts_are_replaced():
    """In fields, keys, reprs, messages, bytes and nested JSON text."""
    value = {
        "password": FAKE_PASSWORD,
        "nested": {"api_key": ["a", "b"], "X-Api-Key": 123, SECRET: 1},
        "login": Login("u", FAKE_PASSWORD),
        "object": instance("A", __repr__=lambda _: f"<A {SECRET}>"),
        "error": ValueError(f"bad key {SECRET}"),
        "bytes": SECRET.encode(),
        "text": json.dumps({"a": SECRET}),
        "card": 4111111111111111,
        "items": [SECRET, (SECRET,), {SECRET}],
        "named": type(SECRET.replace("-", "_"), (), {}),
    }
    result = Payloads(Redactor()).convert(value)
    text = orjson.dumps(result.value).decode()
    assert result.redacted
    assert not result.whole
    assert SECRET not in text
    assert FAKE_PASSWORD not in text
    assert "4111" not in text
    assert base64.b64encode(SECRET.encode()).decode() not in text
    assert result.value["password"] == "[REDACTED:key]"
    assert json.loads(result.value["text"]) == {"a": "[REDACTED:openai]"}


def test_what_stands_behind_an_option_is_judged_by_the_list_it_is_in():
    """A word and an option that were seen by themselves do not make the list of both a clear one, in whatever form it comes."""
    payloads = Payloads(Redactor())
    command = ["mysql", "--password", "pw", "db"]
    for one in (*command, ["pw"], {"args": ["mysql", "db"]}):
        payloads.value(one)
    shown = ["mysql", "--password", "[REDACTED:key]", "db"]
    assert payloads.flat({"args": command}) is None
    assert payloads.value({"args": command}) == {"args": shown}
    assert payloads.convert(tuple(command)) == Converted(shown, cut=False, redacted=True)
    assert exact(payloads, command).json == shown
    assert Payloads().value(command) == command


def test_items_of_a_request_are_converted_once():
    """The next request repeats its messages as the same objects; `1`, `1.0` and `true` stay apart."""
    payloads = Payloads(Redactor())
    messages = [{"role": "user", "password": SECRET}, {"n": 1}, {"n": 1.0}, {"n": True}]
    first, again = (
        payloads.mapping(payloads.request({"model": "m", "messages": messages})) for _ in range(2)
    )
    assert first == payloads.convert({"model": "m", "messages": messages}).value
    assert all(one is other for one, other in zip(first["messages"], again["messages"], strict=True))
    assert [type(message["n"]) for message in first["messages"][1:]] == [int, float, bool]


def test_items_of_a_bounded_request_are_not_remembered():
    """What is left out depends on the items before."""
    asked = {"messages": [{"content": "x" * 50}] * 8}
    payloads = Payloads(None, max_size=128)
    assert payloads.request(asked) is asked
    assert payloads.convert(asked).cut


def test_remembered_items_are_bounded_in_number_and_size():
    """A long run with large messages holds few of them."""
    payloads = Payloads()
    payloads.request({"messages": [{"content": "x" * 20_000}]})
    assert not payloads.items
    for n in range(2000):
        payloads.request({"messages": [{"content": f"{n}"}]})
    assert 0 < len(payloads.items) <= 512


def test_a_secret_name_without_a_secret_stays():
    """Whether a credential was there is worth knowing and gives nothing away; a model's token is none."""
    value = {"password": None, "token": "", "secret": False, "logs": {"token": "Hello", "logprob": -0.1}}
    result = Payloads(Redactor()).convert(value)
    assert result == Converted(value, cut=False, redacted=False)


def test_a_name_is_judged_each_time_it_is_met():
    """That `token` was harmless beside a probability does not make it so for ever."""
    payloads = Payloads(Redactor())
    payloads.value({"token": "Hello", "logprob": -0.1})
    assert payloads.value({"token": "aB3dE5gH7jK9mN1p"}) == {"token": "[REDACTED:key]"}


def test_the_short_way_gives_what_the_long_way_gives():
    """A payload seen before comes out the same."""
    payloads = Payloads(Redactor())
    value = {"city": "Zürich", "days": 3, "ratio": 0.5, "now": None, "ok": True}
    first = payloads.value(value)
    assert payloads.value(value) == first == value
    assert payloads.flat(value) == value
    for odd in (math.nan, 2**70, "new", "\ud800", [1], 4111111111111111):
        assert payloads.value(value | {"odd": odd}) == value | {"odd": to_json(odd, redactor=Redactor())}


def test_the_short_way_takes_a_list_of_texts_seen_before():
    """The list is a copy, and whatever else stands in a list goes the long way, to the same result."""
    payloads = Payloads(Redactor())
    value = {"chain": ["agent.py:main", "agent.py:ask"], "days": 3}
    assert payloads.value(value) == value
    short = payloads.flat(value)
    assert short == value
    assert short is not None
    assert short["chain"] is not value["chain"]
    for odd in (["agent.py:main", "new"], ["agent.py:main", 3], [["agent.py:main"]], ["agent.py:main"] * 40):
        assert payloads.flat({"chain": odd}) is None
        assert payloads.value({"chain": odd}) == {"chain": odd}


def test_the_memory_of_the_short_way_is_bounded():
    """Many different texts do not fill the memory, and long ones are not kept at all."""
    payloads = Payloads()
    for number in range(5000):
        payloads.value([f"text {number}", {f"name {number}": "x" * 1000}])
    assert len(payloads.clear_texts) <= 4096
    assert len(payloads.clear_names) <= 4096
    assert max(map(len, payloads.clear_texts | payloads.clear_names)) <= 256


def test_without_a_bound_json_stays_whole():
    """What JSON itself can say is not cut, so that it can be given again as an answer."""
    value = {
        "long": "x" * 100_000,
        "many": list(range(5000)),
        "deep": nested(90),
        "names": {str(n): n for n in range(3000)},
    }
    assert Payloads(Redactor()).convert(value) == Converted(value, cut=False, redacted=False)


def test_long_texts_are_cut_and_say_how_long_they_were():
    """The beginning stays."""
    result = Payloads(max_size=1000).convert({"a": "é" * 5000})
    assert result.cut
    assert result.value["a"]["length"] == 5000
    assert set(result.value["a"]["$truncated"]) == {"é"}
    assert len(result.value["a"]["$truncated"].encode()) <= 1000


def test_objects_that_all_lead_to_each_other_come_to_an_end():
    """There are more ways through ten of them than anybody could write down."""
    nodes: list[typing.Any] = [[number] for number in range(16)]
    for node in nodes:
        node.append([other for other in nodes if other is not node])
    whole = {"argument": Payloads().value(nodes[0]), "result": exact(Payloads(), nodes[0]).json}
    assert all(len(orjson.dumps(json)) < 20_000_000 for json in whole.values())


def test_many_items_and_deep_nesting_are_cut():
    """A list tells how many items were left out; so does a dict; too deep a value how many it held."""
    payloads = Payloads(max_size=100_000)
    assert payloads.convert(list(range(1500))) == Converted(
        [*range(1000), {"$truncated": 500}], cut=True, redacted=False
    )
    assert payloads.value({str(n): n for n in range(1500)})["$truncated"] == 500
    assert orjson.dumps(payloads.value(nested(50))).count(b"[") == 32
    assert payloads.value(set(range(1500)))["items"][-1] == {"$truncated": 500}


@pytest.mark.parametrize("secret_at", range(880, 1060, 20))
def test_a_cut_never_leaves_a_part_of_a_secret(secret_at):
    """A secret across the place of the cut is gone, not halved."""
    text = "x " * (secret_at // 2) + SECRET + " y" * 5000
    result = Payloads(Redactor(), 1000)
    for kept in (result.value(text)["$truncated"], result.text(text), result.text(text[::-1] + text)):
        assert SECRET[:14] not in kept
        assert SECRET[20:28] not in kept


def test_a_long_text_keeps_its_end():
    """`text` leaves out the middle: the end of a traceback is what matters."""
    text = "\n".join(f"line {number}" for number in range(1000)) + "\nValueError: the end"
    kept = Payloads(Redactor(), 1000).text(text)
    assert kept.startswith("line 0\n")
    assert kept.endswith("ValueError: the end")
    assert "characters left out" in kept
    assert len(kept) < 1100
    assert Payloads(Redactor()).text(text) == text


def test_headers_and_urls():
    """They lose their credentials; with redaction off, headers still do."""
    pairs = [("Authorization", "Bearer x"), ("X-A", "b\ud800")]
    for payloads in (Payloads(Redactor()), Payloads()):
        assert payloads.headers(pairs) == [("Authorization", "[REDACTED:header]"), ("X-A", "b\\ud800")]
    assert Payloads(Redactor()).url("https://h/?key=abc") == "https://h/?key=[REDACTED:key]"


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"type": "string", "title": "Api Key"}, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, True),
        ({"$ref": "#/$defs/Key"}, True),
        ({"type": "string", "default": "hunter2"}, False),
        ({"type": "string", "enum": ["hunter2"]}, False),
        ({"type": "bearer"}, False),
        ({"title": "hunter2"}, False),
        ({"value": "hunter2"}, False),
        ({}, True),
    ],
)
def test_the_schema_of_a_parameter_with_a_secret_name_is_no_secret(schema, kept):
    """It says what a value looks like; one that holds a value is secret all the same."""
    shown = Payloads(Redactor()).value({"properties": {"api_key": schema}})["properties"]["api_key"]
    assert shown == (schema if kept else "[REDACTED:key]")
    assert Payloads().url("https://h/?key=abc") == "https://h/?key=abc"


def test_a_mapping_is_always_an_object():
    """What should have been a dict and is not stands under `value`."""
    assert Payloads().mapping({"a": 1}) == {"a": 1}
    assert Payloads().mapping([1]) == {"value": [1]}


@pytest.mark.parametrize("handler", [signal.default_int_handler, "python", "partial"])
def test_an_interrupt_by_a_signal_passes_through(handler):
    """Ctrl-C while a value is looked at stops the program as it would without the tracer."""

    def interrupting(*_args):
        raise KeyboardInterrupt

    def bothered(*_args):
        signal.raise_signal(signal.SIGINT)
        return "never"

    chosen = {"python": interrupting, "partial": functools.partial(interrupting, 1)}.get(handler, handler)
    before = signal.signal(signal.SIGINT, chosen)
    try:
        with pytest.raises(KeyboardInterrupt):
            whole([instance("A", __repr__=bothered)])
        with pytest.raises(KeyboardInterrupt):
            whole(dt.datetime(2024, 1, 1, tzinfo=instance("Z", dt.tzinfo, utcoffset=bothered)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_exit_asked_for_by_a_signal_passes_through():
    """So does what any other handler of the program raises, such as its exit on SIGTERM."""

    def leaving(*_args):
        raise SystemExit(7)

    before = signal.signal(signal.SIGUSR1, leaving)
    try:
        with pytest.raises(SystemExit):
            whole(instance("A", __repr__=lambda _: signal.raise_signal(signal.SIGUSR1)))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_near_the_end_of_the_stack_nothing_is_raised():
    """A program deep in a recursion of its own is not pushed over the edge."""
    payloads = Payloads(Redactor())
    results = []

    def deeper():
        try:
            deeper()
        except RecursionError:
            results.append(payloads.value({"a": [1, {"b": {1, 2}}]}))
            raise

    with pytest.raises(RecursionError):
        deeper()
    assert results[-1] == {"a": [1, {"b": {"$type": "set", "items": [1, 2]}}]}


def test_threads_may_change_what_is_converted():
    """A dict that another thread fills meanwhile raises nothing."""
    shared = {}
    stop = threading.Event()

    def fill():
        number = 0
        while not stop.is_set():
            number += 1
            shared[number % 40] = "x"
            shared.pop((number * 7) % 40, None)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        payloads = Payloads(Redactor())
        for _ in range(300):
            orjson.dumps(payloads.value({"shared": shared, "keys": shared.keys()}))
    finally:
        stop.set()
        thread.join()


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=30)
    | st.binary(max_size=30)
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.complex_numbers()
    | st.sampled_from(
        [object(), Colour.RED, Point(1, "\ud800"), Login, ValueError("\udfff"), Ellipsis, SECRET]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(SCALARS, inner, max_size=5)
        | st.builds(Login, inner, inner)
        | st.builds(collections.deque, st.lists(inner, max_size=3))
        | st.builds(types.SimpleNamespace, a=inner, token=inner)
        | st.builds(ValueError, inner)
        | st.frozensets(SCALARS, max_size=4)
    ),
    max_leaves=20,
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**13), 10**13)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@given(VALUES, st.sampled_from([0, 200, 16384]))
def test_any_value_becomes_json(value, max_size):
    """Law: orjson takes whatever comes out, as it is, and it comes back the same."""
    payloads = Payloads(Redactor(), max_size)
    first = payloads.convert(value)
    encoded = orjson.dumps(first.value)
    assert orjson.dumps(payloads.value(value)) == encoded
    assert SECRET.encode() not in encoded
    if max_size:
        assert len(encoded) < 6 * max_size + 6000


def test_a_text_seen_before_takes_as_much_room_as_the_first_time():
    """What is left out does not depend on what was recorded before, also beyond ASCII."""
    for size in range(64, 400):
        payloads = Payloads(None, max_size=size)
        value = [["\u20ac" * 3, {"a": "\u20ac" * 3}, n] for n in range(20)]
        assert payloads.convert(value) == payloads.convert(value)


@given(PLAIN)
def test_json_comes_out_as_it_went_in(value):
    """Law: without redaction and bounds, JSON is not changed, and is said to be whole."""
    payloads = Payloads()
    assert payloads.convert(value) == Converted(value, cut=False, redacted=False)
    assert payloads.value(value) == value


@pytest.mark.parametrize("number", [int("4532" + "015112830366"), "4532" + "015112830366"])
def test_the_number_of_an_order_is_complete(number):
    """It may look like that of a card; then a re-run could not answer with it."""
    payloads = Payloads(Redactor())
    for _ in range(2):
        value = {"order_id": number, "orders": [{"orderNumber": number}]}
        assert payloads.convert(value) == Converted(value, cut=False, redacted=False)
        assert payloads.convert({"card": number}).redacted


def test_names_that_also_mean_other_things_are_complete():
    """A re-run can answer with a symbol of a currency and a taste of biscuits."""
    value = {"token": "USDC", "cookie": "chocolate chip", "authorization": "approved"}
    assert Payloads(Redactor()).convert(value) == Converted(value, cut=False, redacted=False)
