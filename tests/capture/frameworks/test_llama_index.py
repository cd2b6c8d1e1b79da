"""Spans of LlamaIndex's dispatcher become structure; against a stand-in with its interface to span handlers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import uuid4

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import llama_index


class BaseSpanHandler:
    """What a handler inherits: each report is passed on to a method of the handler."""

    def span_enter(self, **report):
        """Pass on a beginning."""
        assert self.new_span(parent_span_id=report.pop("parent_id", None), **report) is None

    def span_exit(self, **report):
        """Pass on an end."""
        assert self.prepare_to_exit_span(**report) is None

    def span_drop(self, **report):
        """Pass on a failure."""
        assert self.prepare_to_drop_span(**report) is None


class Dispatcher:
    """The root dispatcher."""

    def __init__(self, handler):
        self.span_handlers = [handler]

    def add_span_handler(self, handler):
        """Add a handler."""
        self.span_handlers += [handler]

    def send(self, kind, id_, instance=None, **report):
        """Report to the handlers that it has."""
        arguments = SimpleNamespace(arguments=report.pop("arguments", {}))
        for handler in self.span_handlers:
            getattr(handler, kind)(id_=id_, bound_args=arguments, instance=instance, **report)


class Event:
    """An event of a workflow, with fields and what it keeps beside them."""

    __slots__ = ("__dict__", "__pydantic_private__")

    def __init__(self, private=None, **fields):
        self.__dict__.update(fields)
        self.__pydantic_private__ = private


class StartEvent(Event):
    """The first one."""

    def __init__(self):
        super().__init__(private={"_data": {"user_msg": "How cold?"}})


class StopEvent(Event):
    """The last one."""

    def __init__(self):
        super().__init__(private={"_data": {}, "_result": "cold"})

    @property
    def result(self):
        """Run code of the program, which nobody may."""
        raise AssertionError


class AgentInput(Event):
    """What begins another turn."""


class Workflow:
    """A workflow."""


class BaseWorkflowAgent(Workflow):
    """An agent."""

    def __init__(self, name):
        self.name = name


class AgentWorkflow(Workflow):
    """Agents that hand over."""


class Handler(BaseSpanHandler):
    """A handler of the program's own."""

    def __init__(self):
        self.seen = []
        self.new_span = self.prepare_to_exit_span = self.prepare_to_drop_span = self.note

    def note(self, id_, **_report):
        """Remember a report."""
        self.seen.append(id_)


@pytest.fixture
def root(structure):
    """The dispatcher, followed."""
    root = Dispatcher(Handler())
    module = SimpleNamespace(
        root_dispatcher=root, span_handlers=SimpleNamespace(BaseSpanHandler=BaseSpanHandler)
    )
    undo = llama_index.follow(module, structure)
    yield root
    undo[0]()
    assert root.span_handlers == root.span_handlers[:1]


def id_of(name):
    """An id as LlamaIndex makes it."""
    return f"{name}-{uuid4()}"


async def run(root, workflow, *steps, error=None):
    """Run a workflow: each step in a task of its own, as `(name, event, result)`; a result may be called."""
    run_id = id_of(f"{type(workflow).__name__}.run")
    arguments = {"init_state": None, "start_event": StartEvent()}
    root.send("span_enter", run_id, workflow, arguments=arguments)

    async def work(name, event, result):
        step_id = id_of(f"{type(workflow).__name__}.{name}")
        root.send("span_enter", step_id, parent_id=run_id, arguments={"ctx": 1, "ev": event})
        try:
            result = await result() if callable(result) else result
        except KeyError as raised:
            root.send("span_drop", step_id, err=raised)
        else:
            root.send("span_exit", step_id, result=result)

    for step in steps:
        together = step if isinstance(step, list) else [step]
        await asyncio.gather(*(asyncio.create_task(work(*one)) for one in together))
    ended = {"err": error} if error else {"result": StopEvent()}
    root.send("span_drop" if error else "span_exit", run_id, workflow, **ended)


