"""What an exception says in the end event of its span; of a tool's, what it holds, so that it can be raised again."""

from __future__ import annotations

import importlib
import json
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from namel3ss_debug.capture.core.answers import RecordedError
from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.core.failures import control_flow_status, exception_state, to_failure, type_name
from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.capture.seams.functions.exceptions import make_recorded_error
from namel3ss_debug.traces.redaction.redactor import Redactor

SHOP = """
class Refused(Exception):
    def __init__(self, code, *, hint):
        super().__init__(f"refused {code}")
        self.code, self.hint = code, hint

class Many(Exception):
    pass

class Quiet(Exception):
    def __init__(self, *, job):
        self.job = job
        super().__init__()
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module of the program's, with exceptions of its own."""
    (tmp_path / "shop_of_errors.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("shop_of_errors")


@pytest.fixture
def state(tmp_path):
    """What is recorded of an exception by a program in the folder, as it stands in a trace."""
    sites = CallSites(str(tmp_path), str(tmp_path))

    def state(error, **settings):
        payloads = Payloads(**settings)
        return orjson.loads(orjson.dumps(payloads.value(exception_state(error, payloads, sites))))

    return state


def again(error, state):
    """The exception, raised again of what is recorded."""
    return make_recorded_error(RecordedError(type_name(type(error)), f"{error}", state=state))


@pytest.mark.parametrize(
    "make",
    [
        lambda shop: shop.Refused(4, hint=("try", {"monday"})),
        lambda shop: shop.Many(4, "b", (1, 2)),
        lambda shop: shop.Many({"a": b"x"}),
        lambda shop: shop.Quiet(job=3),
        lambda _shop: KeyError(4),
        lambda _shop: json.JSONDecodeError("Expecting value", "[x", 1),
        lambda _shop: UnicodeDecodeError("utf-8", b"x\xff", 1, 2, "invalid start byte"),
        lambda _shop: FileNotFoundError(2, "No such file or directory", "a b.txt"),
    ],
)
def test_an_exception_comes_back_with_what_it_held(shop, state, make):
    """Its arguments and its attributes, whatever its class wants to be made of."""
    error = make(shop)
    made = again(error, state(error))
    assert type(made) is type(error)
    assert (f"{made}", made.args, vars(made)) == (f"{error}", error.args, vars(error))
    if isinstance(error, UnicodeDecodeError):
        assert (made.object, made.start, made.reason) == (b"x\xff", 1, "invalid start byte")
    if isinstance(error, OSError):
        assert (made.errno, made.filename) == (2, "a b.txt")


def test_notes_of_an_exception_come_back(state):
    """What `add_note` was told is an attribute."""
    error = ValueError("no")
    error.add_note("at the till")
    assert again(error, state(error)).__notes__ == ["at the till"]


def raised(raising, shop):
    """What a function raises."""
    with pytest.raises(shop.Many) as caught:
        raising()
    return caught.value


def test_the_reason_of_an_exception_comes_back(shop, state):
    """What it was raised from, or while what was handled, each with what is plain data in it; `from None` there is none."""

    def from_two():
        try:
            try:
                Path("/nowhere/at all").read_text()
            except OSError as missing:
                missing.response = object()
                raise shop.Refused(4, hint="try") from missing
        except shop.Refused as refused:
            raise shop.Many("gone") from refused

    def meanwhile():
        try:
            {}["key"]
        except KeyError:
            raise shop.Many("gone")  # noqa: B904

    def alone():
        try:
            {}["key"]
        except KeyError:
            raise shop.Many("gone") from None

    error = raised(from_two, shop)
    made = again(error, state(error))
    refused = made.__cause__
    assert (type(refused), refused.code, refused.hint) == (shop.Refused, 4, "try")
    assert (type(refused.__cause__), refused.__cause__.filename) == (FileNotFoundError, "/nowhere/at all")
    assert state(error)["cause"]["cause"]["lost"] == ["response"]
    error = raised(meanwhile, shop)
    made = again(error, state(error))
    assert (made.__cause__, repr(made.__context__), made.__suppress_context__) == (
        None,
        "KeyError('key')",
        False,
    )
    error = raised(alone, shop)
    assert state(error) == {"alone": True}
    made = again(error, state(error))
    assert (made.__context__, made.__suppress_context__) == (None, True)


def test_of_a_long_chain_of_exceptions_the_nearest_reasons_come_back(state):
    """Also where it leads back to itself."""
    error = ValueError("no")
    error.__cause__ = KeyError("a")
    error.__cause__.__cause__ = error
    made, length = again(error, state(error)), 0
    while made.__cause__ is not None:
        made, length = made.__cause__, length + 1
    assert length == 4


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("a'b"), ValueError(), SystemExit(3), KeyboardInterrupt("x")]
)
def test_an_exception_of_its_text_alone_holds_nothing_more(state, error):
    """Nothing is recorded of it, nor of what ends a program."""
    assert state(error) == {}


