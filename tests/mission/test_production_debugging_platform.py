"""Every example of production-debugging-platform.txt that needs no server works with its import line changed."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import pytest

from namel3ss_debug import LimitExceeded, initialize_tracing, shutdown_tracing, trace_tool_call
from namel3ss_debug.analysis.canary import CanaryRun, compare
from namel3ss_debug.analysis.metrics import METRICS
from namel3ss_debug.config import DebugConfiguration, load_configuration
from namel3ss_debug.config.guarding import read_breakers
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.monitoring.dashboard import make_dashboard
from namel3ss_debug.monitoring.episodes import describe_seconds
from namel3ss_debug.monitoring.rules import BUILT_IN
from namel3ss_debug.traces.reader import open_trace

LANGFUSE = """
import namel3ss_debug as langfuse
from namel3ss_debug import observe

@observe()
async def debug_agent_execution(agent_id: str, trace_id: str):
    with langfuse.trace(name="agent_debug", trace_id=trace_id):
        return await execute_debug_session(agent_id)
"""

AGENTOPS = """
import namel3ss_debug as agentops

session = agentops.start_session(
    tags=["debug", "production"],
    config={"cost_threshold": 0.10}
)

session.record({
    "agent_id": "hardware-optimizer-11110",
    "execution_time": 1.2,
    "tokens_used": 1500,
    "cost": 0.003
})
"""

BREAKER = """
from namel3ss_debug import circuit_breaker

@circuit_breaker(
    failure_threshold=5,
    recovery_timeout=30,
    fallback_model="tinyllama"
)
async def debug_with_ollama(prompt: str):
    return await ollama_service.generate(prompt)
"""

AGENT = """
from namel3ss_debug import instrument_agent

@instrument_agent(
    trace_all=True,
    cost_tracking=True,
    session_replay=True
)
class MyAgent(BaseAgent):
    pass
