"""A recording made by hand, random traces, and what an analysis says of a list of events."""

import math

import pytest
from hypothesis import strategies as st

from namel3ss_debug.analysis.computing import analyze_events
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.traces.events import span_prefix


class Recording:
    """Events as a tracer would write them, at times that the test says, in seconds from the beginning."""

    def __init__(self):
        self.events = []

    def add(self, event_type, at, **fields):
        """Append an event and return its id."""
        event = {
            "event_type": event_type,
            "event_id": f"e{len(self.events) + 1}",
            "seq": len(self.events),
            "timestamp": 1_700_000_000 + at,
            "execution_id": "run",
            "component": "app",
        }
        self.events.append(event | fields)
        return event["event_id"]

    def start(self, component, name, at, parent=None, **fields):
        """Begin a span and return its id."""
        if parent is not None:
            fields["parent_event_id"] = parent
        kind = fields.pop("kind", span_prefix(component))
        return self.add(f"{kind}_start", at, component=component, component_name=name, **fields)

    def end(self, start_id, at, **fields):
        """End a span; the duration is what the two times say."""
        start = next((event for event in self.events if event["event_id"] == start_id), None)
        kind = start["event_type"].removesuffix("_start") if start else "tool_call"
        fields = {
            "component": start["component"] if start else "tool",
            "component_name": start["component_name"] if start else "lost",
            "parent_event_id": start_id,
            "status": "completed",
            "duration_ms": (1_700_000_000 + at - start["timestamp"]) * 1000 if start else 1.0,
        } | fields
        return self.add(
            f"{kind}_end", at, **{key: value for key, value in fields.items() if value is not None}
        )

    def span(self, component, name, begin, end, parent=None, **fields):
        """Begin a span and end it."""
        start_id = self.start(component, name, begin, parent)
        self.end(start_id, end, **fields)
        return start_id


@pytest.fixture
def recording():
    """An empty recording."""
    return Recording()


@pytest.fixture(scope="session")
def analysed():
    """The results for some events."""

    def analysed(events, sections=None, **options):
        return analyze_events(events, sections, Options(**options))

    return analysed


IDS = [f"s{n}" for n in range(6)]
ERRORS = st.sampled_from(
    [
        {"status": "failed", "error": "no route to host", "error_type": "ConnectError"},
        {"status": "failed", "error": "ToolError: no route to host", "error_type": "ToolError"},
        {"status": "failed"},
        {"status": "timeout", "error": "late"},
        {"error": "said so"},
        {"status": "completed"},
        {},
    ]
)
ENDS = {
    "duration_ms": [0, 0.5, 40.25, 1500.0, 9e14],
    "tokens_used": [0, 1, 2, 7, 31, 98, 99],
    "usage": [{"input_tokens": 5, "output_tokens": 2}, {"input_tokens": "?"}, {}],
    "cost_estimate": [0, 0.1, 0.2, 1e-9],
    "memory_usage_mb": [10.5, 11.25, 80.0],
    "cpu_time_ms": [0.1, 0.2, 3.0],
    "retry_count": [0, 1, 2],
    "metadata": [
        {"retry_of": "s1"},
        {"retry_of": "s2", "time_to_first_token_ms": 12.5},
        {"exchange": {"status": 429}},
        {"exchange": {"request_bytes": 10, "response_bytes": 20}},
        {"bytes_read": 5, "bytes_written": 8, "reads": 1, "writes": 2, "io_ms": 0.3},
        {"events": 3, "bytes": 7, "tracing_us": 0.1, "problems": {"odd": 1}, "process": 1},
    ],
}
COMPONENTS = ["agent", "llm", "tool", "chain", "http", "mine"]
POINTS = [
    "trace_start",
    "trace_end",
    "error_occurred",
    "resource_sample",
    "log_record",
    "agent_turn_start",
    "file_access",
]


class _Dice:
    """Several choices from one number, because a draw of hypothesis takes longer than all of an event."""

    def __init__(self, *sizes):
        self.sizes = sizes
        self.strategy = st.integers(0, math.prod(sizes) - 1)

    def roll(self, draw):
        """A number below each of the sizes."""
        left = draw(self.strategy)
        rolled = []
        for size in self.sizes:
            left, one = divmod(left, size)
            rolled.append(one)
        return rolled


_FIRST = _Dice(5, len(IDS), len(COMPONENTS), 41, 3)
_SECOND = _Dice(2, 10, 2, len(IDS), 3, 5, len(POINTS))
_END = _Dice(*(len(values) for values in ENDS.values()), *[2] * len(ENDS))


def _ends(draw):
    """What an end may tell, or leave out."""
    rolled = _END.roll(draw)
    return {
        name: values[place]
        for (name, values), place, there in zip(ENDS.items(), rolled, rolled[len(ENDS) :], strict=False)
        if there
    }


@st.composite
def _event(draw):
    """One event of a trace in which anything may be missing, late, twice, or out of order."""
    kind, event_id, component, eighths, name = _FIRST.roll(draw)
    has_parent, timeless, tells_more, parent, execution, rarely, point = _SECOND.roll(draw)
    kind = ["start", "start", "end", "end", "point"][kind]
    event = {
        "event_id": IDS[event_id],
        "timestamp": 1_700_000_000 + eighths / 8,
        "component": COMPONENTS[component],
    }
    if name:
        event["component_name"] = "ab"[name - 1]
    if not timeless:
        del event["timestamp"]
    if kind == "end" or has_parent:
        event["parent_event_id"] = IDS[parent]
    if tells_more and execution:
        event["execution_id"] = "xy"[execution - 1]
    if kind == "start":
        event["event_type"] = span_prefix(event["component"]) + "_start"
        if not rarely:
            event |= _ends(draw)
    elif kind == "end":
        event["event_type"] = span_prefix(event["component"]) + "_end"
        event |= _ends(draw) | draw(ERRORS)
    else:
        event["event_type"] = POINTS[point]
        event |= _ends(draw) | draw(ERRORS)
    return event


@st.composite
def _trace(draw):
    """Spans inside spans, among events that fit nowhere."""
    events = []
    running = []
    for number in range(draw(st.integers(0, 40))):
        event = draw(_event())
        choice = draw(st.integers(0, 9))
        if choice < 4 and event["event_type"].endswith("_start"):
            event["event_id"] = f"u{number}"
            if running:
                event["parent_event_id"] = draw(st.sampled_from(running[-3:]))
            running.append(event["event_id"])
        elif choice < 8 and event["event_type"].endswith("_end") and running:
            event["parent_event_id"] = running.pop(draw(st.sampled_from([-1, -1, 0])))
        events.append(event)
    return events


@pytest.fixture(scope="session")
def traces():
    """Lists of events in which spans nest, cross, repeat, outlive each other and get lost."""
    return _trace()
