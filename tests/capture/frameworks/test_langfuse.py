"""Observations of Langfuse become spans; against stand-ins with the public interface of its client and observations."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced, switch
from namel3ss_debug.capture.frameworks import langfuse as seam


@pytest.fixture
def langfuse(structure):
    """Return a client that is followed."""

    class Observation:
        def start_observation(self, *, name, as_type="span", **fields):
            return Observation()

        def create_event(self, *, name, **fields):
            return Observation()

        @contextmanager
        def start_as_current_observation(self, *, name, as_type="span", end_on_exit=None, **fields):
            yield Observation()

        def update(self, *, output=None, level=None, **fields):
            return self

        def end(self, *, end_time=None):
            return self

    class Langfuse(Observation):
        def update_current_span(self, **fields):
            """Update it."""

        update_current_generation = update_current_span

    for name in ("start_observation", "create_event", "start_as_current_observation"):
        setattr(Langfuse, name, vars(Observation)[name])
    undo = []
    for name, kind in (("client", Langfuse), ("span", Observation)):
        kind_name = "Langfuse" if name == "client" else "LangfuseObservationWrapper"
        module = SimpleNamespace(__name__=f"langfuse._client.{name}", **{kind_name: kind})
        undo += seam.follow(module, structure)
    yield Langfuse()
    while undo:
        undo.pop()()


def test_observations_are_spans_in_one_another(langfuse, tree):
    """Each type has its kind; one that is not current contains only what names it as its parent."""
    current = langfuse.start_as_current_observation
    with current(name="planner", as_type="agent"), current(name="trip", as_type="chain") as trip:
        with current(name="safe", as_type="guardrail"), current(name="look", as_type="retriever"):
            pass
        walk = trip.start_observation(name="walk")
        walk.start_observation(name="step").end()
        with switch.ACTIVE.span("tool", "lookup"):
            pass
        walk.end()
        trip.create_event(name="arrived")
    langfuse.start_observation(name="after").end()
    assert tree() == [
        "agent_execution planner",
        "  chain_execution trip",
        "    validation safe",
        "      chain_step look",
        "    chain_step walk",
        "      chain_step step",
        "    tool_call lookup",
        "    chain_step arrived",
        "chain_step after",
    ]


def test_an_observation_has_its_input_and_output(langfuse, recorded):
    """The output may be set on it, or on the current one."""
    with langfuse.start_as_current_observation(name="one", input={"days": 3}) as one:
        one.update(output={"miles": 5})
    with langfuse.start_as_current_observation(name="two", input="north"):
        langfuse.update_current_span(output="tired")
    begun, ended, begun_two, ended_two = recorded()
    assert (begun["inputs"], ended["outputs"]) == ({"days": 3}, {"miles": 5})
    assert (begun_two["inputs"], ended_two["outputs"]) == ({"input": "north"}, {"result": "tired"})


@pytest.mark.parametrize("reports", [True, False])
def test_an_observation_that_an_exception_leaves_has_failed(langfuse, recorded, reports):
    """The decorator reports the error in its own words before the exception leaves, and ends the observation."""

    def run():
        with langfuse.start_as_current_observation(name="fail", end_on_exit=not reports) as observation:
            try:
                int("wind")
            except ValueError as error:
                if reports:
                    observation.update(level="ERROR", status_message=str(error))
                    observation.end()
                raise

    with pytest.raises(ValueError, match="wind") as caught:
        run()
    _begun, ended = recorded()
    failure = (ended["status"], ended["error_type"], ended["error"])
    assert failure == ("failed", "ValueError", str(caught.value))


def test_the_observation_of_a_generator_ends_when_it_is_read(langfuse, tree):
    """It is not the current one any more when the decorated function has returned."""
    with langfuse.start_as_current_observation(name="count", end_on_exit=False) as observation:
        pass
    with switch.ACTIVE.span("tool", "lookup"):
        pass
    observation.end()
    assert tree() == ["chain_step count", "tool_call lookup"]


def test_a_generation_whose_request_is_seen_has_no_tokens_of_its_own(langfuse, recorded):
    """The request is inside it."""
    usage = {"input": 3, "output": 1}
    with langfuse.start_as_current_observation(name="ask", as_type="generation") as ask:
        announced.mark_recorded(announced.LLM)
        with switch.ACTIVE.span("llm", "gpt"):
            pass
        ask.update(output="cold", usage_details=usage)
    events = [(event["event_type"], event.get("usage")) for event in recorded()]
    assert events == [
        ("chain_step_start", None),
        ("llm_call_start", None),
        ("llm_call_end", None),
        ("chain_step_end", None),
    ]


def test_a_generation_without_a_request_is_a_model_call(langfuse, recorded):
    """It has what the program reports."""
    messages = [{"role": "user", "content": "How cold is it?"}]
    with langfuse.start_as_current_observation(
        name="ask", as_type="generation", model="own", input=messages
    ) as ask:
        ask.update(output="cold", usage_details={"input": 3, "output": 1})
    step, call, call_ended, _step_ended = recorded()
    assert call["parent_event_id"] == step["event_id"]
    assert call["component_name"] == "own"
    parts = [{"type": "text", "content": "How cold is it?"}]
    assert call["inputs"] == {"model": "own", "messages": [{"role": "user", "parts": parts}]}
    assert (call_ended["outputs"]["text"], call_ended["usage"]) == (
        "cold",
        {"input_tokens": 3, "output_tokens": 1},
    )


def test_a_tool_has_its_arguments_and_its_result(langfuse, recorded):
    """The decorator reports keywords apart from positional arguments."""
    value = {"args": (), "kwargs": {"city": "Oslo"}}
    with langfuse.start_as_current_observation(name="weather", as_type="tool", input=value) as tool:
        tool.update(output="cold")
    begun, ended = recorded()
    assert (begun["event_type"], begun["inputs"]) == ("tool_call_start", {"arguments": {"city": "Oslo"}})
    assert ended["outputs"] == {"result": "cold"}


def test_observations_of_tasks_at_once_keep_their_parents(langfuse, tree):
    """Each task is inside its own."""

    async def work(name):
        with langfuse.start_as_current_observation(name=name, as_type="agent"):
            await asyncio.sleep(0)
            with langfuse.start_as_current_observation(name=f"of {name}"):
                await asyncio.sleep(0)

    async def both():
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(both())
    assert tree() == ["agent_execution a", "  chain_step of a", "agent_execution b", "  chain_step of b"]
