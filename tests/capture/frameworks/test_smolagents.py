"""Agents of smolagents become structure; against stand-ins with its public interface and the methods that do its work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import smolagents


class Tool:
    """A tool."""

    inputs = ("word",)

    def __init__(self, name, function):
        self.name = name
        self.function = function

    def __call__(self, *args, sanitize_inputs_outputs=False, **kwargs):
        """Call it."""
        return self.function(*args, **kwargs)


class MultiStepAgent:
    """An agent that does what its work says, step by step."""

    def __init__(self, name, work, checks=()):
        self.name = name
        self.work = work
        self.checks = checks

    def run(self, task, stream=False):
        """Work on a task."""
        steps = self._run_stream(task)
        return steps if stream else list(steps)[-1]

    def __call__(self, task, **kwargs):
        """Be called by another."""
        return f"{self.name} says: {self.run(task, **kwargs)}"

    def _run_stream(self, task):
        yield from self._generate_planning_step(task)
        for number, work in enumerate(self.work, 1):
            yield from self._step_stream(SimpleNamespace(step_number=number, work=work))
        self._validate_final_answer(task)
        yield task

    def _generate_planning_step(self, task):
        yield "a plan"

    def _validate_final_answer(self, answer):
        if "wrong" in answer:
            raise ValueError(answer)


class CodeAgent(MultiStepAgent):
    """One that writes code."""

    def _step_stream(self, memory_step):
        yield memory_step.work()


class ToolCallingAgent(MultiStepAgent):
    """One that calls tools."""

    def _step_stream(self, memory_step):
        yield memory_step.work()


class MLXModel:
    """A model in the process."""

    model_id = "local"

    def generate(self, messages):
        """An answer."""
        return SimpleNamespace(
            content="It snows.", token_usage=SimpleNamespace(input_tokens=3, output_tokens=2)
        )


@pytest.fixture(autouse=True)
def followed(structure):
    """Follow the classes of this file, each in the module that has it."""
    agents = {kind.__name__: kind for kind in (MultiStepAgent, CodeAgent, ToolCallingAgent)}
    undo = []
    for name, kinds in (("agents", agents), ("tools", {"Tool": Tool}), ("models", {"MLXModel": MLXModel})):
        undo += smolagents.follow(SimpleNamespace(__name__=f"smolagents.{name}", **kinds), structure)
    yield
    while undo:
        undo.pop()()


upper = Tool("upper", str.upper)


def test_a_run_is_plans_turns_and_checks(tree):
    """Tools are inside the turn that called them."""
    agent = CodeAgent("ada", [lambda: upper("snow", sanitize_inputs_outputs=True), lambda: None])
    assert agent.run("What?") == "What?"
    assert tree() == [
        "agent_execution ada",
        "  chain_step planning",
        "  agent_turn ada",
        "    tool_call upper",
        "  agent_turn ada",
        "  validation final_answer_checks",
    ]


def test_a_run_that_is_streamed_is_inside_while_it_works(tree):
    """What the program does with a step is none of the agent's work."""
    steps = CodeAgent("ada", [lambda: upper("snow"), lambda: upper("ice")]).run("What?", stream=True)
    for step in steps:
        if step == "SNOW":
            with switch.ACTIVE.span("tool", "meanwhile"):
                pass
    assert tree() == [
        "agent_execution ada",
        "  chain_step planning",
        "  agent_turn ada",
        "    tool_call upper",
        "  agent_turn ada",
        "    tool_call upper",
        "  validation final_answer_checks",
        "tool_call meanwhile",
    ]


def test_a_stream_that_nobody_reads_on_ends(recorded):
    """It has not failed."""
    steps = CodeAgent("ada", [lambda: None]).run("What?", stream=True)
    next(steps)
    steps.close()
    ended = [event for event in recorded() if event["event_type"].endswith("_end")]
    assert [(each["component_name"], each["status"]) for each in ended] == [
        ("planning", "completed"),
        ("ada", "completed"),
    ]


def test_an_agent_that_another_calls_is_its_tool_and_they_speak(recorded):
    """The question and the answer are messages between them."""
    expert = ToolCallingAgent("expert", [])
    lead = ToolCallingAgent("lead", [lambda: expert("Snow?")])
    lead.run("What?")
    events = recorded()
    said = [
        event["metadata"] | event["outputs"] for event in events if event["event_type"] == "agent_message"
    ]
    assert [(each["from"], each["to"], each["kind"], each["text"]) for each in said] == [
        ("lead", "expert", "message", "Snow?"),
        ("expert", "lead", "message", "expert says: Snow?"),
    ]
    begun = {event["event_id"]: event for event in events if event["event_type"].endswith("_start")}
    [inner] = [
        event
        for event in begun.values()
        if event["component_name"] == "expert" and "agent_ex" in event["event_type"]
    ]
    assert begun[inner["parent_event_id"]]["event_type"] == "tool_call_start"


def test_an_answer_that_is_refused_fails_check_and_run(recorded):
    """The exception passes."""
    with pytest.raises(ValueError, match="wrong"):
        CodeAgent("ada", []).run("wrong")
    ended = [event for event in recorded() if event.get("status") == "failed"]
    assert [event["component_name"] for event in ended] == ["final_answer_checks", "ada"]


def test_a_tool_is_recorded_where_its_forward_runs(own, one_call_of_lookup):
    """As the tool of the name that its class gives it."""
    tool = Tool("lookup", own.look)
    tool.forward = own.look
    assert tool("snow") == "SNOW"
    one_call_of_lookup()


def test_a_tool_takes_its_arguments_by_name_by_place_or_in_a_dict(recorded):
    """They are told by name each time."""
    tool = Tool("echo", lambda word: word)
    tool("snow")
    tool(word="snow")
    tool({"word": "snow"})
    begun = [event for event in recorded() if event["event_type"] == "tool_call_start"]
    assert [event["inputs"] for event in begun] == [{"arguments": {"word": "snow"}}] * 3


def test_a_model_in_the_process_is_a_model_call(recorded):
    """With the tokens that it used."""
    MLXModel().generate([{"role": "user", "content": "Snow?"}])
    begun, ended = recorded()
    assert begun["inputs"]["messages"] == [{"role": "user", "parts": [{"type": "text", "content": "Snow?"}]}]
    assert ended["outputs"] == {"text": "It snows."}
    assert ended["usage"] == {"input_tokens": 3, "output_tokens": 2}
