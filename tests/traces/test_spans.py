"""Pairing starts with ends, merging parts, and the forest of spans."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug.traces.spans import Span, SpanPairing, build_forest, spans


def start(event_id, parent=None, **more):
    """A start event."""
    row = {"event_type": "llm_call_start", "event_id": event_id, "component": "llm", "timestamp": 10.0}
    return row | ({"parent_event_id": parent} if parent is not None else {}) | more


def end(event_id, **more):
    """The end event of a start."""
    return {"event_type": "llm_call_end", "event_id": f"e{event_id}", "parent_event_id": event_id} | more


def seen(found):
    """What a list of spans says, comparably."""
    return [(span.number, span.end_number, span.start is None) for span in found]


def test_an_end_completes_the_span_of_its_start():
    """Number, place of the end, and what the two events say together."""
    events = [
        start("1", component_name="gpt-4o"),
        {"event_type": "decision", "event_id": "2", "parent_event_id": "1"},
        end("1", status="completed", duration_ms=12.5, timestamp=11.0),
    ]
    (span,) = spans(events, start=7)
    assert (span.number, span.end_number, span.id, span.kind) == (7, 9, "1", "llm_call")
    assert (span.component, span.name, span.status, span.failed) == ("llm", "gpt-4o", "completed", False)
    assert (span.started_at, span.ended_at, span.duration_ms) == (10.0, 11.0, 12.5)


def test_a_start_without_an_end_is_open():
    """It comes last, has no duration and has not failed."""
    first, last = spans([start("1"), start("2", "1"), end("2")])
    assert (first.id, last.id, last.status, last.duration_ms, last.failed) == ("2", "1", "open", None, False)
    assert (first.parent_id, last.parent_id) == ("1", None)


def test_an_end_without_a_start_is_an_orphan():
    """It is kept with the number of the end, and what it says of itself."""
    (span,) = spans([end("9", component="llm", component_name="m", status="failed", duration_ms=1.0)])
    assert (span.number, span.start, span.id, span.parent_id) == (1, None, "9", None)
    assert (span.component, span.name, span.failed, span.duration_ms) == ("llm", "m", True, 1.0)
    assert span.started_at is None


def test_duration_falls_back_to_the_timestamps():
    """A clock that stepped back gives zero, not a negative time; without timestamps nothing is known."""
    ended = [(12.0, 2000.0), (9.0, 0.0), (None, None)]
    for timestamp, expected in ended:
        (span,) = spans([start("1"), end("1", **({"timestamp": timestamp} if timestamp else {}))])
        assert span.duration_ms == expected


def test_a_call_that_was_not_seen_has_no_duration_of_its_own():
    """Its two events were written when it was over; a framework that saw it may have told how long it took."""
    begun = start("1", metadata={"seen": False}, timestamp=10.0)
    for told, expected in (({}, None), ({"duration_ms": 7.0}, 7.0)):
        (span,) = spans([begun, end("1", timestamp=10.5, **told)])
        assert span.duration_ms == expected


@pytest.mark.parametrize(
    ("fields", "status", "failed"),
    [
        ({}, "completed", False),
        ({"error": "no"}, "failed", True),
        ({"status": "timeout"}, "timeout", True),
        ({"status": "cancelled"}, "cancelled", True),
        ({"status": "skipped"}, "skipped", False),
        ({"status": "completed", "error": "a warning"}, "completed", False),
    ],
)
def test_status(fields, status, failed):
    """The status is what the end says; an error without a status is a failure."""
    (span,) = spans([start("1"), end("1", **fields)])
    assert (span.status, span.failed) == (status, failed)


def test_marks_of_segments_are_no_spans():
    """`trace_start` and `trace_end` pair with nothing, but tie a child process to its parent span."""
    pairing = SpanPairing()
    marks = [
        {"event_type": "trace_start", "event_id": "1"},
        {"event_type": "trace_start", "event_id": "p1.1", "parent_event_id": "4"},
        {"event_type": "trace_end", "event_id": "2"},
    ]
    assert [pairing.feed(number, mark) for number, mark in enumerate(marks, 1)] == [None] * 3
    assert list(pairing.remaining()) == []
    assert pairing.links == {"p1.1": "4"}


def test_the_end_of_a_child_process_ends_no_span():
    """The span that the process was started in, which it names as its parent, goes on."""
    mark = {"event_type": "trace_end", "event_id": "p1.2", "parent_event_id": "1"}
    assert seen(spans([start("1"), mark, end("1")])) == [(1, 3, False)]


def test_equal_ids_nest_like_brackets():
    """The latest start with an id ends first, then the one before it."""
    found = spans([start("1"), start("1"), end("1"), end("1"), end("1"), start("1")])
    assert seen(found) == [(2, 3, False), (1, 4, False), (5, 5, True), (6, None, False)]


EVENTS = st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=40).map(
    lambda rows: [start(name) if begins else end(name) for begins, name in rows]
)


def shape(forest):
    """The ids of a forest with their depth."""
    return [(depth, node.span.id) for depth, node in forest.walk()]


def test_the_forest_hangs_spans_under_their_parents():
    """Children come by number whatever the order of the spans was."""
    found = list(
        spans([start("1"), start("2", "1"), start("3", "2"), end("3"), end("2"), start("4", "1"), end("1")])
    )
    forest = build_forest(reversed(found))
    assert shape(forest) == [(0, "1"), (1, "2"), (2, "3"), (1, "4")]
    assert (forest.lost_parents, forest.cycles, forest.duplicates) == (0, 0, 0)


def test_links_lead_through_what_is_no_span():
    """A span of a child process hangs under the span its process was started in; links in a circle do not hang."""
    rows = [start("4"), start("p1.2", "p1.1"), start("5", "x")]
    forest = build_forest(spans(rows), {"p1.1": "4", "x": "y", "y": "x"})
    assert shape(forest) == [(0, "4"), (1, "p1.2"), (0, "5")]
    assert forest.lost_parents == 1


def test_lost_parents_circles_and_duplicates_are_counted():
    """None of them loses a span or hangs."""
    rows = [
        start("a", "gone"),
        start("b", "c"),
        start("c", "d"),
        start("d", "b"),
        start("e", "e"),
        start("f", "d"),
        start("a", "a"),
        end("nothing"),
    ]
    forest = build_forest(spans(rows))
    assert (forest.lost_parents, forest.cycles, forest.duplicates) == (1, 2, 1)
    assert shape(forest) == [
        (0, "a"),
        (1, "a"),
        (0, "b"),
        (1, "d"),
        (2, "c"),
        (2, "f"),
        (0, "e"),
        (0, "nothing"),
    ]


@pytest.mark.parametrize("closed", [True, False])
def test_chains_of_any_depth(closed):
    """A chain of 50,000 spans, also one bent into a circle, is built and walked without recursion."""
    depth = 50_000
    rows = [start(str(number), str(number - 1)) for number in range(depth)]
    if closed:
        rows[0]["parent_event_id"] = str(depth - 1)
    forest = build_forest(spans(rows))
    assert forest.cycles == int(closed)
    assert [level for level, _ in forest.walk()] == list(range(depth))


def test_a_hundred_thousand_equal_ids_do_not_take_quadratic_time():
    """Every span of a hostile file with one id only finds the one before it."""
    forest = build_forest(spans(start("x", "x") for _ in range(100_000)))
    assert forest.duplicates == 99_999
    assert sum(1 for _ in forest.walk()) == 100_000


@settings(deadline=None)
@given(parents=st.lists(st.integers(0, 12), max_size=12))
def test_every_span_is_in_the_forest_once(parents):
    """Whatever the parents say."""
    rows = [start(str(number), str(parent)) for number, parent in enumerate(parents)]
    nodes = [node.span.number for _, node in build_forest(spans(rows)).walk()]
    assert sorted(nodes) == list(range(1, len(parents) + 1))


def test_a_span_shows_itself_shortly():
    """Its repr names number, kind, name and status."""
    assert repr(Span(3, start("1", component_name="m"))) == "Span(3, 'llm_call', 'm', 'open')"
