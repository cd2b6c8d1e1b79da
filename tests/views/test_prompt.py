"""The prompt and the status line."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.views.prompt import status_line
from namel3ss_debug.views.shell import prompt

EVENTS = [
    {"event_type": "agent_execution_start", "event_id": "1", "timestamp": 100.0, "component": "agent"},
    {"event_type": "tool_call_end", "event_id": "2", "timestamp": 101.5, "component": "tool", "status": "failed", "error": "no", "tokens_used": 1200, "cost_estimate": 0.5},
    {"event_type": "llm_call_start", "event_id": "3", "timestamp": 102.0, "component": "llm", "component_name": "gpt\x1b[2J", "parent_event_id": "1"},
]  # fmt: skip


class Recording:
    """A recording in memory, of a program that has no more to tell."""

    def events(self, start=1):
        """The events from a number on."""
        return iter(EVENTS[start - 1 :])

    def event(self, number):
        """The event with a number."""
        return EVENTS[number - 1]

    def count(self):
        """How many there are."""
        return len(EVENTS)

    def go_on(self):
        """There is nothing more."""
        return False


def words(debugger, width):
    """The status line as text."""
    return "".join(fragment[1] for fragment in status_line(debugger, width))


@pytest.fixture
def debugger():
    """A session on the recording."""
    return Debugger(Recording())


def test_the_status_line_tells_where_and_how_much(debugger):
    """Position, depth, time, tokens, cost and failures so far; what there is none of has no room."""
    assert words(debugger, 80) == " 0/3  depth 0"
    debugger.execute("goto 2")
    assert words(debugger, 80) == " 2/3  depth 0  1.50 s  1,200 tokens  $0.5000  1 failure"


def test_a_narrow_screen_keeps_what_matters_most(debugger):
    """Failures and the position stay, and no line is wider than the screen."""
    debugger.execute("goto 2")
    assert words(debugger, 30) == " 2/3  1.50 s  1 failure"
    for width in range(10, 80):
        assert len(words(debugger, width)) <= width


def test_a_live_program_that_waits():
    """The call it waits before comes first, with nothing in its name that a terminal would obey."""
    recording = Recording()
    debugger = Debugger(recording, program=recording)
    debugger.execute("goto 3")
    assert words(debugger, 80).startswith(" waiting before llm gpt^[[2J  3/3")


def test_the_prompt(debugger):
    """It tells the position; while the commands of a breakpoint are typed it is a plain mark."""
    debugger.execute("goto 2")
    assert prompt(debugger) == "(debug 2/3) "
    debugger.execute("b llm")
    debugger.execute("commands 1")
    assert prompt(debugger) == "> "
    debugger.execute("end")
    assert prompt(debugger) == "(debug 2/3) "
