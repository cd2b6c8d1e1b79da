"""Spans under a framework's own ids: parents, branches, generators, and calls that are recorded once."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks import litellm, smolagents
from namel3ss_debug.capture.frameworks.structure import Structure, find_existing_tools, read_safely
from namel3ss_debug.capture.seams.functions import hooks, rewrite
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls


def test_what_begins_inside_has_what_is_open_as_its_parent(structure, tracer, tree):
    """A parent need not be named where the context has it."""
    structure.begin(1, "agent", "Ada")
    structure.begin(2, "agent", "Ada", prefix="agent_turn")
    with tracer.span("tool", "search"):
        structure.record_event("agent_message", component="agent", component_name="Ada")
    structure.end(2)
    structure.begin(3, "validation", "polite")
    structure.end(3, {"triggered": False})
    structure.end(1)
    assert tree() == [
        "agent_execution Ada",
        "  agent_turn Ada",
        "    tool_call search",
        "      agent_message Ada",
        "  validation polite",
    ]


def test_a_named_parent_wins_over_the_context(structure, tree):
    """Two branches that begin one after the other in one context keep the parent that the framework names."""
    structure.begin("all", "chain", "all")
    structure.begin("left", "chain", "left", parent="all", prefix="chain_step")
    structure.begin("right", "chain", "right", parent="all", prefix="chain_step")
    structure.begin("leaf", "chain", "leaf", parent="left", prefix="chain_step")
    structure.end("left")
    structure.end("leaf")
    structure.end("right")
    structure.begin("last", "chain", "last", prefix="chain_step")
    structure.end("last")
    structure.end("all")
    assert tree() == [
        "chain_execution all",
        "  chain_step left",
        "    chain_step leaf",
        "  chain_step right",
        "  chain_step last",
    ]


def test_a_thread_without_the_context_finds_a_named_parent(structure, tree):
    """A worker that knows nothing of the context records below the parent that the framework names."""
    structure.begin(1, "chain", "graph")

    def work():
        structure.begin(2, "chain", "node", parent=1, prefix="chain_step")
        structure.end(2)

    empty = contextvars.Context()
    thread = threading.Thread(target=lambda: empty.run(work))
    thread.start()
    thread.join()
    structure.end(1)
    assert tree() == ["chain_execution graph", "  chain_step node"]


def test_an_open_span_is_entered_in_another_task(structure, tracer, tree):
    """What runs there is inside it until the end of what entered it, and what runs beside it is not."""

    async def work(name, within):
        if within is not None:
            structure.enter(name, within)
        with tracer.span("tool", name):
            await asyncio.sleep(0)
        structure.end(name)
        with tracer.span("tool", f"after {name}"):
            pass

    async def main():
        structure.begin("run", "chain", "run")

        async def begin_turn():
            structure.begin("turn", "agent", "ada", prefix="agent_turn")

        await asyncio.create_task(begin_turn())
        tasks = [asyncio.create_task(work(*each)) for each in (("inside", "turn"), ("beside", None))]
        await asyncio.gather(*tasks)
        structure.end("turn")
        structure.enter("late", "turn")  # of what has ended nothing is left to enter
        structure.end("late")
        structure.end("run")

    asyncio.run(main())
    assert tree() == [
        "chain_execution run",
        "  agent_turn ada",
        "    tool_call inside",
        "  tool_call beside",
        "  tool_call after inside",
        "  tool_call after beside",
    ]


def test_branches_in_tasks_and_threads_keep_their_parents(structure, tracer, tree):
    """What runs in each of two tasks, and in a thread of each, is inside the branch that the task has begun."""
    both = asyncio.Barrier(2)

    async def branch(name):
        structure.begin(name, "chain", name, prefix="chain_step")
        await both.wait()
        await asyncio.to_thread(
            lambda: tracer.span("tool", f"in {name}").__enter__().__exit__(None, None, None)
        )
        await both.wait()
        structure.end(name)

    async def main():
        structure.begin("all", "chain", "all")
        await asyncio.gather(branch("left"), branch("right"))
        structure.end("all")

    asyncio.run(main())
    lines = tree()
    assert lines[0] == "chain_execution all"
    assert sorted(lines[1:]) == sorted(
        ["  chain_step left", "  chain_step right", "    tool_call in left", "    tool_call in right"]
    )


def test_the_consumer_of_a_generator_is_not_inside_what_it_began(structure, tracer, tree):
    """A run that a generator keeps open is left while the generator is suspended, and entered again when it goes on."""

    def stream():
        structure.begin(1, "chain", "stream", frame=sys._getframe())
        for part in range(2):
            with tracer.span("tool", f"made {part}"):
                pass
            yield part
        structure.end(1)

    for part in stream():
        with tracer.span("tool", f"used {part}"):
            pass
    with tracer.span("tool", "after"):
        pass
    assert tree() == [
        "chain_execution stream",
        "  tool_call made 0",
        "  tool_call made 1",
        "tool_call used 0",
        "tool_call used 1",
        "tool_call after",
    ]


def test_what_a_framework_tells_between_two_items_leaves_a_generator_its_place(structure, tracer, tree):
    """A span of a framework that begins and ends while a generator is suspended does not move what the generator does."""

    def stream():
        structure.begin(1, "agent", "ada", frame=sys._getframe())
        yield
        with tracer.span("chain", "inner", prefix="chain_step"):
            pass
        structure.end(1)

    for _ in stream():
        structure.begin_tool(2, "meanwhile", {})
        structure.end_tool(2)
    assert tree() == ["agent_execution ada", "  chain_step inner", "tool_call meanwhile"]


def test_what_ended_elsewhere_is_no_parent_any_more(structure, tracer, tree):
    """A run whose end is told in another context leaves nothing behind in the one that it began in."""
    structure.begin(1, "chain", "run")
    contextvars.copy_context().run(structure.end, 1)
    with tracer.span("tool", "after"):
        pass

    async def later():
        with tracer.span("tool", "in a task"):
            pass

    asyncio.run(later())
    assert tree() == ["chain_execution run", "tool_call after", "tool_call in a task"]


def test_what_a_run_started_goes_on_inside_of_it(structure, tracer, tree):
    """A task that outlives the run it was started in belongs to it all the same."""

    async def main():
        ended = asyncio.Event()

        async def left_running():
            await ended.wait()
            with tracer.span("tool", "late"):
                pass

        structure.begin(1, "chain", "run")
        task = asyncio.create_task(left_running())
        structure.end(1)
        ended.set()
        await task

    asyncio.run(main())
    assert tree() == ["chain_execution run", "  tool_call late"]


def test_runs_that_one_frame_begins_are_beside_each_other(structure, tree):
    """A batch begins all its runs before the first ends; what is inside each names it."""

    def batch():
        here = sys._getframe()
        for place in range(3):
            structure.begin(place, "chain", f"run {place}", frame=here)
        for place in range(3):
            structure.begin((place, "step"), "chain", f"step {place}", parent=place, prefix="chain_step")
            structure.end((place, "step"))
        for place in range(3):
            structure.end(place)

    batch()
    assert tree() == [
        line for place in range(3) for line in (f"chain_execution run {place}", f"  chain_step step {place}")
    ]


def test_what_is_skipped_leaves_its_parent_to_its_children(structure, tree):
    """A hidden run has no event, and what names it as its parent belongs to the one above."""
    structure.begin(1, "chain", "graph")
    structure.skip(2, 1)
    structure.begin(3, "chain", "node", parent=2, prefix="chain_step")
    structure.end(3)
    structure.end(2)
    structure.end(1)
    assert tree() == ["chain_execution graph", "  chain_step node"]


def test_a_component_that_is_not_recorded_leaves_its_parent_to_its_children(tracing, tree):
    """With a filter, children take the nearest ancestor that is recorded."""
    calls = ToolCalls(lambda _names: None, lambda _call, _result: None)
    structure = Structure(tracing(default_components=["agent", "tool"]), calls, "loom")
    structure.begin(1, "agent", "Ada")
    structure.begin(2, "chain", "step", parent=1, prefix="chain_step")
    structure.begin_tool(3, "search", {}, parent=2)
    structure.end_tool(3, "found")
    structure.end(2)
    structure.end(1)
    assert tree() == ["agent_execution Ada", "  tool_call search"]


def test_a_model_call_that_is_seen_on_the_wire_is_recorded_once(structure, tracer, tree):
    """The framework's word for it is nothing of its own where the request was recorded, in the parent that is named."""
    structure.begin(1, "chain", "first")
    structure.begin(2, "chain", "second")
    structure.begin_model(3, "gpt-4o", parent=1)
    announced.mark_recorded(announced.LLM)
    with tracer.span("llm", "gpt-4o-2024"):
        pass
    structure.end_model(3, {"text": "cold"}, usage={"input_tokens": 3, "output_tokens": 1})
    with tracer.span("tool", "search"):
        pass
    structure.end(2)
    structure.end(1)
    assert tree() == [
        "chain_execution first",
        "  chain_execution second",
        "    tool_call search",
        "  llm_call gpt-4o-2024",
    ]


