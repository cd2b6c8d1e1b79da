"""Every example of production-debugging-platform.txt that needs no server works with its import line changed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from namel3ss_debug import initialize_tracing, shutdown_tracing
from namel3ss_debug.errors import WrongUsageError
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
    (change,) = (event for event in events if event["event_type"] == "state_change")
    assert change["metadata"]["reason"] == "5 failures in a row, the last a ConnectionError"
    decisions = [event["inputs"]["reasoning"] for event in events if event["event_type"] == "decision"]
    assert decisions == ["the function takes no model, so tinyllama was not used"] * 6


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
