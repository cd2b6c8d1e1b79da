"""Spans made through OpenTelemetry's interface become structure, with and without a provider, and stay what they were."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture import frameworks
from namel3ss_debug.capture.core import announced, switch
from namel3ss_debug.capture.frameworks import opentelemetry

trace = pytest.importorskip("opentelemetry.trace")
sdk = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry import context  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402


@pytest.fixture(autouse=True)
def followed_by_the_test_alone(monkeypatch):
    """Tracing itself follows nothing here."""
    monkeypatch.setattr(frameworks, "SEAMS", {})


@pytest.fixture
def followed(structure, monkeypatch):
    """OpenTelemetry followed, in a program that has set no provider and has loaded a framework, whose tracer is `loom`."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setitem(sys.modules, "loom", SimpleNamespace(__file__=pytest.__file__))
    undo = opentelemetry.follow(trace, structure) + opentelemetry.follow(sdk, structure)
    yield structure
    while undo:
        undo.pop()()


@pytest.fixture
def nobody(followed):
    """A tracer that nobody has provided."""
    return trace.ProxyTracer("loom")


@pytest.fixture
def provided(followed):
    """A tracer of a provider, and what it exports to."""
    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("loom"), exporter


@pytest.fixture(params=["nobody", "provided"])
def tracer_of_a_framework(request):
    """Either."""
    found = request.getfixturevalue(request.param)
    return found[0] if isinstance(found, tuple) else found


def tool(name):
    """A tool that the function seam records."""
    with switch.ACTIVE.span("tool", name):
        announced.mark_recorded(announced.TOOL, name)


def test_agents_and_steps_are_spans_in_one_another(tracer_of_a_framework, tree):
    """What runs inside of them is recorded inside."""
    loom = tracer_of_a_framework
    current = loom.start_as_current_span
    with current("invoke_agent ada"), current("invoke_node plan"):
        tool("lookup")
    tool("after")
    assert tree() == [
        "agent_execution ada",
        "  chain_step plan",
        "    tool_call lookup",
        "tool_call after",
    ]


def test_a_span_made_current_later_and_often_is_entered_each_time(tracer_of_a_framework, tree):
    """A span that is begun is not entered yet; what it is handed on by is OpenTelemetry's context."""
    loom = tracer_of_a_framework
    agent = loom.start_span("invoke_agent ada")
    tool("before")
    inside = trace.set_span_in_context(agent)
    for name in ("first", "second"):
        token = context.attach(inside)
        tool(name)
        context.detach(token)
        tool("between")
    agent.end()
    assert tree() == [
        "agent_execution ada",
        "  tool_call first",
        "  tool_call second",
        "tool_call before",
        "tool_call between",
        "tool_call between",
    ]


def test_a_parent_is_the_span_that_is_named(tracer_of_a_framework, tree):
    """Where the running code is elsewhere."""
    loom = tracer_of_a_framework
    agent = loom.start_span("invoke_agent ada")
    inside = trace.set_span_in_context(agent)
    loom.start_span("invoke_node plan", context=inside).end()
    agent.end()
    assert tree() == ["agent_execution ada", "  chain_step plan"]


def test_branches_at_once_keep_their_parents(tracer_of_a_framework, tree):
    """Each task is inside of its own."""
    loom = tracer_of_a_framework

    async def branch(name):
        with loom.start_as_current_span(f"invoke_agent {name}"):
            await asyncio.sleep(0)
            tool(f"of {name}")

    async def both():
        with loom.start_as_current_span("invoke_workflow both"):
            await asyncio.gather(branch("left"), branch("right"))

    asyncio.run(both())
    assert tree() == [
        "chain_execution both",
        "  agent_execution left",
        "    tool_call of left",
        "  agent_execution right",
        "    tool_call of right",
    ]


def test_a_generator_that_is_suspended_is_not_inside(tracer_of_a_framework, tree):
    """The program that reads it is where it was."""

    def events():
        with tracer_of_a_framework.start_as_current_span("invoke_agent ada"):
            tool("lookup")
            yield
            tool("again")

    for _event in events():
        tool("meanwhile")
    assert tree() == ["agent_execution ada", "  tool_call lookup", "  tool_call again", "tool_call meanwhile"]