def test_a_model_call_without_traffic_is_what_the_framework_tells(structure, recorded):
    """A mocked model is a model call, with its tokens and the time it took."""
    structure.begin_model(1, "fake", inputs={"model": "fake", "messages": []})
    structure.end_model(1, {"text": "cold"}, usage={"input_tokens": 3, "output_tokens": 1})
    start, end = recorded()
    assert (start["event_type"], start["component_name"]) == ("llm_call_start", "fake")
    assert start["metadata"] == {"framework": "loom", "seen": False}
    assert end["outputs"] == {"text": "cold"}
    assert (end["tokens_used"], end["usage"]) == (4, {"input_tokens": 3, "output_tokens": 1})
    assert end["timestamp"] >= start["timestamp"]
    assert end["duration_ms"] >= 0


def test_traffic_without_the_context_may_be_that_of_a_model_call(structure, recorded):
    """A request that a thread without the context sends meanwhile is taken for the one that the framework tells of."""
    structure.begin_model(1, "gpt-4o")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.Context().run, announced.mark_recorded, announced.LLM).result()
    structure.end_model(1, {"text": "cold"})
    assert recorded() == []


def test_a_failed_call_of_a_mocked_model_tells_its_failure(structure, recorded):
    """The exception ends the call as it would end any span."""
    structure.begin_model(1, "fake")
    structure.end_model(1, error=TimeoutError("no answer"))
    _start, end = recorded()
    assert (end["status"], end["error_type"], end["error"]) == ("timeout", "TimeoutError", "no answer")


