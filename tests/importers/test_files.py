"""Reading files of other writers: heads, damaged documents, large documents in pieces."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.importers import files, find_importer
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.lines import Problems

DATA = Path(__file__).parent.parent / "data/imports"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": {"b": [1, 2, "x{\\"y', {"a": {"b": [1, 2]}}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a":[{"k":"v"},{"k', {"a": [{"k": "v"}, {}]}),
        ('{"a": 1, x, "b": 2}', {"a": 1}),
        ("[1, 2] and more", [1, 2]),
        ("{", {}),
        ("nothing", None),
    ],
)
def test_a_damaged_document_is_read_up_to_the_damage(text, value):
    """With its brackets closed; brackets inside of texts are no structure."""
    assert files.repair(text) == value


@pytest.mark.parametrize(
    "name",
    [
        "langfuse/pydantic-ai-tools-2025-12-04.trace.json",
        "otlp-openinference/rag_earnings_agent.json",
        "inspect-ai/2025-05-12T20-28-13-04-00_popularity.json",
        "openai-agents/openai-agents-export.json",
        "chrome-trace/logging_integration.json",
        "zipkin/yelp.json",
    ],
)
def test_a_large_document_has_the_same_events_in_pieces(name, monkeypatch):
    """Whatever stands before and behind the array that is split."""
    whole = list(open_trace(DATA / name).events())
    monkeypatch.setattr(files, "LARGEST_WHOLE", 0)
    monkeypatch.setattr(files, "_PIECE", 2)
    assert list(open_trace(DATA / name).events()) == whole


def test_a_compressed_file_is_recognised_and_read(tmp_path):
    """By its contents: the name does not matter."""
    path = tmp_path / "session"
    path.write_bytes(gzip.compress((DATA / "claude-code/short.jsonl").read_bytes()))
    importer = find_importer(path)
    assert importer is not None
    assert len(list(importer.read((path,), Problems()))) == 12


def test_a_document_that_is_cut_in_a_long_text_is_recognised(tmp_path):
    """The beginning that an importer sees ends inside of a text that holds JSON itself."""
    document = json.loads((DATA / "otlp-openinference/smol_deep_research_agent.json").read_text())
    path = tmp_path / "one_line.json"
    path.write_text(json.dumps(document * 3))
    assert path.stat().st_size > 2 * files.HEAD_BYTES
    assert find_importer(path) is not None


@pytest.mark.slow
def test_a_document_of_70_megabytes_on_one_line_takes_less_than_six_times_its_size(tmp_path):
    """Of resident memory, with secrets replaced, to be analysed."""
    trace = json.loads((DATA / "langfuse/pydantic-ai-tools-2025-12-04.trace.json").read_text())
    observations, size = [], 0
    while size < 70_000_000:
        for observation in trace["observations"]:
            copied = {**observation, "id": f"{len(observations)}", "parentObservationId": None}
            observations.append(copied)
            size += len(json.dumps(copied))
    path = tmp_path / "large.json"
    path.write_text(json.dumps({**trace, "observations": observations}))
    program = (
        "import sys; from namel3ss_debug.importers.opening import open_trace\n"
        "from namel3ss_debug.analysis.analyzer import analyze\n"
        "print(analyze(open_trace(sys.argv[1]))['trace']['events'], end=' ')\n"
        # `ru_maxrss` would have what the test runner had when it forked
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(peak.split()[1]) * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    events, resident = map(int, done.stdout.split())
    assert events == 2 * len(observations) + 2
    assert resident < 6 * path.stat().st_size
