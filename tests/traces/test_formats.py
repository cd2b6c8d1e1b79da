"""A trace of the present format is kept here; an earlier one is refused, a later one is read with a warning."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from namel3ss_debug import read_trace
from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.fields import FIELDS
from namel3ss_debug.traces.events import EVENT_TYPES, FORMAT_VERSION
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.span_table import read_spans

FORMATS = Path(__file__).parents[1] / "data" / "formats"
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "path", sorted(FORMATS.glob("*/*.jsonl")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_file_of_a_kept_trace_opens_the_whole_of_it(path):
    """Nothing is skipped, every start has its end, and each field is one the format knows."""
    trace = open_trace(path)
    events = list(trace.events())
    assert not trace.problems
    assert events[0]["event_type"] == "trace_start"
    known = {field.name for field in FIELDS}
    assert all(event.keys() <= known and event["event_type"] in EVENT_TYPES for event in events)
    spans = read_spans(events)
    assert all(number < end for number, end in zip(spans.number, spans.end, strict=True))


def test_version_2_has_the_present_names():
    """A travel agent that a debugger paused before its calls."""
    events = list(read_trace(FORMATS / "v2" / "stepped_weather_agent.jsonl"))
    assert any(event.paused_before_ms for event in events)
    assert any("paused_ms" in (event.metadata or {}) for event in events)


def write_events(path: Path, *events: dict[str, Any]) -> Path:
    """Write a trace of events that lack only what every event has."""
    path.write_text(
        "".join(
            json.dumps(
                {
                    "event_type": "marker",
                    "event_id": str(seq + 1),
                    "seq": seq,
                    "timestamp": 1.0,
                    "component": "app",
                }
                | event
            )
            + "\n"
            for seq, event in enumerate(events)
        )
    )
    return path


@pytest.mark.parametrize("process", ["t.jsonl", "t.p1.jsonl"])
def test_an_earlier_format_is_refused_in_one_line(tmp_path, process):
    """Whichever of its files is named."""
    start = {"event_type": "trace_start", "metadata": {"format": FORMAT_VERSION - 1}}
    write_events(tmp_path / "t.jsonl", start, {})
    path = write_events(tmp_path / process, start, {})
    with pytest.raises(UnreadableTraceError, match=r"trace format 1 is too old.*record the program again$"):
        open_trace(path)


@pytest.mark.parametrize(("version", "warnings"), [(FORMAT_VERSION, 0), (FORMAT_VERSION + 1, 1)])
def test_a_later_format_is_read_with_one_warning(tmp_path, version, warnings):
    """However many processes and segments wrote it."""
    start = {"event_type": "trace_start", "metadata": {"format": version}, "new_field": 7}
    path = write_events(tmp_path / "t.jsonl", start, {})
    write_events(tmp_path / "t.p1.jsonl", start, {})
    trace = open_trace(path)
    for _ in range(2):
        events = list(trace.events())
        assert [event.get("new_field") for event in events] == [7, None, 7, None]
        assert trace.problems.total == warnings
    if warnings:
        (problem,) = trace.problems.first
        assert f"trace format {version}" in problem.what
        assert "upgrade to read all of it" in problem.what


def test_a_kept_trace_runs_again(tmp_path):
    """With --trust, since another user made it, and with its commands, which it does not hold."""
    for program in EXAMPLES.glob("*.py"):
        shutil.copy(program, tmp_path)
    recorded = (
        (FORMATS / "v2" / "stepped_weather_agent.jsonl").read_text().replace("/home/user/shop", str(tmp_path))
    )
    (tmp_path / "old.jsonl").write_text(recorded.replace('"/usr/bin/python3"', json.dumps(sys.executable)))
    options = ["--trust", "--run-tools", "all", "--run-commands", "all"]
    command = [sys.executable, "-m", "namel3ss_debug", "rerun", "old.jsonl", *options]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
