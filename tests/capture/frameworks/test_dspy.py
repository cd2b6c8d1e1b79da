"""Modules of DSPy become structure; against stand-ins with the methods that are followed, and its settings."""

from __future__ import annotations

import asyncio
import sys
import traceback
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType, SimpleNamespace

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import dspy

CALLERS = ContextVar("callers", default=())


class Settings:
    """The settings, which know the modules that the running code is inside."""

    @property
    def caller_modules(self):
        """Return them, the innermost last."""
        return list(CALLERS.get())


@contextmanager
def called_by(module):
    """Inside a call of a module, as its settings know it."""
    token = CALLERS.set((*CALLERS.get(), module))
    try:
        yield
    finally:
        CALLERS.reset(token)


class Module:
    """A module that does what it is made with."""

    def __init__(self, work=None, **attributes):
        self.work = work
        self.__dict__.update(attributes)

    def __call__(self, **kwargs):
        """Call it."""
        with called_by(self):
            return self.work(self, **kwargs)

    async def acall(self, **kwargs):
        """Call it on a loop."""
        with called_by(self):
            return await self.work(self, **kwargs)


class Predict(Module):
    """It asks the model."""


class ChainOfThought(Module):
    """It has a module that asks the model."""


class ReAct(Module):
    """An agent."""


class Evaluate:
    """An evaluation."""

    def __call__(self, program):
        """Evaluate a program."""
        return program(question="snow?")


class BaseLM:
    """A model that answers in the process."""

    model = "local"

    def __call__(self, prompt=None, *, messages=None):
        """Answer."""
        if prompt == "fail":
            raise KeyError(prompt)
        return ["It snows."]


@pytest.fixture(autouse=True)
def followed(structure, monkeypatch):
    """Follow the classes of this file, each in the module that has it."""
    module = ModuleType("dspy.dsp.utils.settings")
    module.settings = Settings()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    undo = []
    for name, kind in (("primitives.module", Module), ("evaluate.evaluate", Evaluate)):
        undo += dspy.follow(SimpleNamespace(__name__=f"dspy.{name}", **{kind.__name__: kind}), structure)
    undo += dspy.follow(SimpleNamespace(__name__="dspy.clients.base_lm", BaseLM=BaseLM), structure)
    yield
    while undo:
        undo.pop()()


def ask(_module, **_inputs):
    """Ask the model, whose request is seen."""
    with switch.ACTIVE.span("llm", "gpt"):
        return SimpleNamespace(_store={"answer": "cold"})


def think():
    """A chain of thought."""
    return ChainOfThought(lambda self, **inputs: self.predict(**inputs), predict=Predict(ask))


def react(module, **inputs):
    """Ask, use a tool, ask again, and put the answer together."""
    module.react(**inputs)
    with switch.ACTIVE.span("tool", "search"):
        pass
    module.react(**inputs)
    return module.extract(**inputs)


def test_an_agent_has_turns_and_a_step_that_puts_its_answer_together(tree):
    """Each turn begins with the module that asks for the next tool, and has the tool in it."""
    agent = ReAct(react, react=Predict(ask), extract=think())
    program = Module(lambda self, **inputs: self.scout(**inputs), scout=agent)
    assert program(question="snow?")._store == {"answer": "cold"}
    assert tree() == [
        "chain_execution Module",
        "  agent_execution scout",
        "    agent_turn scout",
        "      llm_call gpt",
        "      tool_call search",
        "    agent_turn scout",
        "      llm_call gpt",
        "    chain_step extract",
        "      llm_call gpt",
    ]


def test_a_module_is_named_by_the_attribute_that_has_it(tree):
    """Also in a list or a dict; one that no attribute has, by its class."""

    def work(module, **inputs):
        for one in (module.parts[1], module.named["last"], Predict(ask)):
            one(**inputs)

    Module(work, parts=[None, Predict(ask)], named={"last": think()})(question="snow?")
    assert tree() == [
        "chain_execution Module",
        "  chain_step parts[1]",
        "    llm_call gpt",
        "  chain_step named[last]",
        "    llm_call gpt",
        "  chain_step Predict",
        "    llm_call gpt",
    ]


def test_modules_in_tasks_keep_what_they_do(recorded):
    """Each has its own inputs and outputs."""

    async def work(_module, city):
        async with switch.ACTIVE.span("llm", city):
            await asyncio.sleep(0)
        return SimpleNamespace(_store={"answer": city})

    async def main():
        module = Predict(work)
        await asyncio.gather(module.acall(city="Oslo"), module.acall(city="Bergen"))

    asyncio.run(main())
    events = recorded()
    modules = {event["event_id"]: event for event in events if event["event_type"] == "chain_execution_start"}
    models = [event for event in events if event["event_type"] == "llm_call_start"]
    inside = [
        (modules[model["parent_event_id"]]["inputs"]["city"], model["component_name"]) for model in models
    ]
    assert sorted(inside) == [("Bergen", "Bergen"), ("Oslo", "Oslo")]
    ends = [event for event in events if event["event_type"] == "chain_execution_end"]
    assert sorted(end["outputs"]["answer"] for end in ends) == ["Bergen", "Oslo"]


def test_what_fails_has_failed_and_shows_none_of_our_frames(recorded):
    """A module, and the turn of an agent that calls it."""

    def fail(_module):
        raise KeyError("boom")

    agent = ReAct(lambda self: self.react(), react=Predict(fail))
    with pytest.raises(KeyError) as caught:
        agent()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names == [names[0], "__call__", "<lambda>", "__call__", "fail"]
    ends = [event for event in recorded() if event["event_type"].endswith("_end")]
    assert [end["status"] for end in ends] == ["failed", "failed"]


def test_frames_pass_for_those_of_the_framework():
    """DSPy skips its own frames when it warns about the program."""

    def warn(_module):
        frame, level = sys._getframe(1), 2
        while frame.f_code.co_name == "__call__" or frame.f_globals["__name__"].startswith("dspy."):
            frame, level = frame.f_back, level + 1
        warnings.warn("old", DeprecationWarning, stacklevel=level)

    with pytest.warns(DeprecationWarning, match="old") as warned:
        Predict(warn)()
    assert warned[0].filename == __file__


def test_an_answer_without_a_request_is_recorded(recorded):
    """From the cache of DSPy, or of a model in the process."""
    assert BaseLM()("snow?") == ["It snows."]
    with pytest.raises(KeyError):
        BaseLM()("fail")
    start, end, _start, failed = recorded()
    assert (start["component_name"], start["metadata"]["seen"]) == ("local", False)
    assert start["inputs"]["messages"][0]["parts"] == [{"type": "text", "content": "snow?"}]
    assert end["outputs"] == {"text": "It snows."}
    assert failed["status"] == "failed"


def test_an_evaluation_is_around_its_programs(tree):
    """It is a chain."""
    Evaluate()(Predict(ask))
    assert tree() == ["chain_execution Evaluate", "  chain_execution Predict", "    llm_call gpt"]
