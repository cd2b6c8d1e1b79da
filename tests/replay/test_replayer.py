"""Replaying a recording as a whole."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import MockError, PlaceError, TraceNotFoundError
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.replayer import ExecutionReplayer, Statistics


@pytest.fixture
def path(written, support):
    """The file of the support agent's recording."""
    return written(support).path


def test_every_event_is_replayed_and_counted(path, support):
    """The statistics tell what came by."""
    replayer = ExecutionReplayer(path)
    assert [(each.number, each.event) for each in replayer] == list(enumerate(support, 1))
    assert replayer.statistics == Statistics(
        events=16,
        by_type={
            "agent_execution_end": 1,
            "agent_execution_start": 1,
            "llm_call_end": 3,
            "llm_call_start": 3,
            "log_record": 1,
            "state_change": 2,
            "tool_call_end": 2,
            "tool_call_start": 2,
            "trace_start": 1,
        },
        by_component={"agent": 4, "app": 1, "llm": 6, "log": 1, "tool": 4},
        errors=1,
        tokens=150,
        cost=0.375,
        wall_ms=15000.0,
        calls_without_price=1,
    )


def test_only_the_wanted_components_are_replayed(path):
    """The statistics are of what was shown."""
    replayer = ExecutionReplayer(path, components=["tool"])
    assert [each.number for each in replayer] == [5, 7, 8, 9]
    assert (replayer.statistics.events, replayer.statistics.tokens) == (4, 0)


def test_breakpoints_are_marked_and_counted(path):
    """A replay does not stop; it says where a walk would."""
    places = [
        "error",
        Breakpoint("llm", condition="totals.cost > 0.3"),
        "search@2",
        "if state.turns == 2 and kind == 'llm'",
    ]
    replayer = ExecutionReplayer(path, breakpoints=places)
    hits = {each.number: each.breakpoint for each in replayer if each.breakpoint}
    assert hits == {7: "error", 8: "search@2"} | dict.fromkeys((12, 14, 15), "llm if totals.cost > 0.3")
    assert replayer.statistics.breakpoints["if state.turns == 2 and kind == 'llm'"] == 2


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("search", [7, 9]),
        ("search@2", [9]),
        ("tool:search", [7, 9]),
        ("tool:search@1", [7]),
        ("llm", [4, 12, 15]),
        ("llm:2", [12]),
        ("gpt-4o@2", [15]),
    ],
)
def test_a_mock_is_shown_in_place_of_the_recorded_answer(path, name, numbers):
    """The name, and with `@N` only the N-th call of it."""
    replayer = ExecutionReplayer(path, mock_responses={name: "mocked"})
    assert [each.number for each in replayer if each.mocked] == numbers
    assert replayer.statistics.mocked == len(numbers)


def test_a_mocked_answer_is_marked_and_keeps_what_was_recorded(path, support):
    """A failure is no failure any more, and nothing in the recording is changed."""
    shown = {
        each.number: each.event for each in ExecutionReplayer(path, mock_responses={"search@1": ["14 days"]})
    }
    assert shown[7]["outputs"] == {"result": ["14 days"]}
    assert shown[7]["status"] == "completed"
    assert "error" not in shown[7]
    assert shown[7]["metadata"] == {
        "mocked": True,
        "recorded": {"status": "failed", "error": "Read timed out"},
    }
    assert shown[9] == support[8]


def test_a_models_mocked_answer_has_the_shape_of_an_answer(path):
    """A text is its text, whatever else the answer holds."""
    shown = {each.number: each.event for each in ExecutionReplayer(path, mock_responses={"llm": "yes"})}
    assert shown[12]["outputs"] == {"text": "yes", "tool_calls": []}


def test_mocks_may_be_given_as_the_command_line_writes_them(path):
    """One grammar for all: what `parse_mock` gives is taken as it is."""
    replayer = ExecutionReplayer(path, mock_responses=[parse_mock('search@2:{"found": 2}')])
    assert [each.event["outputs"] for each in replayer if each.mocked] == [{"result": {"found": 2}}]


