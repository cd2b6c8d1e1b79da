"""What crewai gives to its event bus becomes structure; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks import crewai
from namel3ss_debug.capture.seams.functions import rewrite

numbers = itertools.count(1)


class BaseEvent(SimpleNamespace):
    """An event of crewai's."""

    model_fields = ("started_event_id",)

    def __init__(self, type, parent=None, begun=None, **told):  # noqa: A002  (as crewai calls it)
        ids = {"event_id": next(numbers), "parent_event_id": parent and parent.event_id}
        super().__init__(type=type, **ids, started_event_id=begun and begun.event_id, **told)


class CrewAIEventsBus:
    """As much of the bus as is given events."""

    def emit(self, source, event):
        """Hand on an event."""
        return "done"

    async def aemit(self, source, event):
        """The same on a loop."""


@pytest.fixture
def bus(structure):
    """A bus that is followed."""
    scopes = frozenset({"a2a_server_task_started", "memory_query_started", "crew_kickoff_started"})
    module = SimpleNamespace(
        __name__="crewai.events.event_bus",
        CrewAIEventsBus=CrewAIEventsBus,
        BaseEvent=BaseEvent,
        SCOPE_STARTING_EVENTS=scopes,
    )
    undo = crewai.follow(module, structure)
    yield CrewAIEventsBus()
    while undo:
        undo.pop()()


@pytest.fixture
def emit(bus):
    """A function that emits an event and gives it."""

    def emitting(*args, source=None, **told):
        event = BaseEvent(*args, **told)
        assert bus.emit(source, event) == "done"
        return event

    return emitting


def test_a_crew_is_tasks_and_agents(emit, tree):
    """A flow of the user's is a chain, those that agents are made of are not shown."""
    own = type("AgentExecutor", (), {"__module__": "crewai.agents"})()
    flow = emit("flow_started", flow_name="Trip", inputs=None)
    method = emit("method_execution_started", flow, method_name="plan", params=None)
    crew = emit("crew_kickoff_started", method, crew_name="travel", inputs={"city": "Oslo"})
    task = emit("task_started", crew, task=SimpleNamespace(name="find"), context=None)
    agent = emit("agent_execution_started", task, agent=SimpleNamespace(role="Scout"), task_prompt="Find.")
    inner = emit("flow_started", agent, source=own, flow_name="AgentExecutor", inputs=None)
    check = emit("llm_guardrail_started", inner, guardrail_name="polite")
    for kind, begun in (
        ("llm_guardrail_completed", check),
        ("flow_finished", inner),
        ("agent_execution_completed", agent),
        ("task_completed", task),
        ("crew_kickoff_completed", crew),
        ("method_execution_finished", method),
        ("flow_finished", flow),
    ):
        emit(kind, begun=begun)
    assert tree() == [
        "chain_execution Trip",
        "  chain_step plan",
        "    chain_execution travel",
        "      chain_step find",
        "        agent_execution Scout",
        "          validation polite",
    ]


def test_what_came_out_is_told(emit, recorded):
    """A task's output is its text."""
    task = emit("task_started", task=SimpleNamespace(name=None, description="Find it"), context="Snow")
    emit("task_completed", begun=task, output=SimpleNamespace(raw="white"))
    begun, ended = recorded()
    assert (begun["component_name"], begun["inputs"]) == ("Find it", {"context": "Snow"})
    assert ended["outputs"] == {"result": "white"}


@pytest.mark.parametrize("error", ["no snow", KeyError("no snow")])
def test_what_failed_has_failed(emit, recorded, error):
    """By a text or an exception, as crewai has it."""
    crew = emit("crew_kickoff_started", crew_name="travel", inputs=None)
    emit("crew_kickoff_failed", begun=crew, error=error)
    _begun, ended = recorded()
    assert ended["status"] == "failed"
    assert "no snow" in ended["error"]


def test_a_model_call_is_only_told_where_it_was_not_seen(emit, recorded):
    """A model of the program's own sends nothing."""
    for seen in (True, False):
        call = emit("llm_call_started", model="own", messages="Snow?")
        if seen:
            announced.mark_recorded(announced.LLM)
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        emit("llm_call_completed", begun=call, response="It snows.", usage=usage)
    begun, ended = recorded()
    assert begun["inputs"]["messages"][0]["role"] == "user"
    assert (ended["outputs"], ended["tokens_used"]) == ({"text": "It snows."}, 5)


def test_a_tool_has_arguments_and_an_output(emit, recorded):
    """Arguments may come as JSON."""
    for given in ('{"word": "snow"}', {"word": "snow"}):
        call = emit("tool_usage_started", tool_name="lookup", tool_args=given, agent_role="Scout")
        emit("tool_usage_finished", begun=call, output="white")
    events = recorded()
    assert [event["inputs"]["arguments"] for event in events[::2]] == [{"word": "snow"}] * 2
    assert [event["outputs"] for event in events[1::2]] == [{"result": "white"}] * 2


def test_an_agent_that_delegates_hands_over(emit, recorded):
    """A question is a message."""
    for name, word in (("Delegate work to coworker", "task"), ("Ask question to coworker", "question")):
        given = {word: "Snow?", "coworker": "Writer"}
        call = emit("tool_usage_started", tool_name=name, tool_args=given, agent_role="Scout\n")
        emit("tool_usage_finished", begun=call, output="white")
    said = [event for event in recorded() if event["event_type"] == "agent_message"]
    assert [
        (each["metadata"]["from"], each["metadata"]["to"], each["metadata"]["kind"]) for each in said
    ] == [
        ("Scout", "Writer", "handoff"),
        ("Scout", "Writer", "message"),
    ]
    assert [each["outputs"]["text"] for each in said] == ["Snow?", "Snow?"]


