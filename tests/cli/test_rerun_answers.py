"""The option `--answers` of `debug rerun`: a trace that another tool wrote answers a program, with nothing to reach.

The traces are of real instrumentations, as `tests/data/answers/record.py` makes them: OpenInference, OpenLLMetry and the SDK
of Langfuse. In `failing_agent.langfuse.json` the function `restock` is observed as well.
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
VERDICT = "The re-run matches the trace."


@pytest.fixture
def run(tmp_path):
    """Run a command in a folder with the examples, the programs and the traces."""
    for each in (*(ROOT / "examples").glob("*.py"), *FOREIGN.iterdir()):
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


@pytest.mark.parametrize("answers", ["failing_agent.openinference.jsonl", "failing_agent.langfuse.json"])
def test_a_failure_of_another_tools_trace_is_run_again_and_becomes_a_test(run, answers):
    """The program fails as it did, the report calls this approximate, and the test made of the re-run passes."""
    again = rerun(run, "failing_agent.py", answers, "--trust")
    assert VERDICT in again.stderr, again.stderr
    assert again.returncode == 0
    assert "ValueError: there is no supplier 'S-00'" in again.stderr
    assert "answered  6 as recorded, 6 for real" in again.stderr
    assert "- approximate: the trace is of another tool" in again.stderr
    check_made_test(run)


def check_made_test(run):
    """Make a test of the only re-run, and see it pass."""
    [trace] = run.folder.glob("trace_*.jsonl")
    made = run("namel3ss_debug", "make-test", trace.name, "-o", "test_made.py")
    assert made.returncode == 0, made.stderr
    tested = run("pytest", "-q", "-p", "no:cacheprovider", "test_made.py")
    assert "1 passed" in tested.stdout, tested.stdout


REFUSED = ("RateLimitError 429", "InternalServerError 500", "BadRequestError 400", "APITimeoutError None")


def test_failed_calls_raise_the_same_errors(run):
    """The SDKs print the recorded errors; each retries its timeout once, which is another attempt of the same call."""
    again = rerun(run, "refused.py", "refused.openinference.jsonl", "--trust")
    assert VERDICT in again.stderr, again.stderr
    errors = [" ".join(line.split()[1:3]) for line in again.stdout.splitlines()]
    assert errors == ["Hello!", *REFUSED] * 2
    assert "{'type': 'rate_limit_error', 'message': 'The rate limit is reached.'}" in again.stdout
    assert "answered  12 as recorded" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "answers", "answered", "printed"),
    [
        ("failing_agent.py", "failing_agent.openllmetry.jsonl", "6 as recorded, 6 for real", "step 6: place_order"),
        ("support_agent.py", "support_agent.openinference.jsonl", "3 as recorded, 2 for real", "the full 39.90 EUR back"),
        ("support_agent.py", "support_agent.openllmetry.jsonl", "3 as recorded, 2 for real", "the full 39.90 EUR back"),
        ("support_agent.py", "support_agent.langfuse.json", "3 as recorded, 2 for real", "the full 39.90 EUR back"),
        ("research_agent.py", "research_agent.openinference.jsonl", "7 as recorded, 3 for real", "storage closes the gap"),
        ("refused.py", "refused.openllmetry.jsonl", "12 as recorded", "long BadRequestError 400"),
        ("vectors.py", "vectors.openinference.jsonl", "3 as recorded", "Eight planets.\nEight planets. 10"),
        ("gemini.py", "gemini.openinference.jsonl", "3 as recorded", "ClientError 429 RESOURCE_EXHAUSTED."),
    ],
)  # fmt: skip
def test_every_sdk_and_instrumentation(run, program, answers, answered, printed):
    """Streams, embeddings, the Responses API, Anthropic and Gemini are answered, and made tests pass."""
    if program == "gemini.py":
        pytest.importorskip("google.genai")
    again = rerun(run, program, answers, "--trust")
    assert VERDICT in again.stderr, again.stderr
    assert f"answered  {answered}" in again.stderr
    assert printed in again.stdout
    check_made_test(run)


@pytest.mark.slow
def test_vectors_are_never_invented(run):
    """The SDK of Langfuse keeps no vectors, so a request for some is a miss."""
    again = rerun(run, "vectors.py", "vectors.langfuse.json", "--trust")
    assert (again.returncode, again.stdout) == (2, "")
    assert "the trace does not hold the content of the answer" in again.stderr


def test_a_trace_of_another_tool_alone_names_the_command_to_run(run):
    """It names no program, for a re-run and for a test."""
    for words in (["rerun"], ["make-test", "-o", "test_made.py"]):
        refused = run("namel3ss_debug", *words, "failing_agent.langfuse.json")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "namel3ss debug rerun app.py --answers failing_agent.langfuse.json" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_miss_names_the_nearest_recorded_request_and_its_difference(run):
    """A tool that returns another price now changes the fourth request, which differs from event 8 in this message."""
    text = (run.folder / "failing_agent.py").read_text()
    (run.folder / "edited.py").write_text(text.replace('"SKU-204": 11.50', '"SKU-204": 12.50'))
    again = rerun(run, "edited.py", "failing_agent.openinference.jsonl", "--trust")
    assert again.returncode == 1, again.stderr
    assert "recorded  calls gpt-4o-mini, event 8" in again.stderr
    assert "[-11-]{+12+}.5" in again.stderr
    assert "answered     3 as recorded, 3 for real" in again.stderr


def test_a_trace_of_another_tool_needs_consent(run):
    """Without consent the program does not start, and one line names what would run."""
    refused = rerun(run, "failing_agent.py", "failing_agent.openinference.jsonl")
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
