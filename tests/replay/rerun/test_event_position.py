"""Tests of where a walk stood, as a re-run comes to it."""

from __future__ import annotations

from itertools import islice

import pytest

from namel3ss_debug.replay.rerun.event_position import EventPosition, find_position, make_finder

RECORDED = [
    ("1", "trace_start", None, None),
    ("2", "tool_call_start", "search", None),
    ("3", "inputs_read", None, None),
    ("4", "llm_call_start", "m", "2"),
    ("5", "http_exchange_start", "h", "4"),
    ("6", "llm_call_end", "m", "4"),
    ("7", "tool_call_end", "search", "2"),
    ("8", "inputs_read", None, None),
    ("9", "llm_call_start", "m", None),
    ("10", "llm_call_end", "m", "9"),
    ("11", "tool_call_start", "search", None),
    ("12", "inputs_read", None, None),
]
SEARCH = EventPosition("tool_call_start", "search", 1)
MODEL = EventPosition("llm_call_start", "m", 1)


def event(event_id, event_type, name, parent, **metadata):
    """An event of a recording."""
    told = {"event_id": event_id, "event_type": event_type, "component": event_type.split("_")[0]}
    return told | {"component_name": name, "parent_event_id": parent, "metadata": metadata}


EVENTS = [event(*row) for row in RECORDED]


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (1, EventPosition("trace_start", None, 1)),
        (2, SEARCH),
        (4, SEARCH),
        (5, SEARCH),
        (6, SEARCH),
        (7, EventPosition("tool_call_end", "search", 1)),
        (8, MODEL),
        (9, MODEL),
        (10, EventPosition("llm_call_end", "m", 1)),
        (11, EventPosition("tool_call_start", "search", 2)),
        (12, None),
    ],
)
def test_an_event_is_told_by_what_is_the_same_in_a_re_run(number, found):
    """What happened inside of an answered call does not count, and one there is told as the call."""
    assert find_position(EVENTS, number) == found


def test_what_happened_in_a_call_that_no_function_was_seen_to_run_in_happens_again():
    """It is made again, with all that is inside it."""
    unseen = [EVENTS[0], event("2", "tool_call_start", "search", None, seen=False), *EVENTS[2:]]
    assert find_position(unseen, 4) == MODEL
    assert find_position(unseen, 9) == EventPosition("llm_call_start", "m", 2)


def test_the_event_is_found_once_it_has_come():
    """Looked for again and again while the program runs."""
    come = []
    find = make_finder(EventPosition("llm_call_start", "m", 2), lambda start: islice(come, start - 1, None))
    found = []
    for each in EVENTS:
        come.append(each)
        found.append(find())
    assert found == [0] * 8 + [9] * 4
