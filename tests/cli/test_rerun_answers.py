"""The option `--answers` of `debug rerun`: a trace that another tool wrote answers a program, with nothing to reach.

The traces are of `examples/failing_agent.py`: `openinference.otlp.jsonl` is what OpenInference's instrumentation of
openai exported, and `langfuse.json` what the SDK of Langfuse sent, in the shape of Langfuse's exports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = ROOT / "tests" / "data" / "answers"
NEEDED = ("failing_agent.py", "scripted_model.py")
VERDICT = "The re-run matches the trace."


@pytest.fixture
def run(tmp_path):
    """Run a command in a folder with the example and both traces."""
    for name in NEEDED:
        shutil.copy(ROOT / "examples" / name, tmp_path)
    for each in FOREIGN.iterdir():
        shutil.copy(each, tmp_path)

    def run(*words):
        environment = {**os.environ, "PYTHON_COLORS": "0", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    run.folder = tmp_path
    return run


def rerun(run, program, answers, *options):
    """Run a program again on a trace, its tools for real."""
    words = ("rerun", program, "--answers", answers, "--run-tools", "all", *options)
    return run("namel3ss_debug", *words)


@pytest.mark.parametrize("answers", ["openinference.otlp.jsonl", "langfuse.json"])
def test_a_failure_of_another_tools_trace_is_run_again_and_becomes_a_test(run, answers):
    """The program fails as it did, the report calls this approximate, and the test made of the re-run passes."""
    again = rerun(run, "failing_agent.py", answers, "--trust")
    assert VERDICT in again.stderr, again.stderr
    assert again.returncode == 0
    assert "ValueError: there is no supplier 'S-00'" in again.stderr
    assert "answered  6 as recorded, 6 for real" in again.stderr
    assert "- approximate: the trace is of another tool" in again.stderr
    [trace] = run.folder.glob("trace_*.jsonl")
    made = run("namel3ss_debug", "make-test", trace.name, "-o", "test_made.py")
    assert made.returncode == 0, made.stderr
    tested = run("pytest", "-q", "-p", "no:cacheprovider", "test_made.py")
    assert "1 passed" in tested.stdout, tested.stdout


def test_a_miss_names_the_nearest_recorded_request_and_its_difference(run):
    """A tool that returns another price now changes the fourth request, which differs from event 8 in this message."""
    text = (run.folder / "failing_agent.py").read_text()
    (run.folder / "edited.py").write_text(text.replace('"SKU-204": 11.50', '"SKU-204": 12.50'))
    again = rerun(run, "edited.py", "openinference.otlp.jsonl", "--trust")
    assert again.returncode == 1, again.stderr
    assert "recorded  calls gpt-4o-mini, event 8" in again.stderr
    assert "[-11-]{+12+}.5" in again.stderr
    assert "answered     3 as recorded, 3 for real" in again.stderr


def test_a_trace_of_another_tool_needs_consent(run):
    """Without consent the program does not start, and one line names what would run."""
    refused = rerun(run, "failing_agent.py", "openinference.otlp.jsonl")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "It would start failing_agent.py in" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_tools_are_answered_by_name_and_arguments(run):
    """Of an OTLP trace with tool spans, the tools are answered too; nothing is known of their code."""
    recorded = run("namel3ss_debug", "trace", "-o", "own.jsonl", "failing_agent.py")
    assert recorded.returncode == 1, recorded.stderr
    assert (
        run("namel3ss_debug", "export", "own.jsonl", "--format", "otlp", "-o", "own.otlp.json").returncode
        == 0
    )
    words = ("--answers", "own.otlp.json", "--trust", "--accept", "unknown-code")
    again = run("namel3ss_debug", "rerun", "failing_agent.py", *words)
    assert again.returncode == 0, again.stderr
    assert "answered  12 as recorded" in again.stderr
    assert "approximate" in again.stderr
