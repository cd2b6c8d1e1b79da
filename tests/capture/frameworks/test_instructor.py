"""Answers that instructor cannot use are failed validations; against a stand-in for its hooks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.frameworks import instructor
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls


class Hooks:
    """The hooks of a client."""

    def __init__(self):
        self.errors = []

    def emit_parse_error(self, error, **_metadata):
        """Call the handlers of the program."""
        self.errors.append(error)


class Weather:
    """What the model is asked for."""


@pytest.fixture
def unseen():
    """The calls that are recorded as tools, because their results were sent back."""
    return []


@pytest.fixture
def calls(unseen, tracer):
    """The calls that models requested, while instructor is followed."""
    calls = ToolCalls(lambda _names: None, lambda call, _result: unseen.append(call.name))
    structure = Structure(tracer, calls, "instructor")
    undo = instructor.follow(SimpleNamespace(__name__=__name__, Hooks=Hooks), structure)
    yield calls
    undo[0]()


def retry(hooks, response_model):
    """Report an answer that could not be used."""
    hooks.emit_parse_error(ValueError("no city"), attempt_number=1, max_attempts=3)


def test_an_answer_that_cannot_be_used_is_a_failed_validation_and_no_tool(calls, unseen, recorded):
    """Its error goes back to the model like the result of a tool; the handlers of the program are called as before."""
    requested = [{"id": name, "name": name, "arguments": {}} for name in ("Weather", "search")]
    calls.add_requested(requested, asked_in="1", inside=None)
    hooks = Hooks()
    retry(hooks, Weather)
    results = [{"type": "tool_call_response", "id": each["id"], "response": "no"} for each in requested]
    calls.add_results([{"role": "tool", "parts": results}], None)
    assert unseen == ["search"]
    assert len(hooks.errors) == 1
    start, end = recorded()
    assert (start["event_type"], start["component_name"]) == ("validation_start", "Weather")
    assert start["metadata"]["attempt"] == 1
    assert (end["status"], end["error"]) == ("failed", "no city")


def test_hooks_that_are_passed_on_are_followed_once(tracer):
    """A module that imports the class from another one is not followed besides."""
    module = SimpleNamespace(__name__="instructor.core.hooks", Hooks=Hooks)
    assert instructor.follow(module, None) == []
