"""What the OpenAI Agents SDK tells its processors becomes structure; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks import openai_agents
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls


class DefaultTraceProvider:
    """As much of the SDK's provider as processors are registered with."""

    def __init__(self):
        self.processors = ["the SDK's own"]

    def register_processor(self, processor):
        """Add one."""
        self.processors.append(processor)

    def set_processors(self, processors):
        """Replace all."""
        self.processors = list(processors)


@pytest.fixture
def calls():
    """The tool calls that models asked for."""
    return ToolCalls(lambda _names: None, lambda _call, _result: None)


@pytest.fixture
def module():
    """Stands in for `agents.tracing.provider`, with classes of its own."""
    kind = type("DefaultTraceProvider", (DefaultTraceProvider,), {})
    return SimpleNamespace(__name__="agents.tracing.provider", DefaultTraceProvider=kind)


@pytest.fixture
def processor(module, tracer, calls):
    """Our processor, from a provider that the SDK makes."""
    undo = openai_agents.follow(module, Structure(tracer, calls, "openai-agents"))
    yield module.DefaultTraceProvider().processors[1]
    for each in undo:
        each()


def span(kind, span_id, parent="t", error=None, **data):
    """A span of the SDK."""
    told = SimpleNamespace(type=kind, **data)
    return SimpleNamespace(span_id=span_id, parent_id=parent, trace_id="t", error=error, span_data=told)


def run(processor, spans, inner=None):
    """Tell of spans that are one in the other."""
    for each in spans:
        processor.on_span_start(each)
    if inner is not None:
        inner()
    for each in reversed(spans):
        processor.on_span_end(each)


def test_others_go_on_beside_ours(module, processor):
    """The processors of the SDK and of the program stay, and ours comes back when they are set anew."""
    provider = module.DefaultTraceProvider()
    assert provider.processors == ["the SDK's own", processor]
    provider.set_processors(["the program's"])
    assert provider.processors == ["the program's", processor]


def test_a_provider_made_afterwards_is_as_it_was(module, structure):
    """What was replaced is put back."""
    for each in openai_agents.follow(module, structure):
        each()
    assert module.DefaultTraceProvider().processors == ["the SDK's own"]


def test_a_run_is_agents_turns_and_guardrails(processor, tree):
    """The task is its workflow; a turn is one of its agent."""
    trace = SimpleNamespace(trace_id="t", name="Agent workflow", group_id=None)
    processor.on_trace_start(trace)
    agent = [
        span("task", "s0", None, name="Agent workflow"),
        span("agent", "s1", "s0", name="Ada", tools=["lookup"], handoffs=[], output_type="str"),
        span("turn", "s2", "s1", turn=1, agent_name="Ada"),
    ]
    run(
        processor,
        agent,
        lambda: run(processor, [span("guardrail", "s3", "s2", name="polite", triggered=False)]),
    )
    processor.on_trace_end(trace)
    assert tree() == [
        "chain_execution Agent workflow",
        "  agent_execution Ada",
        "    agent_turn Ada",
        "      validation polite",
    ]


def test_a_hand_off_is_a_message_that_answers_the_call_of_its_tool(processor, calls, recorded):
    """The model's call of `transfer_to_...` is the hand-off, and no tool call besides."""
    calls.add_requested([{"id": "c1", "name": "transfer_to_the_desk", "arguments": {}}], "7", None)
    run(processor, [span("handoff", "s1", from_agent="Ada", to_agent="The desk")])
    [message] = recorded()
    assert (message["event_type"], message["component_name"]) == ("agent_message", "Ada")
    assert message["inputs"] == {"from": "Ada", "to": "The desk"}
    assert (message["metadata"]["asked_in"], message["metadata"]["kind"]) == ("7", "handoff")
    assert calls.take("transfer_to_the_desk", {}, None) is None


def test_a_tool_of_the_sdk_tells_arguments_and_result(processor, calls, recorded):
    """What a tool is called with is known from the model's call."""
    calls.add_requested([{"id": "c1", "name": "lookup", "arguments": {"word": "snow"}}], "7", None)
    run(processor, [span("function", "s1", name="lookup", input=None, output="white")])
    start, end = recorded()
    assert start["inputs"] == {"arguments": {"word": "snow"}, "call_id": "c1"}
    assert end["outputs"] == {"result": "white"}


