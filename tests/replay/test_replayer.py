"""Replaying a recording as a whole."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import PlaceError, TraceNotFoundError
from namel3ss_debug.replay.breakpoints import Breakpoint
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


@pytest.mark.parametrize(
    ("answer", "outputs"),
    [
        ("yes", {"text": "yes"}),
        ({"text": "yes", "finish_reason": "stop"}, {"text": "yes", "finish_reason": "stop"}),
        ({"approved": True}, {"text": '{"approved":true}'}),
        (None, {"text": "null"}),
    ],
)
def test_a_models_mocked_answer_has_the_shape_of_an_answer(path, answer, outputs):
    """A text is its text, an answer is taken as it is, and other JSON is its text."""
    shown = {each.number: each.event for each in ExecutionReplayer(path, mock_responses={"llm": answer})}
    assert shown[12]["outputs"] == outputs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mock_responses": {"serch": 1}}, "serch: the recording holds no such name; did you mean 'search'?"),
        ({"mock_responses": {"error": 1}}, "error: a mock is given for a name"),
        ({"mock_responses": {"llm if n > 3": 1}}, "a mock is given for a name"),
        ({"mock_responses": {"/x|search/": 1}}, "a mock is given for a name"),
        ({"breakpoints": ["tool:serch"]}, "did you mean 'search'?"),
    ],
)
def test_names_that_the_recording_does_not_hold_are_refused(path, arguments, message):
    """Before the first event, with the nearest name."""
    with pytest.raises(PlaceError) as caught:
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
