"""Objects that only hold data: what is recorded of them makes them again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import importlib.util
import sys
from http import HTTPStatus
from types import ModuleType
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import attrs
import orjson
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import TzInfo

from namel3ss_debug.capture.payloads import Payloads, data_objects, exact
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.wire.values import DataObject, revive

T = TypeVar("T")


class State(enum.Enum):
    """Of an order."""

    OPEN = "open"
    SENT = ("sent", 2)


class Word(enum.StrEnum):
    """A text with a name."""

    YES = "yes"


class Allowed(enum.Flag):
    """Of which several stand together."""

    READ = 1
    WRITE = 2


class Kind(enum.Enum):
    """Whose values are no data."""

    NUMBER = int


class Point(NamedTuple):
    """A tuple with names."""

    x: Any
    y: Any


class Spot(Point):
    """One that has room for more."""


@dataclasses.dataclass
class Order:
    """As most are."""

    item: Any
    state: Any = State.OPEN


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """One that does not change."""

    item: Any


@dataclasses.dataclass
class Noted(Order):
    """One that keeps more than its fields."""

    def __post_init__(self):
        """Keep it."""
        self.note = ("noted", self.item)


class Checked:
    """Stands in a class in place of a field, and checks what is put into it."""

    def __set__(self, holder, value):
        """No test makes one that is checked."""
        raise AssertionError(value)


@dataclasses.dataclass
class Guarded:
    """One with a field that is checked, and with a property that can be set."""

    item: Any = 0
    more = property(lambda self: self._more, pytest.fail)


Guarded.item = Checked()


@dataclasses.dataclass
class Closing:
    """One that does something when it goes."""

    item: Any

    def __del__(self):
        """Say so."""


@dataclasses.dataclass
class Box(Generic[T]):
    """One of a generic class."""

    item: T


class Slotted(Frozen):
    """With a slot beside the fields."""

    __slots__ = ("more",)


@attrs.define
class Parcel:
    """A class of attrs with slots."""

    item: Any


@attrs.frozen(cache_hash=True)
class Hashed:
    """One that keeps its hash, which is another one in each process."""

    item: Any


class Model(pydantic.BaseModel):
    """A model that takes more than it declares."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    item: Any
    state: Any = State.OPEN
    _seen: Any = pydantic.PrivateAttr(default=())

    @functools.cached_property
    def length(self):
        """Computed once."""
        return len(self.item)


class Items(pydantic.RootModel[list[Any]]):
    """A model of one value."""

    _seen: Any = pydantic.PrivateAttr(default=())


@dataclasses.dataclass
class FailedError(Exception):
    """An exception that is a dataclass; its memory is not that of a plain object."""

    item: Any


@dataclasses.dataclass
class Later:
    """One that got more fields since."""

    item: Any
    size: int = 3
    tags: list = dataclasses.field(default_factory=list)
    unset: Any = dataclasses.field(init=False, repr=False, compare=False)
    of_all: ClassVar[int] = 1
    only_now: dataclasses.InitVar[int] = 1


@dataclasses.dataclass(slots=True)
class LaterSlots:
    """The same with slots."""

    item: Any
    size: int = 3
    tags: list = dataclasses.field(default_factory=list)


@attrs.define
class LaterAttrs:
    """The same of attrs."""

    item: Any
    size: int = 3
    tags: list = attrs.Factory(list)


class LaterModel(pydantic.BaseModel):
    """The same of pydantic."""

    item: Any
    size: int = 3
    tags: list = pydantic.Field(default_factory=list)


class Plain:
    """A class that says nothing of what it holds."""

    def __init__(self):
        """Hold something."""
        self.item = object()


def back(value: Any) -> Any:
    """What comes of the bytes of a recording; fails where a flaw is told."""
    recorded = exact(Payloads(), value)
    revived = revive(orjson.loads(orjson.dumps(recorded.json)), data_objects.make)
    assert (recorded.inexact, revived.flaws) == ((), ())
    return revived.value


leaves = (
    st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(State)
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
        *(st.builds(kind, inner) for kind in (Order, Frozen, Noted, Box, Parcel, Slotted)),
        st.builds(Model, item=inner, more=inner),
        st.builds(Items, st.lists(inner, max_size=3)),
        st.builds(Point, inner, inner),
    ),
    max_leaves=8,
)


@given(trees)
def test_what_is_recorded_of_an_object_makes_it_again(value):
    """A law: equal and shown alike, whatever it holds and wherever it stands."""
    made = back(value)
    assert made == value
    assert repr(made) == repr(value)


