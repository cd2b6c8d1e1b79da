"""What a framework tells of is expected until it is over, wherever and in whatever order that happens."""

from __future__ import annotations

import contextvars
from collections import Counter

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.core.announced import LLM, TOOL, AnnouncedCall, mark_recorded


@pytest.fixture(autouse=True)
def expected_by_the_test_alone(monkeypatch):
    """Nothing is expected or counted yet."""
    monkeypatch.setattr(announced, "CURRENT", contextvars.ContextVar("now", default=None))
    monkeypatch.setattr(announced, "UNEXPECTED", Counter())


def test_calls_that_end_in_another_order_than_they_began():
    """The one that ends last leaves nothing behind that is expected."""
    first, second = AnnouncedCall(LLM), AnnouncedCall(TOOL, "lookup")
    mark_recorded(LLM)
    assert first.end()
    assert announced.CURRENT.get() is second
    assert not second.end()
    assert announced.CURRENT.get() is None


def test_a_call_that_ended_in_another_context_is_expected_no_more():
    """What is recorded later is counted as told of by nobody, and what is told of next is within nothing."""
    call = AnnouncedCall(LLM)
    contextvars.Context().run(call.end)
    elsewhere = contextvars.Context().run(AnnouncedCall, LLM)
    mark_recorded(LLM)
    assert not call.is_recorded
    assert elsewhere.end()
    assert AnnouncedCall(LLM).outer is None


def test_a_call_that_a_framework_and_the_sdk_beneath_it_tell_of_is_the_call_of_both():
    """But not of a model call around the tool in which it is made."""
    around, tool = AnnouncedCall(LLM), AnnouncedCall(TOOL, "lookup")
    framework, sdk = AnnouncedCall(LLM), AnnouncedCall(LLM)
    mark_recorded(LLM)
    assert (sdk.end(), framework.end(), tool.end(), around.end()) == (True, True, False, False)
