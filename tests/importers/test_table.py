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

OPTIONS = {
    "analyze": ["", "{} --format json"],
    "check": ["--rule calls>0 --format json"],
    "diff": ["{} --format json"],
    "export": ["--format json -o -"],
    "inspect": ["", "--tree", "--event 3", "--limit 2 --format jsonl"],
    "logs": ["--category events"],
    "monitor": ["--once"],
    "view": ["--no-open -o -"],
}
"""Command -> further words of each of its command lines, where it needs some; {} is the file."""

NEED_A_PROGRAM = {"make-test", "rerun", "resend"}
"""Commands for which the events are not enough: they need the program that was recorded."""


def command_lines():
    """At least one command line of each command that takes a trace."""
    for name in COMMANDS:
        command = debug.get_command(click.Context(debug), name)
        arguments = [param for param in command.params if isinstance(param, click.Argument)]
        if {param.name for param in arguments} & {"reference", "references"}:
            numbers = [isinstance(param.type, click.IntRange) for param in arguments]
            values = [
                "4" if is_number else "lookup"
                for param, is_number in zip(arguments, numbers, strict=True)
                if param.required or is_number
            ]
            for options in OPTIONS.get(name, [""]):
                if name != "resend":  # its event has to be the call of a model
                    yield " ".join([name, *values, "{}", *options.split()])


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


@pytest.mark.parametrize("line", [*command_lines()])
def test_a_command_reads_an_imported_file(sample, line):
    """It shows the name of the tool in the file, or the path; it refuses only what needs the program."""
    words = line.replace("{}", sample.name).split()
    result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="")
    refuses = words[0] in NEED_A_PROGRAM
    assert result.exit_code == 2 if refuses else result.exit_code in {0, 1}, result.output
    shown = result.stderr if refuses else result.stdout
    assert "lookup" in shown or sample.name in shown
    assert "Traceback" not in result.output


def test_the_library_reads_an_imported_file(sample):
    """By number, backwards and again, as any trace."""
    assert [event.component_name for event in read_trace(sample)] == ["lookup"] * 4
    assert TraceAnalyzer(sample).analyze()["errors"]["total_errors"] == 1
    assert ExecutionReplayer(sample).trace.event(4)["error"] == "it broke"
