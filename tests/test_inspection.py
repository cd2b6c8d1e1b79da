"""Choosing events and spans, and what stands around one of them."""

from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.inspection import Selection, context, forest, select, select_spans, timeline, tree
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.spans import spans
from namel3ss_debug.traces.totals import Totals, is_failure


class Recording:
    """Writes events as a tracer would: `start` gives an id that `end` and children name."""

    def __init__(self):
        self.events = []
        self.places = count()

    def event(self, event_type, parent=None, **fields):
        """Any event; returns its id."""
        seq = next(self.places)
        event = {
            "event_type": event_type,
            "event_id": f"{seq + 1}",
            "seq": seq,
            "timestamp": 1000.0 + seq / 10,
        }
        if parent is not None:
            event["parent_event_id"] = parent
        self.events.append(event | fields)
        return event["event_id"]

    def start(self, component, name, parent=None, prefix=None, **fields):
        """A start of a span of this component."""
        prefix = prefix or {"agent": "agent_execution", "llm": "llm_call", "tool": "tool_call"}.get(
            component, component
        )
        return self.event(
            f"{prefix}_start", parent, component=component, component_name=name, status="started", **fields
        )

    def end(self, start, **fields):
        """The end of the span with this id."""
        begun = next(event for event in self.events if event["event_id"] == start)
        event_type = begun["event_type"].replace("_start", "_end")
        same = {key: begun[key] for key in ("component", "component_name")}
        return self.event(
            event_type, start, **({"status": "completed", "duration_ms": 100.0} | same | fields)
        )


@pytest.fixture
def run(tmp_path):
    """Two agents side by side with calls, a failure, and a span that never ends."""
    made = Recording()
    made.event("trace_start", component="app", metadata={"format": 1})  # 1
    first = made.start("agent", "Researcher")  # 2
    second = made.start("agent", "Writer", task="worker")  # 3
    llm = made.start("llm", "gpt-4o", first)  # 4
    tool = made.start("tool", "search", first)  # 5
    made.event("log_record", tool, component="log", component_name="app.search")  # 6
    made.end(llm, tokens_used=100, cost_estimate=0.25)  # 7
    other = made.start("tool", "Search", second)  # 8
    made.end(tool, status="failed", error="timed out", error_type="TimeoutError")  # 9
    made.end(other)  # 10
    made.event("error_occurred", first, component="agent", component_name="Researcher", error="gave up")  # 11
    made.end(first, tokens_used=100, cost_estimate=0.25)  # 12
    made.start("llm", "gpt-4o-mini", second)  # 13
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    return open_trace(path)


@pytest.fixture
def written_events(tmp_path):
    """Writes a recording and opens it."""

    def write(made):
        path = tmp_path / "written.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
        return open_trace(path)

    return write


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


def test_a_name_with_brackets_is_first_of_all_a_name(tmp_path):
    """Only where it is not the name itself does a text count as a glob."""
    made = Recording()
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


def test_what_a_child_process_recorded_belongs_to_the_span_it_was_started_in(tmp_path):
    """The `trace_start` of a child process carries the choice on to everything in it."""
    made = Recording()
    agent = made.start("agent", "A")
    began = made.event("trace_start", agent, component="app")
    made.start("tool", "inner", began)
    made.start("tool", "outer")
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    assert numbers(select(open_trace(path), Selection(agent="a"))) == [1, 2, 3]
    walked = [(depth, node.span.name) for depth, node in forest(open_trace(path)).walk()]
    assert walked == [(0, "A"), (1, "inner"), (0, "outer")]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(), [4, 5, 8, 2, 3, 13]),
        (Selection(errors_only=True), [5]),
        (Selection(agent="Writer"), [8, 3, 13]),
        (Selection(where=compile_expression("duration_ms > 5 and kind == 'llm'")), [4]),
    ],
)
def test_a_span_is_wanted_when_its_start_or_its_end_is(run, wanted, expected):
    """Spans come as they end, and the open ones at last."""
    assert [span.number for span in select_spans(run, wanted)] == expected


def test_chosen_spans_carry_no_payload(tmp_path):
    """What is kept for a tree does not grow with what the calls said."""
    made = Recording()
    call = made.start("llm", "m", inputs={"messages": ["long"]})
    made.end(call, outputs={"text": "long"}, metadata={"exchange": "long"})
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    (span,) = select_spans(open_trace(path))
    assert "long" not in json.dumps([span.start, span.end])


def test_a_forest_of_chosen_spans_has_no_lost_parents(run):
    """A parent that was not wanted is not a parent that is missing."""
    chosen = forest(run, Selection(tool="search"))
    assert ([node.span.number for node in chosen.roots], chosen.lost_parents) == ([5, 8], 0)


def test_a_forest_may_be_cut_to_the_spans_that_began_first(run):
    """What is cut away leaves no lost parents behind."""
    cut = forest(run, limit=3)
    assert [(depth, node.span.number) for depth, node in cut.walk()] == [(0, 2), (1, 4), (0, 3)]
    assert (cut.lost_parents, forest(run, limit=0).roots) == (0, [])


def test_what_outlives_its_parent_belongs_to_it(written_events):
    """A child that begins after its parent has ended is still inside it."""
    made = Recording()
    agent = made.start("agent", "A")
    made.end(agent)
    made.start("tool", "late", agent)
    assert numbers(select(written_events(made), Selection(agent="A"))) == [1, 2, 3]