def test_what_the_consumer_of_a_generator_starts_is_not_inside(tracer_of_a_framework, tree):
    """Nor are its tasks."""

    async def used(name):
        tool(name)

    async def events():
        with tracer_of_a_framework.start_as_current_span("invoke_agent ada"):
            yield
            await asyncio.create_task(used("again"))

    async def main():
        async for _event in events():
            await asyncio.create_task(used("meanwhile"))

    asyncio.run(main())
    assert tree() == ["agent_execution ada", "  tool_call again", "tool_call meanwhile"]


def test_a_context_manager_of_the_frameworks_is_inside_as_long_as_it_is_entered(tracer_of_a_framework, tree):
    """Though it is a generator, and suspended meanwhile."""

    @contextmanager
    def working():
        with tracer_of_a_framework.start_as_current_span("invoke_agent ada"):
            yield

    with working():
        tool("lookup")
    assert tree() == ["agent_execution ada", "  tool_call lookup"]


def test_a_model_call_that_was_seen_is_not_told_again(tracer_of_a_framework, recorded):
    """One that was not is told, once, however many spans tell of it."""
    loom = tracer_of_a_framework
    with loom.start_as_current_span("chat gpt"):
        announced.mark_recorded(announced.LLM)
    with loom.start_as_current_span("chat gpt"), loom.start_as_current_span("chat gpt-4o") as span:
        span.set_attribute("output.value", "never read")
    begun, _ended = recorded()
    assert (begun["event_type"], begun["component_name"], begun["metadata"]["seen"]) == (
        "llm_call_start",
        "gpt",
        False,
    )


def test_a_span_may_be_entered_with_all_its_arguments_in_their_order(tracer_of_a_framework, tree):
    """The last of them says whether it ends where it is left."""
    arguments = (None, trace.SpanKind.INTERNAL, {}, (), None, True, True)
    with tracer_of_a_framework.start_as_current_span("invoke_agent ada", *arguments, False) as span:
        tool("lookup")
    tool("count")
    with tracer_of_a_framework.start_as_current_span("invoke_agent bob", *arguments, True):
        pass
    span.end()
    assert tree() == [
        "agent_execution ada",
        "  tool_call lookup",
        "tool_call count",
        "agent_execution bob",
    ]


def test_a_span_that_is_thrown_away_without_an_end_leaves_nothing_behind(nobody, followed, recorded):
    """A step of which nobody asked whether it records stays open in the recording."""
    before = announced.CURRENT.get()
    for _ in range(3):
        assert not nobody.start_span("chat gpt").is_recording()
        nobody.start_span("warm up")
    assert announced.CURRENT.get() is before
    assert not followed._open
    nobody.start_span("invoke_node plan")
    assert [(each["event_type"], each["component_name"]) for each in recorded()] == [
        ("chain_step_start", "plan")
    ]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("asks_inside", [True, False])
def test_a_span_that_an_sdk_throws_away_ended_where_it_was_left(
    nobody, followed, recorded, kept, asks_inside
):
    """An SDK that asks whether a span records ends none that does not: its end is told when nobody holds it any more, or the recording ends."""
    agent = nobody.start_span("invoke_agent ada")
    with trace.use_span(agent):
        with trace.use_span(nobody.start_span("execute_tool ask")) as asked:
            tool("lookup")
        asked.is_recording()
        if asks_inside:
            agent.is_recording()
    agent.is_recording()
    held = agent if kept else None
    del agent, asked
    with nobody.start_as_current_span("invoke_agent bob"):
        pass
    for end in followed.tracer.at_end:
        end()
    ends = {each["component_name"]: each for each in recorded() if each["event_type"].endswith("_end")}
    assert ends.keys() == {"lookup", "ask", "ada", "bob"}
    assert ends["lookup"]["timestamp"] <= ends["ask"]["timestamp"] <= ends["ada"]["timestamp"]
    assert ends["ada"]["timestamp"] <= ends["bob"]["timestamp"]
    assert all(each["duration_ms"] >= 0 for each in ends.values())
    assert "cpu_time_ms" not in ends["ada"]
    del held


def test_a_span_that_an_error_leaves_has_failed_though_nobody_ends_it(nobody, followed, recorded):
    """The error is told as that of any other."""
    with pytest.raises(ValueError, match="no wind"), trace.use_span(nobody.start_span("invoke_agent ada")):
        raise ValueError("no wind")
    for end in followed.tracer.at_end:
        end()
    ended = recorded()[-1]
    assert (ended["status"], ended["error_type"], ended["error"]) == ("failed", "ValueError", "no wind")


