"""Events and spans of a process, and how the current span follows the work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from namel3ss_debug.capture.core.switch import get_global_tracer
from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
from namel3ss_debug.traces.reader import open_trace


def recorded(kind=None):
    """Stop tracing and give the events, of one type if asked for."""
    trace = open_trace(shutdown_tracing())
    return [event for event in trace.events() if kind in {None, event["event_type"]}]


def starts(component="tool"):
    """The recorded start events of spans of one component, by name."""
    return {event["component_name"]: event for event in recorded(f"{component}_call_start")}


def test_a_span_is_a_start_and_an_end_that_names_it(tracer):
    """The end event carries the id of its start as its parent, the result and the duration."""
    with tracer.span("tool", "search", inputs={"q": "x"}) as span:
        span.set_output({"found": 3})
    start, end = recorded()[1:3]
    assert (start["event_type"], start["inputs"], start["status"]) == (
        "tool_call_start",
        {"q": "x"},
        "started",
    )
    assert (end["event_type"], end["outputs"], end["status"]) == ("tool_call_end", {"found": 3}, "completed")
    assert end["parent_event_id"] == start["event_id"]
    assert end["duration_ms"] >= 0


def test_a_secret_result_is_redacted_each_time(tracing):
    """Also when the same text was recorded before under a name that is not secret."""
    tracer = tracing(redact_keys=["result"])
    for _ in range(3):
        with tracer.span("tool", "search", inputs={"query": "a text"}) as span:
            span.set_output("a text")
    outputs = [event["outputs"] for event in recorded("tool_call_end")]
    assert len(outputs) == 3
    assert all("a text" not in output.values() for output in outputs)


def test_the_last_output_of_a_span_counts(tracer):
    """A text and then a mapping, or the other way round, seen before or not."""
    for _ in range(3):
        with tracer.span("tool", "search") as span:
            span.set_output("a text")
            span.set_output({"found": 3})
        with tracer.span("tool", "search") as span:
            span.set_output({"found": 3})
            span.set_output("a text")
    assert [event["outputs"] for event in recorded("tool_call_end")] == [
        {"found": 3},
        {"result": "a text"},
    ] * 3


def test_an_event_is_recorded_inside_the_current_span(tracer):
    """A point event names the span it happened inside and the line that caused it."""
    with tracer.span("agent", "A"):
        tracer.emit("decision", component="agent", component_name="A", outputs={"go": True})
    events = recorded()
    assert events[2]["parent_event_id"] == events[1]["event_id"]
    assert events[2]["call_site"].startswith("tests/capture/core/test_tracer.py:")


def test_numbers_are_gapless_and_ids_unique(tracer):
    """Every event of a process has the next number, whatever thread wrote it."""

    def work():
        for _ in range(50):
            with tracer.span("tool", "t"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = recorded()
    assert [event["seq"] for event in events] == list(range(2 + 4 * 50 * 2))
    assert len({event["event_id"] for event in events}) == len(events)


def test_a_failed_span_tells_type_text_and_trace_once(tracer):
    """The stack trace stands in the innermost span only; outer spans tell type and text."""
    with contextlib.suppress(ZeroDivisionError), tracer.span("agent", "outer"), tracer.span("tool", "inner"):
        1 / 0  # noqa: B018
    inner, outer = recorded()[3:5]
    assert (inner["status"], inner["error_type"]) == ("failed", "ZeroDivisionError")
    assert "division by zero" in inner["stack_trace"]
    assert "capture/core/tracer.py" not in inner["stack_trace"]
    assert (outer["event_type"], outer["error"]) == ("agent_execution_end", inner["error"])
    assert "stack_trace" not in outer


def test_a_cancelled_task_ends_its_span_as_cancelled(tracer):
    """Cancelling is told apart from failing."""

    async def main():
        async def work():
            async with tracer.span("tool", "slow"):
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert recorded("tool_call_end")[0]["status"] == "cancelled"


def test_names_of_threads_and_tasks_are_written_like_any_text(tracer):
    """A secret in them is replaced, and what is no Unicode costs no payload."""
    key = "sk-proj-" + "a1B2c3D4e5F6" * 4

    def work():
        tracer.emit("decision", component="tool", metadata={"kept": True})

    async def work_on_loop(name):
        asyncio.current_task().set_name(name)
        work()

    for name in (f"fetch {key}", "\ud800"):
        thread = threading.Thread(target=work, name=name)
        thread.start()
        thread.join()
        asyncio.run(work_on_loop(name))
    asyncio.run(work_on_loop("Task-7"))
    events = [event for event in recorded() if event["event_type"] == "decision"]
    places = [event.get("thread") or event["task"] for event in events]
    assert places == ["fetch [REDACTED:openai]"] * 2 + ["\\ud800"] * 2 + ["Task-7"]
    assert all(event["metadata"] == {"kept": True} for event in events)


def test_threads_inherit_the_span_they_were_started_in(tracer):
    """A thread has an empty context, and still its spans have the right parent."""
    with tracer.span("agent", "A") as agent:
        thread = threading.Thread(
            target=lambda: tracer.span("tool", "t").__enter__().__exit__(None, None, None)
        )
        thread.start()
        thread.join()
        parent = agent.event_id
    assert starts()["t"]["parent_event_id"] == parent


def test_executors_carry_the_span_of_each_submit(tracer):
    """Two work items of one pool thread have the parents of their own submits."""

    def work(name):
        with tracer.span("tool", name):
            pass

    parents = {}
    with ThreadPoolExecutor(1) as pool:
        for name in ("a", "b"):
            with tracer.span("agent", name) as agent:
                parents[name] = agent.event_id
                pool.submit(work, name).result()
        pool.submit(work, "c").result()
    found = starts()
    assert found["a"]["parent_event_id"] == parents["a"]
    assert found["b"]["parent_event_id"] == parents["b"]
    assert "parent_event_id" not in found["c"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_process_pools_carry_the_span_of_each_submit(tmp_path, method):
    """Work items of one worker process have the parents of their own submits, however the worker was made."""
    program = tmp_path / "program.py"
    program.write_text(POOL)
    words = [
        sys.executable,
        "-m",
        "namel3ss_debug",
        "trace",
        "-o",
        str(tmp_path / "t.jsonl"),
        str(program),
        method,
    ]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    events = list(open_trace(tmp_path / "t.jsonl").events())
    agents = {
        e["component_name"]: e["event_id"] for e in events if e["event_type"] == "agent_execution_start"
    }
    found = {
        e["component_name"]: e.get("parent_event_id") for e in events if e["event_type"] == "tool_call_start"
    }
    assert found == {"a": agents["a"], "b": agents["b"]}
    assert sum(event["event_type"] == "tool_call_end" for event in events) == 2


POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from namel3ss_debug import get_global_tracer

def work(name):
    with get_global_tracer().span("tool", name):
        pass

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        for name in ("a", "b"):
            with get_global_tracer().span("agent", name):
                pool.submit(work, name).result()
"""


