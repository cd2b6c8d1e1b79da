"""Tests of when two calls ask the same."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerunning.boundaries import question_of

FIRST = "01a20487-b6c5-720f-a809-00f4869a245f"
LATER = "01a20489-03d1-7f5e-8d10-74ee1b2c9a03"


def keys(boundary_events, arguments):
    """What is equal for the same question, of a call of a tool that a model asked for."""
    made = boundary_events()
    made.call("count", arguments, call_id="c1")
    return question_of(1, made.events[0]).keys


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        (f"lc_run--{FIRST}-0", f"lc_run--{LATER}-0", True),
        (f"lc_run--{FIRST}", f"lc_run--{LATER}", True),
        (f"lc_run--{FIRST}-0", f"lc_run--{LATER}-1", False),
        (FIRST, LATER, False),
    ],
)
def test_a_tool_is_asked_the_same_whatever_langchain_calls_its_run(boundary_events, before, now, same):
    """The id of a run in a state that a tool is given does not count; any other id does, and so does what stands beside it."""
    asked = [
        keys(boundary_events, {"state": {"messages": [{"content": "white", "id": each}]}})
        for each in (before, now)
    ]
    assert (asked[0] == asked[1]) is same
    other = keys(boundary_events, {"state": {"messages": [{"content": "black", "id": before}]}})
    assert not set(other) & set(asked[0])
