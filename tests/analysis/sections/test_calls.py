import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.sections import calls as module
from namel3ss_debug.analysis.sections.calls import (
    COMPLETED,
    LLM,
    STEP,
    TOOL,
    UNKNOWN,
    PatternCall,
    Reader,
    checksum,
    group_levels,
)
from namel3ss_debug.traces.span_table import PARENT_LOST


def call(row, kind, parent):
    """A call of which only its place matters."""
    return PatternCall(
        2 * row + 1, 2 * row + 2, row, parent, kind, ("x", "y"), 1, 2, None, None, COMPLETED, retried=False
    )


def rows_of(levels):
    """The rows of each level."""
    return [[each.row for each in level] for level in levels]


def read(recording, analysed, monkeypatch):
    """The calls that the section makes of the recording."""
    seen = []
    monkeypatch.setattr(
        module.Reader,
        "call",
        lambda *span, real=Reader.call: seen.append(real(*span)) or seen[-1],
    )
    analysed(recording.events, ["patterns"])
    return seen


def test_steps_do_not_separate_a_level_and_tools_do():
    """The calls of two steps are together; what a tool calls is not."""
    calls = [
        call(0, module.AGENT, "run"),
        call(1, STEP, 0),
        call(2, TOOL, 1),
        call(3, LLM, 2),
        call(4, STEP, 0),
        call(5, LLM, 4),
    ]
    levels = group_levels(calls)
    assert rows_of(levels.calls) == [[2, 5], [3]]
    assert rows_of(levels.enclosing) == [[0], [1, 4]]


def test_what_is_as_deep_in_steps_is_together():
    """The agents in two nodes of a graph are compared, and neither with the node that it runs in."""
    calls = [
        call(0, module.CHAIN, "run"),
        call(1, STEP, 0),
        call(2, module.AGENT, 1),
        call(3, STEP, 0),
        call(4, module.OTHER, 3),
        call(5, module.AGENT, 4),
        call(6, STEP, 4),
        call(7, STEP, 6),
    ]
    assert rows_of(group_levels(calls).enclosing) == [[0], [1, 3], [2, 5, 6], [7]]


def test_a_call_of_a_model_within_another_is_at_a_level_of_its_own():
    """As those of a library that asks by way of another library; what both are asked with stays with them."""
    calls = [call(0, LLM, "run"), call(1, LLM, 0), call(2, TOOL, "run")]
    assert rows_of(group_levels(calls).calls) == [[0, 2], [1]]


@given(st.data())
def test_nothing_is_at_one_level_with_what_it_runs_inside(data):
    """Of any tree of calls."""
    parents = [data.draw(st.integers(-1, place - 1)) for place in range(data.draw(st.integers(0, 12)))]
    kinds = [data.draw(st.integers(LLM, module.OTHER)) for _ in parents]
    levels = group_levels(
        call(row, kind, "run" if parent < 0 else parent)
        for row, (parent, kind) in enumerate(zip(parents, kinds, strict=True))
    )
    for level in (*levels.calls, *levels.enclosing):
        together = {each.row for each in level}
        for each in level:
            above = parents[each.row]
            while above >= 0:
                assert above not in together
                above = parents[above]


def test_what_is_not_in_the_trace_keeps_its_calls_together():
    """Calls of a parent that is lost are at one level, and not at that of others."""
    calls = [call(0, TOOL, PARENT_LOST), call(1, TOOL, PARENT_LOST - 1), call(2, TOOL, PARENT_LOST)]
    assert rows_of(group_levels(calls).calls) == [[0, 2], [1]]


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
    assert [each.asks_to_wait for each in read(recording, analysed, monkeypatch)] == [waiting]


def test_the_answer_of_a_model_is_the_same_without_the_ids_of_its_calls(recording, analysed, monkeypatch):
    """A provider gives each tool call a new id."""
    for call_id in ("c1", "c2"):
        start = recording.start("llm", "m", 0, inputs={"messages": []})
        asked = [{"id": call_id, "name": "search", "arguments": {"q": 1}}]
        recording.end(start, 1, outputs={"text": "", "tool_calls": asked, "response_model": call_id})
    first, second = read(recording, analysed, monkeypatch)
    assert first.answer == second.answer != UNKNOWN


def test_long_arguments_are_known_by_their_checksum_only(recording, analysed, monkeypatch):
    """They are compared, and not kept."""
    for size in (10, 1000):
        start = recording.start("tool", "t", 0, inputs={"arguments": {"text": "x" * size}})
        recording.end(start, 1)
    short, long = read(recording, analysed, monkeypatch)
    assert (bool(short.text), bool(long.text)) == (True, False)
    assert UNKNOWN not in {short.request, long.request}