def test_tasks_that_run_at_once_keep_their_own_span(tracer):
    """Interleaved tasks do not see each other's spans."""

    async def worker(name):
        async with tracer.span("agent", name) as agent:
            await asyncio.sleep(0)
            async with tracer.span("tool", name):
                await asyncio.sleep(0)
            return name, agent.event_id

    async def main():
        return dict(await asyncio.gather(*(worker(str(n)) for n in range(5))))

    parents = asyncio.run(main())
    found = starts()
    assert {name: event["parent_event_id"] for name, event in found.items()} == parents


def test_a_span_in_a_suspended_generator_is_not_the_parent_of_its_consumer(tracer):
    """What runs between two items of a generator is not inside the generator's span."""

    def items():
        with tracer.span("chain", "inside"):
            yield 1
            with tracer.span("tool", "own"):
                pass
            yield 2

    with tracer.span("agent", "A") as agent:
        parent = agent.event_id
        for item in items():
            with tracer.span("tool", f"consumer{item}"):
                pass
    events = recorded()
    by_name = {e["component_name"]: e for e in events if e["event_type"] == "tool_call_start"}
    inside = next(e for e in events if e["event_type"] == "chain_execution_start")
    assert by_name["consumer1"]["parent_event_id"] == parent
    assert by_name["consumer2"]["parent_event_id"] == parent
    assert by_name["own"]["parent_event_id"] == inside["event_id"]


def test_a_generator_that_ends_within_a_later_span_leaves_that_as_it_is(tracer):
    """What comes after it there is inside of that span, and a later generator is not inside of the one that has ended."""

    def items(name):
        with tracer.span("chain", name):
            yield 1

    for turn in range(2):  # the frame of the second lies where that of the first lay
        left = items(f"inside{turn}")
        next(left)
        with tracer.span("agent", "A") as agent:
            list(left)
            with tracer.span("tool", f"in {agent.event_id}"):
                pass
        del left
    events = recorded()
    tools = {
        e["component_name"]: f"in {e['parent_event_id']}"
        for e in events
        if e["event_type"] == "tool_call_start"
    }
    assert len(tools) == 2
    assert all(name == parent for name, parent in tools.items())
    outermost = [e for e in events if e["event_type"] in ("chain_execution_start", "agent_execution_start")]
    assert [e.get("parent_event_id") for e in outermost] == [None] * 4