def test_a_span_that_is_left_as_an_iterator_ends_has_not_failed(nobody, followed, recorded):
    """An agent that yields what it does ends by an exception that its consumer takes for the end."""

    async def steps():
        span = nobody.start_span("invoke_agent ada")
        try:
            with trace.use_span(span):
                yield 1
                span.is_recording()
        finally:
            span.end()

    async def last():
        iterator = steps()
        await anext(iterator)
        try:
            await anext(iterator)
        except StopAsyncIteration:
            with trace.use_span(nobody.start_span("invoke_agent bob"), end_on_exit=True):
                pass
        agent = nobody.start_span("invoke_agent eve")
        token = context.attach(trace.set_span_in_context(agent))
        try:
            await anext(iterator)
        except StopAsyncIteration:
            context.detach(token)
            agent.end()

    asyncio.run(last())
    ended = [each for each in recorded() if each["event_type"].endswith("_end")]
    assert [(each["component_name"], each["status"]) for each in ended] == [
        ("ada", "completed"),
        ("bob", "completed"),
        ("eve", "completed"),
    ]


def test_a_span_that_is_entered_again_goes_on(nobody, followed, tree):
    """What happens in it then is inside of it, and its end is its own."""
    agent = nobody.start_span("invoke_agent ada")
    for name in ("lookup", "count"):
        with trace.use_span(agent):
            agent.is_recording()
            tool(name)
    agent.end()
    for end in followed.tracer.at_end:
        end()
    assert tree() == ["agent_execution ada", "  tool_call lookup", "  tool_call count"]


def test_a_tool_that_no_function_shows_is_told(tracer_of_a_framework, recorded):
    """With what its span says of it."""
    told = {"gen_ai.tool.call.arguments": '{"word": "snow"}', "gen_ai.tool.call.id": "c1"}
    with tracer_of_a_framework.start_as_current_span("execute_tool lookup", attributes=told) as span:
        span.set_attribute("gen_ai.tool.call.result", '{"is": "white"}')
    begun, ended = recorded()
    assert begun["inputs"] == {"arguments": {"word": "snow"}, "call_id": "c1"}
    assert ended["outputs"] == {"result": {"is": "white"}}


def test_what_fails_has_failed(tracer_of_a_framework, recorded):
    """The exception passes."""
    with pytest.raises(KeyError), tracer_of_a_framework.start_as_current_span("invoke_agent ada"):
        raise KeyError("snow")
    _begun, ended = recorded()
    assert (ended["status"], ended["error_type"]) == ("failed", "KeyError")


def test_spans_of_a_provider_go_where_they_went(provided, recorded):
    """As many, in the same order, of the same parents; and ours are not among them."""
    loom, exporter = provided
    with (
        loom.start_as_current_span("whole") as whole,
        loom.start_as_current_span("invoke_agent ada") as agent,
    ):
        assert trace.get_current_span() is agent
        tool("lookup")
    done = exporter.get_finished_spans()
    assert [span.name for span in done] == ["invoke_agent ada", "whole"]
    assert done[0].parent.span_id == whole.get_span_context().span_id
    assert len(recorded()) == 6


def test_a_span_of_a_library_without_a_meaning_is_recorded_if_the_program_has_a_provider(
    provided, recorded, monkeypatch
):
    """It has its attributes at its end. That of a framework with a seam of its own is left out."""
    loom, _exporter = provided
    monkeypatch.setitem(sys.modules, "pydantic-ai", sys.modules["loom"])
    with loom.start_as_current_span("warm up", attributes={"threads": 3}):
        tool("lookup")
    with sdk.TracerProvider().get_tracer("pydantic-ai").start_as_current_span("warm up"):
        tool("lookup")
    begun, inside, _inside_ended, ended, after, _after_ended = recorded()
    assert (begun["event_type"], begun["component_name"]) == ("span_start", "warm up")
    assert inside["parent_event_id"] == begun["event_id"]
    assert ended["metadata"] == {"attributes": {"threads": 3}}
    assert "parent_event_id" not in after


def test_a_span_of_a_library_without_a_meaning_is_left_out_if_there_is_no_provider(nobody, tree):
    """A framework reports its work to nobody then."""
    with nobody.start_as_current_span("warm up"):
        tool("lookup")
    assert tree() == ["tool_call lookup"]


