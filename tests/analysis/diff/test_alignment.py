"""Aligning any two runs: nothing is lost, nothing is paired twice, and a run is the same as itself."""

import copy

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.analysis.diff.alignment import align
from namel3ss_debug.analysis.diff.comparison import diff_traces
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.analysis.diff.rows import NO_ROW, read_rows
from namel3ss_debug.traces.reader import open_trace

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@pytest.fixture
def saved(tmp_path):
    """Writes events as they are."""

    def write(events, name):
        path = tmp_path / name
        path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in [*events, *END]))
        return path

    return write


END = [{"event_type": "trace_end", "event_id": "end", "component": "app"}]
"""So that no run is empty."""


def rows_of(path):
    """A run as rows, ready to be aligned."""
    rows = read_rows(open_trace(path), Masks())
    rows.compute_subtrees(payloads=True)
    return rows


def inside(rows, row):
    """How many rows there are in a row, itself included, or in all for nobody."""
    return sum(inside(rows, child) for child in rows.children_of(row)) + (row != NO_ROW)


@FILES
@given(data=st.data())
def test_every_row_has_one_place(traces, saved, data):
    """In any two damaged traces: each row of either is at one place, or inside what is the same or only there."""
    before, after = data.draw(traces), data.draw(traces)
    one, other = rows_of(saved(before, "a.jsonl")), rows_of(saved(after, "b.jsonl"))
    entries = align(one, other, payloads=True).aligned
    for side, rows in enumerate((one, other)):
        placed = [entry[side] for entry in entries if entry[side] != NO_ROW]
        assert len(placed) == len(set(placed))
        whole = [entry[side] for entry in entries if entry[side] != NO_ROW and closed(entry)]
        opened = [entry[side] for entry in entries if entry[side] != NO_ROW and not closed(entry)]
        assert sum(inside(rows, row) for row in whole) + len(opened) == inside(rows, NO_ROW)


def closed(entry):
    """Whether nothing inside a place has one of its own."""
    return entry.same or NO_ROW in (entry.a, entry.b)


@FILES
@given(data=st.data())
def test_a_run_is_the_same_as_itself_and_the_order_of_two_is_all_the_same(traces, saved, data):
    """Whatever a trace holds; and what differs one way differs the other way, the same each time."""
    before, after = data.draw(traces), data.draw(traces)
    one, other = saved(before, "a.jsonl"), saved(after, "b.jsonl")
    assert diff_traces(one, one).same
    there, back = diff_traces(one, other), diff_traces(other, one)
    assert there.same == back.same
    assert there.to_json() == diff_traces(one, other).to_json()
    orjson.dumps(there.to_json())
    assert there.first is None or there.first in there.differences


def test_one_change_among_many_equal_calls(agent, compared):
    """A tool that is polled a thousand times: one other result, and one call less, are one difference each."""
    for place in range(1000):
        agent.tool("poll", {"job": "A-10293"}, f"{place % 3} of 3", None)
    after = copy.deepcopy(agent.events)
    after[1001]["outputs"]["result"] = "lost"
    found = compared(agent.events, after)
    assert [(each.kind, each.number_a, each.number_b) for each in found.differences] == [
        ("result", 1002, 1002)
    ]
    found = compared(agent.events, agent.events[:-2])
    assert [(each.kind, each.number_a, each.number_b) for each in found.differences] == [
        ("missing", 1999, None)
    ]


def test_many_runs_of_agents_of_which_one_is_new(agent, compared):
    """What is new is one difference, with all that happened inside it; what comes after is the same."""
    runs = []
    for place in range(20):
        agent.events = []
        outer = f"w{place}"
        agent.add("agent_execution_start", "agent", f"Worker {place}", event_id=outer)
        agent.tool("fetch", {"page": place}, f"page {place}", outer, event_id=f"t{place}")
        agent.events[-1] |= {"parent_event_id": f"t{place}", "event_id": f"te{place}"}
        agent.add("agent_execution_end", "agent", f"Worker {place}", outer, event_id=f"we{place}")
        runs.append(agent.events)
    with_all = [event for run in runs for event in run]
    without = [event for run in runs[:7] + runs[8:] for event in run]
    found = compared(without, with_all)
    assert [(each.kind, each.name, each.number_b) for each in found.differences] == [
        ("added", "Worker 7", 29)
    ]
    assert not found.first.lasting
    assert found.reconvergence.to_the_end


def test_a_call_that_moved_is_not_taken_for_another_that_was_answered_the_same(agent, compared):
    """Tickets of a batch come to the same answer: which of them is which, their questions say."""

    def batch(tickets):
        agent.events[:] = []
        for ticket in tickets:
            agent.tool("answer", {"ticket": ticket}, "sorry", None)
        return copy.deepcopy(agent.events)

    found = compared(batch([0, 1, 2]), batch([2, 0, 1, 3]))
    assert [(each.kind, each.number_a, each.number_b) for each in found.differences] == [
        ("order", 5, 1),
        ("added", None, 7),
    ]
