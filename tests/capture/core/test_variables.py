"""Variables of the user's code at the level `comprehensive`: recorded as differences, read whole."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.core import variables
from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
from namel3ss_debug.capture.payloads.conversion import Payloads
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.variables import VariableHistory, complete_variables, read_variables


def recorded():
    """Stop tracing and return the events."""
    return list(open_trace(shutdown_tracing()).events())


class Trace:
    """Stands in for the writer of a trace and for its reader: events with a record each."""

    def __init__(self, **settings):
        self.rows = []
        self.writer = SimpleNamespace(generation=0, segment=0, events=0)
        self.recorder = variables.VariableRecorder(Payloads(), self.writer, DebugConfiguration(**settings))

    def add(self, values, scope="app.py:main"):
        """Record the variables of an event, and return its metadata."""
        changes = self.recorder.compare(scope, values)
        event_id = f"x{len(self.rows)}"
        self.rows.append(
            {"event_type": "tool_call_start", "event_id": event_id, "metadata": changes.metadata}
        )
        self.writer.events = len(self.rows)
        self.recorder.commit(changes, event_id)
        return changes.metadata

    def events(self, start=1):
        """Yield the events from a number on."""
        yield from self.rows[start - 1 :]

    def event(self, number):
        """Return an event by its number."""
        return self.rows[number - 1]

    def count(self):
        """Return how many events there are."""
        return len(self.rows)


def test_the_variables_at_the_call_are_recorded(tracing):
    """The start of a span tells the variables of the user's function, without modules, functions and classes."""
    tracer = tracing(level="comprehensive")
    city, days = "Oslo", 3
    with tracer.span("tool", "weather", metadata={"own": 1}):
        days += 1
    start = recorded()[1]
    assert start["metadata"]["own"] == 1
    assert start["metadata"]["locals"]["city"] == city
    assert start["metadata"]["locals"]["days"] == 3
    assert "json" not in start["metadata"]["locals"]
    assert json.dumps(start)


def test_of_a_cell_the_variables_are_those_of_the_user():
    """What IPython keeps in the session, such as the text of all cells before, is no variable of the program."""
    kept = {
        "In": ["", "x = 1"],
        "_ih": ["", "x = 1"],
        "_i1": "x = 1",
        "_": 7,
        "Out": {},
        "quit": exit,
        "_mine": 1,
    }
    session = kept | {"city": "Oslo", "variables": variables}
    exec(compile("frame = __import__('sys')._getframe()", "cell", "exec"), session)
    assert variables.read_variables(session.pop("frame").f_locals) == {"city": "Oslo"}


def test_the_variables_where_it_failed_are_recorded_once(tracing):
    """The innermost span of a failure tells the variables of the function that raised."""
    tracer = tracing(level="comprehensive")

    def fail(divisor):
        token = "sk-ant-api03-" + "a" * 40
        return len(token) / divisor

    with contextlib.suppress(ZeroDivisionError), tracer.span("agent", "A"), tracer.span("tool", "t"):
        fail(0)
    inner, outer = (
        event for event in recorded() if event["event_type"].endswith("_end") and "duration_ms" in event
    )
    assert inner["metadata"]["locals"] == {"divisor": 0, "token": "[REDACTED:key]"}
    assert "metadata" not in outer


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text("ab", max_size=2), PLAIN, max_size=3)
STATES = st.lists(
    st.tuples(st.sampled_from(["f", "g"]), st.dictionaries(st.sampled_from("abcd"), VALUES)), max_size=90
)


@given(STATES)
def test_every_event_reads_as_all_variables_that_there_were(states):
    """Whatever changes, appears and goes in two scopes, each event gives the variables of its own moment."""
    trace = Trace()
    for scope, values in states:
        trace.add(values, scope)
    history = VariableHistory()
    for number, (_, values) in enumerate(states, 1):
        assert history.complete(trace.event(number))["metadata"]["locals"] == Payloads().value(values)
    for number, (scope, values) in reversed(list(enumerate(states, 1))):
        found = read_variables(trace, number)
        assert (found.scope, found.values, found.missing) == (scope, Payloads().value(values), False)


def test_what_did_not_change_is_not_written_again():
    """A record has what changed since the record before, and the names that are gone."""
    trace = Trace()
    trace.add({"a": 1, "b": [1, 2], "c": "x"})
    later = trace.add({"a": 2, "b": [1, 2]})
    assert later == {
        "locals": {"a": 2},
        "locals_record": {"scope": "app.py:main", "since": "x0", "removed": ["c"]},
    }