def test_a_tool_whose_function_is_seen_is_recorded_there(tracer, tree):
    """A framework's tool and the user's function of its name are one tool call, which knows what asked for it."""
    names = {}
    exec(rewrite.compile_source("def weather(city):\n    return city + ': dry'\n", "weather.py"), names)
    calls = ToolCalls(rewrite.HOT.update, lambda _call, _result: None)
    structure = Structure(tracer, calls, "loom")
    structure.begin(1, "agent", "Ada")
    structure.begin_tool(2, "weather", {"city": "Rome"}, call_id="c1")
    assert names["weather"]("Rome") == "Rome: dry"
    structure.end_tool(2, "Rome: dry")
    structure.end(1)
    assert tree() == ["agent_execution Ada", "  tool_call weather"]


def test_a_tool_of_a_library_is_recorded_with_the_call_that_a_model_asked_for(tracer, recorded):
    """Where no function of the user has its name it is a tool call as the framework tells it, and no boundary of a re-run."""
    calls = ToolCalls(lambda _names: None, lambda _call, _result: None)
    structure = Structure(tracer, calls, "loom")
    structure.begin(1, "agent", "Ada")
    calls.add_requested([{"id": "c7", "name": "lookup", "arguments": {"word": "snow"}}], "9", None)
    structure.begin_tool(2, "lookup", None)
    with tracer.span("agent", "inner"):
        pass
    structure.end_tool(2, "white")
    structure.end(1)
    _agent, start, inner, _inner, end, _end = recorded()
    assert start["inputs"] == {"arguments": {"word": "snow"}, "call_id": "c7"}
    assert (start["metadata"]["asked_in"], start["metadata"]["seen"]) == ("9", False)
    assert inner["parent_event_id"] == start["event_id"]
    assert end["outputs"] == {"result": "white"}


def test_a_tool_that_a_hook_names_is_recorded_once(structure, recorded, monkeypatch):
    """Where the decorated function runs, whether the framework knows it by the name of the hook or by its own."""
    monkeypatch.setattr(announced, "HOOKED", set())

    @hooks.trace_tool_call(name="Weather-lookup")
    def lookup(word):
        return word.upper()

    rewrite.EDITED.add("lookup")
    for key, name in enumerate(("Weather-lookup", "lookup")):
        structure.begin_tool(key, name, {"word": "snow"}, call_id=f"c{key}")
        assert lookup("snow") == "SNOW"
        structure.end_tool(key, "SNOW")
    starts = [event for event in recorded() if event["event_type"] == "tool_call_start"]
    told = [(event["component_name"], event["metadata"].get("seen")) for event in starts]
    assert told == [("Weather-lookup", None)] * 2


