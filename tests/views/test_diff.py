"""Two runs that part, as a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from namel3ss_debug.analysis.diff.baselines import BaselineDiff
from namel3ss_debug.analysis.diff.comparison import Diff, ModelReading, RunReconvergence, Side
from namel3ss_debug.analysis.diff.differences import KINDS, Detail, Part, RunDifference
from namel3ss_debug.views.diff import baseline_report, report
from namel3ss_debug.views.renderers import screen
from namel3ss_debug.wire.conversations import diff_messages
from namel3ss_debug.wire.value_changes import diff_values

SIDE = Side("a.jsonl", "run", "app.py", 12, 1000.0, 400, 0.004, 0, 50.0, 0, 4, 3, 0, 0)
OTHER = replace(SIDE, path="b.jsonl", duration_ms=1500.0, tokens=500, cost=None, unpriced=1, memory_mb=None)


def message(role, text):
    """A message."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def difference(kind="result", **fields):
    """A difference of a tool."""
    return replace(
        RunDifference(kind, "tool", "tool_call", "search", "search", 8, 9, ("Support",), lasting=True),
        **fields,
    )


def diff(*differences, **fields):
    """Two runs with these differences."""
    kinds = dict(Counter(each.kind for each in differences))
    first = differences[0] if differences else None
    whole = Diff(SIDE, OTHER, kinds, tuple(differences), first, None, None, None, 0, payloads=True)
    return replace(whole, **fields)


def shown(found, limit=20, width=80, make=report):
    """The lines of a report."""
    return [line.plain for line in screen.lines(make(found, width=width, limit=limit), width)]


def test_the_same_run():
    """One line says it; what both took stands below, and what is not known is left out."""
    lines = shown(diff())
    assert lines[0] == "The runs are the same run"
    assert (
        lines[lines.index("What they took") + 1 :]
        == [
            "                    a       b    b - a",
            "  time         1.00 s  1.50 s  +500 ms",
            "  tokens          400     500     +100",
            "  cost        $0.0040",
            "  memory      50.0 MB",
            "  model calls       4       4",
            "  tool calls        3       3",
            "  errors            0       0",
            "  exit status       0       0",
            "  Without the model calls of b whose price is not known.",
        ]
        or lines[-1] == "  Without the model calls of b whose price is not known."
    )


def test_a_change_of_order_of_calls_that_ran_side_by_side_is_counted():
    """So is that payloads could not be compared, and that something could not be read."""
    text = "\n".join(shown(diff(reordered=3, payloads=False, b=replace(OTHER, problems=2))))
    assert "3 calls in another order, as they ran side by side" in text
    assert "names, order and status are compared" in text
    assert "b.jsonl: 2 places cannot be read" in text


def test_both_sides_of_the_first_difference():
    """The event, the path of what differs, and the messages side by side before and after."""
    before = [message("system", "Be brief."), message("user", "Where is A-17?")]
    after = (
        [*before, message("tool", "in the first depot")],
        [*before, message("tool", "in the second depot")],
    )
    found = difference(detail=Detail((), diff_values({"result": 1}, {"result": 2})))
    read = ModelReading(6, 6, diff_messages(before, before))
    read_next = ModelReading(10, 11, diff_messages(*after))
    lines = shown(
        diff(
            found, read=read, read_next=read_next, reconvergence=RunReconvergence(12, 13, 3, to_the_end=True)
        )
    )
    first = lines.index("First lasting difference")
    assert lines[first + 1 : lines.index("What they took") - 1] == [
        "  result  the same call had another result",
        "  inside  Support",
        "  a       event 8, tool search",
        "  b       event 9, tool search",
        "",
        "     where   a  b",
        "  ~  result  1  2",
        "",
        "What the model had read  event 6 in a, event 6 in b",
        "  The same 2 messages in both.",
        "",
        "What the model read next  event 10 in a, event 11 in b",
        "     a                               b",
        "     2 messages the same             2 messages the same",
        "  ~  3 tool  in the [-first-] depot  3 tool  in the {+second+} depot",
        "",
        "They reconverge  event 12 in a, event 13 in b, for 3 steps, to the end",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (difference("retry", attempts=(1, 3), recovered=True, lasting=False), "1 -> 3 attempts, recovered"),
        (difference("retry", attempts=(2, 1), recovered=False), "2 -> 1 attempt, did not recover"),
        (difference("path", name_b="lookup"), "search -> lookup"),
        (difference("added", name_a=None, number_a=None), "added"),
        (difference("context", carried_from=5), "what differs since event 5"),
        (difference(detail=Detail((), diff_values({"x": 1}, {"x": 2, "y": 3}))), "x 1 -> 2 and 1 more"),
        (difference(detail=Detail((), diff_values({"x": 1}, {}))), "- x 1"),
    ],
)
def test_a_difference_in_a_row(found, words):
    """What differs in a few words; a difference that did not last stands in brackets."""
    lines = shown(diff(difference(), found))
    rows = lines[lines.index("They do not reconverge") : lines.index("What they took")]
    (line,) = [line for line in rows if words in line]
    assert (f"({found.kind})" in line) is not found.lasting


def test_only_so_many_have_a_row():
    """The others are counted."""
    many = [difference(number_b=number) for number in range(30)]
    lines = shown(diff(*many, kinds={"result": 30}), limit=5)
    assert "  25 more; --limit N shows the first N." in lines


def test_a_failing_run_beside_passing_ones():
    """All of them are named, and the sides have their names."""
    found = BaselineDiff((SIDE, SIDE), OTHER, {"result": 1}, (difference(),), difference(), None, None)
    lines = shown(found, make=baseline_report)
    assert lines[0] == "What sets the failing run apart  1 result"
    assert [line.split()[0] for line in lines[2:5]] == ["passing", "passing", "failing"]
    assert "  failing  event 9, tool search" in lines
    assert (
        shown(replace(found, kinds={}, first=None), make=baseline_report)[0]
        == "Nothing sets the failing run apart"
    )


@settings(max_examples=40)
@given(st.text(), st.text(), st.sampled_from(sorted(KINDS)))
def test_no_text_of_a_recording_harms_the_screen(one, other, kind):
    """Every line fits the screen and holds nothing but what can be shown."""
    event = {"component": "tool", "inputs": {one: other}, "error": one, "call_site": other}
    detail = Detail(
        (Part(one, diff_messages([message(one, other)], [message(other, one)])),),
        diff_values({one: 1}, {one: other}),
        (event, event),
    )
    found = difference(kind, name_a=one, name_b=other, where=(one,), detail=detail)
    side = replace(SIDE, path=one, target=other)
    read = ModelReading(1, 1, detail.messages)
    for line in shown(diff(found, found, a=side, read=read, read_next=read)):
        assert cell_len(line) <= 80
        assert line.isprintable()
