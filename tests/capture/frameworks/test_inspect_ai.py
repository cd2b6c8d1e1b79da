"""Transcripts of inspect-ai become trees, one for each attempt at a sample; against stand-ins with its interface."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from importlib.machinery import SourceFileLoader
from itertools import count
from types import ModuleType, SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks import inspect_ai
from namel3ss_debug.capture.seams.functions import hot_calls, rewrite

IDS = count(1)


def event(kind, **fields):
    """Return an event of a transcript."""
    return SimpleNamespace(event=kind, uuid=f"event {next(IDS)}", pending=None, **fields)


def message(text, *calls):
    """Return a message of an assistant."""
    return SimpleNamespace(role="assistant", content=text, tool_calls=list(calls))


@pytest.fixture
def inspect(structure):
    """Return stand-ins for the followed classes: `ActiveSample`, `Transcript`, `ToolDef`, and `tool_register`."""

    class Transcript:
        def __init__(self):
            self.events = []
            self.parent = None

        def _event(self, event):
            self.events.append(event)

        def _event_updated(self, event):
            assert event in self.events

        @asynccontextmanager
        async def span(self, name, type=None):  # noqa: A002  (the signature of the framework)
            outer, own = self.parent, f"span {next(IDS)}"
            self._event(event("span_begin", id=own, name=name, type=type or name, parent_id=outer))
            self.parent = own
            try:
                yield own
            finally:
                self.parent = outer
                self._event(event("span_end", id=own))

    class ActiveSample:
        def __init__(self, number, transcript, *, error_retries=()):
            self.task, self.model, self.epoch = "forecast", "openai/gpt", 1
            self.sample = SimpleNamespace(id=number, input="How cold is it?", target="cold", choices=None)
            self.transcript, self.error_retries = transcript, error_retries
            self.live_state = SimpleNamespace(output=SimpleNamespace(completion="It is cold."))

        def complete(self):
            """End the attempt."""

    class ToolDef:
        def __init__(self, tool, name):
            self.tool, self.name = tool, name

    def tool_register(tool, name):
        return tool, name

    modules = {
        "log._transcript": SimpleNamespace(Transcript=Transcript),
        "log._samples": SimpleNamespace(ActiveSample=ActiveSample),
        "tool._tool_def": SimpleNamespace(ToolDef=ToolDef),
        "tool._tool": SimpleNamespace(tool_register=tool_register),
    }
    undo = []
    for name, module in modules.items():
        module.__name__ = f"inspect_ai.{name}"
        undo += inspect_ai.follow(module, structure)
    yield SimpleNamespace(
        Transcript=Transcript, ActiveSample=ActiveSample, ToolDef=ToolDef, tool=modules["tool._tool"]
    )
    while undo:
        undo.pop()()


async def call_model(transcript, text, *, on_the_wire=True, **fields):
    """Run a model call."""
    config = SimpleNamespace(model_dump=lambda **_options: {"temperature": 0})
    call = event("model", model="openai/gpt", input=[], tools=[], config=config, cache=None, error=None)
    call.pending = True
    vars(call).update(fields)
    transcript._event(call)
    if on_the_wire:
        announced.mark_recorded(announced.LLM)
    await asyncio.sleep(0)
    usage = SimpleNamespace(
        input_tokens=3,
        output_tokens=2,
        input_tokens_cache_read=4,
        input_tokens_cache_write=None,
        reasoning_tokens=None,
    )
    choice = SimpleNamespace(message=message(text), stop_reason="stop")
    call.output = SimpleNamespace(completion=text, choices=[choice], usage=usage)
    call.pending = None
    transcript._event_updated(call)


async def call_tool(transcript, name, run, *, error=None):
    """Run a tool call, whose event ends after its span."""
    call = event("tool", id="c1", function=name, arguments={"city": "Oslo"}, error=None, result=None)
    call.pending = True
    async with transcript.span(name, "tool"):
        transcript._event(call)
        call.result = await run()
    call.error, call.pending = error, None
    transcript._event_updated(call)


def test_samples_at_once_are_trees_with_their_own_steps(inspect, tree):
    """Each has its solvers, tools and scorers; the stages of Inspect are left out."""

    async def sample(number):
        transcript = inspect.Transcript()
        active = inspect.ActiveSample(number, transcript)
        async with transcript.span("init"):
            await asyncio.sleep(0)
        async with transcript.span("solvers"), transcript.span("generate", "solver"):
            await call_tool(transcript, "look", lambda: asyncio.sleep(0, "snow"))
        async with transcript.span("scorers"), transcript.span("includes", "scorer"):
            await asyncio.sleep(0)
        active.complete()

    async def run():
        await asyncio.gather(sample(1), sample(2))

    asyncio.run(run())
    steps = ["  chain_step generate", "    tool_call look", "  validation includes"]
    assert tree() == ["chain_execution forecast/1", *steps, "chain_execution forecast/2", *steps]


def test_a_sample_has_its_input_output_and_scores(inspect, recorded):
    """A scorer has its own score."""

    async def run():
        transcript = inspect.Transcript()
        active = inspect.ActiveSample(1, transcript, error_retries=["an error"])
        score = SimpleNamespace(value="C", answer="cold", explanation=None)
        async with transcript.span("scorers"), transcript.span("includes", "scorer") as span_id:
            for intermediate in (True, False):
                transcript._event(
                    event("score", score=score, scorer="includes", intermediate=intermediate, span_id=span_id)
                )
        active.complete()

    asyncio.run(run())
    begun, _scoring, scored, ended = recorded()
    assert begun["inputs"] == {"input": "How cold is it?", "target": "cold"}
    assert begun["metadata"] == {
        "framework": "loom",
        "sample_id": 1,
        "epoch": 1,
        "model": "openai/gpt",
        "attempt": 2,
    }
    assert scored["outputs"] == {"value": "C", "answer": "cold"}
    assert ended["outputs"] == {"output": "It is cold.", "scores": {"includes": "C"}}


def test_an_error_of_a_solver_fails_the_step_and_the_sample(inspect, recorded):
    """An exception that was being handled before the span began is not one of the span."""

    async def run():
        transcript = inspect.Transcript()
        active = inspect.ActiveSample(1, transcript)
        try:
            int("before")
        except ValueError:
            async with transcript.span("init"), transcript.span("fine"):
                pass
        with suppress(ValueError):
            async with transcript.span("solvers"), transcript.span("plan", "solver"):
                raise ValueError("no wind")
        transcript._event(event("error", error=SimpleNamespace(message="ValueError('no wind')")))
        active.complete()

    asyncio.run(run())
    ends = {each["component_name"]: each for each in recorded() if each["event_type"].endswith("_end")}
    assert ends["fine"]["status"] == "completed"
    for name in ("plan", "forecast/1"):
        failure = (ends[name]["status"], ends[name]["error_type"], ends[name]["error"])
        assert failure == ("failed", "ValueError", "no wind")


def test_a_limit_ends_a_sample_without_failing_it(inspect, recorded):
    """The limit ends the solvers by an exception."""

    async def run():
        transcript = inspect.Transcript()
        active = inspect.ActiveSample(1, transcript)
        with suppress(RuntimeError):
            async with transcript.span("solvers"):
                raise RuntimeError("too many messages")
        transcript._event(event("sample_limit", type="message"))
        active.complete()

    asyncio.run(run())
    ended = recorded()[-1]
    assert (ended["status"], ended["metadata"]) == ("completed", {"limit": "message"})


def test_an_agent_as_a_tool_is_inside_its_call(inspect, tree):
    """The call is recorded from what Inspect reports, because no function of the user runs it."""

    async def run():
        transcript = inspect.Transcript()

        async def scout():
            async with transcript.span("scout", "agent"):
                return "cold"

        async with transcript.span("planner", "agent"):
            await call_tool(transcript, "scout", scout)

    asyncio.run(run())
    assert tree() == ["agent_execution planner", "  tool_call scout", "    agent_execution scout"]


def test_a_hand_off_is_a_message_from_one_agent_to_the_other(inspect, recorded):
    """It is no tool call."""

    async def run():
        transcript = inspect.Transcript()

        async def refunds():
            async with transcript.span("refunds", "agent"):
                pass

        async with transcript.span("front", "agent"), transcript.span("transfer_to_refunds", "handoff"):
            await call_tool(transcript, "transfer_to_refunds", refunds)

    asyncio.run(run())
    kinds = [(each["event_type"], each["component_name"]) for each in recorded()]
    assert kinds == [
        ("agent_execution_start", "front"),
        ("agent_message", "front"),
        ("agent_execution_start", "refunds"),
        ("agent_execution_end", "refunds"),
        ("agent_execution_end", "front"),
    ]


def test_a_tool_that_fails_has_failed(inspect, recorded):
    """Inspect reports the error in the event, and goes on."""
    error = SimpleNamespace(type="timeout", message="too slow")
    asyncio.run(call_tool(inspect.Transcript(), "look", lambda: asyncio.sleep(0), error=error))
    ended = recorded()[-1]
    assert (ended["status"], ended["error_type"], ended["error"]) == ("failed", "timeout", "too slow")


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({}, {"input_tokens": 7, "output_tokens": 2, "cache_read_tokens": 4}),
        ({"cache": "read"}, None),
        ({"model": "mockllm/model"}, None),
    ],
)
def test_a_model_call_without_a_request_is_recorded_from_its_event(inspect, recorded, fields, usage):
    """Tokens of a cached answer were not used, and those of a test model are made up."""
    asyncio.run(call_model(inspect.Transcript(), "It is cold.", on_the_wire=False, **fields))
    begun, ended = recorded()
    assert begun["inputs"]["params"] == {"temperature": 0}
    assert (ended["outputs"]["text"], ended.get("usage")) == ("It is cold.", usage)


def test_a_model_call_on_the_wire_is_not_recorded_again(inspect, recorded):
    """Nor is one whose event arrives when it is complete."""

    async def run():
        transcript = inspect.Transcript()
        await call_model(transcript, "It is cold.")
        await call_model(transcript, "It is cold.", on_the_wire=False, pending=None)

    asyncio.run(run())
    assert recorded() == []


def test_the_function_that_makes_a_tool_is_not_the_tool(inspect):
    """It has the same name."""

    def look():
        return None

    inspect.tool.tool_register(look, "look")
    assert look.__code__ in hot_calls.HOOKED


def test_a_file_of_tasks_is_loaded_with_its_functions_edited(structure, tmp_path):
    """Inspect loads it by its path; a file elsewhere is loaded as before."""
    undo = rewrite.install(tmp_path / "own")
    module = SimpleNamespace(__name__="inspect_ai._util.module", SourceFileLoader=SourceFileLoader)
    follow = inspect_ai.follow(module, structure)
    edited = []
    for name in ("own", "other"):
        path = tmp_path / name / "tasks.py"
        path.parent.mkdir()
        path.write_text("def look(word):\n    return word\n")
        loader = module.SourceFileLoader("tasks", str(path))
        loaded = ModuleType("tasks")
        loader.exec_module(loaded)
        edited.append(rewrite.is_edited(loaded.look.__code__))
    follow.pop()()
    undo()
    assert edited == [True, False]
    assert module.SourceFileLoader is SourceFileLoader


def test_a_tool_of_the_users_is_recorded_where_its_function_runs(inspect, own, one_call_of_lookup):
    """Whatever its name is."""

    async def run():
        tool = inspect.ToolDef(own.look, "lookup")
        transcript = inspect.Transcript()
        call = event("tool", id="c1", function="lookup", arguments={"word": "snow"}, error=None)
        call.pending = True
        async with transcript.span("lookup", "tool"):
            transcript._event(call)
            call.result = tool.tool("snow")
        call.pending = None
        transcript._event_updated(call)

    asyncio.run(run())
    one_call_of_lookup()
