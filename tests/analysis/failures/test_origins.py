"""Origins on whole traces: edge cases, the law of cutting, and the labelled runs."""

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.analysis.failures.origins import MODEL_TAIL, MOST_TRACED, TAIL

LABELLED = Path(__file__).parents[2] / "data" / "labelled"
BAD = {"status": "failed", "error": "there is no city 'Pari'", "error_type": "ValueError"}
ASK = {"tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Pari"}}]}
READ = {"messages": [{"role": "user", "parts": [{"type": "text", "content": "Paris?"}]}]}


@pytest.fixture(scope="module")
def labelled():
    """The reader of labelled runs."""
    spec = importlib.util.spec_from_file_location("labelled_runs", LABELLED / "labelled_runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def busy_run(recording):
    """A run with failures, weak ones, retries, money and spans of all lengths."""
    agent = recording.start("agent", "root", 0)
    for at in range(0, 40, 5):
        model = recording.start("llm", "gpt", at + 1, agent, inputs=READ)
        slow = recording.start("tool", "slow", at + 1, agent, inputs={"arguments": {"n": at}})
        recording.end(
            model, at + 2, outputs=ASK, usage={"input_tokens": 9, "output_tokens": 1}, cost_estimate=0.25
        )
        tool = recording.start(
            "tool", "weather", at + 2, agent, inputs={"arguments": {"city": "Pari"}, "call_id": "c1"}
        )
        recording.end(tool, at + 3, **BAD)
        recording.end(slow, at + 4, outputs={"result": f"Error: number {at} is too much"})
        recording.add(
            "log_record", at + 4, component="log", metadata={"level": "error", "message": f"lost {at} things"}
        )
    recording.end(agent, 50, status="failed", error="gave up")
    return recording.events


PAYLOADS = st.recursive(
    st.sampled_from(
        ["", "Error: bad", "no city 'A-1029'", '{"error": 1}', "\ud800", 0, -5, 10**30, 2.5, True, None]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["result", "arguments", "messages", "role", "parts", "content", "tool_calls", "name", "id"]
            )
            | st.sampled_from(
                [
                    "call_id",
                    "finish_reason",
                    "error",
                    "ok",
                    "status",
                    "exit_code",
                    "count",
                    "level",
                    "message",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_payloads_of_any_shape_have_origins(traces, analysed, data):
    """Whatever stands in inputs and outputs, the section is JSON."""
    events = data.draw(traces)
    for event in events:
        key = "inputs" if event["event_type"].endswith("_start") else "outputs"
        event[key] = {
            data.draw(st.sampled_from(["result", "messages", "arguments", "tool_calls"])): data.draw(PAYLOADS)
        }
    assert json.dumps(analysed(events, ["errors"]), allow_nan=False)


def test_the_impact_is_what_came_after(busy_run, analysed):
    """Tokens and money of the calls after the failure, spans failed with it, and how often it came again."""
    found = analysed(busy_run, ["errors"])["errors"]
    first = found["failures"][0]
    assert first["impact"] == {
        "spans_failed": 1,
        "open_spans": 0,
        "attempts": 1,
        "repeated": 7,
        "dependents_failed": 0,
        "time_after_ms": 47_000.0,
        "tokens_after": 70,
        "cost_after": 1.75,
    }
    assert (first["after_ms"], first["duration_ms"], found["first_failure_ms"]) == (3000.0, 1000.0, 3000.0)
    assert len({failure["fingerprint"] for failure in found["failures"]}) == 2


def test_weak_failures_are_counted_apart(busy_run, analysed):
    """An output and a log record that tell of an error are no errors."""
    found = analysed(busy_run, ["errors"])["errors"]
    assert (found["total_errors"], found["weak_errors"]) == (9, 16)
    assert found["failed_spans"] == 9
    output, log = found["weak_failures"][:2]
    assert (output["number"], output["source"], output["confidence"], output["weak"]) == (
        3,
        "output",
        0.85,
        True,
    )
    assert (log["source"], log["confidence"], log["error"]) == ("log", 0.5, "lost 0 things")


def test_a_log_record_of_a_failure_is_not_told_again(recording, analysed):
    """Nor is the output of a span that repeats what failed inside it."""
    outer = recording.start("tool", "outer", 0)
    recording.span("http", "api", 1, 2, outer, status="failed", error="the service is down")
    recording.add(
        "log_record",
        2,
        component="log",
        metadata={"level": "error", "message": "the service is down, really"},
    )
    recording.end(outer, 3, outputs={"result": {"error": "api: the service is down"}})
    found = analysed(recording.events, ["errors"])["errors"]
    assert (found["total_errors"], found["weak_errors"]) == (1, 0)


def test_what_retries_cost(recording, analysed):
    """The attempts after the first, in time, tokens and money; unknown money is null."""
    first = recording.span("llm", "gpt", 0, 1, status="failed", error="429")
    recording.span(
        "llm", "gpt", 1, 3, retry_count=1, metadata={"retry_of": first}, tokens_used=12, cost_estimate=0.5
    )
    cost = analysed(recording.events, ["errors"])["errors"]["retry_cost"]
    assert cost == {"spans": 1, "duration_ms": 2000.0, "tokens": 12, "cost": 0.5, "spans_without_cost": 0}
    recording.events[-1].pop("cost_estimate")
    assert analysed(recording.events, ["errors"])["errors"]["retry_cost"]["cost"] is None


def test_the_severity_of_a_run(recording, analysed):
    """A failure that the agent survived weighs little, one that ended it much."""
    agent = recording.start("agent", "root", 0)
    for at in range(98):
        recording.span("tool", "fine", at, at + 0.5, agent)
    recording.span("tool", "bad", 98, 99, agent, status="failed", error="odd")
    recording.end(agent, 100)
    contained = analysed(recording.events, ["errors"])["errors"]
    assert (contained["severity"], contained["failures"][0]["severity"]) == (0.03, 0.3)
    recording.events[-1] |= {"status": "failed", "error": "odd"}
    assert analysed(recording.events, ["errors"])["errors"]["severity"] == 0.75


def _odd_traces(recording):
    yield "nothing", []
    recording.add("error_occurred", 0)
    yield "one event", list(recording.events)
    recording.start("tool", "t", 1)
    yield "a killed run", list(recording.events)
    recording.events[1]["timestamp"] -= 100
    recording.end("e2", -50, status="failed", duration_ms=0)
    yield "a clock that went back and no length", list(recording.events)
    yield "an end alone", [recording.events[2]]
    bare = [{"event_type": "tool_call_end", "event_id": "x", "component": "tool", "status": "failed"}]
    yield "no time at all", bare


def test_odd_traces_have_a_section(recording, analysed):
    """Empty, of one event, killed, without time or with a clock that went back: no figure is made up."""
    for name, events in _odd_traces(recording):
        found = analysed(events, ["errors"])["errors"]
        json.dumps(found, allow_nan=False)
        assert events or found["severity"] is None, name
        assert all(failure["origins"] for failure in found["failures"]), name


def test_among_ten_thousand_parallel_spans_the_model_is_still_found(recording, analysed):
    """Calls of models are kept beside the last events."""
    model = recording.start("llm", "gpt", 0, inputs=READ)
    recording.end(model, 1, outputs=ASK)
    tools = [
        recording.start("tool", "weather", 2, inputs={"arguments": {"city": "Pari"}, "call_id": "c1"})
        for _ in range(10_000)
    ]
    for tool in tools[:200]:
        recording.end(tool, 3, **BAD)
    found = analysed(recording.events, ["errors"])["errors"]
    assert found["total_errors"] == 200
    assert found["failures"][0]["origins"][0]["number"] == 1
    assert found["open_span_count"] == 9800


def test_more_failures_than_are_looked_at_have_no_origins(recording, analysed):
    """They are null and not empty, for nothing is known."""
    assert MOST_TRACED >= 100
    assert MODEL_TAIL < TAIL
    recovered = {"status": "failed", "error": "busy"}
    for at in range(MOST_TRACED):
        first = recording.span("llm", "gpt", at, at + 0.1, **recovered)
        recording.span("llm", "gpt", at + 0.2, at + 0.3, retry_count=1, metadata={"retry_of": first})
    recording.span("tool", "t", 900, 901, status="failed", error="odd")
    (failure,) = analysed(recording.events, ["errors"])["errors"]["failures"]
    assert failure["origins"] is None
    assert failure["impact"]["tokens_after"] is None


def test_the_true_step_is_among_the_origins_of_labelled_runs(labelled, analysed):
    """Most scripted faults are found; the benchmark tells how many, and what the first failed span finds."""
    runs = labelled.read(LABELLED / "otel-fault-injection")
    assert len(runs) == 8
    found = 0
    for run in runs:
        failures = analysed(run.events, ["errors"])["errors"]["failures"]
        judged = next(failure for failure in failures if failure["error"] == labelled.JUDGED)
        found += run.true_step in list(labelled.ranked_steps(run, judged["origins"]))[:3]
    assert found >= 6