@pytest.mark.parametrize(
    "member",
    [*State, *Word, *Kind, HTTPStatus.NOT_FOUND, Allowed.READ | Allowed.WRITE, Allowed(0)],
    ids=str,
)
def test_a_member_of_an_enumeration_is_the_same_object(member):
    """As `is` compares them."""
    assert back([member])[0] is member


def test_a_member_is_found_by_its_value_where_an_answer_was_changed():
    """It has no name then; of a value that no member has, none is made."""
    form = exact(Payloads(), Word.YES).json
    del form["name"]
    assert revive(form, data_objects.make).value is Word.YES
    assert revive(form | {"value": "YES"}, data_objects.make).value is Word.YES
    assert revive(form | {"value": "no"}, data_objects.make).flaws[0].what == f"{__name__}.Word"


def test_what_an_object_holds_besides_its_fields_comes_back():
    """Attributes that it was given later, in a slot or not."""
    slotted = Slotted(1)
    object.__setattr__(slotted, "more", [2])
    assert back(slotted).more == [2]
    assert back(Noted(3)).note == ("noted", 3)
    assert "__orig_class__" not in vars(back(Box[int](1)))
    spot = Spot(1, 2)
    spot.note = [3]
    assert (back(spot), back(spot).note) == (spot, [3])


def test_several_flags_that_nobody_has_put_together_here_yet_come_back(monkeypatch):
    """By their value, as the library itself puts them together; of a value that cannot be, nothing is made."""
    form = exact(Payloads(), Allowed.READ | Allowed.WRITE).json
    monkeypatch.delitem(Allowed._value2member_map_, 3)
    made = revive(form, data_objects.make).value
    assert made is Allowed.READ | Allowed.WRITE
    assert not revive(form | {"value": 64}, data_objects.make).exact


def test_nothing_of_the_class_runs_when_an_object_gets_what_it_held():
    """No descriptor that checks a field, and no setter of a property, though a recording may name one."""
    guarded = object.__new__(Guarded)
    vars(guarded).update(item=1, _more=2)
    assert vars(back(guarded)) == vars(guarded)
    form = exact(Payloads(), guarded).json
    made = revive(form | {"beside": {"more": 5}}, data_objects.make).value
    assert vars(made) == {"item": 1, "more": 5}


def test_an_object_that_stands_in_several_places_is_one_again():
    """Also a model, and within another that is; what is only alike stays two."""
    order, other, model = Order([1]), Order([1]), Model(item=1)
    made = back({"all": [order, other, model], "best": order, "in": Order([order, model])})
    assert made["best"] is made["all"][0] is made["in"].item[0]
    assert made["in"].item[1] is made["all"][2]
    assert made["all"][1] is not made["all"][0]


def test_a_model_comes_back_with_what_pydantic_knows_of_it():
    """Which fields were given, what it took beyond the declared ones, and its private attributes."""
    model = Model(item=1, more=[2])
    model.__pydantic_private__["_seen"] = (3,)
    made = back(model)
    assert made.model_fields_set == {"item", "more"}
    assert (made.more, made.model_extra, made._seen) == ([2], {"more": [2]}, (3,))
    assert made.model_dump_json(exclude_unset=True) == '{"item":1,"more":[2]}'
    assert made.model_copy(update={"item": 5}).item == 5
    assert hash(back(Model(item="a", more="b"))) == hash(Model(item="a", more="b"))


def test_a_model_comes_back_with_what_it_has_computed_once():
    """It stands in the model, though it is no field; so do the private attributes of a model of one value."""
    model, items = Model(item="abc"), Items([1])
    assert (model.length, "length" in vars(back(model)), back(model).length) == (3, True, 3)
    items._seen = (1,)
    assert back(items)._seen == (1,)


def test_an_object_that_was_made_without_some_of_its_fields_comes_back_without_them():
    """So a model comes of `model_construct`, and an object that lost one."""
    order = Order(1)
    del order.item
    assert vars(back(order)) == vars(order)
    assert vars(back(Model.model_construct(state=1))) == {"state": 1}


def test_a_date_that_pydantic_read_comes_back_with_its_zone():
    """The zone is of a class of its own, which shows in texts."""
    moment = pydantic.TypeAdapter(dt.datetime).validate_python("2026-11-22T10:00:00+02:00")
    assert type(moment.tzinfo) is TzInfo
    assert repr(back(moment)) == repr(moment)


def local() -> Any:
    """An object of a class that cannot be found by its name."""

    @dataclasses.dataclass
    class Order:
        item: Any

    return Order(1)