def test_a_large_value_is_its_shape_and_never_claimed_to_be_unchanged():
    """Where a list of a million items has the same identity, length and sample, nobody looked at the rest."""
    trace = Trace()
    data = list(range(1_000_000))
    first = trace.add({"data": data})["locals"]["data"]
    assert (first["$type"], first["length"], first["start"]) == ("list", 1_000_000, [0, 1, 2])
    data[777] = "another"
    assert trace.add({"data": data})["locals_record"]["not_compared"] == ["data"]
    found = read_variables(trace, 2)
    assert found.not_compared == ("data",)
    assert found.notes()[0] == "data was recorded at event 1; since then it was compared only in part"
    data.append(0)
    assert trace.add({"data": data})["locals"]["data"]["length"] == 1_000_001


@pytest.mark.parametrize(
    "make",
    [
        lambda: dict.fromkeys(range(5000), "v"),
        lambda: set(range(5000)),
        lambda: bytearray(9000),
        lambda: "x" * (variables.WHOLE_DIGEST + 1),
    ],
)
def test_every_large_container_is_bounded(make):
    """Whatever the container, a record of it is small, and an equal sample is no proof."""
    trace, value = Trace(), make()
    first = trace.add({"value": value})
    assert first["locals"]["value"]["length"] == len(value)
    assert len(json.dumps(first)) < 2 * variables.VALUE_BYTES
    assert trace.add({"value": value})["locals_record"]["not_compared"] == ["value"]


def test_a_text_is_compared_by_its_hash_and_has_a_digest_of_all_of_it():
    """A text cannot change, so an equal one counts as unchanged, another of the same length does not."""
    trace = Trace()
    one = trace.add({"text": "a" * 10_000})["locals"]["text"]
    assert one["length"] == 10_000
    assert "not_compared" not in trace.add({"text": "a" * 10_000})["locals_record"]
    assert trace.add({"text": "a" * 9_999 + "b"})["locals"]["text"]["digest"] != one["digest"]


def test_what_was_converted_in_part_is_not_claimed_to_be_unchanged():
    """Of a nested large value, of an object with a `repr` and of a redacted one, not everything was compared."""

    class Client:
        def __repr__(self):
            return "Client()"

    trace = Trace()
    values = {"nested": {"rows": ["x" * 99] * 100}, "client": Client(), "plain": {"rows": [1]}}
    trace.add(values)
    assert trace.add(values)["locals_record"]["not_compared"] == ["nested", "client"]


