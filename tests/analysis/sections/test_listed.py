"""What a list shows of the sessions and traces of other tools: read in one pass, with the figures of `analyze`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.sections.listed import summarise_foreign
from namel3ss_debug.importers import find_importer
from namel3ss_debug.importers.opening import open_trace

IMPORTED = Path(__file__).parents[2] / "data/imports"


@pytest.mark.parametrize("sample", sorted(IMPORTED.glob("*/*.json*")), ids=lambda path: path.name)
def test_a_list_has_the_figures_of_analyze_for_each_file_of_another_tool(sample, tmp_path, monkeypatch):
    """One light pass without redaction counts as the whole import does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "sessions"
    shutil.copytree(sample.parent, folder)
    found = {info.path.name: (info, summary) for info, summary in summarise_foreign(folder, (), None)}
    if sample.name not in found:
        assert find_importer(sample) is None
        return
    info, summary = found[sample.name]
    document = analyze(open_trace(folder / sample.name), ["execution_overview"])
    overview = document["execution_overview"]
    assert info.execution_id == (document["trace"]["execution_id"] or "")
    assert info.started_at == next(open_trace(sample).events()).get("timestamp")
    names = ("outcome", "outcome_detail", "duration_ms", "cost", "calls_without_price", "errors", "tokens")
    assert {name: getattr(summary, name) for name in names} == {name: overview[name] for name in names}
