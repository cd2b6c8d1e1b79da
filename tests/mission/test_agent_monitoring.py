"""What agent-monitoring.txt monitors is recorded, analyzed and judged, on a program that does a little of all of it.

The document has no calls to run, only the classes of its own platform; docs/documents.md names the counterpart of each,
and of the 34 keys of its block of YAML.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug import TraceAnalyzer
from namel3ss_debug.analysis.aggregate.slower import compare_with_baselines
from namel3ss_debug.analysis.failures.remedies import propose, read_case
from namel3ss_debug.cli.main import debug
from namel3ss_debug.config import SETTINGS, load_configuration
from namel3ss_debug.config.editing import set_members
from namel3ss_debug.monitoring.channels import read_channels
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


def test_its_storage_keys_and_notification_channels_are_settings():
    """`storage` by kind of trace, and `notification_channels`, whose addresses are in the environment."""
    config = load_configuration(
        overrides={
            "trace_retention": {"failed": "90d", "default": "30d"},
            "alert_channels": {
                "slack": {"kind": "apprise", "url_env": "SLACK_URL"},
                "email": {"kind": "apprise", "url_env": "EMAIL_URL"},
            },
        }
    ).config
    channels = read_channels(config, {"SLACK_URL": "slack://x", "EMAIL_URL": "mailto://x"})
    assert [channel.name for channel in channels] == ["slack", "email"]


THRESHOLDS = {
    "cpu_usage": 80,
    "memory_usage": 85,
    "response_time": 5000,
    "error_rate": 0.05,
    "throughput": 10,
}
"""The thresholds of its `real_time_performance_monitoring`."""

RULES = {
    "cpu_usage": {"cpu_usage": THRESHOLDS["cpu_usage"] / 100},
    "memory_usage": {"memory_usage": THRESHOLDS["memory_usage"] / 100},
    "response_time": {"response_time": THRESHOLDS["response_time"]},
    "error_rate": {},  # of the setting `triggers`, with the same default
    "throughput": {"throughput": THRESHOLDS["throughput"]},
}


def behave(trace, threshold, *, badly):
    """Make a trace above or below one of the thresholds."""
    for second in range(150):
        trace.at += 0.5
        if threshold == "cpu_usage":
            trace.add("resource_sample", "app", cpu_time_ms=second * 500 * (0.85 if badly else 0.75))
        if threshold == "memory_usage":
            trace.add("resource_sample", "app", memory_usage_mb=860.0 if badly else 840.0)
        if threshold == "response_time" and second % 20 == 0:
            trace.call("tool", "search", 5.5 if badly else 4.5)
        if threshold == "error_rate" and second % 3 == 0:
            failed = second % 30 == 0 and (badly or second == 0)
            trace.call("tool", "search", 0.1, **({"status": "failed", "error": "no"} if failed else {}))
        if threshold == "throughput" and second % (16 if badly else 8) == 0:
            trace.call("tool", "search", 0.1)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_each_of_its_thresholds_is_monitored_while_the_program_runs(growing, threshold):
    """Above it there is one alert of its name, with the value and the threshold."""
    behave(growing, threshold, badly=True)
    (alert,) = growing.fired(**RULES[threshold])
    assert alert.rule == {"error_rate": "error_rate_high"}.get(threshold, threshold)
    limit = THRESHOLDS[threshold] / (100 if threshold.endswith("usage") else 1)
    assert alert.threshold == limit
    assert (alert.value < limit) == (threshold == "throughput")


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_below_its_thresholds_there_is_no_alert(growing, threshold):
    """With the same rules."""
    behave(growing, threshold, badly=False)
    assert growing.fired(**RULES[threshold]) == []


RESOLUTIONS = {
    "retry_operation": ("timeout", {"retries"}),
    "adjust_resources": ("step_limit", {"limits"}),
    "configuration_fix": ("tool", {"circuit_breakers"}),
}
"""The types of `_attempt_auto_resolution` that change nothing outside of the program, a category, and the settings."""


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_resolution_is_a_setting_that_the_file_takes(resolution, tmp_path):
    """`suggest` proposes it for the category of the failure; what it writes is read again as settings."""
    category, keys = RESOLUTIONS[resolution]
    component = "llm" if category == "timeout" else "tool"
    row = {"component": component, "component_name": "search", "category": category, "fingerprint": "a"}
    failures = [
        row | {"number": number, "end_number": number + 1, "attempts": [number], "duration_ms": 9.0}
        for number in (1, 3)
    ]
    loop = {"kind": "loop", "form": "same call", "component": "tool", "component_name": "search", "count": 9}
    case = read_case([], failures, [loop])
    settings = propose(case)[0].settings
    assert settings.keys() == keys
    (tmp_path / ".namel3ss").mkdir()
    (tmp_path / ".namel3ss" / "debug.json").write_text(set_members('{"slow_ms": 5}', settings))
    config = load_configuration(tmp_path, {}).config
    assert config.slow_ms == 5
    assert all(getattr(config, key) for key in keys)


def test_nothing_is_resolved_unasked(shop_that_failed, run_command):
    """`auto_resolution: false` of its block of YAML: the settings change by `--apply` alone, and by name if nothing is proved."""
    settings = shop_that_failed / ".namel3ss" / "debug.json"
    assert run_command("suggest").exit_code == 1
    assert run_command("suggest", "--apply").exit_code == 1
    assert not settings.exists()
    assert run_command("suggest", "--apply", "retry").exit_code == 1
    assert "retries" in settings.read_text()


@pytest.fixture
def shop_that_failed(tmp_path, monkeypatch):
    """A folder with the trace of a program that is not there, in which a model failed."""
    recording = Path(__file__).parents[1] / "data" / "recordings" / "openai_error_500.jsonl"
    (tmp_path / "debug" / "traces").mkdir(parents=True)
    shutil.copy(recording, tmp_path / "debug" / "traces" / "trace_20261126_120000_ab12cd34.jsonl")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_command():
    """Runs a command of `debug` in this process, without a terminal."""
    return lambda *words: CliRunner().invoke(debug, words)
