"""ToolCallRecorder of tools, with a stand-in for the language."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

from namel3ss_debug.capture.namel3ss.calls import RequestedCalls, ToolCallRecorder


def test_a_call_is_given_once_to_the_tool_it_names():
    """The id and the model call it stands in; the language makes the first of several."""
    requested = RequestedCalls()
    requested.remember([{"id": "c1", "name": "look"}, {"id": "c2", "name": "look"}], "11")
    assert requested.take("look") == ("c1", "11")
    assert requested.take("look") is None


def test_another_tool_gets_none():
    """Nor does one after an answer without calls."""
    requested = RequestedCalls()
    requested.remember([{"id": "c1", "name": "look"}], "11")
    assert requested.take("other") is None
    requested.remember([{"id": "c1", "name": "look"}], "11")
    requested.remember([], "12")
    assert requested.take("look") is None


def call(scope, requested, result):
    """A call of a tool by a flow, and what the language makes of it."""
    ctx = SimpleNamespace(tools={"look": SimpleNamespace(kind="python")}, tool_call_source=None)
    run = ToolCallRecorder(scope, requested)._wrap_tool_call(lambda *_words, **_place: result)
    return run(ctx, "look", {"n": Decimal(1)}, line=9, column=5)


def outcome(value=None, kind="ok"):
    """What the language tells of a call."""
    return SimpleNamespace(result_value=value, result_kind=kind, decision=SimpleNamespace(reason="ok"))


def test_a_result_is_recorded_and_given_back_as_it_was(scope, told):
    """At the line of the call, with numbers as numbers."""
    result = (outcome({"status": "shipped"}), None)
    assert call(scope, RequestedCalls(), result) == result
    (start, end), problems = told()
    assert (start["call_site"], start["inputs"]) == ("app.ai:9", {"arguments": {"n": 1}})
    assert start["metadata"]["kind"] == "python"
    assert end["outputs"] == {"result": {"status": "shipped"}}
    assert problems == {}


def test_a_failure_is_recorded_with_what_it_takes_to_fail_so_again(scope, told):
    """The language gives failures back in place of raising them."""
    error = ValueError("away")
    assert call(scope, RequestedCalls(), (outcome(kind="blocked"), error))[1] is error
    (_start, end), _problems = told()
    assert (end["status"], end["error"], end["error_type"]) == ("failed", "away", "ValueError")
    assert end["outputs"]["error"] == {"code": "blocked", "message": "away", "reason": "ok"}


def test_what_cannot_be_recorded_is_called_all_the_same(scope, told):
    """A mistake of the recorder is a problem in the recording, and nothing else."""
    result = (outcome({"n": 1}), None)
    run = ToolCallRecorder(scope, RequestedCalls())._wrap_tool_call(lambda *_words, **_place: result)
    assert run(SimpleNamespace(), "look", {}, line=9, column=5) == result
    events, problems = told()
    assert events == []
    assert problems == {"a call of a tool could not be recorded: AttributeError": 1}