@pytest.mark.parametrize(
    "make", [str, lambda text: text.encode(), lambda text: [text] * 1000, lambda text: {text: 1}]
)
@pytest.mark.parametrize("before", range(225, 262, 4))
def test_no_part_of_a_secret_is_in_a_shape(before, make):
    """Wherever a large value is cut, also in the middle of a key, nothing of the key is recorded."""
    trace = Trace()
    trace.recorder = variables.VariableRecorder(Payloads(Redactor()), trace.writer, DebugConfiguration())
    value = make("x " * (before // 2) + "sk-ant-api03-" + "Qz7" * 30 + " y" * 4000)
    assert "Qz7" not in json.dumps(trace.add({"value": value, "api_key": value}))


def test_an_event_and_a_run_have_budgets():
    """What does not fit into an event is named; after the budget of the run there are no more values, and the reader says so."""
    trace = Trace(variables_event_bytes=100, variables_run_bytes=150)
    big = {"a": "x" * 60, "b": "y" * 60, "c": 1}
    first = trace.add(big)
    assert (list(first["locals"]), first["locals_record"]["omitted"]) == (["a", "c"], ["b"])
    assert read_variables(trace, 1).omitted == ("b",)
    second = trace.add({**big, "a": "z"})
    assert list(second["locals"]) == ["a", "b"], "what was omitted is tried again"
    assert read_variables(trace, 2).values == {"a": "z", "b": "y" * 60, "c": 1}
    assert trace.add({"a": "new"}) == {"locals_record": {"scope": "app.py:main", "stopped": True}}
    assert "variables_run_bytes" in " ".join(read_variables(trace, 3).notes())


def test_a_value_that_is_omitted_later_is_not_shown_as_it_was():
    """A variable that grew over the budget is not read as its earlier, smaller value."""
    trace = Trace(variables_event_bytes=100)
    trace.add({"a": "x"})
    trace.add({"a": "x" * 200})
    found = read_variables(trace, 2)
    assert (found.values, found.omitted) == ({}, ("a",))


def test_any_number_of_variables_can_go_at_once_and_only_the_first_are_looked_at():
    """What is gone is not shown, however many; what was not looked at is counted."""
    trace = Trace()
    many = {f"variable_number_{number:04}": None for number in range(variables.MOST_VARIABLES + 9)}
    trace.add(many)
    trace.add({"left": 1})
    assert (trace.event(1)["metadata"]["locals_record"]["further"], read_variables(trace, 1).further) == (
        9,
        9,
    )
    assert "9 more" in " ".join(read_variables(trace, 1).notes())
    assert read_variables(trace, 2).values == {"left": 1}


def test_no_code_of_the_program_runs():
    """Keys, items and attributes of the program's own classes are neither hashed nor compared nor measured."""

    class Loud:
        hashable = True

        def __hash__(self):
            assert self.hashable
            return 10**9

        def __eq__(self, other):
            raise AssertionError

        def __len__(self):
            raise AssertionError

        __class__ = property(lambda self: 1 / 0)

    trace = Trace()
    values = {"keys": {Loud(): 1} | dict.fromkeys(range(300), Loud()), "items": [Loud()] * 300, "one": Loud()}
    Loud.hashable = False
    trace.add(variables.read_variables(values))
    assert trace.add(variables.read_variables(values))["locals_record"]["not_compared"] == list(values)


def test_all_variables_are_recorded_again_after_some_records_and_in_a_new_segment():
    """A reader never goes back further than a stretch of a segment."""
    trace = Trace()
    for number in range(variables.WHOLE_EVERY + 2):
        trace.add({"constant": 1, "n": number})
    whole = [
        n for n in range(1, trace.count() + 1) if "since" not in trace.event(n)["metadata"]["locals_record"]
    ]
    assert whole == [1, variables.WHOLE_EVERY + 2]
    trace.writer.segment = 1
    assert "since" not in trace.add({"constant": 1})["locals_record"]


def test_an_earlier_record_that_is_gone_is_reported():
    """Where the segment with the earlier record was removed, what is not known is said, and what is known is shown."""
    trace = Trace()
    trace.add({"a": 1, "b": 1})
    trace.add({"a": 1, "b": 2})
    del trace.rows[0]
    found = read_variables(trace, 1)
    assert (found.values, found.missing) == ({"b": 2}, True)
    assert "not in the trace" in found.notes()[0]


def test_variables_of_an_older_trace_are_whole():
    """A trace without records has all variables in each event."""
    trace = Trace()
    trace.rows = [
        {"event_type": "tool_call_start", "metadata": {"locals": {"a": 1}}},
        {"event_type": "log_record"},
    ]
    assert read_variables(trace, 1).values == {"a": 1}
    assert read_variables(trace, 2) is None
    assert complete_variables(trace, 1, trace.event(1)) is trace.event(1)


PROGRAM = """
rows = [0] * 5000
names = ["a"]

def inner(tracer, turn):
    with tracer.span("tool", "t"):
        pass

def outer(tracer):
    for turn in range(3):
        inner(tracer, turn)
        names.append(turn)
"""


def test_globals_of_a_module_are_recorded_once_for_its_functions(tracing, tmp_path, monkeypatch):
    """The first event inside a module's functions has its globals; the later ones name it."""
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    tracer = tracing(level="comprehensive")
    scope = {"__name__": "app"}
    exec(compile(PROGRAM, str(path), "exec"), scope)
    scope["outer"](tracer)
    path = shutdown_tracing()
    trace = open_trace(path)
    starts = [n for n, event in enumerate(trace.events(), 1) if event["event_type"] == "tool_call_start"]
    records = [trace.event(number)["metadata"]["locals_record"] for number in starts]
    assert ["globals" in record for record in records] == [True, False, False]
    found = read_variables(trace, starts[2])
    assert (found.scope, found.values["turn"]) == ("app.py:inner", 2)
    assert (found.module.number, found.module.values["names"]) == (starts[0], ["a"])


def test_a_rotated_trace_has_all_variables_in_each_segment_that_is_left(tmp_path):
    """Where older segments were removed, the variables of the events that are left are complete."""
    tracer = initialize_tracing(
        trace_output_dir=str(tmp_path), level="comprehensive", rotate_max_bytes=20_000, rotate_keep=2
    )
    constant = "the same all the time"
    for turn in range(200):
        with tracer.span("tool", "t"):
            del_me = turn
    shutdown_tracing()
    trace = open_trace(min(tmp_path.glob("trace_2*.jsonl")))
    found = [
        read_variables(trace, number)
        for number, event in enumerate(trace.events(), 1)
        if event["event_type"] == "tool_call_start"
    ]
    assert 2 < len(found) < 200
    assert del_me == 199
    complete = [each for each in found if not each.missing]
    assert all(each.values["constant"] == constant for each in complete)
    assert len(complete) >= len(found) - 1, "only the event that began the segment refers to the one before"