def test_what_is_no_plain_data_in_an_exception_of_the_program_is_told(shop, state):
    """The form says so, and what it would hide is named."""
    word = type("Word", (str,), {"__module__": "shop"})
    told = state(shop.Refused(shop, hint=word("a")))
    assert told["attributes"]["code"]["$type"] == "module"
    assert told["inexact"] == ["shop.Word"]
    assert "lost" not in told


def test_attributes_that_are_all_no_plain_data_leave_nothing(state):
    """Only their names."""
    error = ValueError("no")
    error.response = object()
    assert state(error) == {"lost": ["response"]}


def test_an_exception_of_a_library_goes_without_what_is_no_plain_data(state):
    """It is named; what is plain comes back."""
    error = urllib.error.HTTPError("http://h/a", 404, "gone", {"a": object()}, None)
    told = state(error)
    assert "hdrs" in told["lost"]
    made = again(error, told)
    assert (f"{made}", made.args, made.code) == (f"{error}", error.args, 404)
    error.close()
    made.close()


def test_a_group_of_exceptions_comes_back_with_its_members(shop, state):
    """Each as it would by itself; one that cannot be had is a RuntimeError."""
    inner = ExceptionGroup("inner", [shop.Refused(4, hint="try"), FileNotFoundError(2, "No such file", "a")])
    error = ExceptionGroup("two", [KeyError("a"), inner])
    told = state(error)
    made = again(error, told)
    assert (repr(made), f"{made}", made.message) == (repr(error), f"{error}", "two")
    refused, missing = made.exceptions[1].exceptions
    assert (type(refused), refused.code, missing.filename) == (shop.Refused, 4, "a")
    told["exceptions"][0]["type"] = "gone.Error"
    assert repr(again(error, told).exceptions[0]) == "RuntimeError(\"gone.Error: 'a'\")"


@dataclass(init=False)
class Interrupt:
    """A question of a graph to a person."""

    value: object
    id: str


Interrupt.__module__ = "langgraph.types"


class GraphInterrupt(Exception):  # noqa: N818  (LangGraph's name)
    """A node waits for a person."""

    __module__ = "langgraph.errors"


class CallDeferred(Exception):  # noqa: N818  (pydantic-ai's name)
    """A call is answered later."""

    __module__ = "pydantic_ai.exceptions"

    def __init__(self, metadata=None):
        self.metadata = metadata
        super().__init__()


@pytest.fixture
def frameworks(monkeypatch):
    """Modules with these classes."""
    for kind in (Interrupt, GraphInterrupt, CallDeferred):
        module = sys.modules.get(kind.__module__) or ModuleType(kind.__module__)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, kind.__module__, module)


def test_an_interrupt_comes_back_with_what_it_asks(frameworks, state):
    """Its questions are objects again, of the class that the framework has."""
    asked = Interrupt()
    asked.value, asked.id = {"pay": (5,)}, "9588"
    error = GraphInterrupt((asked,))
    told = state(error)
    assert (control_flow_status(error), told["type"]) == ("pending", "langgraph.errors.GraphInterrupt")
    made = again(error, told)
    assert (type(made), made.args) == (GraphInterrupt, ((asked,),))
    assert type(made.args[0][0]) is Interrupt


def test_an_exception_for_a_framework_holds_what_it_is_raised_for(frameworks, state):
    """Therefore what is no plain data stays where it stands, though the class is that of a library."""
    error = CallDeferred({"job": 3})
    assert vars(again(error, state(error))) == {"metadata": {"job": 3}}
    told = state(CallDeferred({"job": object()}))
    assert told["attributes"]["metadata"]["job"]["$type"] == "object"
    assert "lost" not in told
    assert control_flow_status(ValueError("no")) is None


@pytest.mark.parametrize(
    ("code", "text"), [("bad key sk-proj-" + "Ab3" * 20, "bad key [REDACTED:openai]"), (7, "exit 7")]
)
def test_the_words_of_an_exit_are_redacted_as_those_of_any_exception(code, text):
    """They are what Python prints, or else the status."""
    told = to_failure(SystemExit(code), Payloads(redactor=Redactor()))
    assert (told.status, told.error, told.error_type) == ("failed", text, "SystemExit")


def test_what_an_exception_holds_is_redacted_and_bounded(shop, state):
    """As results are: it does not come back, and that is seen; of a library's it is left out."""
    secret = state(shop.Quiet(job={"api_key": "sk-12345"}), redactor=Redactor())
    assert secret["attributes"]["job"] == {"api_key": "[REDACTED:key]"}
    assert "$truncated" in state(shop.Quiet(job="x" * 4000), max_size=1000)["attributes"]["job"]
    error = json.JSONDecodeError("Expecting value", "x" * 4000, 0)
    told = state(error, max_size=1000)
    assert told["lost"] == ["doc"]
    assert again(error, told).pos == 0