@pytest.mark.parametrize(
    ("error", "output"),
    [
        (None, None),
        (
            {
                "message": "Not now.",
                "data": {"error": "Tool execution for c1 was manually rejected by user."},
            },
            "Not now.",
        ),
    ],
)
def test_a_tool_that_waits_for_a_person_or_is_refused_is_not_called(
    processor, calls, recorded, monkeypatch, error, output
):
    """The function that is seen where it runs has not run; when it does, it finds the call that asked for it."""
    monkeypatch.setattr(rewrite, "EDITED", {"wipe"})
    calls.add_requested([{"id": "c1", "name": "wipe", "arguments": {"path": "/x"}}], "7", None)
    run(processor, [span("function", "s1", error=error, name="wipe", input='{"path": "/x"}', output=output)])
    assert recorded() == []
    assert calls.take("wipe", {"path": "/x"}, None).call_id == "c1"


def test_a_tool_is_recorded_where_its_function_runs_whatever_that_is_called(
    processor, structure, own, one_call_of_lookup
):
    """The SDK describes each function to the model under the name of its tool."""

    def function_schema(func, name_override=None):
        return SimpleNamespace(name=name_override or func.__name__)

    module = SimpleNamespace(
        __name__="agents.tool", function_schema=function_schema, FunctionTool=type("FunctionTool", (), {})
    )
    (put_back,) = openai_agents.follow(module, structure)
    assert module.function_schema(own.look, name_override="lookup").name == "lookup"
    put_back()
    assert module.function_schema is function_schema
    call = span("function", "s1", name="lookup", input='{"word": "snow"}', output="SNOW")
    processor.on_span_start(call)
    own.look("snow")
    processor.on_span_end(call)
    one_call_of_lookup()


def test_a_tool_that_was_made_before_a_test_began_is_one_too(
    processor, structure, own, one_call_of_lookup, monkeypatch
):
    """What the SDK says it was made of is learnt when the recording begins."""
    monkeypatch.setattr(rewrite, "LOADED", lambda _names: None)
    kind = type("FunctionTool", (SimpleNamespace,), {})
    tools = [kind(name="lookup", __wrapped__=own.look), kind(name="made of nothing that is told")]
    module = SimpleNamespace(__name__="agents.tool", function_schema=lambda: tools, FunctionTool=kind)
    undo = openai_agents.follow(module, structure)
    call = span("function", "s1", name="lookup", input='{"word": "snow"}', output="SNOW")
    processor.on_span_start(call)
    own.look("snow")
    processor.on_span_end(call)
    for put_back in undo:
        put_back()
    one_call_of_lookup()


def test_a_tool_that_fails_before_its_function_runs_is_a_call(processor, calls, recorded, monkeypatch):
    """Arguments that do not fit, for instance: the SDK tells the model, and nobody was asked."""
    monkeypatch.setattr(rewrite, "EDITED", {"wipe"})
    calls.add_requested([{"id": "c1", "name": "wipe", "arguments": {}}], "7", None)
    error = {"message": "Error running tool", "data": {"error": "path is missing"}}
    run(processor, [span("function", "s1", error=error, name="wipe", input="{}", output=None)])
    assert [event["event_type"] for event in recorded()] == ["tool_call_start", "tool_call_end"]


def test_a_tool_of_a_library_that_gives_nothing_is_a_call(processor, recorded):
    """Where no function is seen, only the SDK knows of the call."""
    run(processor, [span("function", "s1", name="wipe", input="{}", output=None)])
    assert [event["event_type"] for event in recorded()] == ["tool_call_start", "tool_call_end"]


def test_an_error_that_the_sdk_tells_fails_its_span(processor, recorded):
    """The words are the SDK's."""
    run(processor, [span("agent", "s1", name="Ada", error={"message": "Max turns exceeded", "data": None})])
    _start, end = recorded()
    assert (end["status"], end["error"]) == ("failed", "Max turns exceeded")


def test_what_was_cancelled_did_not_end_well(processor, recorded):
    """The SDK ends its spans on the way out as if nothing were wrong; a run in the course of a cancelling is none of that."""
    trace = SimpleNamespace(trace_id="t", name="Agent workflow", group_id=None)
    agent = span("agent", "s1", name="Ada")
    processor.on_trace_start(trace)
    processor.on_span_start(agent)
    task = asyncio.Future(loop=SimpleNamespace(get_debug=lambda: False))
    task.cancel()
    try:
        task.result()
    except asyncio.CancelledError:
        run(processor, [span("agent", "s2", "s1", name="cleaner")])
        processor.on_span_end(agent)
        processor.on_trace_end(trace)
    ends = [event for event in recorded() if event["event_type"].endswith("_end")]
    assert [(end["component_name"], end["status"]) for end in ends] == [
        ("cleaner", "completed"),
        ("Ada", "cancelled"),
        ("Agent workflow", "cancelled"),
    ]