def asks(result, component="llm"):
    """What a step does: it records a call of this component, and returns the result."""

    async def work():
        async with switch.ACTIVE.span(component, component):
            await asyncio.sleep(0)
        return result

    return work


def turn_of(name):
    """The step of an agent that asks the model."""
    answer = SimpleNamespace(response=SimpleNamespace(content="cold"))
    return "run_agent_step", Event(current_agent_name=name), asks(answer)


def test_an_agent_is_the_turns_that_its_internal_steps_make(root, tree):
    """The tools of a turn are inside it, although other tasks call them; the last answer is a turn too."""
    asyncio.run(
        run(
            root,
            BaseWorkflowAgent("ada"),
            ("init_run", StartEvent(), AgentInput(current_agent_name="ada")),
            turn_of("ada"),
            ("parse_agent_output", Event(), None),
            [("call_tool", Event(), asks(Event(), "tool")), ("call_tool", Event(), asks(Event(), "tool"))],
            ("aggregate_tool_results", Event(), AgentInput(current_agent_name="ada")),
            turn_of("ada"),
            ("parse_agent_output", Event(), StopEvent()),
        )
    )
    assert tree() == [
        "agent_execution ada",
        "  agent_turn ada",
        "    llm_call llm",
        "    tool_call tool",
        "    tool_call tool",
        "  agent_turn ada",
        "    llm_call llm",
    ]


def test_inputs_and_results_are_read_without_running_code_of_the_program(root, recorded):
    """A subclass may define the property `result`."""
    asyncio.run(run(root, BaseWorkflowAgent("ada"), turn_of("ada")))
    events = recorded()
    assert events[0]["inputs"] == {"user_msg": "How cold?"}
    assert events[-1]["outputs"] == {"result": "cold"}
    [turn_end] = [event for event in events if event["event_type"] == "agent_turn_end"]
    assert turn_end["outputs"] == {"result": "cold"}


def test_agents_that_hand_over_follow_each_other(root, recorded):
    """Each is an agent inside the workflow, and the message is in the turn that hands over."""
    asyncio.run(
        run(
            root,
            AgentWorkflow(),
            ("init_run", StartEvent(), AgentInput(current_agent_name="scout")),
            turn_of("scout"),
            ("aggregate_tool_results", Event(), AgentInput(current_agent_name="packer")),
            turn_of("packer"),
            ("parse_agent_output", Event(), StopEvent()),
        )
    )
    events = recorded()
    begun = {event["component_name"]: event for event in events if event["event_type"].endswith("start")}
    agents = [event for event in events if event["event_type"] == "agent_execution_start"]
    assert [agent["component_name"] for agent in agents] == ["scout", "packer"]
    assert {agent["parent_event_id"] for agent in agents} == {begun["AgentWorkflow"]["event_id"]}
    [message] = [event for event in events if event["event_type"] == "agent_message"]
    assert {key: message["metadata"][key] for key in ("from", "to")} == {"from": "scout", "to": "packer"}
    [turn] = [event for event in events if event["event_id"] == message["parent_event_id"]]
    assert (turn["event_type"], turn["component_name"]) == ("agent_turn_start", "scout")


def test_steps_at_the_same_time_keep_what_they_do(root, tree):
    """Both look while the other one does, and a workflow inside a step is inside it."""

    async def nested():
        await run(root, Workflow(), ("inner", Event(), asks(None)))

    steps = [("look", Event(city="Oslo"), asks(None)), ("look", Event(city="Bergen"), asks(None))]
    asyncio.run(run(root, Workflow(), steps, ("go", StartEvent(), nested)))
    assert tree() == [
        "chain_execution Workflow",
        "  chain_step look",
        "    llm_call llm",
        "  chain_step look",
        "    llm_call llm",
        "  chain_step go",
        "    chain_execution Workflow",
        "      chain_step inner",
        "        llm_call llm",
    ]