def test_memory_is_read_and_written(bus, recorded):
    """On a loop as well."""

    async def remember():
        begun = BaseEvent("memory_query_started")
        await bus.aemit(None, begun)
        told = {"query": "snow", "results": ["white"], "source_type": "long_term_memory"}
        await bus.aemit(None, BaseEvent("memory_query_completed", begun=begun, **told))

    asyncio.run(remember())
    [event] = recorded()
    assert (event["event_type"], event["component_name"]) == ("memory_operation", "long_term_memory")
    assert event["inputs"] == {"key": "snow", "value": ["white"]}
    assert event["metadata"]["operation"] == "search"


@pytest.mark.parametrize("ending", ["a2a_server_task_completed", "a2a_server_task_canceled"])
def test_what_is_not_shown_leaves_its_parent_to_what_is_in_it(emit, structure, tree, ending):
    """Until it ends; nothing is kept of a line of the log, which is told to have started and never to have ended."""
    crew = emit("crew_kickoff_started", crew_name="travel", inputs=None)
    served = emit("a2a_server_task_started", crew)
    emit("agent_logs_started", served)
    emit("crew_kickoff_completed", begun=emit("crew_kickoff_started", served, crew_name="hotel", inputs=None))
    emit(ending, begun=served)
    emit("crew_kickoff_completed", begun=crew)
    assert not structure._open
    assert tree() == ["chain_execution travel", "  chain_execution hotel"]


@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize("made_of", ["a function", "a class"])
def test_a_tool_is_recorded_where_its_function_runs_whatever_that_is_called(
    emit, structure, own, one_call_of_lookup, monkeypatch, made_of, is_loaded
):
    """What it runs is learnt when it is made, or when a test begins to record that has loaded the program before."""
    monkeypatch.setattr(rewrite, "LOADED", (lambda _names: None) if is_loaded else None)

    class BaseTool:
        """A tool as crewai makes it of a function; one of a class has the methods alone."""

        name = "lookup"
        _run = _arun = None

        def __init__(self, **fields):
            vars(self).update(fields)
            self.model_post_init(None)

        def model_post_init(self, context, /):
            """Be ready."""

    module = SimpleNamespace(__name__="crewai.tools.base_tool", BaseTool=BaseTool)
    run = own.look if made_of == "a function" else own.Look()._run
    fields = {"func": run} if made_of == "a function" else {"_run": run}
    before = BaseTool(**fields) if is_loaded else None
    undo = crewai.follow(module, structure)
    assert before or BaseTool(**fields)
    call = emit("tool_usage_started", tool_name="lookup", tool_args={"word": "snow"}, agent_role="Scout")
    emit("tool_usage_finished", begun=call, output=run("snow"))
    for put_back in undo:
        put_back()
    one_call_of_lookup()


def test_an_event_that_is_not_as_expected_costs_what_it_tells(emit, structure):
    """And nothing else."""
    emit("agent_execution_started", agent=None, task_prompt="Find.")
    assert structure.tracer.problems.pop("an object of loom could not be read: AttributeError") == 1


def test_a_version_whose_events_do_not_belong_together_is_not_followed(structure):
    """It says so."""
    old = SimpleNamespace(
        __name__="crewai.events.event_bus",
        CrewAIEventsBus=CrewAIEventsBus,
        BaseEvent=SimpleNamespace(model_fields=()),
    )
    with pytest.raises(AttributeError, match="do not name"):
        crewai.follow(old, structure)


def test_a_failure_that_is_told_twice_ends_nothing_but_the_call(emit, recorded):
    """Then the bus takes each end for that of what is around: what has begun there ends, once each."""
    crew = emit("crew_kickoff_started", crew_name="travel", inputs=None)
    task = emit("task_started", crew, task=SimpleNamespace(name="find"), context=None)
    agent = emit("agent_execution_started", task, agent=SimpleNamespace(role="Scout"), task_prompt="Find.")
    call = emit("llm_call_started", agent, model="m", messages="Well?")
    emit("llm_call_failed", agent, begun=call, error="no JSON")
    emit("llm_call_failed", task, begun=agent, error="no JSON")
    emit("agent_execution_completed", crew, begun=task, output="It is cold.")
    emit("task_completed", begun=crew, output=SimpleNamespace(raw="It is cold."))
    emit("crew_kickoff_completed", begun=crew, output="Dress warmly.")
    ended = [event for event in recorded() if event["event_type"].endswith("_end")]
    assert [(event["component_name"], event["status"]) for event in ended] == [
        ("m", "failed"),
        ("Scout", "completed"),
        ("find", "completed"),
        ("travel", "completed"),
    ]
    assert ended[-1]["outputs"] == {"result": "Dress warmly."}


def test_what_never_ends_is_not_kept_for_ever(emit, recorded, monkeypatch):
    """And what is forgotten for it still ends, where it does."""
    monkeypatch.setattr(crewai, "_MOST_OPEN", 1)
    crew = emit("crew_kickoff_started", crew_name="travel", inputs=None)
    task = emit("task_started", crew, task=SimpleNamespace(name="find"), context=None)
    emit("agent_execution_started", task, agent=SimpleNamespace(role="Scout"), task_prompt="Find.")
    emit("task_completed", begun=task, output=SimpleNamespace(raw="It is cold."))
    emit("crew_kickoff_completed", begun=crew, output="Dress warmly.")
    ended = [event["component_name"] for event in recorded() if event["event_type"].endswith("_end")]
    assert ended == ["find", "travel"]