@pytest.mark.parametrize(
    "value",
    [
        local(),
        Plain(),
        FailedError(1),
        Hashed(1),
        Closing(1),
        Order(Plain()),
        Model(item=object()),
        [Point(Plain(), 1)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_made_again_is_told(value):
    """Its class stands behind no name, or it holds what no form tells."""
    for whole in (value, {"a": [value]}):
        recorded = exact(Payloads(), whole)
        assert recorded.inexact or not revive(recorded.json, data_objects.make).exact


def test_a_secret_in_an_object_does_not_count_as_what_it_was():
    """A field of a secret name is replaced as in a dict."""
    kind = dataclasses.make_dataclass("Login", ["user", "password"], namespace={"__module__": __name__})
    sys.modules[__name__].Login = kind
    recorded = exact(Payloads(Redactor()), kind("ada", "hunter2"))
    assert b"hunter2" not in orjson.dumps(recorded.json)
    assert [flaw.kind for flaw in revive(recorded.json, data_objects.make).flaws] == ["redacted"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("subprocess.Popen", "object"),
        ("no.such.Class", "object"),
        (f"{__name__}.Plain", "object"),
        (f"{__name__}.Order", "plain"),
        ("eval", "plain"),
        (f"{__name__}.local", "object"),
        (f"{__name__}.Order", "model"),
        (f"{__name__}.Order", "other"),
        (f"{__name__}.FailedError", "object"),
    ],
)
def test_nothing_else_is_made_of_what_a_recording_names(name, made):
    """No class that the program does not have, and none but of the kinds that only hold data, as the kind they are."""
    form = {"$type": name, "fields": {"item": 1, "args": ["true"]}, "made": made}
    assert [flaw[::2] for flaw in revive(form, data_objects.make).flaws] == [("opaque", name)]


def test_a_class_that_is_another_one_now_is_told():
    """A program may have been edited since; what does not fit is not made."""
    form = {"$type": f"{__name__}.Point", "fields": {"x": 1}, "made": "tuple"}
    assert not revive(form, data_objects.make).exact


def edited(kind: type, **fields: Any) -> Any:
    """A recorded object of a class that had these fields then."""
    made = "model" if issubclass(kind, pydantic.BaseModel) else "object"
    beside = {"given": list(fields), "private": None} if made == "model" else {}
    form = {"$type": f"{__name__}.{kind.__name__}", "fields": fields, "made": made, **beside}
    return revive(form, data_objects.make)


@pytest.mark.parametrize("kind", [Later, LaterSlots, LaterAttrs, LaterModel], ids=lambda kind: kind.__name__)
def test_a_field_that_a_class_has_by_now_has_its_default(kind):
    """As an object that the program makes now; one that the class has no longer is not there."""
    made = edited(kind, item=1, gone=2)
    assert made.exact
    assert made.value == kind(item=1)
    assert repr(made.value) == repr(kind(item=1))
    assert made.value.tags is not edited(kind, item=1).value.tags
    assert not edited(kind, gone=1).exact


def test_without_the_program_an_object_stands_for_itself():
    """So it is known beforehand that an answer is whole."""
    revived = revive(exact(Payloads(), Order(Frozen((1,)))).json)
    assert revived.exact
    assert isinstance(revived.value, DataObject)
    assert revived.value.type == f"{__name__}.Order"
    assert revived.value.parts["fields"]["item"].parts == {"fields": {"item": (1,)}}


def test_a_name_is_looked_up_without_asking_for_attributes(monkeypatch):
    """A module that computes what it is asked for is not asked."""
    module = ModuleType("computes")
    module.__getattr__ = pytest.fail
    monkeypatch.setitem(sys.modules, "computes", module)
    assert data_objects.find_imported("computes.Order") is None


def test_a_module_that_is_loaded_when_it_is_used_is_not_loaded(monkeypatch, tmp_path):
    """That it was only put there is no reason to run it."""
    (tmp_path / "idle.py").write_text("raise AssertionError")
    spec = importlib.util.spec_from_file_location("idle", tmp_path / "idle.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "idle", module)
    importlib.util.LazyLoader(spec.loader).exec_module(module)
    assert data_objects.find_imported("idle.Order") is None


def test_an_object_that_cannot_be_hashed_any_more_is_told():
    """The class was edited since, or the recording was."""
    form = exact(Payloads(), {Frozen(1)}).json
    del form["items"][0]["fields"]["item"]
    assert not revive(form, data_objects.make).exact