def test_earlier_versions_begin_a_run_in_the_task_of_the_program(root, tree):
    """Which goes on outside of it, while the steps, methods of the workflow, are inside."""
    workflow, run_id, step_id = Workflow(), id_of("Workflow.run"), id_of("Workflow.look")
    root.send("span_enter", run_id, workflow, arguments={"kwargs": {"city": "Oslo"}})
    with switch.ACTIVE.span("tool", "meanwhile"):
        pass
    root.send("span_enter", step_id, workflow, parent_id=run_id, arguments={"ev": StartEvent()})
    asyncio.run(asks(None)())
    root.send("span_exit", step_id, workflow, result=StopEvent())
    root.send("span_exit", run_id, workflow, result="cold")
    assert tree() == [
        "chain_execution Workflow",
        "  chain_step look",
        "    llm_call llm",
        "tool_call meanwhile",
    ]


def test_what_fails_has_failed(root, recorded):
    """A step, the turn of an agent, and the run."""

    async def fail():
        raise KeyError("boom")

    step = ("run_agent_step", Event(current_agent_name="ada"), fail)
    asyncio.run(run(root, BaseWorkflowAgent("ada"), step, error=ValueError("no")))
    asyncio.run(run(root, Workflow(), ("go", StartEvent(), fail), error=ValueError("no")))
    ends = [event for event in recorded() if event["event_type"].endswith("_end")]
    assert [(end["status"], end["error_type"]) for end in ends] == [
        ("failed", "KeyError"),
        ("failed", "ValueError"),
    ] * 2


class BaseQueryEngine:
    """A query engine."""


class Retriever(type("BaseRetriever", (), {})):
    """A retriever of the program's own."""


def test_a_query_is_a_chain_and_a_retriever_reads_the_memory(root, recorded):
    """Their private methods are not shown."""
    engine, retriever = BaseQueryEngine(), Retriever()
    spans = [(id_of("E.query"), engine), (id_of("E._query"), engine), (id_of("R.retrieve"), retriever)]
    for id_, instance in spans:
        root.send("span_enter", id_, instance, arguments={"query": "snow?"})
    for id_, instance in reversed(spans):
        root.send("span_exit", id_, instance, result=["It snows."])
    query, step, memory, _step_end, query_end = recorded()
    assert (query["event_type"], query["component_name"]) == ("chain_execution_start", "BaseQueryEngine")
    assert (step["event_type"], step["component_name"]) == ("chain_step_start", "Retriever")
    assert step["inputs"] == {"query": "snow?"}
    assert memory["outputs"] == {"documents": ["It snows."]}
    assert (memory["parent_event_id"], memory["metadata"]["operation"]) == (step["event_id"], "search")
    assert query_end["outputs"] == {"result": ["It snows."]}


class Local(type("BaseLLM", (), {})):
    """A model in the process."""


def test_an_answer_without_a_request_is_recorded_once(root, recorded):
    """Also if one method of the model calls another; one that fails has failed."""
    for kind, ended in (
        ("span_exit", {"result": SimpleNamespace(text="cold")}),
        ("span_drop", {"err": KeyError("boom")}),
    ):
        outer, inner = id_of("Local.acomplete"), id_of("Local.complete")
        root.send("span_enter", outer, Local(), arguments={"args": ("How cold?",)})
        root.send("span_enter", inner, Local(), parent_id=outer, arguments={"prompt": "How cold?"})
        root.send(kind, inner, Local(), **ended)
        root.send(kind, outer, Local(), **ended)
    start, end, _start, failed = recorded()
    assert (start["component_name"], start["metadata"]["seen"]) == ("Local", False)
    assert start["inputs"]["messages"][0]["parts"][0]["content"] == "How cold?"
    assert end["outputs"] == {"text": "cold"}
    assert failed["status"] == "failed"


def test_the_handlers_of_the_program_are_called_as_before(root):
    """Ours is one more."""
    asyncio.run(run(root, Workflow(), ("go", StartEvent(), None)))
    assert len(root.span_handlers) == 2
    assert len(root.span_handlers[0].seen) == 4
