"""What a page holds of two runs beside each other: their lines aligned, and the differences that `diff` finds."""

import json
from pathlib import Path

import pytest

from namel3ss_debug.analysis.diff.comparison import diff_traces
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.views.page.comparison import read_comparison
from namel3ss_debug.views.page.reading import PageRequest, read_page

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
SECRET = "sk-proj-a8Kd93jfLs02mQpZ7xVb41Nc65Tg"


def read(*paths, content=True):
    """Return the pages of two traces, and their comparison."""
    traces = [open_trace(path) for path in paths]
    request = PageRequest(DebugConfiguration(), Options(), "", content)
    pages = [read_page(trace, request) for trace in traces]
    return pages, read_comparison(traces, [page.columns for page in pages], Masks())


@pytest.fixture
def pair(tmp_path, write_trace):
    """Two runs: the second passes another city, has another answer, prints another line, and calls once more."""

    def calls(city, answer, *more):
        return [
            {"event_type": "trace_start", "component": "app", "metadata": {"format": 2, "pid": 1, "target": "a.py"}},
            {"event_type": "tool_call_start", "component": "tool", "component_name": "look_up", "inputs": {"arguments": {"key": 1}}},
            {"event_type": "tool_call_end", "component": "tool", "parent_event_id": "2", "status": "completed", "outputs": {"result": 1}},
            {"event_type": "tool_call_start", "component": "tool", "component_name": "weather", "inputs": {"arguments": {"city": city}}},
            {"event_type": "tool_call_end", "component": "tool", "parent_event_id": "4", "status": "completed", "outputs": {"result": answer}},
            *more,
            {"event_type": "trace_end", "component": "app", "metadata": {"exit_status": 0}},
        ]  # fmt: skip

    extra = (
        {"event_type": "tool_call_start", "component": "tool", "component_name": "alarm", "inputs": {"arguments": {}}},
        {"event_type": "tool_call_end", "component": "tool", "parent_event_id": "6", "status": "completed", "outputs": {"result": SECRET}},
    )  # fmt: skip
    return (
        write_trace(tmp_path / "a.jsonl", calls("Oslo", "sunny")),
        write_trace(tmp_path / "b.jsonl", calls("Rome", f"hot, {SECRET}", *extra)),
    )


def test_differences_are_those_of_diff_and_have_a_row(pair):
    """Each difference names the row of its event; the first lasting one is where the page opens."""
    _, compared = read(*pair)
    found = diff_traces(*pair)
    facts, lines = compared.facts, compared.lines
    assert [row["kind"] for row in facts["differences"]] == [each.kind for each in found.differences]
    rows = list(zip(lines["a"], lines["b"], lines["alone"], strict=True))
    assert rows == [(2, 2, ""), (4, 4, ""), (0, 6, "b")]
    assert [row["row"] for row in facts["differences"]] == [1, 1, 2]
    assert facts["first"] == 1
    assert facts["heading"] == "The runs diverge: 1 arguments, 1 result, 1 added"
    assert facts["differences"][0]["text"] == "arguments.city Oslo -> Rome"


def test_what_has_no_line_gets_one_where_it_differs(tmp_path, write_trace):
    """A line that a program printed is none of the transcript; if it differs, it stands at its place."""

    def printing(text):
        printed = {"process": "0", "output": [{"task": "0", "stream": "stdout", "text": f"{text}\n"}]}
        return [
            {"event_type": "trace_start", "component": "app", "metadata": {"format": 2, "pid": 1, "randomness": {"output": True}}},
            {"event_type": "tool_call_start", "component": "tool", "component_name": "f", "inputs": {"arguments": {}}},
            {"event_type": "tool_call_end", "component": "tool", "parent_event_id": "2", "status": "completed"},
            {"event_type": "output", "component": "app", "metadata": printed},
            {"event_type": "tool_call_start", "component": "tool", "component_name": "g", "inputs": {"arguments": {}}},
            {"event_type": "tool_call_end", "component": "tool", "parent_event_id": "5", "status": "completed"},
        ]  # fmt: skip

    paths = [write_trace(tmp_path / f"{text}.jsonl", printing(text)) for text in ("one", "other")]
    pages, compared = read(*paths)
    assert pages[0].columns["transcript"]["number"] == [2, 5]
    assert [row["row"] for row in compared.facts["differences"]] == [1]
    assert compared.lines == {"a": [2, 4, 5], "b": [2, 4, 5], "alone": ["", "", ""]}


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_run_is_the_same_beside_itself(path):
    """Each line of a transcript has itself beside it, and nothing is selected but the first."""
    pages, compared = read(path, path)
    numbers = pages[0].columns["transcript"]["number"]
    assert compared.lines == {"a": numbers, "b": numbers, "alone": [""] * len(numbers)}
    assert compared.facts["same"]
    assert (compared.facts["differences"], compared.facts["first"]) == ([], -1)


def test_no_secret_and_no_unwanted_content_is_in_a_comparison(pair):
    """What differs is described from what the page may hold."""
    _, compared = read(*pair)
    assert SECRET[:12] not in json.dumps([compared.facts, compared.lines])
    assert "Rome" in json.dumps(compared.facts)
    _, bare = read(*pair, content=False)
    assert "Rome" not in json.dumps(bare.facts)
    assert [row["kind"] for row in bare.facts["differences"]] == ["added"]
