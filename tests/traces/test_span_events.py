"""Events that are made of the plain facts of spans, and read back as a trace."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.span_events import SpanError, SpanFacts, make_events, read_span
from namel3ss_debug.wire import conventions

AGENT = SpanFacts("agent", "ada", "a", started=10.0, ended=14.0, execution_id="run", session_id="chat")
CALL = SpanFacts(
    "model",
    "gpt-4o",
    "m",
    "a",
    10.5,
    12.0,
    inputs={"model": "gpt-4o", "messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]},
    outputs={"text": "hello"},
    usage={"input_tokens": 5, "output_tokens": 2},
    cost=0.001,
)
TOOL = SpanFacts(
    "tool",
    "search",
    "t",
    "a",
    12.0,
    12.0,
    inputs={"arguments": {"q": 1}, "call_id": "c1"},
    failure=SpanError("ValueError", "no such row", "Traceback"),
)


def places(spans, others=()):
    """The types of the events in order, in short, each with the id of its span."""
    return [
        f"{event['event_type']} {event.get('event_id', '').partition('.')[0]}"
        for event in make_events(spans, others)
    ]


def test_a_span_is_a_start_and_an_end_that_names_it():
    """With everything that is known of it, and nothing else."""
    start, end = make_events([CALL])
    assert start == {
        "event_type": "llm_call_start",
        "event_id": "m",
        "seq": 0,
        "timestamp": 10.5,
        "component": "llm",
        "component_name": "gpt-4o",
        "status": "started",
        "inputs": CALL.inputs,
    }
    assert end == {
        "event_type": "llm_call_end",
        "event_id": "m.end",
        "seq": 1,
        "timestamp": 12.0,
        "parent_event_id": "m",
        "component": "llm",
        "component_name": "gpt-4o",
        "status": "completed",
        "outputs": {"text": "hello"},
        "duration_ms": 1500.0,
        "usage": {"input_tokens": 5, "output_tokens": 2},
        "tokens_used": 7,
        "cost_estimate": 0.001,
    }


def test_a_failure_is_told_at_the_end():
    """The status says how the span ended, where its source knows more than that it failed."""
    _, end = make_events([TOOL])
    assert (end["status"], end["error_type"], end["error"], end["stack_trace"]) == (
        "failed",
        "ValueError",
        "no such row",
        "Traceback",
    )
    _, end = make_events([SpanFacts("step", "plan", "s", status="cancelled")])
    assert (end["event_type"], end["component"], end["status"]) == ("chain_step_end", "chain", "cancelled")


def test_spans_are_ordered_by_time_and_lie_inside_their_parents():
    """Whatever order they are in, and where one ends when the next begins."""
    note = {"event_type": "log_record", "event_id": "n", "timestamp": 11.0, "parent_event_id": "m"}
    assert places([TOOL, CALL, AGENT], [note]) == [
        "agent_execution_start a",
        "llm_call_start m",
        "log_record n",
        "llm_call_end m",
        "tool_call_start t",
        "tool_call_end t",
        "agent_execution_end a",
    ]


def test_without_times_the_order_stays():
    """No time is made up."""
    spans = [
        SpanFacts("agent", "a", "1"),
        SpanFacts("model", "m", "2", "1"),
        SpanFacts("tool", "t", "3", "1"),
    ]
    assert places(spans) == [
        "agent_execution_start 1",
        "llm_call_start 2",
        "llm_call_end 2",
        "tool_call_start 3",
        "tool_call_end 3",
        "agent_execution_end 1",
    ]
    assert not any("timestamp" in event or "duration_ms" in event for event in make_events(spans))


def test_an_open_span_has_no_end():
    """That is where the program died."""
    assert places([SpanFacts("tool", "t", "3", started=1.0, is_open=True)]) == ["tool_call_start 3"]


def test_a_parent_that_is_missing_leaves_its_children_at_the_top():
    """So do spans that are their own ancestors, and a span that appears twice counts once."""
    lone, _ = make_events([SpanFacts("tool", "t", "3", "gone", 1.0, 2.0)])
    assert "parent_event_id" not in lone
    circle = [SpanFacts("step", "x", "1", "2"), SpanFacts("step", "y", "2", "1")]
    assert sorted(places(circle)) == [
        "chain_step_end 1",
        "chain_step_end 2",
        "chain_step_start 1",
        "chain_step_start 2",
    ]
    assert len(places([CALL, CALL])) == 2


times = st.none() | st.integers(0, 9).map(float)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), times, times, st.booleans()), max_size=7),
    st.lists(st.tuples(st.integers(0, 8), times), max_size=3),
)
def test_every_event_is_there_once_and_in_order(rows, notes):
    """A law: numbers have no gaps, and no child starts before its parent, no end comes before its start."""
    spans = {
        str(number): SpanFacts("step", None, str(number), str(parent), began, ended, is_open=is_open)
        for number, parent, began, ended, is_open in rows
        if parent < number or parent > 6
    }
    others = [
        {"event_type": "log_record", "event_id": f"n{index}", "parent_event_id": str(parent)}
        | ({} if time is None else {"timestamp": time})
        for index, (parent, time) in enumerate(notes)
    ]
    events = list(make_events(spans.values(), others))
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert len(events) == len(spans) + sum(not span.is_open for span in spans.values()) + len(others)
    known = set()
    for event in events:
        assert event.get("parent_event_id") in {None, *known}
        known.add(event["event_id"])


def test_they_are_a_trace_that_opens(tmp_path):
    """Nothing in it has to be repaired."""
    path = tmp_path / "made.jsonl"
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in make_events([AGENT, CALL, TOOL])))
    trace = open_trace(path)
    assert [event["event_type"] for event in trace.events()][::5] == [
        "agent_execution_start",
        "agent_execution_end",
    ]
    assert (trace.problems.total, trace.lost) == (0, 0)


@pytest.mark.parametrize(
    ("name", "attributes", "facts"),
    [
        (
            "execute_tool search",
            {
                "gen_ai.tool.call.arguments": '{"q": 1}',
                "gen_ai.tool.call.id": "c1",
                "gen_ai.tool.call.result": "7",
            },
            SpanFacts(
                "tool", "search", inputs={"arguments": {"q": 1}, "call_id": "c1"}, outputs={"result": 7}
            ),
        ),
        (
            "RunnableLambda",
            {
                "openinference.span.kind": "CHAIN",
                "input.value": "in",
                "output.value": '{"out": 1}',
                "session.id": "s",
            },
            SpanFacts("chain", "RunnableLambda", inputs={"input": "in"}, outputs={"out": 1}, session_id="s"),
        ),
        (
            "ChatOpenAI",
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-4o",
                "llm.token_count.prompt": 5,
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "hi",
                "output.value": "hello",
            },
            SpanFacts(
                "model",
                "gpt-4o",
                inputs={
                    "model": "gpt-4o",
                    "messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
                },
                outputs={"text": "hello"},
                usage={"input_tokens": 5},
            ),
        ),
    ],
)
def test_the_facts_of_a_span_are_read_from_its_attributes(name, attributes, facts):
    """By each of the conventions."""
    meaning = conventions.interpret(name, attributes)
    assert read_span(meaning, attributes) == facts


def test_spans_that_an_sdk_exports_become_a_trace():
    """With the SDK's ids, parents, times and attributes as they are."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("loom")
    current = tracer.start_as_current_span
    with current("invoke_agent ada"), current("execute_tool search") as span:
        span.set_attribute("gen_ai.tool.call.arguments", '{"q": "x"}')
    spans = []
    for exported in (json.loads(span.to_json()) for span in exporter.get_finished_spans()):
        facts = read_span(
            conventions.interpret(exported["name"], exported["attributes"]), exported["attributes"]
        )
        spans.append((facts, exported))
    made = [
        SpanFacts(
            facts.kind,
            facts.name,
            exported["context"]["span_id"],
            exported["parent_id"],
            inputs=facts.inputs,
        )
        for facts, exported in reversed(spans)
    ]
    assert [(event["event_type"], event["component_name"]) for event in make_events(made)] == [
        ("agent_execution_start", "ada"),
        ("tool_call_start", "search"),
        ("tool_call_end", "search"),
        ("agent_execution_end", "ada"),
    ]
