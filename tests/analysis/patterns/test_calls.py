import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.patterns import calls as module
from namel3ss_debug.analysis.patterns.calls import (
    COMPLETED,
    LLM,
    STEP,
    TOOL,
    UNKNOWN,
    Call,
    Reader,
    checksum,
    levels_of,
)


def call(number, kind, event_id, parent):
    """A call of which only its place matters."""
    return Call(
        number, number + 1, event_id, parent, kind, ("x", "y"), 1, 2, None, None, COMPLETED, retried=False
    )


def read(recording, analysed, monkeypatch):
    """The calls that the section makes of the recording."""
    seen = []
    monkeypatch.setattr(
        module.Reader,
        "call",
        lambda reader, span, real=Reader.call: seen.append(real(reader, span)) or seen[-1],
    )
    analysed(recording.events, ["patterns"])
    return seen


def test_steps_do_not_part_a_level_and_tools_do():
    """The calls of two steps are together; what a tool calls is not."""
    calls = [
        call(1, module.AGENT, "a", "\0run"),
        call(3, STEP, "s1", "a"),
        call(5, TOOL, "t1", "s1"),
        call(7, LLM, "m1", "t1"),
        call(9, STEP, "s2", "a"),
        call(11, LLM, "m2", "s2"),
    ]
    levels = levels_of(calls, {})
    assert [[each.id for each in level] for level in levels.calls] == [["t1", "m2"], ["m1"]]
    assert [[each.id for each in level] for level in levels.parts] == [["a"], ["s1", "s2"]]


def test_what_is_not_in_the_trace_keeps_its_calls_together():
    """Calls of a parent that is lost are at one level, and not at that of others; links are followed and end."""
    calls = [call(1, TOOL, "1", "lost"), call(3, TOOL, "2", "gone"), call(5, TOOL, "3", "lost")]
    calls.append(call(7, TOOL, "4", "circle"))
    levels = levels_of(calls, {"circle": "circle"})
    assert [[each.id for each in level] for level in levels.calls] == [["1", "3"], ["2"], ["4"]]


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_equal_values_have_equal_checksums_whatever_their_order(value):
    """The order of keys says nothing."""
    assert checksum(value) == checksum(dict(reversed(value.items())))


def test_what_json_cannot_hold_equals_nothing():
    """Such a value is as one that the trace does not tell."""
    assert checksum({1 << 70}) == UNKNOWN


@pytest.mark.parametrize(
    ("result", "waiting"),
    [
        ({"status": "In Progress"}, True),
        ({"state": "queued"}, True),
        ("pending", True),
        ({"status": "done"}, False),
        ("running is healthy", False),
        (None, False),
    ],
)
def test_an_answer_may_say_to_wait(recording, analysed, monkeypatch, result, waiting):
    """By its status or state, or as a whole, and in known words only."""
    start = recording.start("tool", "job", 0, inputs={"arguments": {}})
    recording.end(start, 1, outputs={"result": result})
    assert [each.waiting for each in read(recording, analysed, monkeypatch)] == [waiting]


def test_the_answer_of_a_model_is_the_same_without_the_ids_of_its_calls(recording, analysed, monkeypatch):
    """A provider gives each tool call a new id."""
    for call_id in ("c1", "c2"):
        start = recording.start("llm", "m", 0, inputs={"messages": []})
        asked = [{"id": call_id, "name": "search", "arguments": {"q": 1}}]
        recording.end(start, 1, outputs={"text": "", "tool_calls": asked, "response_model": call_id})
    first, second = read(recording, analysed, monkeypatch)
    assert first.answered == second.answered != UNKNOWN


def test_long_arguments_are_known_by_their_checksum_only(recording, analysed, monkeypatch):
    """They are compared, and not kept."""
    for size in (10, 1000):
        start = recording.start("tool", "t", 0, inputs={"arguments": {"text": "x" * size}})
        recording.end(start, 1)
    short, long = read(recording, analysed, monkeypatch)
    assert (bool(short.text), bool(long.text)) == (True, False)
    assert UNKNOWN not in {short.asked, long.asked}
