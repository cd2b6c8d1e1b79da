"""Spans as a tree and over time."""

from __future__ import annotations

import pytest

from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.inspection import Selection, make_rows, select_forest, sort_by_start


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(), [2, 3, 4, 5, 8, 13]),
        (Selection(errors_only=True), [5]),
        (Selection(agent="Writer"), [3, 8, 13]),
        (Selection(where=compile_expression("duration_ms > 5 and kind == 'llm'")), [4]),
    ],
)
def test_a_span_is_wanted_when_its_start_or_its_end_is(run, wanted, expected):
    """Each is there once, whichever of its events is wanted."""
    chosen = select_forest(run, wanted)
    assert sorted(chosen.spans.number[row] for _, row in chosen.walk()) == expected


def looks(events, trace):
    """What a tree shows of each span, by name."""
    chosen = select_forest(trace(events))
    return {chosen.spans.name(row): chosen.look(row) for _, row in chosen.walk()}


def test_a_request_and_a_task_show_what_they_continue(recording, written_events):
    """The run and the event where these are ours, else the trace."""
    here, there = {"execution_id": "c0ffee0123456789", "event_id": "p2.4"}, {"trace_id": "ab", "span_id": "c"}
    for name, metadata in (
        ("from", {"parent": here}),
        ("other", {"parent": there}),
        ("odd", {"parent": "x"}),
    ):
        recording.end(recording.start("request", name, metadata=metadata))
    recording.end(recording.start("tool", "t", metadata={"parent": here}))
    assert {name: look.origin for name, look in looks(recording, written_events).items()} == {
        "from": ("c0ffee0123456789", "p2.4"),
        "other": ("ab", ""),
        "odd": None,
        "t": None,
    }


def test_an_http_exchange_shows_what_it_asks_for(recording, written_events):
    """Its method and its address, where they are texts."""
    requests = {
        "a": {"method": "POST", "url": "http://h/v1/files"},
        "b": {"method": 5, "url": None},
        "c": None,
    }
    for name, inputs in requests.items():
        recording.end(recording.start("http", name, prefix="http_exchange", inputs=inputs))
    found = [look.request for look in looks(recording, written_events).values()]
    assert found == [("POST", "http://h/v1/files"), (None, None), (None, None)]


def numbers(chosen):
    """The depth and the number of each span."""
    return [(depth, chosen.spans.number[row]) for depth, row in chosen.walk()]


def test_a_forest_of_chosen_spans_has_no_lost_parents(run):
    """A parent that was not wanted is not a parent that is missing."""
    chosen = select_forest(run, Selection(tool="search"))
    assert (numbers(chosen), chosen.lost_parents) == ([(0, 5), (0, 8)], 0)


def test_a_parent_that_is_not_in_the_trace_is_lost(recording, written_events):
    """The span is a root, and is counted."""
    recording.start("tool", "t", "gone")
    chosen = select_forest(written_events(recording))
    assert (numbers(chosen), chosen.lost_parents) == ([(0, 1)], 1)


def test_a_forest_may_be_cut_to_the_spans_that_began_first(run):
    """What is cut away leaves no lost parents behind."""
    cut = select_forest(run, limit=3)
    assert (numbers(cut), cut.lost_parents) == ([(0, 2), (1, 4), (0, 3)], 0)
    assert numbers(select_forest(run, limit=0)) == []


def test_a_tree_has_parents_before_children(run):
    """Rows say where each span stands, when it began and how it ended."""
    found = make_rows(select_forest(run))
    assert [(row.number, row.depth, row.label, row.status) for row in found] == [
        (2, 0, "agent_execution Researcher", "completed"),
        (4, 1, "llm_call gpt-4o", "completed"),
        (5, 1, "tool_call search", "failed"),
        (3, 0, "agent_execution Writer", "open"),
        (8, 1, "tool_call Search", "completed"),
        (13, 1, "llm_call gpt-4o-mini", "open"),
    ]
    assert [(row.offset_ms, row.track) for row in found[:4]] == [
        (0.0, ""),
        (pytest.approx(200), ""),
        (pytest.approx(300), ""),
        (pytest.approx(100), "worker"),
    ]


def test_a_timeline_is_in_the_order_of_beginning(run):
    """The same rows by their start."""
    assert [row.number for row in sort_by_start(make_rows(select_forest(run)))] == [2, 3, 4, 5, 8, 13]


def test_a_forest_counts_what_was_cut_away(run):
    """The number of chosen spans is true whatever the limit."""
    assert [select_forest(run, limit=limit).total for limit in (None, 0, 2, 100)] == [6, 6, 6, 6]
    assert select_forest(run, Selection(tool="search"), limit=1).total == 2


def test_a_streamed_call_counts_its_chunks(recording, written_events):
    """The end has the chunks and the first token; the start of an open call has its chunks."""
    made = recording
    first, second = made.start("llm", "a"), made.start("llm", "b")
    for call in (first, second, first):
        made.event("stream_chunk", call, component="llm")
    made.end(first, metadata={"time_to_first_token_ms": 7.5})
    found = make_rows(select_forest(written_events(made)))
    assert [(row.number, row.chunks, row.first_token_ms) for row in found] == [(1, 2, 7.5), (2, 1, None)]