def test_a_tree_has_parents_before_children(run):
    """Rows say where each span stands, when it began and how it ended."""
    rows = tree(spans(run.events()))
    assert [(row.number, row.depth, row.label, row.status) for row in rows] == [
        (2, 0, "agent_execution Researcher", "completed"),
        (4, 1, "llm_call gpt-4o", "completed"),
        (5, 1, "tool_call search", "failed"),
        (3, 0, "agent_execution Writer", "open"),
        (8, 1, "tool_call Search", "completed"),
        (13, 1, "llm_call gpt-4o-mini", "open"),
    ]
    assert [(row.offset_ms, row.lane) for row in rows[:4]] == [
        (0.0, ""),
        (pytest.approx(200), ""),
        (pytest.approx(300), ""),
        (pytest.approx(100), "worker"),
    ]


def test_a_timeline_is_in_the_order_of_beginning(run):
    """The same rows by their start."""
    assert [row.number for row in timeline(spans(run.events()))] == [2, 3, 4, 5, 8, 13]


def test_the_surroundings_of_an_end(run):
    """An end has its start as its other half, and the events inside are those of the span."""
    around = context(run, 9)
    assert around.other_half[0] == 5
    assert numbers(around.above) == [2]
    assert (numbers(around.inside), around.inside_total) == ([6], 1)
    assert (numbers(around.before), numbers(around.after)) == ([4, 5], [11])
    assert around.complete


def test_the_surroundings_of_a_start(run):
    """A start has its end as its other half, and its neighbours in the same span."""
    around = context(run, 2)
    assert (around.other_half[0], around.above) == (12, ())
    assert (numbers(around.inside), around.inside_total) == ([4, 5, 11], 3)
    open_span = context(run, 13)
    assert (open_span.other_half, numbers(open_span.above), numbers(open_span.before)) == (None, [3], [8])


def test_the_surroundings_of_a_plain_event(run):
    """An event that is no span stands inside the spans above it, outermost first."""
    around = context(run, 6)
    assert (around.other_half, numbers(around.above), around.inside_total) == (None, [2, 5], 0)


def test_an_event_that_is_not_there_has_no_surroundings(run):
    """The message says which numbers there are."""
    with pytest.raises(UnreadableTraceError, match="no event 14; the trace has 13 events"):
        context(run, 14)


def test_a_circle_of_parents_ends(tmp_path):
    """Hostile parents do not hang the search."""
    path = tmp_path / "trace.jsonl"
    events = [
        {"event_type": "a_start", "event_id": "1", "parent_event_id": "2", "component": "a"},
        {"event_type": "a_start", "event_id": "2", "parent_event_id": "1", "component": "a"},
    ]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert len(context(open_trace(path), 2).above) <= 2


def test_far_from_its_span_an_event_is_looked_at_in_part(tmp_path):
    """Beyond the bound of looking, what is not found is said to be incomplete instead of read for ever."""
    made = Recording()
    made.event("trace_start", component="app")
    for _ in range(1500):
        made.event("log_record", component="log")
    far = made.start("agent", "A")
    for _ in range(100):
        made.event("log_record", far, component="log")
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    trace = open_trace(path)
    near, cut = context(trace, 1550), context(trace, 1550, look=10)
    assert (numbers(near.above), near.complete) == ([1502], True)
    assert (numbers(cut.above), cut.complete) == ([], False)


@given(st.lists(st.sampled_from([0.1, 0.25, 1e-9, None]), max_size=30), st.integers(0, 30))
def test_totals_do_not_depend_on_where_one_begins_to_add(costs, cut):
    """Totals taken up at any event and carried on are those of one pass, to the last digit."""
    events = [
        {"event_type": "llm_call_end", "component": "llm", "cost_estimate": c, "timestamp": 1.5}
        for c in costs
    ]
    whole = part = Totals()
    for event in events:
        whole = whole.add(event)
    for event in events[:cut]:
        part = part.add(event)
    for event in events[cut:]:
        part = Totals(*part).add(event)
    assert part == whole


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ({"event_type": "tool_call_end", "status": "failed"}, True),
        ({"event_type": "tool_call_end", "status": "timeout"}, True),
        ({"event_type": "tool_call_end", "error": "x"}, True),
        ({"event_type": "tool_call_end", "status": "completed", "error": "x"}, False),
        ({"event_type": "error_occurred"}, True),
        ({"event_type": "tool_call_start", "status": "started"}, False),
    ],
)
def test_what_counts_as_a_failure(event, failure):
    """A failed end and a reported error are failures; a start is not."""
    assert is_failure(event) is failure


def test_containers_add_nothing_to_the_totals():
    """An agent that tells the sum of its calls does not make them count twice."""
    totals = Totals()
    for component in ("llm", "agent", "chain"):
        totals = totals.add(
            {"event_type": f"{component}_end", "component": component, "tokens_used": 5, "cost_estimate": 0.5}
        )
    totals = totals.add(
        {"event_type": "llm_call_end", "component": "llm", "usage": {"input_tokens": 2, "output_tokens": 1}}
    )
    assert totals.scope() == {"cost": 0.5, "tokens": 8, "errors": 0, "ms": 0.0}
