"""`debug logs`."""

import json
import os
import stat
import subprocess

import pytest

from namel3ss_debug.views import logs


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


@pytest.mark.parametrize(
    ("execution", "suffix"),
    [("0011223344556677", "_00112233"), ("../../../away", "_.._.._.."), (None, "_other")],
)
def test_recordings_of_one_second_are_kept_apart(run, trace, tmp_path, execution, suffix):
    """The first has the classic name, that of another execution its id behind it, and each has it again next time."""
    out, other = tmp_path / "logs", trace.with_name("other.jsonl")
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    other.write_text("".join(json.dumps(event | {"execution_id": execution}) + "\n" for event in events))
    for recording in (trace, other, trace, other):
        assert run("logs", recording, "--write", out, "--category", "events").exit_code == 0
    first, second = sorted(out.iterdir())
    assert second.name == first.name + suffix
    summaries = [json.loads((folder / "trace_summary.json").read_text()) for folder in (first, second)]
    assert [summary.get("execution_id") for summary in summaries] == ["ab12cd34ef567890", execution]
    assert [summary["trace"] for summary in summaries] == [str(trace), str(other)]


def test_what_is_no_folder_of_ours_is_left_alone(run, trace, tmp_path):
    """Where nothing tells which recording a folder is of, neither it nor what is in it is touched."""
    run("logs", trace, "--write", tmp_path / "logs")
    (first,) = (tmp_path / "logs").iterdir()
    (first / "trace_summary.json").write_text("[]")
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    names = [f"{first.name}_ab12cd34", f"{first.name}_ab12cd34_2"]
    (first.with_name(names[0])).touch()
    run("logs", trace, "--write", tmp_path / "logs")
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name, *names]


def test_writing_again_replaces_what_was_written(run, logged, tmp_path):
    """Logs of an earlier filter go, rotated ones too; what the user put beside them stays."""
    run("logs", logged, "--write", tmp_path / "logs")
    (session,) = (tmp_path / "logs").iterdir()
    (session / "system/Support.log.1").write_text("rotated")
    (session / "events/notes.txt").write_text("mine")
    run("logs", logged, "--write", tmp_path / "logs", "--category", "errors")
    files = {str(path.relative_to(session)) for path in session.rglob("*") if path.is_file()}
    assert files == {"events/notes.txt", "trace_summary.json"}
    assert not (session / "system").exists()
    run("logs", logged, "--write", tmp_path / "logs", "--category", "system")
    run("logs", logged, "--write", tmp_path / "logs", "--category", "system")
    assert len((session / "system/Support.log").read_text().splitlines()) == 2


def test_what_is_written_is_for_its_owner_alone(run, logged, tmp_path, monkeypatch):
    """Files have the mode 0600, rotated ones too, and folders 0700, also where an older summary was for everyone."""
    monkeypatch.setattr(logs, "LIMITS", {"system": (1, 3)})
    before = os.umask(0)
    try:
        for _ in range(2):
            assert run("logs", logged, "--write", tmp_path / "new/logs").exit_code == 0
            (summary,) = (tmp_path / "new").rglob("trace_summary.json")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
            assert {oct(mode) for path, mode in modes.items() if path.is_file()} == {"0o600"}
            assert {oct(mode) for path, mode in modes.items() if path.is_dir()} == {"0o700"}
            assert any(path.name == "Support.log.1" for path in modes)
            summary.chmod(0o644)
    finally:
        os.umask(before)


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