def test_a_response_is_only_told_where_it_was_not_seen(processor, recorded):
    """A response over HTTP is recorded there; one of a mocked model is a model call."""
    details = SimpleNamespace(cached_tokens=3, cache_write_tokens=None)
    usage = SimpleNamespace(input_tokens=5, output_tokens=2, input_tokens_details=details)
    response = SimpleNamespace(usage=usage, output_text="white")
    told = {"response": response, "input": "snow?"}
    run(processor, [span("response", "s1", **told)], lambda: announced.mark_recorded(announced.LLM))
    run(processor, [span("response", "s2", **told)])
    start, end = recorded()
    assert start["inputs"]["messages"] == "snow?"
    assert (end["outputs"], end["tokens_used"]) == ({"text": "white"}, 7)
    assert end["usage"] == {"input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 3}


def test_a_generation_is_told_with_model_and_tokens(processor, recorded):
    """A chat completion of a mocked model."""
    output = [{"role": "assistant", "content": "white"}]
    usage = {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}
    run(processor, [span("generation", "s1", model="fake", input=[], output=output, usage=usage)])
    start, end = recorded()
    assert (start["component_name"], end["outputs"], end["tokens_used"]) == ("fake", {"text": "white"}, 7)
    assert end["usage"] == {"input_tokens": 5, "output_tokens": 2, "reasoning_tokens": 1}


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "generation", "model": "mine", "input": [], "output": None, "usage": None},
        {"kind": "response", "response": None, "input": "snow?"},
    ],
)
def test_a_model_call_that_failed_and_sent_nothing_has_failed(processor, recorded, told):
    """A model of the program's own that raises has answered nothing; the words are the SDK's."""
    run(processor, [span(**told, span_id="s1", error={"message": "Error getting response", "data": None})])
    _start, end = recorded()
    assert (end["status"], end["error"]) == ("failed", "Error getting response")
    assert "outputs" not in end


@pytest.mark.parametrize(("output", "told"), [(None, None), ("try again", {"result": "try again"})])
def test_a_tool_that_failed_and_was_not_seen_has_failed(processor, recorded, monkeypatch, output, told):
    """What the model is given in place of a result is told all the same."""
    monkeypatch.setattr(rewrite, "EDITED", {"lookup"})
    error = {"message": "Error running tool", "data": None}
    run(processor, [span("function", "s1", name="lookup", input="{}", output=output, error=error)])
    _start, end = recorded()
    assert (end["status"], end["error"], end.get("outputs")) == ("failed", "Error running tool", told)


def test_other_spans_are_steps(processor, recorded):
    """A span of the program's own keeps its name and data."""
    run(processor, [span("custom", "s1", name="thinking", data={"depth": 2})])
    start, end = recorded()
    assert (start["event_type"], start["component_name"]) == ("chain_step_start", "thinking")
    assert end["outputs"] == {"depth": 2}


def test_nothing_is_told_when_tracing_is_over(processor, recorded):
    """The processor may stay in a provider, and is silent."""
    processor.stop()
    run(processor, [span("agent", "s1", name="Ada")])
    assert recorded() == []


def test_a_hand_off_is_no_tool_whatever_its_name(tracer, processor, recorded):
    """Its function runs again, a request for it searches no function, and the message has the model's call."""
    searched = []
    calls = ToolCalls(lambda _tools: None, lambda _call, _result: None, searched.append)
    structure = Structure(tracer, calls, "openai-agents")

    class Handoff:
        def __init__(self, agent_name, tool_name):
            self.agent_name, self.tool_name = agent_name, tool_name

    undo = openai_agents.follow(SimpleNamespace(__name__="agents.handoffs", Handoff=Handoff), structure)
    Handoff("The desk", "ask_the_desk")
    calls.add_requested([{"id": "c1", "name": "ask_the_desk", "arguments": {}}], "7", None)
    calls.add_requested([{"id": "c2", "name": "lookup", "arguments": {}}], "8", None)
    assert searched == [{"lookup"}]
    run(openai_agents.Processor(structure), [span("handoff", "s1", from_agent="Ada", to_agent="The desk")])
    for each in undo:
        each()
    [message] = [event for event in recorded() if event["event_type"] == "agent_message"]
    assert (message["metadata"]["asked_in"], message["metadata"]["call_id"]) == ("7", "c1")
