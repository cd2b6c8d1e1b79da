"""Objects that nothing marks as data: told whole and made again, or told as what cannot be."""

from __future__ import annotations

import abc
import argparse
import asyncio
import collections
import fractions
import ipaddress
import re
import subprocess
import sys
import threading
import typing
import weakref

import orjson
import pydantic
import pydantic.v1
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Payloads, data_objects, exact
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.wire.values import revive

T = typing.TypeVar("T")


class Plain:
    """As most are; what is asked of it or given to it is nobody's business here."""

    def __init__(self, item: typing.Any, more: typing.Any = ()) -> None:
        """Hold something."""
        vars(self).update(item=item, more=more)

    def __eq__(self, other: object) -> bool:
        """By what it holds."""
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None

    def __getattr__(self, name: str) -> typing.Any:
        """Nothing is looked up in it."""
        raise AssertionError(name)

    __setattr__ = __getattr__


class Generic(abc.ABC, typing.Generic[T]):
    """Of an abstract and generic class."""

    def __init__(self, item: typing.Any) -> None:
        """Hold something."""
        self.item = item


class Slots:
    """With slots, of which not all are set."""

    __slots__ = ("item", "unset")

    def __init__(self, item: typing.Any) -> None:
        """Hold something."""
        self.item = item


class Both(Slots):
    """With slots and more."""

    def __init__(self, item: typing.Any) -> None:
        """Hold something twice."""
        super().__init__(item)
        self.more = item


class Name(str):  # noqa: SLOT000  (one that has a dict)
    """A text of a class of its own, which is made in a way of its own."""

    def __new__(cls, text: str) -> typing.Self:
        """With something before it."""
        return str.__new__(cls, f"<{text}")


class Words(list):
    """A list that can have attributes."""


class Open(dict):
    """A dict whose items are attributes."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


class Some(set):
    """A set."""


class Fixed(frozenset):
    """One that does not change."""


class Row(tuple):  # noqa: SLOT001  (as above)
    """A tuple."""


class Number(int):
    """A number."""


class Degrees(float):
    """A number."""


class Raw(bytes):
    """Bytes."""


class FailedError(Exception):
    """An exception with a code."""

    def __init__(self, code: typing.Any) -> None:
        """Say it."""
        super().__init__(f"code {code}")
        self.code = code


class Old(pydantic.v1.BaseModel):
    """A model of the first version."""

    item: typing.Any
    _seen: typing.Any = pydantic.v1.PrivateAttr(default=())


class Page(pydantic.BaseModel):
    """A model with an address."""

    at: pydantic.HttpUrl


def back(value: typing.Any) -> typing.Any:
    """What comes of the bytes of a recording; fails where a flaw is told."""
    recorded = exact(Payloads(), value)
    revived = revive(orjson.loads(orjson.dumps(recorded.json)), data_objects.make)
    assert (recorded.inexact, revived.flaws) == ((), ())
    return revived.value


def held(value: typing.Any) -> typing.Any:
    """What an object is and holds, to be compared."""
    slots = value.item if isinstance(value, Slots) else None
    return type(value), slots, getattr(value, "__dict__", None), str(value) if slots is None else ""


texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.integers() | texts | st.tuples(st.integers())
trees = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(Words),
        st.lists(inner, max_size=3).map(Row),
        st.dictionaries(keys, inner, max_size=3).map(Open),
        st.builds(Plain, inner, inner),
        texts.map(Name),
        st.integers().map(Number),
        st.sets(keys, max_size=3).map(Some),
        st.frozensets(keys, max_size=3).map(Fixed),
    ),
    max_leaves=8,
)


@given(trees)
def test_what_is_recorded_of_an_object_makes_it_again(value):
    """A law: of the same class, equal, and equal in all that it holds, wherever it stands."""
    made = back(value)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        Slots({1}),
        Both((2,)),
        Degrees(1.5),
        Raw(b"\x00x"),
        ValueError("x", 1),
        KeyError("k"),
        FailedError(3),
        TimeoutError(),
        FileNotFoundError(2, "No such file", "a.txt"),
        Old(item=1),
        Page(at="https://example.org/a?b=1"),
        collections.UserDict(a=1),
        argparse.Namespace(a=1),
        subprocess.CompletedProcess(["true"], 0, b"x", "y"),
        fractions.Fraction(1, 3),
        ipaddress.ip_network("10.0.0.0/8"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_comes_back_as_it_was(value):
    """With its dict and its slots, the arguments of an exception, and what the system says of a file."""
    made = back({"a": [value]})["a"][0]
    assert held(made) == held(value)
    assert getattr(made, "filename", None) == getattr(value, "filename", None)


def test_an_object_has_its_attributes_beside_what_a_built_in_class_has():
    """A list and a dict of classes of the program's may have both."""
    assert vars(back(Generic[int](1))) == {"item": 1}
    words = Words([1])
    words.owner = Plain(2)
    made = back(words)
    assert (made, made.owner) == ([1], Plain(2))
    error = FailedError(1)
    error.add_note("told")
    assert (back(error).code, back(error).__notes__) == (1, ["told"])
    old = Old(item=1)
    old._seen = (3,)
    assert (back(old)._seen, back(old).__fields_set__) == ((3,), {"item"})


