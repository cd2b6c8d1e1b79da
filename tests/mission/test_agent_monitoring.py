"""What agent-monitoring.txt monitors is recorded, analyzed and judged, on a program that does a little of all of it.

The document has no calls to run, only the classes of its own platform; docs/documents.md names the counterpart of each,
and of the 34 keys of its block of YAML.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from namel3ss_debug import TraceAnalyzer
from namel3ss_debug.analysis.aggregate.slower import compare_with_baselines
from namel3ss_debug.config import SETTINGS
from namel3ss_debug.traces.reader import open_trace

PROGRAM = """
import logging, sys, time
from namel3ss_debug import AgentLogger, get_global_tracer, trace_agent_execution, trace_tool_call

log = logging.getLogger("shop")
pause = float(sys.argv[1])

@trace_tool_call
def look_up(order):
    time.sleep(pause)
    return {"order": order}

@trace_agent_execution("Support")
def work():
    for order in range(6):
        look_up(order)
    with open("orders.txt", "w") as file:
        file.write("six orders")
    with open("orders.txt") as file:
        file.read()
    log.warning("payment of order 3 failed")
    AgentLogger("Support").log_decision("refund", reasoning="the payment failed")
    get_global_tracer().emit("agent_message", component="agent", metadata={"from": "Support", "to": "Billing", "text": "refund"})

work()
"""


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Traces of a slow and of a quick run, at the level `comprehensive`."""
    folder = tmp_path_factory.mktemp("monitored")
    (folder / "app.py").write_text(PROGRAM)
    for name, pause in (("slow", "0.1"), ("quick", "0")):
        command = [sys.executable, "-m", "namel3ss_debug", "trace", "--level", "comprehensive"]
        command += ["-o", f"{name}.jsonl", "app.py", pause]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {name: folder / f"{name}.jsonl" for name in ("slow", "quick")}


@pytest.fixture(scope="module")
def analysis(traces):
    """The analysis of the slow run."""
    return TraceAnalyzer(traces["slow"]).analyze()


def test_an_execution_is_traced_with_tasks_messages_resources_and_variables(traces):
    """Every kind of event of its tracer, with memory and processor time."""
    events = list(open_trace(traces["slow"]).events())
    types = {event["event_type"] for event in events}
    assert types >= {
        "agent_execution_start",
        "tool_call_start",
        "agent_message",
        "decision",
        "log_record",
        "file_access",
    }
    ends = [event for event in events if event["event_type"] == "tool_call_end"]
    assert all("memory_usage_mb" in event and "cpu_time_ms" in event for event in ends)


def test_files_are_profiled_with_bytes_time_and_count(analysis):
    """The file that was written and read, and what the run waited for."""
    files = analysis["resource_usage"]["files"]
    row = next(row for row in files["listed"] if row["component_name"].endswith("orders.txt"))
    assert (row["opens"], row["bytes_written"], row["bytes_read"]) == (2, 10, 10)
    assert "io_wait" in analysis["resource_usage"]


def test_a_benchmark_comparison_names_what_became_slower(traces):
    """The tool that pauses longer, with the interval of the difference."""
    comparison = compare_with_baselines([traces["slow"]], [traces["quick"]])
    (row,) = (row for row in comparison["operations"] if row["component"] == "tool")
    assert row["verdict"] == "slower"
    assert 0 < row["low_ms"] <= row["difference_ms"] <= row["high_ms"]


def test_errors_in_the_log_are_found_at_any_level(analysis):
    """The warning about the payment is one."""
    (row,) = analysis["log_errors"]["messages"]
    assert (row["level"], row["indicator"]) == ("warning", "failure")


def test_interactions_and_health_are_reported(analysis):
    """The message between agents, and a score with suggestions for what lowered it."""
    assert analysis["interactions"]["messages"]["count"] == 1
    health = analysis["health"]
    assert 0 <= health["score"] <= 1
    assert all("suggestion" in finding or "look" in finding for finding in health["findings"])


def test_a_session_is_debugged_step_by_step(traces):
    """Step, inspect and continue, as its step debugger does."""
    command = [sys.executable, "-m", "namel3ss_debug", "replay", "--step", str(traces["slow"])]
    command += ["-b", "look_up", "-c", "continue", "-c", "p inputs.arguments", "-c", "step", "-c", "quit"]
    shown = subprocess.run(
        command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    assert '{"order": 0}' in shown


def test_the_switches_of_its_debugger_are_settings():
    """Breaking on errors and on warnings, and breakpoints that every session has."""
    assert {"break_on_errors", "break_on_warnings", "auto_breakpoints"} <= {
        setting.key for setting in SETTINGS
    }
