"""Every example of namel3ss-debugging.txt works: its commands as they stand, its code with the import line changed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from namel3ss_debug import initialize_tracing, shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

pytest.importorskip("namel3ss")
pytestmark = pytest.mark.slow  # each command starts the language anew

APP = """spec is "1.0"

ai "writer":
  provider is "mock"
  model is "mock-1"

agent "MyAgent":
  ai is "writer"
  system_prompt is "Write."

flow "main": requires true
  run agent "MyAgent" with input: "one" as first
  run agent "MyAgent" with input: "two" as second
  run agent "MyAgent" with input: "three" as third
  return third
"""


def run(folder, *arguments, **variables):
    """Run `namel3ss ARGUMENTS` in a folder; what it printed."""
    command = [sys.executable, "-m", "namel3ss_debug"]
    command += arguments[1:] if arguments[0] == "debug" else arguments
    environment = {**os.environ, **variables, "COLUMNS": "120"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of `my_app.ai`, with the trace of a run as `trace.jsonl`."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "my_app.ai").write_text(APP)
    run(folder, "debug", "trace", "my_app.ai", "-o", "trace.jsonl")
    return folder


def test_a_filtered_trace_has_only_the_named_components(folder):
    """`trace --filter agent --filter llm`."""
    run(folder, "debug", "trace", "my_app.ai", "--filter", "agent", "--filter", "llm", "-o", "filtered.jsonl")
    kinds = {event["component"] for event in open_trace(folder / "filtered.jsonl").events()}
    assert kinds == {"app", "agent", "llm"}
    types = {event["event_type"] for event in open_trace(folder / "filtered.jsonl").events()}
    assert types >= {"agent_execution_start", "agent_turn_start", "llm_call_start"}
    assert "chain_step_start" not in types


def test_a_replay_stops_at_the_third_turn(folder):
    """`replay --step --breakpoint agent_turn_start:3`."""
    shown = run(
        folder,
        "debug",
        "replay",
        "trace.jsonl",
        "--step",
        "--breakpoint",
        "agent_turn_start:3",
        "-c",
        "continue",
    )
    turns = [
        number
        for number, event in enumerate(open_trace(folder / "trace.jsonl").events(), 1)
        if event["event_type"] == "agent_turn_start"
    ]
    assert len(turns) == 3
    assert f"->    {turns[2]}" in shown


def test_analyses_and_inspections_print_what_they_name(folder):
    """`analyze --performance --errors` and `inspect --agent MyAgent --errors-only`."""
    shown = run(folder, "debug", "analyze", "trace.jsonl", "--performance", "--errors")
    assert "Bottlenecks" in shown
    assert "mock-1" in shown
    assert run(folder, "debug", "inspect", "trace.jsonl", "--agent", "MyAgent", "--errors-only") == ""


def test_the_keys_for_jq_are_there(folder):
    """`.performance.slow_operations` and `.resource_usage`."""
    document = json.loads(run(folder, "debug", "analyze", "trace.jsonl", "--performance", "--format", "json"))
    assert isinstance(document["performance"]["slow_operations"], list)
    assert json.loads(run(folder, "debug", "analyze", "trace.jsonl", "--format", "json"))["resource_usage"]


def test_the_environment_turns_tracing_on_for_a_run(folder):
    """`NAMEL3SS_DEBUG_ENABLED` and the three settings beside it; `run` as without them otherwise."""
    variables = {
        "NAMEL3SS_DEBUG_ENABLED": "true",
        "NAMEL3SS_DEBUG_COMPONENTS": "agent,llm",
        "NAMEL3SS_DEBUG_OUTPUT_DIR": "./traces",
        "NAMEL3SS_DEBUG_BUFFER_SIZE": "2000",
    }
    assert run(folder, "run", "my_app.ai", **variables) == run(folder, "run", "my_app.ai")
    latest = folder / "traces" / "trace_latest.jsonl"
    assert any(event["component"] == "llm" for event in open_trace(latest).events())


def test_the_workspace_configuration_is_read(folder, tmp_path):
    """The five keys of the example, in `.namel3ss/debug.json`; then the workflow on `trace_latest.jsonl`."""
    (tmp_path / ".namel3ss").mkdir()
    (tmp_path / "my_app.ai").write_text(APP)
    settings = {
        "enabled": True,
        "trace_output_dir": "./debug/traces",
        "default_components": ["agent", "llm"],
        "capture_memory": True,
        "buffer_size": 1000,
    }
    (tmp_path / ".namel3ss" / "debug.json").write_text(json.dumps(settings))
    run(tmp_path, "run", "my_app.ai")
    latest = "debug/traces/trace_latest.jsonl"
    assert "Bottlenecks" in run(tmp_path, "debug", "analyze", latest, "--performance")
    assert run(tmp_path, "debug", "inspect", latest, "--errors-only") == ""
    assert "trace_start  my_app.ai" in run(tmp_path, "debug", "replay", latest, "--step", "-c", "step")


def test_performance_and_memory_are_recorded(folder):
    """`trace --performance --memory`."""
    run(folder, "debug", "trace", "my_app.ai", "--performance", "--memory", "-o", "measured.jsonl")
    ends = [e for e in open_trace(folder / "measured.jsonl").events() if e["event_type"] == "llm_call_end"]
    assert all("memory_usage_mb" in event and "cpu_time_ms" in event for event in ends)


def test_a_mock_takes_the_place_of_an_answer(folder):
    """`trace --run-args`, then `replay --mock NAME:JSON --step` with the two mocks of the example."""
    run(
        folder,
        "debug",
        "trace",
        "my_app.ai",
        "--run-args",
        '{"input": "problematic input"}',
        "-o",
        "bad.jsonl",
    )
    (folder / "external.py").write_text(
        "from namel3ss_debug import trace_tool_call\n"
        "ask = trace_tool_call('ExternalAPI')(lambda: {'status': 'ok'})\n"
        "fix = trace_tool_call('FixedComponent')(lambda: {'response': 'wrong'})\n"
        "print(ask(), fix())\n"
    )
    run(folder, "debug", "trace", "external.py", "-o", "external.jsonl")
    mocks = ["--mock", 'ExternalAPI:{"status":"error"}']
    shown = run(
        folder,
        "debug",
        "replay",
        "external.jsonl",
        *mocks,
        "--step",
        "-b",
        "tool_call_end:1",
        "-c",
        "continue",
        "-c",
        "print outputs",
    )
    assert '"status": "error"' in shown
    shown = run(
        folder, "debug", "replay", "external.jsonl", "--mock", 'FixedComponent:{"response":"expected"}'
    )
    assert "FixedComponent" in shown
    assert "expected" in shown


@pytest.fixture
def traced(run_example, tmp_path):
    """Trace in this process."""
    initialize_tracing(trace_output_dir=str(tmp_path / "traces"))


def test_a_decorated_method_is_recorded(run_example, traced):
    """With its inputs, under the name of its object."""
    names = run_example(
        """
        from namel3ss_debug.hooks import trace_agent_execution

        @trace_agent_execution(capture_inputs=True)
        async def my_agent_method(self, input_data):
            pass
        """
    )
    asyncio.run(names["my_agent_method"](None, {"city": "Oslo"}))
    events = list(open_trace(shutdown_tracing()).events())
    (start,) = (event for event in events if event["event_type"] == "agent_execution_start")
    assert start["inputs"]["input_data"] == {"city": "Oslo"}


def test_a_marker_is_emitted_by_hand(run_example, traced):
    """With `await tracer.emit_event(TraceEventType.PERFORMANCE_MARKER, ...)`."""
    run_example(
        """
        from namel3ss_debug import get_global_tracer, TraceEventType

        tracer = get_global_tracer()
        await tracer.emit_event(
            TraceEventType.PERFORMANCE_MARKER,
            component="custom",
            metadata={"checkpoint": "processing_start"}
        )
        """
    )
    events = list(open_trace(shutdown_tracing()).events())
    (marker,) = (event for event in events if event["event_type"] == "performance_marker")
    assert marker["metadata"] == {"checkpoint": "processing_start"}