"""


@pytest.fixture(autouse=True)
def traced(run_example, tmp_path):
    """Trace as `namel3ss debug trace` does."""
    initialize_tracing(trace_output_dir=str(tmp_path / "debug" / "traces"))


def read_events():
    """End the trace, and return its events as JSON."""
    return list(open_trace(shutdown_tracing()).events())


def test_an_observed_function_is_a_span_with_its_block_inside(run_example):
    """The call has its arguments and its result, and the block lies inside it."""

    async def execute_debug_session(agent_id):
        return f"{agent_id} is well"

    run_example(LANGFUSE, execute_debug_session=execute_debug_session)
    run_example("result = await debug_agent_execution('a-1', 't-1')")
    events = read_events()
    outer, inner = (
        event for event in events if event["event_type"].endswith("_start") and "component_name" in event
    )
    assert (outer["component_name"], inner["component_name"]) == ("debug_agent_execution", "agent_debug")
    assert outer["inputs"] == {"agent_id": "a-1", "trace_id": "t-1"}
    assert inner["parent_event_id"] == outer["event_id"]
    assert inner["inputs"] == {"trace_id": "t-1"}
    (end,) = (
        event for event in events if event.get("parent_event_id") == outer["event_id"] and "outputs" in event
    )
    assert end["outputs"] == {"result": "a-1 is well"}


def test_an_unknown_type_of_observation_is_refused(run_example):
    """The message lists the types."""
    with pytest.raises(
        WrongUsageError, match="no type 'dream'; there are span, event, chain, agent, generation"
    ):
        run_example("from namel3ss_debug import observe\nobserve(as_type='dream')")


def test_a_session_records_its_figures(run_example):
    """The configuration and the figures are markers with the tags of the session."""
    run_example(AGENTOPS)
    markers = {
        event["component_name"]: event["metadata"]
        for event in read_events()
        if event["event_type"] == "performance_marker"
    }
    assert markers["session_start"] == {"tags": ["debug", "production"], "cost_threshold": 0.1}
    assert markers["session_record"]["tokens_used"] == 1500


def test_a_circuit_breaker_honours_its_parameters(run_example):
    """Five failures open the circuit; the model that the function cannot take is named in the trace."""

    async def generate(_prompt):
        raise ConnectionError("ollama is down")

    ask = run_example(BREAKER, ollama_service=SimpleNamespace(generate=generate))["debug_with_ollama"]
    for _ in range(5):
        with pytest.raises(ConnectionError):
            asyncio.run(ask("hello"))
    with pytest.raises(RuntimeError, match="the next call is tried 30 s after the last failure"):
        asyncio.run(ask("hello"))
    events = read_events()
    (change,) = (event for event in events if event["event_type"] == "breaker_opened")
    assert change["metadata"]["reason"] == "5 failures in a row, the last a ConnectionError"
    used = [event["metadata"]["reason"] for event in events if event["event_type"] == "fallback_used"]
    assert used == ["the function takes no model, so tinyllama was not used"] * 6


CIRCUIT_BREAKERS = {
    "ollama_model": {"failure_threshold": 5, "timeout": "30s", "fallback": "tinyllama"},
    "database": {"failure_threshold": 3, "timeout": "10s", "fallback": "cache_only"},
    "external_api": {"failure_threshold": 10, "timeout": "60s", "fallback": "offline_mode"},
}
COST_CONTROL = {
    "budget_alerts": {"daily": "$10.00", "monthly": "$300.00"},
    "throttling": {"rate_limit": "1000/minute", "burst_limit": "100/second"},
}


@pytest.mark.parametrize(
    ("name", "target"), [("ollama_model", "model"), ("database", "tool"), ("external_api", "host")]
)
def test_the_circuit_breakers_of_the_document_are_the_defaults(name, target):
    """A row without members has its threshold and its time."""
    (row,) = read_breakers({f"{target}:*": {}})
    documented = CIRCUIT_BREAKERS[name]
    assert (row.failure_threshold, f"{row.recovery_timeout:g}s") == (
        documented["failure_threshold"],
        documented["timeout"],
    )


def test_the_circuit_breaker_of_the_database_opens_and_its_fallback_answers(tmp_path):
    """The program does not know of it: three failures, then the fallback."""
    fallback = CIRCUIT_BREAKERS["database"]["fallback"]
    shutdown_tracing()
    initialize_tracing(
        trace_output_dir=str(tmp_path), circuit_breakers={"tool:database": {"fallback": fallback}}
    )

    @trace_tool_call
    def database(query):
        raise ConnectionError(query)

    for _ in range(CIRCUIT_BREAKERS["database"]["failure_threshold"]):
        with pytest.raises(ConnectionError):
            database("select 1")
    assert database("select 1") == "cache_only"


def test_the_cost_control_of_the_document_stops_a_program(tmp_path):
    """Its budgets and rates are rows of `limits`; the 101st call within a second is refused."""
    budgets, rates = COST_CONTROL["budget_alerts"], COST_CONTROL["throttling"]
    rows = [
        {"cost": float(budgets["daily"].removeprefix("$")), "by": "day", "action": "warn"},
        {"cost": float(budgets["monthly"].removeprefix("$")), "by": "month", "action": "warn"},
        {
            "calls_per_minute": int(rates["rate_limit"].removesuffix("/minute")),
            "calls_per_second": int(rates["burst_limit"].removesuffix("/second")),
        },
    ]
    shutdown_tracing()
    tracer = initialize_tracing(trace_output_dir=str(tmp_path), limits=rows)
    tracer.guards._now = lambda: 1.8e9

    @trace_tool_call
    def look_up(number):
        return number

    assert [look_up(number) for number in range(100)] == [*range(100)]
    with pytest.raises(LimitExceeded, match="the run has made 100 of 100 calls in the last second"):
        look_up(100)


def test_an_instrumented_agent_is_recorded(run_example):
    """Its work is an execution with its cost, in a session of its own."""

    class BaseAgent:
        def run(self, task):
            return self.think(task)

        def think(self, task):
            return task.upper()

    run_example(AGENT, BaseAgent=BaseAgent)
    assert run_example("result = MyAgent().run('go')")["result"] == "GO"
    events = read_events()
    (start,) = (event for event in events if event["event_type"] == "agent_execution_start")
    assert start["component_name"] == "MyAgent"
    assert start["session_id"]
    assert any(event["event_type"] == "state_change" for event in events)


CANARY = """
canary_deployment:
  success_criteria:
    error_rate: <2%
    response_time: <500ms
  rollback_triggers:
    error_rate: >10%
    response_time: >2s
    memory_usage: >1GB
