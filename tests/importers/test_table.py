"""An importer is one module and one row; then its files may stand wherever a command takes TRACE."""

from __future__ import annotations

import sys

import click
import pytest
from click.testing import CliRunner

from namel3ss_debug import ExecutionReplayer, TraceAnalyzer, importers, read_trace
from namel3ss_debug.cli.main import COMMANDS, debug

SAMPLE = """
def sniff(head):
    return head.startswith(b"#sample")

def read(files, problems, consumed=None):
    for path in files:
        for number, line in enumerate(path.read_text().splitlines()[1:]):
            name, _, error = line.partition(" ")
            start = {"event_type": "tool_call_start", "event_id": f"{number}a", "seq": 2 * number, "component": "tool"}
            yield start | {"component_name": name, "timestamp": float(number), "status": "started"}
            end = {"event_type": "tool_call_end", "event_id": f"{number}b", "seq": 2 * number + 1, "component": "tool"}
            end |= {"component_name": name, "timestamp": number + 0.5, "parent_event_id": f"{number}a"}
            yield end | {"duration_ms": 500.0} | ({"status": "failed", "error": error} if error else {"status": "completed"})
"""

COMMAND_LINES = [
    ("inspect", "inspect {}"),
    ("inspect", "inspect {} --tree"),
    ("inspect", "inspect {} --event 3"),
    ("inspect", "inspect {} --limit 2 --format jsonl"),
    ("analyze", "analyze {}"),
    ("analyze", "analyze {} {} --format json"),
    ("activity", "activity lookup {}"),
    ("show", "show {}"),
    ("explain", "explain 4 {}"),
    ("report", "report {}"),
    ("diff", "diff {} {} --format json"),
    ("check", "check {} --rule calls>0 --format json"),
    ("replay", "replay {}"),
    ("logs", "logs {} --category events"),
]
"""Command -> a command line, in which {} is the file; all of them show the name of its tool, or its path."""

OWN_FORMAT_ONLY = {"clean", "list", "make-test", "mark", "rerun", "trust"}
"""Commands that look for traces in folders, or that need the program of a trace or the signature of its owner."""


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Return a file in the format of a sample importer, which is in the table."""
    (tmp_path / "sample_importer.py").write_text(SAMPLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    row = importers.ImporterRow("sample", "sample_importer", "a sample")
    monkeypatch.setattr(importers, "IMPORTERS", (*importers.IMPORTERS, row))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "calls.sample"
    file.write_text("#sample\nlookup\nlookup it broke\n")
    yield file
    sys.modules.pop("sample_importer", None)


@pytest.mark.parametrize(("command", "line"), COMMAND_LINES, ids=[line for _, line in COMMAND_LINES])
def test_a_command_reads_an_imported_file(sample, command, line):
    """It shows what is in the file."""
    words = line.replace("{}", sample.name).split()
    result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="")
    assert result.exit_code in {0, 1}, result.output
    assert "lookup" in result.stdout or sample.name in result.stdout
    assert "Traceback" not in result.output


def test_every_command_that_takes_a_trace_is_tried():
    """A new command with TRACE has to be added above."""
    taking = set()
    for name in COMMANDS:
        command = debug.get_command(click.Context(debug), name)
        arguments = {parameter.name for parameter in command.params if isinstance(parameter, click.Argument)}
        if arguments & {"reference", "references"}:
            taking.add(name)
    assert taking - OWN_FORMAT_ONLY <= {command for command, _ in COMMAND_LINES}


def test_the_library_reads_an_imported_file(sample):
    """By number, backwards and again, as any trace."""
    assert [event.component_name for event in read_trace(sample)] == ["lookup"] * 4
    assert TraceAnalyzer(sample).analyze()["errors"]["total_errors"] == 1
    assert ExecutionReplayer(sample).trace.event(4)["error"] == "it broke"
