"""A trace that was exported and is opened again is the same run, but for what its format does not hold."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.importers.opening import load_spans

RECORDINGS = sorted((Path(__file__).parent.parent / "data" / "recordings").glob("*.jsonl"))
LOST = {"failing_agent": 1}
"""Events outside of all spans, which OTLP has no place for: the error that ended the program."""


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request):
    """Each recorded trace."""
    return request.param


def run(*words):
    """Return the result of a command."""
    return CliRunner().invoke(debug, [*map(str, words)])


@pytest.mark.parametrize("name", ["otlp", "otlp-proto"])
def test_otlp_keeps_structure_times_tokens_costs_and_errors(name, recording, tmp_path):
    """Exactly, and `diff` finds no difference in messages, tools, arguments and results."""
    copy = tmp_path / "copy"
    assert run("export", recording, "--format", name, "-o", copy).exit_code == 0
    before, after = load_spans(recording), load_spans(copy)
    rows = sorted(
        (row for row in range(len(before)) if not before.background[row]), key=lambda row: before.number[row]
    )
    again = {after.began[row]: row for row in range(len(after))}
    assert len(again) == len(rows)
    pairs = {row: again[before.began[row]] for row in rows}
    for row, other in pairs.items():
        assert (before.component(row), before.name(row)) == (after.component(other), after.name(other))
        parent = before.parent[row]
        assert pairs.get(parent, -1) == max(after.parent[other], -1)
        for column in (
            "duration",
            "failed",
            "tokens",
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cost",
        ):
            assert before.columns[column][row] == after.columns[column][other], column
        ends = before.events(row)[1], after.events(other)[1]
        for field in ("status", "error", "error_type", "stack_trace"):
            assert ends[0].get(field) == ends[1].get(field), field
    difference = run("diff", recording, copy, "--format", "json")
    assert difference.exit_code == (1 if recording.stem in LOST else 0), difference.output
