"""What Haystack reports to its tracer becomes structure; against a stand-in for its proxy, with tracers of a program."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import haystack


class Span:
    """A span."""

    def __init__(self):
        self.tags = {}

    def set_content_tag(self, key, value):
        """Set a tag."""
        self.tags[key] = value


class Tracer:
    """A tracer of the program's."""

    def __init__(self):
        self.spans = []

    @contextlib.contextmanager
    def trace(self, operation_name, tags=None, parent_span=None):
        """Trace an operation."""
        self.spans.append((operation_name, parent_span))
        yield Span()


class ProxyTracer:
    """What the framework calls."""

    def __init__(self):
        self.actual_tracer = Tracer()

    @contextlib.contextmanager
    def trace(self, operation_name, tags=None, parent_span=None):
        """Pass it on."""
        with self.actual_tracer.trace(operation_name, tags=tags, parent_span=parent_span) as span:
            yield span


@pytest.fixture
def proxy(structure):
    """The proxy, followed."""
    undo = haystack.follow(SimpleNamespace(ProxyTracer=ProxyTracer, Span=Span), structure)
    yield ProxyTracer()
    for each in undo:
        each()


class Pipeline:
    """A pipeline: the names of components, and what each does."""

    def __init__(self, proxy, **components):
        self.proxy = proxy
        self.components = components

    def run(self, data=None):
        """Run the components."""
        with self.proxy.trace("haystack.pipeline.run", tags={"haystack.pipeline.input_data": data}):
            for name, (kind, work) in self.components.items():
                self.run_component(name, kind, {"query": "snow?"}, work)

    def run_component(self, name, kind, inputs, work, parent_span=None):
        """Run a component, and return its outputs."""
        module = "haystack.components.agents.agent" if kind == "Agent" else "own"
        tags = {
            "haystack.component.name": name,
            "haystack.component.type": kind,
            "haystack.component.fully_qualified_type": f"{module}.{kind}",
        }
        with self.proxy.trace("haystack.component.run", tags=tags, parent_span=parent_span) as span:
            span.set_content_tag("haystack.component.input", inputs)
            outputs = work()
            span.set_content_tag("haystack.component.output", outputs)
        return outputs

    async def run_async_generator(self):
        """Run each component in a task, and yield its outputs."""
        with self.proxy.trace("haystack.pipeline.run", tags={}) as parent:
            for name, (kind, work) in self.components.items():

                async def run(name=name, kind=kind, work=work):
                    return self.run_component(name, kind, {}, work, parent)

                yield await asyncio.create_task(run())


def ask():
    """Ask the model."""
    with switch.ACTIVE.span("llm", "gpt"):
        return {"replies": ["cold"]}


class Agent:
    """An agent of two steps."""

    __component_name__ = "scout"

    def __init__(self, proxy):
        self.proxy = proxy

    def run(self):
        """Run it."""
        with self.proxy.trace("haystack.agent.run", tags={}):
            for number in range(2):
                step = self.proxy.trace("haystack.agent.step", tags={"haystack.agent.step": number})
                with step, self.proxy.trace("haystack.agent.step.llm"):
                    ask()


def test_a_pipeline_is_a_chain_of_components(proxy, tree):
    """A prompt is a prompt, a retriever reads the memory, and an agent is no step besides."""
    components = {
        "find": ("BM25Retriever", lambda: {"documents": ["snow"]}),
        "prompt": ("ChatPromptBuilder", dict),
        "answer": ("OpenAIChatGenerator", ask),
        "scout": ("Agent", Agent(proxy).run),
    }
    Pipeline(proxy, **components).run()
    assert tree() == [
        "chain_execution Pipeline",
        "  chain_step find",
        "    memory_operation find",
        "  prompt_execution prompt",
        "  chain_step answer",
        "    llm_call gpt",
        "  agent_execution scout",
        "    agent_turn scout",
        "      llm_call gpt",
        "    agent_turn scout",
        "      llm_call gpt",
    ]


def test_inputs_and_outputs_are_recorded(proxy, recorded):
    """Those of the pipeline, and of a component with the type of its step."""
    Pipeline(proxy, choose=("ConditionalRouter", ask)).run({"find": 1})
    pipeline, step, _llm, _llm_end, step_end, _end = recorded()
    assert pipeline["inputs"] == {"find": 1}
    assert (step["inputs"], step["step_type"]) == ({"query": "snow?"}, "condition")
    assert step_end["outputs"] == {"replies": ["cold"]}


def test_the_tracer_of_the_program_is_called_as_before(proxy):
    """With its own spans as parents, also for operations that are not recorded."""
    Agent(proxy).run()
    assert [name for name, _parent in proxy.actual_tracer.spans] == [
        "haystack.agent.run",
        *["haystack.agent.step", "haystack.agent.step.llm"] * 2,
    ]
    with proxy.trace("mine") as span:
        assert type(span) is Span
        span.set_content_tag("mine.output", 1)
        assert span.tags == {"mine.output": 1}


def test_a_pipeline_is_left_while_it_waits_for_its_consumer(proxy, tree):
    """What the program does with a part of the outputs is none of the pipeline's work."""

    async def main():
        async for _outputs in Pipeline(proxy, one=("Ask", ask), two=("Ask", ask)).run_async_generator():
            with switch.ACTIVE.span("tool", "meanwhile"):
                pass

    asyncio.run(main())
    assert tree() == [
        "chain_execution Pipeline",
        "  chain_step one",
        "    llm_call gpt",
        "  chain_step two",
        "    llm_call gpt",
        "tool_call meanwhile",
        "tool_call meanwhile",
    ]


def test_what_fails_has_failed(proxy, recorded):
    """A component, and the pipeline around it; the error is the program's."""

    def fail():
        raise KeyError("boom")

    with pytest.raises(KeyError):
        Pipeline(proxy, boom=("Boom", fail)).run()
    ends = [event for event in recorded() if event["event_type"].endswith("_end")]
    assert [(end["status"], end["error_type"]) for end in ends] == [("failed", "KeyError")] * 2


def test_an_operation_of_the_program_is_a_step_also_as_a_decorator(proxy, tree):
    """Each call is one."""

    @proxy.trace("mine")
    def look():
        return ask()

    look()
    look()
    assert tree() == ["chain_step mine", "  llm_call gpt"] * 2
