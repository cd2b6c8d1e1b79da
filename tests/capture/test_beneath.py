"""What a framework tells of is expected until it is over, wherever and in whatever order that happens."""

from __future__ import annotations

import contextvars
from collections import Counter

import pytest

from namel3ss_debug.capture import beneath
from namel3ss_debug.capture.beneath import LLM, TOOL, Expected, recorded


@pytest.fixture(autouse=True)
def expected_by_the_test_alone(monkeypatch):
    """Nothing is expected or counted yet."""
    monkeypatch.setattr(beneath, "NOW", contextvars.ContextVar("now", default=None))
    monkeypatch.setattr(beneath, "UNEXPECTED", Counter())


def test_calls_that_end_in_another_order_than_they_began():
    """The one that ends last leaves nothing behind that is expected."""
    first, second = Expected(LLM), Expected(TOOL, "lookup")
    recorded(LLM)
    assert first.over()
    assert beneath.NOW.get() is second
    assert not second.over()
    assert beneath.NOW.get() is None


def test_a_call_that_ended_in_another_context_is_expected_no_more():
    """What is recorded later is counted as told of by nobody, and what is told of next is within nothing."""
    call = Expected(LLM)
    contextvars.Context().run(call.over)
    elsewhere = contextvars.Context().run(Expected, LLM)
    recorded(LLM)
    assert not call.met
    assert elsewhere.over()
    assert Expected(LLM).outer is None


def test_a_call_that_a_framework_and_the_sdk_beneath_it_tell_of_is_the_call_of_both():
    """But not of a model call around the tool in which it is made."""
    around, tool = Expected(LLM), Expected(TOOL, "lookup")
    framework, sdk = Expected(LLM), Expected(LLM)
    recorded(LLM)
    assert (sdk.over(), framework.over(), tool.over(), around.over()) == (True, True, False, False)