def test_a_forked_child_records_into_a_file_of_its_own(tracer):
    """The child's events name the span the fork happened in, and the parent's span is ended once."""
    with tracer.span("agent", "A") as agent:
        parent = agent.event_id
        child = os.fork()
        if child == 0:
            with tracer.span("tool", "in-child"):
                pass
        else:
            os.waitpid(child, 0)
    if child == 0:
        os._exit(0)
    events = recorded()
    inside = [event for event in events if event.get("component_name") == "in-child"]
    assert [event["event_id"][:3] for event in inside] == ["p1.", "p1."]
    assert inside[0]["parent_event_id"] == parent
    assert len([event for event in events if event["event_type"] == "agent_execution_end"]) == 1


def test_components_that_are_filtered_out_hand_their_children_upwards(tracing):
    """A span that is not recorded writes nothing, and its children take the nearest recorded ancestor."""
    tracer = tracing(default_components=["agent", "tool"])
    with tracer.span("agent", "A") as agent, tracer.span("chain", "hidden"), tracer.span("tool", "t"):
        parent = agent.event_id
    events = recorded()
    assert not [event for event in events if event["component"] == "chain"]
    assert next(e for e in events if e["event_type"] == "tool_call_start")["parent_event_id"] == parent


def test_level_basic_records_no_payloads(tracing):
    """Without payloads there is still who, when, how long and whether it failed."""
    tracer = tracing(level="basic")
    with tracer.span("tool", "t", inputs={"secret": "x"}, metadata={"a": 1}) as span:
        span.set_output("y")
    start, end = recorded()[1:3]
    assert not {"inputs", "outputs", "metadata"} & (start.keys() | end.keys())
    assert end["status"] == "completed"


def test_an_execution_that_is_not_sampled_is_not_recorded_at_all(tracing, tmp_path):
    """Whole executions are left out, never parts."""
    tracer = tracing(sample_rate=0)
    with tracer.span("tool", "t") as span:
        span.set_output(1)
    assert not tracer.enabled
    assert shutdown_tracing() is None
    assert not list(tmp_path.rglob("*.jsonl"))


def test_secrets_do_not_reach_the_file(tracer):
    """Known formats and names are replaced in every payload, name and error."""
    key = "sk-ant-api03-" + "a" * 40
    with (
        contextlib.suppress(ValueError),
        tracer.span("tool", key, inputs={"password": "hunter2", "text": key}),
    ):
        raise ValueError(key)
    path = shutdown_tracing()
    text = path.read_text()
    assert key not in text
    assert "hunter2" not in text
    assert "[REDACTED:anthropic]" in text


def test_values_that_misbehave_do_not_fail_the_program(tracer):
    """A value whose repr raises is recorded as what it is."""

    class Broken:
        def __repr__(self):
            raise SystemExit(3)

    with tracer.span("tool", "t", inputs={"value": Broken()}):
        pass
    assert "Broken" in str(recorded("tool_call_start")[0]["inputs"])


def test_trace_end_tells_what_tracing_cost(tracer):
    """The last event counts events, bytes, microseconds and what was dropped."""
    with tracer.span("tool", "t"):
        pass
    last = recorded()[-1]
    assert last["event_type"] == "trace_end"
    assert last["metadata"]["events"] == 3
    assert last["metadata"]["tracing_us"] > 0
    assert last["metadata"]["dropped"] == 0


def test_tracing_that_is_off_does_nothing():
    """The global tracer takes every call while tracing is off."""
    tracer = get_global_tracer()
    with tracer.span("tool", "t", inputs={"a": 1}) as span:
        span.set_output(1)
    assert tracer.emit("decision", component="agent") is None


def test_initialize_tracing_twice_goes_on_with_the_first(tracer):
    """A second call neither starts a second file nor changes the settings."""
    assert initialize_tracing(level="basic") is tracer


def test_a_tracer_is_shown_with_its_recording(tracer):
    """As at the end of a cell; one that records nothing says so."""
    assert repr(tracer) == f"<ExecutionTracer recording to {tracer.writer.first}>"
    shutdown_tracing()
    assert repr(get_global_tracer()) == "<OffTracer, nothing is recorded>"


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {1: 2}, {"d": 2**80}, {"s": "\ud800"}])
def test_payloads_that_json_refuses_are_kept_in_another_form(tracer, payload):
    """No number is missing because of a value."""
    with tracer.span("tool", "t", inputs=payload):
        pass
    events = recorded()
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[1]["inputs"]