def test_a_tool_that_yields_and_has_a_hook_is_recorded_once(structure, recorded, monkeypatch):
    """The hook alone sees such a function."""
    monkeypatch.setattr(announced, "HOOKED", set())

    @hooks.trace_tool_call
    def lookup(word):
        yield word.upper()

    structure.begin_tool(1, "lookup", {"word": "snow"})
    assert list(lookup("snow")) == ["SNOW"]
    structure.end_tool(1, "SNOW")
    assert [event["event_type"] for event in recorded()] == ["tool_call_start", "tool_call_end"]


def test_a_tool_that_was_expected_to_be_seen_and_was_not_is_recorded_at_its_end(
    structure, recorded, monkeypatch
):
    """A function of the same name, which is not the tool's, keeps nothing from the recording."""
    monkeypatch.setattr(rewrite, "EDITED", {"lookup"})
    structure.begin_tool(1, "lookup", {"word": "snow"})
    structure.end_tool(1, "white")
    start, end = recorded()
    assert (start["event_type"], start["inputs"]) == ("tool_call_start", {"arguments": {"word": "snow"}})
    assert end["outputs"] == {"result": "white"}


def test_ends_without_a_beginning_are_nothing(structure, recorded):
    """Whatever a framework tells in whatever order, nothing is raised."""
    structure.end(1)
    structure.end_model(2)
    structure.end_tool(3)
    structure.mark_failed(4, "error", "text")
    assert recorded() == []


def test_what_cannot_be_recorded_is_a_problem_and_no_exception(structure, monkeypatch):
    """A mistake of ours is told at the end, and the framework goes on."""
    monkeypatch.setattr(structure, "_find_named", lambda *_words: 1 / 0)
    structure.begin(1, "agent", "Ada")
    assert dict(structure.tracer.problems) == {
        "what loom reports could not be recorded: ZeroDivisionError": 1
    }


def test_what_a_framework_has_left_in_a_span_of_a_generator_is_over_with_that(structure, recorded):
    """Nobody tells its end: what the program does next is not inside of it."""

    def items():
        with structure.tracer.span("chain", "own"):
            structure.begin("left", "agent", "left")
            yield 1

    list(items())
    structure.tracer.emit("decision", component="app")
    assert "parent_event_id" not in recorded()[-1]


def test_a_surprise_is_a_problem_of_tracing(structure):
    """What is made is given; what cannot be made is left out."""
    assert read_safely(structure, int, "3") == 3
    assert read_safely(structure, int, "snow") is None
    assert structure.tracer.problems.pop("an object of loom could not be read: ValueError") == 1


@pytest.mark.parametrize("seam", ["litellm", "smolagents"])
def test_a_traceback_shows_the_program_and_the_framework_alone(structure, seam):
    """Though a function of ours stands between the two."""

    def fails(*_args, **_kwargs):
        raise KeyError("snow")

    if seam == "litellm":
        module = SimpleNamespace(completion=fails, acompletion=fails)
        undo = litellm.follow(module, structure)
    else:
        module = SimpleNamespace(
            __name__="smolagents.tools", Tool=type("Tool", (), {"__call__": fails, "name": "x"})
        )
        undo = smolagents.follow(module, structure)
    call = module.completion if seam == "litellm" else module.Tool()
    with pytest.raises(KeyError) as caught:
        call("gpt")
    for each in undo:
        each()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert {frame.filename for frame in frames} == {__file__}


@pytest.mark.parametrize("is_loaded", [False, True])
def test_tools_that_were_made_before_are_looked_for_where_their_functions_can_be_seams(
    monkeypatch, is_loaded
):
    """Those of a class and of the classes derived from it, and no class is one."""
    monkeypatch.setattr(rewrite, "LOADED", (lambda _names: None) if is_loaded else None)
    kind = type("Tool", (SimpleNamespace,), {})
    tools = [kind(), type("Search", (kind,), {})()]
    assert sorted(find_existing_tools(kind), key=id) == (sorted(tools, key=id) if is_loaded else [])