"""


def test_the_limits_of_its_canary_are_the_defaults():
    """The success criteria are the first limits, the rollback triggers the second ones."""
    success, triggers = (
        dict(re.findall(r"(\w+): ([<>].+)", part)) for part in CANARY.split("rollback_triggers")
    )
    limits = DebugConfiguration().canary_limits
    units = {"%": 0.01, "ms": 1, "s": 1000, "GB": 1024}

    def read(text):
        value, unit = re.fullmatch(r"[<>](\d+)(\D+)", text).groups()
        return int(value) * units[unit]

    assert limits["error_rate"] == [read(success["error_rate"]), read(triggers["error_rate"])]
    assert limits["response_ms"] == [read(success["response_time"]), read(triggers["response_time"])]
    assert limits["memory_mb"][1] == read(triggers["memory_usage"])


def test_a_canary_is_rolled_back_by_each_of_its_triggers():
    """On 150 runs of each version, of which the new one fails, is slow, or needs more memory."""
    good = {"error_rate": 0.0, "response_ms": 400.0, "memory_mb": 300.0}
    old = [CanaryRun(number, good) for number in range(150)]
    assert compare(old, old, DebugConfiguration().canary_limits).verdict != "roll back"
    for worse in ({"error_rate": 1.0}, {"response_ms": 2500.0}, {"memory_mb": 1500.0}):
        new = [CanaryRun(number + 0.5, good | worse) for number in range(150)]
        assert compare(old, new, DebugConfiguration().canary_limits).verdict == "roll back"


def test_its_metrics_are_collected():
    """Response time, error rate, processor time, memory, tokens, calls and cost."""
    assert {
        "gen_ai_client_operation_duration_seconds",
        "namel3ss_errors",
        "namel3ss_cpu_seconds",
        "namel3ss_memory_bytes",
        "gen_ai_client_token_usage",
        "namel3ss_cost_dollars",
    } <= METRICS.keys()
    assert all(
        metric.help in {panel["title"] + "." for panel in make_dashboard()["panels"]}
        for metric in METRICS.values()
        if metric.kind == "gauge"
    )


ALERTS = {
    "critical": {"agent_down": "1m", "error_rate_high": "5m", "memory_leak": "30m"},
    "warning": {"slow_response": "10m", "high_cost": "1h", "pattern_anomaly": "6h"},
}
"""Its `alerts`, with their times."""


def make_it_alert(trace, rule):
    """Let the program of a trace do what an alert or a trigger is about."""
    if rule == "agent_down":
        trace.add("tool_call_start", "tool", component_name="search")
    elif rule == "error_rate_high":
        for number in range(30):
            trace.call(
                "tool", "search", 0.1, **({"status": "failed", "error": "no"} if number % 10 == 0 else {})
            )
    elif rule == "memory_leak":
        for second in range(0, 1800, 10):
            trace.at += 10
            trace.add("resource_sample", "app", memory_usage_mb=100.0 + second / 60)
    elif rule == "slow_response":
        for _ in range(30):
            trace.call("tool", "search", 6.0)
    elif rule == "high_cost":
        for _ in range(8):
            trace.call("llm", "gpt-4o", 1.0, cost_estimate=0.4, usage={"input_tokens": 10})
    elif rule == "pattern_anomaly":
        for tokens in [100] * 40 + [9000] * 12:
            trace.call("llm", "gpt-4o", 1.0, usage={"input_tokens": tokens})
            trace.at += 8
    elif rule == "performance_degradation":
        for seconds in [0.5] * 30 + [1.1] * 6:
            trace.call("tool", "search", seconds)
    elif rule == "infinite_loop":
        for second in range(40):
            trace.at += 1
            trace.add("resource_sample", "app", cpu_time_ms=second * 950.0)
    elif rule == "dependency_failures":
        for _ in range(4):
            trace.call("tool", "search", 1.0, status="timeout", error="timed out", error_type="TimeoutError")
    elif rule == "context_overflow":
        trace.call("llm", "gpt-4o", 1.0, usage={"input_tokens": 120_000})
    else:
        trace.add("agent_execution_start", "agent", component_name="Waits")
        trace.at += 12
        trace.add("log_record", "log", component_name="x", parent_event_id="2")


@pytest.mark.parametrize(
    ("severity", "rule"), [(level, rule) for level, rules in ALERTS.items() for rule in rules]
)
def test_its_alerts_fire_by_their_names_and_times(growing, severity, rule):
    """Critical ones are errors, warnings are warnings; the time is that over which, or after which, the condition counts."""
    built_in = next(row for row in BUILT_IN if row.name == rule)
    seconds = built_in.window or load_configuration(environ={}).config.alert_thresholds[rule]
    assert describe_seconds(seconds).replace(" ", "").removesuffix("in") == ALERTS[severity][rule]
    make_it_alert(growing, rule)
    (alert,) = growing.fired(ends=rule != "agent_down", later=70)
    assert (alert.rule, alert.severity) == (rule, {"critical": "error", "warning": "warning"}[severity])


TRIGGERS = {
    "Performance Degradation": "performance_degradation",
    "Error Rate Spike": "error_rate_high",
    "Memory Leak Detection": "memory_leak",
    "Infinite Loop Detection": "infinite_loop",
    "Dependency Failures": "dependency_failures",
    "Context Overflow": "context_overflow",
    "Deadlock Detection": "deadlock",
}


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_its_seven_triggers_alert_while_the_program_runs(growing, trigger):
    """Once, within a second of when the condition was met."""
    rule = TRIGGERS[trigger]
    make_it_alert(growing, rule)
    (alert,) = growing.fired()
    assert alert.rule == rule
    assert alert.fired - alert.began <= 1
    assert alert.events