def test_an_object_that_stands_in_several_places_is_one_again():
    """Of one that is only alike there are two."""
    one, other = Plain(1), Plain(1)
    made = back([one, {"x": one}, other])
    assert made[0] is made[1]["x"]
    assert made[0] is not made[2]


class Mark:
    """Of which one object is told by what it is, and by nothing in it."""


class Single:
    """Of which there is one object."""

    def __new__(cls) -> typing.Self:
        """Ask for it."""
        return object.__new__(cls)

    def __init__(self) -> None:
        """Hold something."""
        self.item = 1


class Registry(type):
    """Makes objects in a way of its own."""

    def __call__(cls, *given: typing.Any) -> typing.Any:
        """And knows them."""
        return super().__call__(*given)


class Registered(metaclass=Registry):
    """Of which a class knows the objects."""

    def __init__(self) -> None:
        """Hold something."""
        self.item = 1


class Pickled(Plain):
    """One that says itself what is kept of it."""

    def __getstate__(self) -> typing.Any:
        """Nothing."""
        return {}


class Connection(Plain):
    """One that is to be closed."""

    def __exit__(self, *_error: object) -> None:
        """Close it."""


class Lent(int):
    """A number that is to be given back."""

    def __exit__(self, *_error: object) -> None:
        """Give it back."""


class Queue(asyncio.Queue):
    """A way to other work."""


class OtherError(OSError):
    """An exception of the system's that is made in a way of its own."""

    def __init__(self) -> None:
        """Without arguments."""
        super().__init__(2, "No such file")


ring = Plain(0)
vars(ring)["item"] = [ring]


@pytest.mark.parametrize(
    "value",
    [
        Mark(),
        Single(),
        Registered(),
        Pickled(1),
        Connection(1),
        Lent(1),
        Queue(),
        asyncio.Event(),
        OtherError(),
        SyntaxError("x", ("f", 1, 2, "t")),
        ExceptionGroup("x", [ValueError()]),
        weakref.finalize(Mark, print),
        re.compile("a"),
        pydantic.SecretStr("x"),
        ring,
        Plain(threading.Lock()),
        Plain([Words([Plain(Mark())])]),
        Words([object()]),
        Open(a="\ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_more_than_it_holds_is_told(value):
    """One object in its place would be another one, so nothing is made of it, wherever it stands."""
    for whole in (value, {"a": [value]}, Plain(value)):
        recorded = exact(Payloads(), whole)
        assert recorded.inexact or not revive(recorded.json, data_objects.make).exact


def test_what_is_not_told_whole_is_told_by_what_it_says_of_itself():
    """And what stands beside it is not touched by that."""
    recorded = exact(Payloads(), [Plain([Plain(1), threading.Lock()]), Plain(2)])
    first, second = recorded.json
    assert first == {"$type": f"{__name__}.Plain", "repr": f"<{__name__}.Plain object>"}
    assert second == {
        "$type": f"{__name__}.Plain",
        "fields": {"item": 2, "more": back_form(())},
        "made": "plain",
    }


def back_form(value: typing.Any) -> typing.Any:
    """Its form."""
    return exact(Payloads(), value).json


def test_objects_that_lead_to_each_other_on_very_many_ways_come_to_an_end():
    """What would be told for ever is told as one that cannot be made again."""
    node = Plain(0)
    for _ in range(40):
        node = Plain(node, [node, node])
    assert "repr" in exact(Payloads(), node).json


def test_a_secret_in_an_object_is_replaced_as_in_a_dict():
    """By the name of its attribute; what a class keeps to itself is not read at all."""
    login = argparse.Namespace(user="ada", password="hunter2")
    recorded = exact(Payloads(Redactor()), login)
    assert [flaw.kind for flaw in revive(recorded.json, data_objects.make).flaws] == ["redacted"]
    for payloads in (Payloads(Redactor()), Payloads()):
        assert b"hunter2" not in orjson.dumps(exact(payloads, [pydantic.SecretStr("hunter2")]).json)


def test_a_class_that_is_another_one_now_is_told(monkeypatch):
    """It holds something else by now, or is pickled in a way of its own."""
    form = exact(Payloads(), Words([1])).json
    monkeypatch.setattr(sys.modules[__name__], "Words", Open)
    assert not revive(form, data_objects.make).exact
    monkeypatch.setattr(sys.modules[__name__], "Words", Pickled)
    assert not revive(form, data_objects.make).exact


def test_numbers_and_arrays_of_numpy_come_back():
    """Of their type and shape; texts and objects in an array are not told so."""
    numpy = pytest.importorskip("numpy")
    for number in (
        numpy.float64(0.1),
        numpy.float16(0.1),
        numpy.int32(-3),
        numpy.bool_(True),
        numpy.uint64(2**63),
    ):
        made = back({"mean": number})["mean"]
        assert (type(made), made) == (type(number), number)
    for array in (numpy.arange(6, dtype="f4").reshape(2, 3).T, numpy.zeros((0, 3), bool), numpy.array(1)):
        made = back(array)
        assert (made.dtype, made.shape, made.tolist()) == (array.dtype, array.shape, array.tolist())
    for value in (numpy.array(["a"]), numpy.array([None]), numpy.longdouble(1), numpy.complex64(1)):
        recorded = exact(Payloads(), value)
        assert recorded.inexact or not revive(recorded.json, data_objects.make).exact