@pytest.fixture
def own_tracer(provided, followed, monkeypatch):
    """Return a tracer of the user's own code, in a program with a provider."""
    monkeypatch.setattr(followed.tracer.sites, "shown", lambda path: path if path == __file__ else None)
    return sdk.TracerProvider().get_tracer("shop")


def test_attributes_that_are_set_right_after_the_start_count(own_tracer, recorded):
    """The span has the time of its real start all the same."""
    with own_tracer.start_as_current_span("answer") as span:
        span.set_attribute("openinference.span.kind", "AGENT")
        span.set_attribute("agent.name", "ada")
        span.set_attribute("input.value", "How cold is it?")
        began = time.time()
        tool("lookup")
    begun, inside, _inside_ended, ended = recorded()
    assert (begun["event_type"], begun["component_name"]) == ("agent_execution_start", "ada")
    assert begun["inputs"] == {"input": "How cold is it?"}
    assert begun["timestamp"] <= began
    assert inside["parent_event_id"] == begun["event_id"] == ended["parent_event_id"]


def test_a_span_with_nothing_inside_is_recorded_at_its_end(own_tracer, recorded):
    """A model call that nothing else records is one, with its tokens."""
    with own_tracer.start_as_current_span("ask") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"})
        span.set_attribute("gen_ai.usage.input_tokens", 3)
    begun, ended = recorded()
    assert (begun["event_type"], begun["component_name"]) == ("llm_call_start", "gpt")
    assert ended["usage"] == {"input_tokens": 3}
    assert ended["timestamp"] - begun["timestamp"] == pytest.approx(ended["duration_ms"] / 1e3, abs=0.05)


def test_a_model_span_with_the_request_inside_is_recorded_once(own_tracer, recorded):
    """Its attributes arrive late, so the request forces the decision."""
    with own_tracer.start_as_current_span("ask") as span:
        span.set_attribute("openinference.span.kind", "LLM")
        with switch.ACTIVE.span("llm", "gpt"):
            announced.mark_recorded(announced.LLM)
    assert [event["event_type"] for event in recorded()] == ["llm_call_start", "llm_call_end"]


def test_a_span_of_the_users_own_is_a_step_whatever_the_name_of_its_tracer(own_tracer, tree):
    """A name that looks like that of a framework does not hide it."""
    with sdk.TracerProvider().get_tracer("my-langchain-shop").start_as_current_span("price"):
        pass
    assert tree() == ["chain_step price"]


def test_spans_that_are_deferred_in_one_another_keep_their_order(own_tracer, tree):
    """Also where a thread is the first to record something inside."""

    def look():
        tool("lookup")

    with own_tracer.start_as_current_span("outer") as outer:
        outer.set_attribute("number", 1)
        with own_tracer.start_as_current_span("inner") as inner:
            inner.set_attribute("number", 2)
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
    assert tree() == ["chain_step outer", "  chain_step inner", "    tool_call lookup"]


def test_a_deferred_span_that_never_ends_stays_open(own_tracer, followed, recorded):
    """It is recorded when the recording ends."""
    span = own_tracer.start_span("endless")
    span.set_attribute("number", 1)
    for end in followed.tracer.at_end:
        end()
    assert [event["event_type"] for event in recorded()] == ["chain_step_start"]


def test_a_span_that_nobody_provides_records_nothing_for_the_program(nobody):
    """It is not recording, has no identity, and carries on the trace that came from elsewhere."""
    with nobody.start_as_current_span("invoke_agent ada") as span:
        assert (span.is_recording(), span.get_span_context().is_valid) == (False, False)
    remote = trace.SpanContext(7, 8, is_remote=True)
    outer = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    assert nobody.start_span("invoke_agent ada", context=outer).get_span_context() == remote


def test_a_provider_that_is_set_later_takes_over(nobody, followed, monkeypatch, tree):
    """The tracer that stood in hands on to it."""
    with nobody.start_as_current_span("invoke_agent early"):
        pass
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", sdk.TracerProvider())
    with nobody.start_as_current_span("invoke_agent late") as span:
        assert span.is_recording()
    assert tree() == ["agent_execution early", "agent_execution late"]


