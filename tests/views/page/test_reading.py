"""What a page holds of a trace: facts in the words of the terminal, all its events, and no secrets."""

import json
from pathlib import Path

import pytest

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.views.health import describe_finding
from namel3ss_debug.views.page import reading

DATA = Path(__file__).parents[2] / "data"
TRACES = [*sorted((DATA / "recordings").glob("*.jsonl")), DATA / "imports" / "claude-code" / "subagent.jsonl"]

SECRET = "sk-proj-a8Kd93jfLs02mQpZ7xVb41Nc65Tg"

CALLS = (
    {"event_type": "trace_start", "component": "app", "metadata": {"format": 2, "pid": 1, "argv": ["a.py", SECRET]}},
    {"event_type": "llm_call_start", "component": "llm", "component_name": "small",
     "inputs": {"messages": [{"role": "user", "parts": [{"type": "text", "content": f"my key is {SECRET}"}]}]}},
    {"event_type": "llm_call_end", "component": "llm", "component_name": "small", "parent_event_id": "2", "status": "completed",
     "outputs": {"text": f"I keep {SECRET} to myself"}},
    {"event_type": "tool_call_start", "component": "tool", "component_name": "log_in",
     "inputs": {"arguments": {"user": "ann", "password": "hunter2-and-more"}}},
    {"event_type": "tool_call_end", "component": "tool", "component_name": "log_in", "parent_event_id": "4", "status": "failed",
     "error": f"refused: {SECRET}", "error_type": "LoginError"},
    {"event_type": "trace_end", "component": "app", "metadata": {"exit_status": 3}},
)  # fmt: skip


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_every_event_is_there_once_and_has_one_place(path, make_page):
    """The blocks hold the events as they were read; each number begins a span, ends one, or is a point."""
    page, events = make_page(path), list(open_trace(path).events())
    spans, points = page.columns["spans"], page.columns["points"]
    assert page.events() == json.loads(json.dumps(events))
    places = {*spans["number"], *spans["end"], *points["number"]} - {0}
    assert places == set(range(1, len(events) + 1))
    assert page.trace["events"] == len(events)
    assert page.trace["spans"] == len(spans["number"])
    for table in ("spans", "points", "transcript", "samples"):
        assert len({len(column) for column in page.columns[table].values()}) == 1


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_head_and_the_findings_are_those_of_analyze(path, make_page):
    """The page says the same of a run as the terminal, and opens at the first finding."""
    page, document = make_page(path).trace, analyze(open_trace(path))
    overview, findings = document["execution_overview"], document["health"]["findings"]
    assert (page["outcome"], page["cost"], page["tokens"]) == (
        overview["outcome"],
        overview["cost"],
        overview["tokens"],
    )
    assert [row["text"] for row in page["findings"]] == [describe_finding(row) for row in findings]
    numbers = [number for row in findings for number in row["events"]]
    assert page["first"] == numbers[0] if numbers else 1 <= page["first"] <= page["events"]


def test_no_secret_is_in_a_page(tmp_path, make_page, write_trace):
    """A trace that was recorded with redaction off is redacted when its page is written, also in what derives from it."""
    trace = write_trace(tmp_path / "trace.jsonl", CALLS)
    written = make_page(trace).everything()
    assert SECRET[:12] not in written
    assert "hunter2" not in written
    assert "I keep [REDACTED:" in written
    assert SECRET in make_page(trace, redact=False).everything()


def test_own_rules_of_redaction_apply(tmp_path, make_page, write_trace):
    """The names and patterns of the settings are secret in a page too."""
    trace = write_trace(tmp_path / "trace.jsonl", CALLS)
    written = make_page(trace, redact_keys=("user",), redact_patterns={"word": "myself"}).everything()
    assert '"ann"' not in written
    assert "myself" not in written


def test_without_content_only_the_structure_is_left(tmp_path, make_page, write_trace):
    """Names, times, counts, kinds of errors and the outcome stay; no word of a message, argument, result or error does."""
    trace = write_trace(tmp_path / "trace.jsonl", CALLS)
    page, whole = make_page(trace, content=False), make_page(trace)
    written = page.everything()
    for word in ("my key", "myself", "ann", "refused", "a.py"):
        assert word in whole.everything()
        assert word not in written
    assert page.facts["content"] is False
    assert page.texts("spans", "name") == ["small", "log_in"]
    assert page.columns["spans"]["failed"] == [0, 1]
    assert "LoginError" in written
    assert (page.trace["outcome"], page.trace["exit_status"]) == ("failed", 3)


def test_two_processes_write_the_same_page(tmp_path, monkeypatch, make_page, write_trace):
    """A large trace is analyzed by a second process; that changes nothing in the page."""
    trace = write_trace(tmp_path / "trace.jsonl", CALLS)
    alone = make_page(trace)
    monkeypatch.setattr(reading, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(reading, "EVENTS_AT_ONCE", 2)
    assert make_page(trace).written == alone.written


def test_a_trace_that_grows_while_two_processes_read_it(tmp_path, monkeypatch, make_page, write_trace):
    """What the second process has read is thrown away, since the first may not have searched the same events for secrets."""
    trace = write_trace(tmp_path / "trace.jsonl", CALLS[:-1])
    read, whole = reading.read_columns, write_trace(tmp_path / "whole.jsonl", CALLS).read_bytes()

    def read_and_grow(events):
        columns = read(events)
        trace.write_bytes(whole)
        return columns

    monkeypatch.setattr(reading, "read_columns", read_and_grow)
    monkeypatch.setattr(reading, "WORTH_A_PROCESS", 0)
    page = make_page(trace)
    assert page.trace["events"] == len(CALLS)
    assert SECRET[:12] not in page.everything()


def test_values_lead_to_where_they_came_from(make_page):
    """The failing argument of a run names the answer that wrote it and the result that returned it, by event and path."""
    path = next(path for path in TRACES if path.stem == "failing_agent")
    page = make_page(path)
    events = page.events()
    found = {row["value"]: row for row in page.columns["provenance"]}
    for row in found.values():
        for place in (row, *row["sources"], *row["uses"]):
            value = events[place["event"] - 1]
            for step in place["path"].split("."):
                value = value[int(step)] if isinstance(value, list) else value[step]
            assert str(value).strip("'") in row["value"]
    supplier = found["supplier='S-00'"]
    assert [place["how"] for place in supplier["sources"]] == ["wrote it"]
