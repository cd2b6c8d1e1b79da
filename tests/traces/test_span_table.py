"""The table of spans: its columns, programs that still run, several traces, and the way to other libraries."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import namel3ss_debug
from namel3ss_debug.errors import DebugError
from namel3ss_debug.traces.span_table import (
    AT_TOP,
    PARENT_LOST,
    Fact,
    SpanTableBuilder,
    covered_ns,
    read_spans,
)


def event(event_type, event_id, at, parent=None, **fields):
    """One event, its time in seconds from the beginning."""
    row = {
        "event_type": event_type,
        "event_id": event_id,
        "timestamp": 1_700_000_000 + at,
        "component": "tool",
    }
    return row | ({} if parent is None else {"parent_event_id": parent}) | fields


RUN = [
    event("agent_execution_start", "1", 0, component="agent", component_name="Desk"),
    event("trace_start", "p1.0", 1, "1", component="app"),
    event("tool_call_start", "p1.1", 1, "p1.0", component_name="search", call_site="app.py:3"),
    event("llm_call_start", "3", 1.5, "p1.1", component="llm", component_name="m"),
    event(
        "llm_call_end",
        "4",
        2.5,
        "3",
        component="llm",
        usage={"input_tokens": 5, "output_tokens": 2},
        cost_estimate=0.5,
    ),
    event("tool_call_end", "p1.2", 3, "p1.1", status="failed", error="no", memory_usage_mb=80.0),
    event("tool_call_start", "5", 3, "nowhere", component_name="late"),
    event("agent_execution_end", "6", 4, "1", component="agent"),
    event("tool_call_end", "7", 5, "5"),
    event("llm_call_end", "9", 5, "8", component="llm", component_name="m", duration_ms=1.0),
    event("tool_call_start", "10", 6, "1", component_name="open"),
]


def columns(table, *names):
    """Some columns, as lists."""
    return [list(table.columns[name]) for name in names]


def test_a_row_holds_the_facts_of_a_span():
    """Spans are in the order of their starts; times are nanoseconds, costs 1e-12 dollars."""
    table = read_spans(RUN)
    assert columns(table, "number", "end") == [[1, 3, 4, 7, 10, 11], [8, 6, 5, 9, 10, 0]]
    assert [table.operations[index] for index in table.operation] == [
        ("agent", "Desk"),
        ("tool", "search"),
        ("llm", "m"),
        ("tool", "late"),
        ("llm", "m"),
        ("tool", "open"),
    ]
    assert columns(table, "duration", "self_time") == [
        [4_000_000_000, 2_000_000_000, 1_000_000_000, 2_000_000_000, 1_000_000, -1],
        [2_000_000_000, 1_000_000_000, 1_000_000_000, 2_000_000_000, 1_000_000, 0],
    ]
    assert columns(table, "failed", "tokens", "input_tokens", "cost") == [
        [0, 1, 0, 0, 0, 0],
        [0, 0, 7, 0, 0, 0],
        [0, 0, 5, 0, 0, 0],
        [-1, -1, 500_000_000_000, -1, -1, -1],
    ]
    assert [table.value(index) for index in table.site] == [None, "app.py:3", None, None, None, None]
    assert (table.wall, table.types["llm_call_end"]) == (6_000_000_000, 2)
    assert (list(table.readings["number"]), list(table.readings["mb"])) == ([6], [80.0])


def test_a_parent_may_be_in_another_process_and_may_have_ended():
    """A span of a child process belongs to the span that started the process; `around` is a parent that still ran."""
    table = read_spans(RUN)
    assert list(table.parent) == [AT_TOP, 0, 1, PARENT_LOST, AT_TOP, 0]
    assert list(table.around) == [-1, 0, 1, -1, -1, -1]
    assert list(table.agent) == [-1, 0, 0, -1, -1, -1]


def test_a_lost_start_is_one_parent_whether_its_end_is_there_or_not():
    """Each has a number of its own, and leads to the row of its end."""
    spans = [("1", "lost"), ("2", "gone"), ("3", "lost")]
    events = [
        {"event_type": f"tool_call_{half}", "event_id": f"{own}{half}", "component": "tool"}
        | {"parent_event_id": f"{own}start" if half == "end" else parent}
        for own, parent in spans
        for half in ("start", "end")
    ]
    end = {"event_type": "agent_execution_end", "component": "agent", "parent_event_id": "lost"}
    table = read_spans([*events, end])
    assert list(table.parent) == [PARENT_LOST, PARENT_LOST - 1, PARENT_LOST, AT_TOP]
    assert table.lost == {PARENT_LOST: 3}


def test_a_row_takes_at_most_two_hundred_bytes():
    """A million spans fit into the memory of any machine."""
    table = read_spans(RUN)
    assert sum(column.itemsize for column in table.columns.values()) <= 200


@given(st.integers(0, len(RUN)))
def test_a_program_that_still_runs_is_appended(cut):
    """A table that was settled in the middle is in the end that of one pass."""
    whole, builder = read_spans(RUN), SpanTableBuilder()
    builder.add(RUN[:cut])
    builder.settle()
    builder.add(RUN[cut:])
    assert builder.settle().to_columns() == whole.to_columns()


def test_several_traces_are_one_table():
    """Rows, operations and call sites of the second trace are moved, and its events keep their numbers."""
    table = read_spans(RUN, "a")
    other = read_spans([event("tool_call_start", "x", 0, component_name="new"), *RUN[2:6]], "b")
    table.extend(other)
    assert len(table) == 9
    assert [table.named(row) for row in (6, 7)] == [
        {"trace": "b", "number": 1, "component": "tool", "component_name": "new"},
        {"trace": "b", "number": 2, "component": "tool", "component_name": "search"},
    ]
    assert list(table.around)[6:] == [-1, -1, 7]
    assert table.value(table.site[7]) == "app.py:3"
    assert list(table.readings["trace"]) == [0, 1]


def test_further_facts_and_events_are_kept_on_request():
    """A fact is a column of numbers, or of indexes into the values; other components have none."""
    facts = (
        Fact("length", lambda start, end: len(start) + len(end), frozenset({"llm"})),
        Fact("error", lambda _, end: end.get("error"), interned=True),
    )
    table = read_spans(RUN, facts=facts, points=["trace_start"])
    assert list(table.facts["length"]) == [-1, -1, 13, -1, 7, -1]
    assert [table.value(index) for index in table.facts["error"]] == [None, "no", None, None, None, None]
    assert [(point.number, point.event["event_id"]) for point in table.points["trace_start"]] == [(2, "p1.0")]


IDS = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(st.sampled_from(["start", "end"]), IDS), max_size=12))
def test_starts_with_the_same_id_nest_like_brackets(steps):
    """An end closes the latest open start of its id; one without a start, and a start without an end, are rows as well."""
    events = [
        event("tool_call_start", event_id, place)
        if step == "start"
        else event("tool_call_end", f"e{place}", place, event_id)
        for place, (step, event_id) in enumerate(steps)
    ]
    begun, expected = {event_id: [] for event_id in "abc"}, set()
    for number, (step, event_id) in enumerate(steps, 1):
        if step == "start":
            begun[event_id].append(number)
        else:
            expected.add((begun[event_id].pop() if begun[event_id] else number, number))
    expected |= {(number, 0) for numbers in begun.values() for number in numbers}
    table = read_spans(events)
    assert set(zip(table.number, table.end, strict=True)) == expected


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1))
def test_covered_time_counts_each_moment_once(intervals):
    """The union of intervals agrees with counting the moments one by one."""
    from array import array

    ordered = [(min(pair), max(pair)) for pair in intervals]
    moments = {moment for low, high in ordered for moment in range(low, high)}
    assert covered_ns(array("q", [at for pair in ordered for at in pair]), 5, 25) == len(
        moments & set(range(5, 25))
    )


def test_a_file_is_loaded_with_its_payloads_at_hand(tmp_path):
    """`load_spans` reads the events of a span when they are asked for."""
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(each | {"seq": seq}) + "\n" for seq, each in enumerate(RUN)))
    table = namel3ss_debug.load_spans(path)
    start, end = table.events(1)
    assert (start["call_site"], end["error"]) == ("app.py:3", "no")
    assert table.events(4)[0] == {}
    assert table.to_columns()["duration"][5] is None


@pytest.mark.parametrize("library", ["pyarrow", "pandas"])
def test_without_the_library_one_line_names_it(monkeypatch, library):
    """The libraries are no dependency."""
    monkeypatch.setitem(sys.modules, library, None)
    table = read_spans(RUN)
    with pytest.raises(DebugError, match=f"needs {library}: pip install {library}"):
        (table.to_arrow if library == "pyarrow" else table.to_pandas)()


@pytest.mark.parametrize("library", ["pyarrow", "pandas"])
def test_a_table_of_another_library_has_the_same_rows(library):
    """Names, texts and unknown values come through."""
    pytest.importorskip(library)
    table = read_spans(RUN)
    made = table.to_arrow().to_pylist() if library == "pyarrow" else table.to_pandas().to_dict("records")
    assert [(row["component"], row["name"], row["failed"]) for row in made][:2] == [
        ("agent", "Desk", False),
        ("tool", "search", True),
    ]
