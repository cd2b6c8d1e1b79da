"""Which events are wanted."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.inspection import FoldedEvents, Selection, select, select_forest
from namel3ss_debug.traces.reader import open_trace


def numbers(found):
    """The numbers of numbered events."""
    return [number for number, _ in found]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(), list(range(1, 14))),
        (Selection(agent="researcher"), [2, 4, 5, 6, 7, 9, 11, 12]),
        (Selection(agent="Writer"), [3, 8, 10, 13]),
        (Selection(agent="*"), list(range(2, 14))),
        (Selection(agent="Research"), []),
        (Selection(tool="search"), [5, 6, 8, 9, 10]),
        (Selection(tool="search", agent="Researcher"), [5, 6, 9]),
        (Selection(llm="gpt-4o"), [4, 7]),
        (Selection(llm="GPT-4o*"), [4, 7, 13]),
        (Selection(chain="x"), []),
        (Selection(prompt="x"), []),
        (Selection(errors_only=True), [9, 11]),
        (Selection(errors_only=True, tool="search"), [9]),
        (Selection(components=("llm", "log")), [4, 6, 7, 13]),
        (Selection(where=compile_expression("duration_ms > 5 and tokens_used == 100")), [7, 12]),
        (Selection(where=compile_expression("totals.cost > 0.2 and totals.errors == 0")), [7, 8]),
        (Selection(where=compile_expression("n > 11 or llm == 'gpt-4o'")), [4, 7, 12, 13]),
    ],
)
def test_the_wanted_events_are_chosen(run, wanted, expected):
    """A name chooses its spans and everything inside them; every condition that is given must hold."""
    assert numbers(select(run, wanted)) == expected


def test_no_more_events_than_the_limit_are_read(run):
    """The limit counts wanted events, and reading stops with the last of them."""
    assert numbers(select(run, Selection(components=("llm",)), limit=2)) == [4, 7]
    assert numbers(select(run, limit=0)) == []


def test_a_name_with_brackets_is_first_of_all_a_name(tmp_path, recording):
    """Only where it is not the name itself does a text count as a glob."""
    made = recording
    made.start("tool", "get[a]")
    made.start("tool", "geta")
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    assert numbers(select(open_trace(path), Selection(tool="get[a]"))) == [1, 2]


def test_an_end_without_its_start_is_chosen_by_its_own_name(tmp_path):
    """Where the start was rotated away, the end still answers to its name."""
    path = tmp_path / "trace.jsonl"
    end = {
        "event_type": "tool_call_end",
        "event_id": "9",
        "parent_event_id": "4",
        "component": "tool",
        "component_name": "t",
    }
    path.write_text(json.dumps(end) + "\n")
    assert numbers(select(open_trace(path), Selection(tool="T"))) == [1]


def test_what_a_child_process_recorded_belongs_to_the_span_it_was_started_in(tmp_path, recording):
    """The `trace_start` of a child process carries the choice on to everything in it."""
    made = recording
    agent = made.start("agent", "A")
    began = made.event("trace_start", agent, component="app")
    made.start("tool", "inner", began)
    made.start("tool", "outer")
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    assert numbers(select(open_trace(path), Selection(agent="a"))) == [1, 2, 3]
    chosen = select_forest(open_trace(path))
    walked = [(depth, chosen.spans.name(row)) for depth, row in chosen.walk()]
    assert walked == [(0, "A"), (1, "inner"), (0, "outer")]


def test_what_outlives_its_parent_belongs_to_it(written_events, recording):
    """A child that begins after its parent has ended is still inside it."""
    made = recording
    agent = made.start("agent", "A")
    made.end(agent)
    made.start("tool", "late", agent)
    assert numbers(select(written_events(made), Selection(agent="A"))) == [1, 2, 3]


def test_folded_chunks_are_told_of_once(recording, written_events):
    """A line tells of the chunks of its call; those of a call whose line is not wanted are counted as left out."""
    made = recording
    for name in ("a", "b"):
        call = made.start("llm", name)
        for _ in range(3):
            made.event("stream_chunk", call, component="llm", component_name=name)
        made.end(call)
    trace = written_events(made)
    whole = FoldedEvents(trace)
    assert [(line.number, line.streamed and line.streamed.chunks) for line in whole] == [(1, None), (5, 3), (6, None), (10, 3)]  # fmt: skip
    assert whole.left_out == 0
    some = FoldedEvents(trace, Selection(where=compile_expression("llm == 'b' and n < 10 or n == 5")))
    assert [(line.number, line.streamed and line.streamed.chunks) for line in some] == [(5, 3), (6, None)]
    assert some.left_out == 3