def test_a_fault_is_shown_in_place_of_the_recorded_answer(path):
    """As text, or parsed; it is counted among the mocked ones, and stops as a failure does."""
    replayer = ExecutionReplayer(
        path,
        breakpoints=["error"],
        mock_responses=[parse_mock("search@2.result=found")],
        faults=["gpt-4o@2:status:429", parse_fault("search@1:truncate")],
    )
    shown = {each.number: each for each in replayer}
    assert [number for number, each in shown.items() if each.mocked] == [9, 15]
    assert [number for number, each in shown.items() if each.breakpoint] == [7, 15]
    assert shown[15].event["error_type"] == "429"
    assert "nothing in the recorded answer to cut" in shown[7].event["metadata"]["mock_problem"]
    assert (replayer.statistics.mocked, replayer.statistics.errors) == (2, 2)


def test_a_breakpoint_is_asked_what_is_shown(path):
    """A failure that a mock takes away stops nothing, as in a walk."""
    replayer = ExecutionReplayer(path, breakpoints=["error"], mock_responses={"search@1": "found"})
    assert [each.number for each in replayer if each.breakpoint] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mock_responses": {"serch": 1}}, "serch: the trace has no such call; did you mean 'search'?"),
        ({"mock_responses": {"error": 1}}, "error: a mock needs the name of a call"),
        ({"mock_responses": {"llm if n > 3": 1}}, "llm if n > 3: the trace has no such call"),
        ({"mock_responses": {"/x|search/": 1}}, "a mock needs the name of a call"),
        ({"mock_responses": {"llm": 1}}, "llm: a model's answer is a text"),
        ({"mock_responses": [], "faults": ["search:status:429"]}, "only a model's call or an HTTP exchange"),
        ({"breakpoints": ["tool:serch"]}, "did you mean 'search'?"),
    ],
)
def test_what_the_recording_does_not_hold_is_refused(path, arguments, message):
    """Before the first event, with the nearest name."""
    wanted = MockError if "mock_responses" in arguments else PlaceError
    with pytest.raises(wanted) as caught:
        ExecutionReplayer(path, **arguments)
    assert message in str(caught.value)


def test_a_missing_file_is_not_found(tmp_path):
    """The reader's own error comes through."""
    with pytest.raises(TraceNotFoundError):
        ExecutionReplayer(tmp_path / "none.jsonl")


def test_a_second_pass_begins_anew(path):
    """Mocks and statistics are those of one pass."""
    replayer = ExecutionReplayer(path, mock_responses={"search@2": 1})
    assert (
        [each.number for each in replayer if each.mocked]
        == [each.number for each in replayer if each.mocked]
        == [9]
    )
    assert replayer.statistics.events == 16


def test_a_line_of_an_app_is_hit_once_for_each_statement(written):
    """What a statement does has its line as well, and is not marked."""
    events = [
        {"event_type": kind, "event_id": f"{number}", "call_site": "app.ai:24"}
        for number, kind in enumerate(("chain_step_start", "llm_call_start", "chain_step_start"), 1)
    ]
    replayer = ExecutionReplayer(written(events).path, breakpoints=["app.ai:24"])
    assert [each.number for each in replayer if each.breakpoint] == [1, 3]


def test_the_answer_is_shown_at_the_end_of_its_call_and_at_no_other(written, boundary_events):
    """The end of a process that a tool started is not the end of the tool."""
    made = boundary_events()
    tool = made.call("fetch", {})
    made.add("trace_start", "app", tool)
    made.add("trace_end", "app", tool)
    made.give(tool, "fetch", "fetched")
    replayer = ExecutionReplayer(written(made.events).path, mock_responses={"fetch": "mocked"})
    assert [each.number for each in replayer if each.mocked] == [4]
