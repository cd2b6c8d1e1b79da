"""Where the time of a run went."""

from namel3ss_debug.analysis.computing import analyze_events
from namel3ss_debug.analysis.sections.time_shares import share_time
from namel3ss_debug.traces.span_table import SpanTable


def run_of(*spans, first=0.0, last=10.0):
    """The times of a run whose spans are (component, name, begin, end or None)."""
    events = [(first, {"event_type": "trace_start", "event_id": "first", "component": "app"})]
    for number, (component, name, begin, end) in enumerate(spans):
        about = {"component": component, "component_name": name}
        events.append((begin, about | {"event_type": f"{component}_call_start", "event_id": f"{number}s"}))
        if end is not None:
            ends = {"event_type": f"{component}_call_end", "event_id": f"{number}e", "parent_event_id": f"{number}s", "status": "completed", "duration_ms": 1000 * (end - begin)}  # fmt: skip
            events.append((end, about | ends))
    events.append((last, {"event_type": "trace_end", "event_id": "last", "component": "app"}))
    events.sort(key=lambda event: event[0])
    numbered = [event | {"timestamp": at, "seq": seq} for seq, (at, event) in enumerate(events)]
    return analyze_events(numbered, ["performance"])["performance"]["time"]


def test_the_shares_add_up_to_the_whole_run():
    """Start-up, calls, and what is outside of them; a call inside another has its own time."""
    found = run_of(("tool", "plan", 4.0, 9.0), ("llm", "m", 5.0, 7.0))
    assert (found["wall_ms"], found["start_up_ms"], found["outside_ms"]) == (10_000, 4_000, 1_000)
    assert [(row["component_name"], row["ms"], row["share"]) for row in found["operations"]] == [
        ("plan", 3_000, 0.3),
        ("m", 2_000, 0.2),
    ]


def test_a_moment_counts_once_where_calls_overlap():
    """It belongs to the call that began last; the other one goes on where that ends first."""
    found = run_of(("tool", "a", 0.0, 10.0), ("tool", "b", 2.0, 8.0), ("tool", "c", 3.0, 5.0))
    assert [(row["component_name"], row["ms"]) for row in found["operations"]] == [
        ("a", 4_000),
        ("b", 4_000),
        ("c", 2_000),
    ]


def test_a_call_that_never_ended_ran_until_the_trace_ended():
    """So the time in which a program hung is its."""
    found = run_of(("tool", "hang", 1.0, None))
    assert [(row["component_name"], row["ms"]) for row in found["operations"]] == [("hang", 9_000)]


def test_without_times_nothing_is_known():
    """There is no length to divide."""
    assert share_time(SpanTable()) is None
