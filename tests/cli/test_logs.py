"""`debug logs`."""

import json
import os
import subprocess

import pytest


@pytest.fixture
def logged(trace):
    """The small recording with log records in its agent, one of them with hostile text."""
    lines = trace.read_text().splitlines()
    for number, (level, message, name) in enumerate(
        [("info", "order A-17", "shop"), ("error", "\x1b[31mno\nstock", "../shop")], len(lines)
    ):
        event = {
            "event_type": "log_record",
            "event_id": f"{number + 1}",
            "seq": number,
            "timestamp": 1763726405.5 + number,
            "parent_event_id": "2",
            "component": "log",
            "component_name": name,
            "metadata": {"level": level, "message": message, "extra": {"sku": "A-17"}},
        }
        lines.append(json.dumps(event))
    trace.write_text("\n".join(lines) + "\n")
    return trace


def test_lines_are_a_table(run, logged):
    """Time, level, agent, logger and words, nothing of which the terminal would obey."""
    result = run("logs", logged)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["n", "time", "(UTC)", "level", "agent", "source", "message"]
    assert any("order A-17" in row and "Support" in row and "shop" in row for row in rows)
    assert "\x1b" not in result.stdout
    assert "^[[31mno stock" in result.stdout
    assert max(map(len, rows)) <= 80


def test_lines_are_json(run, logged):
    """One document, or one line each, with the number of the event."""
    document = json.loads(run("logs", logged, "--level", "error", "--format", "json").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/logs/1")
    said = [line for line in document["lines"] if line["event_type"] == "log_record"]
    assert [(line["level"], line["message"], line["extra"]) for line in said] == [
        ("error", "\x1b[31mno\nstock", {"sku": "A-17"})
    ]
    rows = run("logs", logged, "--format", "jsonl", "--agent", "shop").stdout.splitlines()
    assert [json.loads(row)["source"] for row in rows] == ["shop"]


@pytest.fixture
def told(workspace):
    """A recording of what an agent decided and of how its state changed, and of a figure."""
    made = [
        {"event_type": "trace_start", "component": "app", "metadata": {"format": 1}},
        {
            "event_type": "state_change",
            "inputs": {"before": "idle"},
            "outputs": {"after": "busy"},
            "metadata": {"category": "agents", "reason": "a new question"},
        },
        {
            "event_type": "state_change",
            "inputs": {"before": {"plan": [1, 2], "phase": "plan", "left": 3}},
            "outputs": {"after": {"plan": [1, 2], "phase": "write", "open": True}},
            "metadata": {"category": "agents"},
        },
        {
            "event_type": "decision",
            "inputs": {"reasoning": "it arrived broken", "confidence": 0.9},
            "outputs": {"decision": "refund"},
            "metadata": {"category": "agents"},
        },
        {
            "event_type": "performance_marker",
            "metadata": {"category": "performance", "value": 12, "unit": "rows"},
        },
    ]
    lines = [
        {"event_id": str(n + 1), "seq": n, "timestamp": 1763726400.0 + n, "component_name": "Ada"} | event
        for n, event in enumerate(made)
    ]
    file = workspace / "told.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_change_shows_both_states_and_a_decision_its_reasoning(run, told, tmp_path):
    """Before and after with the reason, of objects only what differs; in the table, the files and JSON."""
    result = run("logs", told)
    rows = result.stdout.splitlines()
    said = [row.partition("Ada")[2].strip() for row in rows[1:]]
    assert said == [
        "idle -> busy (a new question)",
        "phase: plan -> write, left: 3 -> (none), open: …",
        "refund (it arrived broken)",
        '{"value": 12, "unit": "rows"}',
    ]
    assert max(map(len, rows)) <= 80
    run("logs", told, "--write", tmp_path / "logs")
    (file,) = (tmp_path / "logs").glob("*/agents/Ada.log")
    written = [line.partition(": ")[2] for line in file.read_text().splitlines()]
    assert written == [said[0], "phase: plan -> write, left: 3 -> (none), open: (none) -> true", said[2]]
    change, _, decision, figure = map(json.loads, run("logs", told, "--format", "jsonl").stdout.splitlines())
    assert (change["before"], change["after"], change["reason"]) == ("idle", "busy", "a new question")
    assert (decision["message"], decision["reason"]) == ("refund", "it arrived broken")
    assert figure["extra"] == {"value": 12, "unit": "rows"}


def test_nothing_that_fits_is_said(run, trace):
    """An empty log is no failure, and tells of the setting."""
    result = run("logs", trace, "--category", "learning")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "log_level" in result.stderr


def test_the_classic_tree_is_written(run, logged, tmp_path):
    """A folder for each log, a file for each name below it, and a summary; no name leaves the folder."""
    result = run("logs", logged, "--write", tmp_path / "logs")
    assert result.exit_code == 0
    (session,) = (tmp_path / "logs").iterdir()
    assert session.name.startswith("session_2")
    files = {str(path.relative_to(session)) for path in session.rglob("*") if path.is_file()}
    assert {"system/Support.log", "events/Support.log", "trace_summary.json"} <= files
    (first, second) = (session / "system/Support.log").read_text().splitlines()
    assert "INFO" in first
    assert "shop #" in first
    assert "order A-17" in first
    assert "no stock" in second
    summary = json.loads((session / "trace_summary.json").read_text())
    assert summary["lines"]["system"] == 2


def test_wrong_combinations_are_refused(run, trace, tmp_path):
    """A tree has no format, and what is followed is no document."""
    assert run("logs", trace, "--write", tmp_path, "--follow").exit_code == 2
    assert run("logs", trace, "--follow", "--format", "json").exit_code == 2


@pytest.mark.parametrize("output_format", ["table", "jsonl"])
def test_a_growing_log_is_followed_to_its_end(logged, program, output_format):
    """Lines come as they are recorded; the end of the recording is the end of the log."""
    command = [*program, "logs", "--follow", str(logged), "--format", output_format]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as shown:
        first = shown.stdout.readline()
        assert first
        with logged.open("a") as file:
            for event in (
                {
                    "event_type": "log_record",
                    "event_id": "90",
                    "seq": 89,
                    "component": "log",
                    "metadata": {"level": "info", "message": "late"},
                },
                {"event_type": "trace_end", "event_id": "91", "seq": 90, "component": "app"},
            ):
                file.write(json.dumps(event) + "\n")
        rest = shown.stdout.read()
    assert "late" in rest
    assert shown.returncode == 0
