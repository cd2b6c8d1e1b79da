"""The table of sections: a sample section, one module and one row, is found wherever a section is read."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.analysis.aggregate.many import AnalysisRequest, analyze_many
from namel3ss_debug.analysis.analyzer import TraceAnalyzer
from namel3ss_debug.analysis.contract import MERGE, ColumnSpec, Section, TableSpec
from namel3ss_debug.analysis.findings import make_finding
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.cli.main import debug


def refunds(spans, options):
    """Return the refunds that a run paid."""
    del options
    rows = [
        {**spans.place(row), "ms": spans.duration[row] / 1e6}
        for row in spans.by_operation().get(("tool", "refund"), ())
    ]
    return {"refunds": len(rows), "total_ms": sum(row["ms"] for row in rows), "listed": rows}


def find_findings(section, sections, run):
    """Yield a finding for more than one refund."""
    del sections, run
    events = [row["number"] for row in section["listed"]]
    if len(events) > 1:
        yield make_finding(
            "refunds", "quality", "refunds", 0.4, f"{len(events)} refunds", events, "inspect --tree"
        )


ROW = Section(
    "refunds",
    "refunds",
    "What was paid back.",
    compute=refunds,
    columns=(
        TableSpec(
            "Refunds", "listed", (ColumnSpec("n", "number", "event"), ColumnSpec("took ms", "ms", "ms"))
        ),
    ),
    findings=find_findings,
    pooling=MERGE,
)


@pytest.fixture
def paid(recording, tmp_path):
    """A run that paid two refunds."""
    recording.span("tool", "refund", 1, 1.5)
    recording.span("tool", "refund", 2, 2.25)
    path = tmp_path / "desk.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
    return path


@pytest.fixture
def sample(monkeypatch):
    """The row is in the table."""
    monkeypatch.setitem(SECTIONS, "refunds", ROW)


def run(*words):
    """The output of `analyze`."""
    return CliRunner().invoke(debug, ["analyze", *map(str, words)]).stdout


@pytest.mark.usefixtures("sample")
def test_a_section_is_one_row(paid):
    """The document, the report, Markdown, the option, several traces and the health have it."""
    document = TraceAnalyzer(paid).analyze()
    assert document["refunds"]["total_ms"] == pytest.approx(750)
    (finding,) = [row for row in document["health"]["findings"] if row["section"] == "refunds"]
    assert (finding["id"], finding["severity"], finding["events"]) == ("refunds", "warning", [1, 3])
    assert document["health"]["sections"]["refunds"]["score"] == 0.6
    assert "--refunds" in run("--help")
    shown = run(paid, "--refunds").splitlines()
    assert shown[shown.index("Refunds") :] == ["Refunds", "  n  took ms", "  1      500", "  3      250"]
    assert "| 3 | 250 |" in run(paid, "--refunds", "--format", "markdown")
    assert "2 refunds" in run(paid)
    many = analyze_many([paid, Path(paid)], AnalysisRequest())
    assert many.document["refunds"]["refunds"] == 4
    assert [row["number"] for row in many.document["refunds"]["listed"]] == [1, 3, 1, 3]
