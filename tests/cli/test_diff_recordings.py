"""`debug diff` on recordings of unmodified programs: the same program recorded again, or run again, is the same run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from namel3ss_debug import diff_traces

ROOT = Path(__file__).parents[2]
SDK = ROOT / "tests" / "data" / "programs_sdk"
EXAMPLES = ("support_agent", "research_agent", "failing_agent", "weather_agent")


@pytest.fixture
def recorded(program, tmp_path):
    """Records a program twice, at the same time, and gives the two recordings."""

    def record(path, environment):
        files = [tmp_path / f"{name}.jsonl" for name in ("first", "again")]
        quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running = [
            subprocess.Popen([*program, "trace", "-o", str(file), str(path)], **quiet) for file in files
        ]
        for process in running:
            process.wait()
        return files

    return record


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openai_parallel_tools", "openai_threads", "openai_error_500"])
def test_a_program_of_an_sdk_recorded_again_and_run_again(
    recorded, model_environment, program, tmp_path, name
):
    """Neither another recording nor a re-run of the first differs from it."""
    first, again = recorded(SDK / f"{name}.py", model_environment)
    assert diff_traces(first, again).to_json()["differences"] == []
    command = [*program, "rerun", str(first), "--format", "jsonl"]
    done = subprocess.run(command, env=model_environment, cwd=tmp_path, capture_output=True, check=True)
    outcome = json.loads([line for line in done.stdout.splitlines() if b'"result":"rerun"' in line][-1])
    assert diff_traces(first, tmp_path / outcome["trace"]).to_json()["differences"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_recorded_again(recorded, name):
    """Retries, streams and workers that run at once included; workers that ran side by side may change their order."""
    first, again = recorded(ROOT / "examples" / f"{name}.py", None)
    found = diff_traces(first, again)
    assert found.to_json()["differences"] == []
    assert found.payloads
    assert found.a.events > 10
