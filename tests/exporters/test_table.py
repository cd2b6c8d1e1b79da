"""An exporter is one module and one row; then the commands offer it."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from click.testing import CliRunner

from namel3ss_debug import exporters
from namel3ss_debug.cli import check, trace
from namel3ss_debug.exporters import json_document, jsonl

SAMPLE = """
LEFT_OUT = ()


def export(*arguments):
    if len(arguments) == 1:
        return (event["event_type"].encode() + b";" for event in arguments[0])
    reports, root, fail_on = arguments
    return ";".join(finding.id for report in reports for finding in report.findings).encode()
"""


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Put a sample exporter into both tables, and return its folder, which is the working directory."""
    (tmp_path / "sample_exporter.py").write_text(SAMPLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    of_traces = exporters.TraceExporter("sample", "sample_exporter", ".sample", "a sample")
    of_findings = exporters.FindingExporter("sample", "sample_exporter", "Write a sample.")
    with monkeypatch.context() as patch:
        patch.setattr(exporters, "TRACE_EXPORTERS", (*exporters.TRACE_EXPORTERS, of_traces))
        patch.setattr(exporters, "FINDING_EXPORTERS", (*exporters.FINDING_EXPORTERS, of_findings))
        importlib.reload(check)
        importlib.reload(trace)
        yield tmp_path
    sys.modules.pop("sample_exporter", None)
    importlib.reload(check)
    importlib.reload(trace)


def test_check_offers_an_exporter_of_findings(sample):
    """As an option with the name of its row."""
    (sample / "t.jsonl").write_text('{"event_type": "error_occurred", "error": "broken"}\n')
    options = ["t.jsonl", "--rule", "errors == 0", "--sample", "found.txt"]
    result = CliRunner().invoke(check.command, options, standalone_mode=False)
    assert result.return_value == 1, result.output
    assert (sample / "found.txt").read_text()
    assert "Write a sample." in CliRunner().invoke(check.command, ["--help"]).output


def test_trace_offers_an_exporter_of_traces(sample):
    """As a value of --format; the file lies beside the trace."""
    help_text = CliRunner().invoke(trace.command, ["--help"]).output
    assert "|sample]" in help_text
    (sample / "t.jsonl").write_text('{"event_type": "decision"}\n{"event_type": "state_change"}\n')
    written = trace.write_document(sample / "t.jsonl", "sample")
    assert (written.name, written.read_text()) == ("t.sample", "decision;state_change;")


def test_jsonl_and_json_hold_the_events_as_they_are():
    """A trace that is exported in our own format is the same trace."""
    events = [{"event_type": "decision", "seq": number} for number in range(3)]
    assert [json.loads(line) for line in jsonl.export(events)] == events
    document = b"".join(json_document.export(events))
    assert json.loads(document) == {"schema": "namel3ss-debug/trace/1", "events": events}


@pytest.mark.parametrize("row", [*exporters.TRACE_EXPORTERS, *exporters.FINDING_EXPORTERS])
def test_every_row_names_a_module_that_exports(row):
    """A wrong name would be found only when it is used."""
    assert callable(row.load().export)