def test_spans_of_the_users_own_code_are_steps(followed, monkeypatch, recorded):
    """With their attributes; those of a library are none."""
    monkeypatch.setattr(followed.tracer.sites, "shown", lambda path: path if path == __file__ else None)
    with trace.ProxyTracer(__name__).start_as_current_span("look up", attributes={"city": "Oslo"}):
        pass
    with trace.ProxyTracer("pytest").start_as_current_span("look up"):
        pass
    begun, ended = recorded()
    assert (begun["event_type"], begun["component_name"]) == ("chain_step_start", "look up")
    assert ended["metadata"] == {"attributes": {"city": "Oslo"}}


PROGRAM = """
from concurrent.futures import ThreadPoolExecutor
from opentelemetry import trace
import shelf
tracer = trace.get_tracer("shop.checkout", "1.0")
with tracer.start_as_current_span("price the cart"):
    shelf.look_up(tracer)
@tracer.start_as_current_span("decorated")
def decorated():
    pass
@tracer.start_as_current_span("decorated coroutine")
async def decorated_coroutine():
    pass
with ThreadPoolExecutor(1) as pool:
    pool.submit(decorated).result()
shelf.drive(decorated_coroutine())
with trace.use_span(tracer.start_span("begun"), end_on_exit=True):
    pass
"""
LIBRARY = """
import asyncio
from opentelemetry import trace
def look_up(tracer):
    for each in (trace.get_tracer("org.shelf"), tracer):
        with each.start_as_current_span("look up"):
            pass
drive = asyncio.run
"""
PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.parametrize("before", ["", PROVIDER])
def test_a_tracer_that_is_named_for_no_module_makes_steps_of_what_the_users_code_starts(tmp_path, before):
    """Wherever a function of the user that a tracer decorates is called; what a library starts is passed over."""
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "shelf.py").write_text(LIBRARY)
    (tmp_path / "app.py").write_text(before + PROGRAM)
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "t.jsonl", "app.py"]
    path = {"PYTHONPATH": str(library)}
    subprocess.run(command, cwd=tmp_path, env=os.environ | path, check=True, capture_output=True)
    events = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    steps = [event["component_name"] for event in events if event["event_type"] == "chain_step_start"]
    assert steps == ["price the cart", "decorated", "decorated coroutine", "begun"]


def test_a_surprise_costs_structure_and_not_the_run(nobody, followed, monkeypatch):
    """It is a problem of tracing."""
    monkeypatch.setattr(opentelemetry.conventions, "interpret", lambda *_words: 1 / 0)
    with nobody.start_as_current_span("invoke_agent ada") as span:
        span.set_attribute("city", "Oslo")
    assert sum(followed.tracer.problems.values())
    followed.tracer.problems.clear()


def test_providers_that_exist_when_recording_begins_are_followed(structure, monkeypatch, tree):
    """The one that is set, and others."""
    providers = [sdk.TracerProvider(), sdk.TracerProvider()]
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", providers[0])
    undo = opentelemetry.follow(trace, structure) + opentelemetry.follow(sdk, structure)
    for number, provider in enumerate(providers):
        with provider.get_tracer("loom").start_as_current_span(f"invoke_agent {number}"):
            pass
    lines = tree()
    while undo:
        undo.pop()()
    assert lines == ["agent_execution 0", "agent_execution 1"]


def test_everything_is_put_back(structure, monkeypatch, tree):
    """Nothing is noted any more, also by what was made before."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    plain = trace.ProxyTracer.start_span
    undo = opentelemetry.follow(trace, structure) + opentelemetry.follow(sdk, structure)
    provider = sdk.TracerProvider()
    while undo:
        undo.pop()()
    assert trace.ProxyTracer.start_span is plain
    with provider.get_tracer("loom").start_as_current_span("invoke_agent ada"):
        tool("lookup")
    assert tree() == ["tool_call lookup"]


def test_an_sdk_that_is_imported_first_is_followed_when_all_of_it_is_there(tmp_path):
    """The SDK imports the interface in the middle of its own import; spans of its providers are steps all the same."""
    (tmp_path / "app.py").write_text(
        "import opentelemetry.sdk.trace as sdk\n"
        "with sdk.TracerProvider().get_tracer('__main__').start_as_current_span('mine'):\n"
        "    pass\n"
    )
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "t.jsonl", "app.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    events = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [event["component_name"] for event in events if event["event_type"] == "chain_step_start"] == [
        "mine"
    ]
    assert events[-1]["metadata"]["problems"] == {}
