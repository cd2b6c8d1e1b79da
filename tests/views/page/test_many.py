"""What a page holds of many runs: a row for each, trends, recurring failures, who calls whom, and no secrets."""

import json
import os
from pathlib import Path

import pytest

from namel3ss_debug.analysis.aggregate.trends import Point, compute_trend
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.views.page.many import read_many
from namel3ss_debug.views.page.reading import PageRequest

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
SECRET = "sk-proj-a8Kd93jfLs02mQpZ7xVb41Nc65Tg"


def read(*paths, content=True, page=None, **more):
    """Return what a page holds of some runs."""
    return read_many(paths, PageRequest(DebugConfiguration(), Options(), content=content), page, **more)


@pytest.fixture
def runs(tmp_path, write_trace):
    """Five runs of a program, one a day, each slower than the one before; the last two fail in the same way."""
    paths = []
    for day in range(5):
        failure = (
            {"status": "failed", "error": f"no key {SECRET}", "error_type": "KeyError"} if day > 2 else {}
        )
        events = [
            {"event_type": "trace_start", "component": "app", "metadata": {"format": 2, "pid": 1, "target": "a.py"}},
            {"event_type": "agent_execution_start", "component": "agent", "component_name": "Triage"},
            {"event_type": "tool_call_start", "component": "tool", "component_name": "transfer_to_refunds", "parent_event_id": "2"},
            {"event_type": "tool_call_end", "component": "tool", "component_name": "transfer_to_refunds", "parent_event_id": "3", "status": "completed"},
            {"event_type": "tool_call_start", "component": "tool", "component_name": "look_up", "parent_event_id": "2"},
            {"event_type": "tool_call_end", "component": "tool", "component_name": "look_up", "parent_event_id": "5", "status": "completed", **failure},
            {"event_type": "agent_execution_end", "component": "agent", "component_name": "Triage", "parent_event_id": "2", "status": "completed"},
            {"event_type": "trace_end", "component": "app", "metadata": {"exit_status": 1 if failure else 0}},
        ]  # fmt: skip
        began = 1_700_000_000 + 86_400 * day
        timed = [{**event, "timestamp": began + number * (1 + day)} for number, event in enumerate(events)]
        paths.append(write_trace(tmp_path / f"run{day}.jsonl", timed))
    return paths


def test_each_run_has_a_row(runs):
    """It has the outcome, the figures and the first finding, and the reference for a command."""
    rows = read(*runs)["runs"]
    assert [row["is_failure"] for row in rows] == [False, False, False, True, True]
    assert [row["took"] for row in rows] == ["7.00 s", "14.0 s", "21.0 s", "28.0 s", "35.0 s"]
    assert rows[4]["reference"] == os.path.relpath(runs[4])
    assert "look_up failed: KeyError" in rows[4]["finding"]
    assert rows[0]["finding"] == ""


def test_trends_are_those_of_analyze_with_a_point_for_each_run(runs):
    """The direction and the confidence are computed as everywhere."""
    (program,) = read(*runs)["trends"]
    (took,) = [row for row in program["rows"] if row["label"] == "response time"]
    assert program["target"] == "a.py"
    assert [point[0] for point in took["points"]] == [0, 1, 2, 3, 4]
    expected = compute_trend([Point(at, value) for _, at, value, _ in took["points"]])
    assert (took["direction"], took["confidence"]) == ("rising", expected["confidence"])
    assert took["is_worse"]
    assert took["a_day"]


def test_programs_are_not_compared_with_each_other():
    """Each program has trends of its own."""
    found = read(*sorted(RECORDINGS.glob("*.jsonl")))
    owners = {row["target"] for row in found["runs"]}
    assert len(found["trends"]) == len(owners) > 1
    for program in found["trends"]:
        indexes = {point[0] for row in program["rows"] for point in row["points"]}
        assert len({found["runs"][index]["target"] for index in indexes}) == 1


def test_recurring_failures_lead_to_their_runs(runs):
    """A failure of two runs is listed once; its runs have its fingerprint."""
    found = read(*runs)
    (failure,) = found["recurring"]
    assert (failure["what"], failure["count"], failure["traces"]) == ("tool look_up", 2, 2)
    assert [failure["fingerprint"] in row["failures"] for row in found["runs"]] == [False, False, False, True, True]  # fmt: skip


def test_calls_and_hand_offs_make_the_graph(runs):
    """The sums are over all runs."""
    found = read(*runs)
    calls = {(row["from"], row["name"]): (row["count"], row["failed"]) for row in found["calls"]}
    assert calls["Triage", "look_up"] == (5, 2)
    assert calls["", "Triage"] == (5, 0)
    assert [(row["from"], row["to"], row["count"]) for row in found["hand_offs"]] == [("Triage", "refunds", 5)]  # fmt: skip


def test_a_page_beside_a_trace_is_linked(runs, tmp_path):
    """The link is relative to the page of the runs; where there is none, the row has its command only."""
    runs[1].with_suffix(".html").write_text("a page")
    odd = runs[0].rename(tmp_path / "javascript:#1 %41.jsonl")
    odd.with_suffix(".html").write_text("a page")
    rows = read(odd, *runs[1:], page=tmp_path / "sub" / "runs.html")["runs"]
    assert [row["page"] for row in rows] == ["../javascript%3A%231%20%2541.html", "../run1.html", "", "", ""]
    assert [row["page"] for row in read(*runs[1:])["runs"]] == [""] * 4


def test_no_secret_and_no_unwanted_content_is_there(runs):
    """Errors are redacted, and left out without content."""
    written = json.dumps(read(*runs))
    assert SECRET[:12] not in written
    assert "no key" in written
    assert "no key" not in json.dumps(read(*runs, content=False))


def test_what_is_missing_has_a_note(runs, tmp_path):
    """Re-runs that are left out, and traces that cannot be read."""
    broken = tmp_path / "broken.jsonl"
    broken.write_text("")
    notes = read(*runs, broken, reruns=[runs[0]])["notes"]
    assert notes[0] == "1 re-run left out."
    assert notes[1].startswith("Not read: ")
