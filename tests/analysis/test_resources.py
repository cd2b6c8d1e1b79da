import pytest


@pytest.fixture
def resources(analysed):
    """The section `resource_usage` of a recording."""

    def resources(recording):
        return analysed(recording.events, ["resource_usage"])["resource_usage"]

    return resources


def call(recording, begin, parent=None, model="gpt", **fields):
    """A model call with a usage of fifteen tokens."""
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 4, "reasoning_tokens": 2}
    return recording.span("llm", model, begin, begin + 1, parent, usage=usage, **fields)


def test_calls_belong_to_the_nearest_agent(recording, resources):
    """An inner agent's calls are its own and not the outer one's; turns and chains are passed through."""
    outer = recording.start("agent", "outer", 0)
    turn = recording.start("agent", "turn 1", 1, outer, kind="agent_turn")
    call(recording, 2, turn)
    inner = recording.start("agent", "inner", 3, turn)
    step = recording.start("chain", "step", 4, inner)
    call(recording, 5, step)
    call(recording, 6, step)
    recording.end(step, 7)
    recording.end(inner, 8)
    recording.end(turn, 9)
    recording.end(outer, 10)
    call(recording, 11)
    tokens = resources(recording)["tokens"]
    assert {name: row["total"] for name, row in tokens["by_agent"].items()} == {"outer": 15, "inner": 30}
    assert tokens["total"] == 60
    assert (tokens["cache_read_tokens"], tokens["reasoning_tokens"]) == (16, 8)


def test_a_killed_agent_keeps_what_its_calls_used(recording, resources):
    """Agents that never ended are credited as well."""
    agent = recording.start("agent", "root", 0)
    step = recording.start("chain", "step", 0, agent)
    call(recording, 1, step)
    assert resources(recording)["tokens"]["by_agent"]["root"]["total"] == 15


def test_sums_of_an_agent_are_not_added_to_its_calls(recording, resources):
    """LLM calls speak for the totals; where there are none, an agent's own word counts."""
    agent = recording.start("agent", "root", 0)
    call(recording, 1, agent, cost_estimate=0.1)
    recording.end(agent, 2, tokens_used=15, cost_estimate=0.1)
    found = resources(recording)
    assert (found["tokens"]["total"], found["tokens"]["source"], found["cost"]["total"]) == (15, "llm", 0.1)
    del recording.events[1:3]
    found = resources(recording)
    assert (found["tokens"]["total"], found["tokens"]["source"], found["cost"]["total"]) == (15, "agent", 0.1)


def test_an_unknown_price_is_null_and_counted(recording, resources):
    """The total is of the known prices; a refused call has none and misses none."""
    call(recording, 0, model="known", cost_estimate=0.1)
    call(recording, 1, model="known", cost_estimate=0.2)
    call(recording, 2, model="new")
    recording.span("llm", "known", 3, 4, status="failed", error="429")
    cost = resources(recording)["cost"]
    assert cost["total"] == 0.3
    assert cost["by_model"] == {"known": 0.3, "new": None}
    assert (cost["calls_with_price"], cost["calls_without_price"]) == (2, 1)


def test_memory_is_told_from_first_to_last(recording, resources):
    """Start, end and peak are those in the order of the trace, whoever recorded them."""
    recording.add("resource_sample", 0, memory_usage_mb=50.5)
    start = recording.start("tool", "t", 1)
    recording.add("resource_sample", 2, memory_usage_mb=90.0)
    recording.end(start, 3, memory_usage_mb=60.25)
    assert resources(recording)["memory"] == {
        "samples": 3,
        "start_mb": 50.5,
        "end_mb": 60.25,
        "peak_mb": 90.0,
        "peak_number": 3,
    }


def test_cpu_is_that_of_the_spans_at_the_top(recording, resources):
    """Inner spans are part of the outer ones; without any, nothing is known."""
    assert resources(recording)["cpu_ms"] is None
    root = recording.start("agent", "root", 0)
    recording.span("tool", "t", 1, 2, root, cpu_time_ms=3.0)
    recording.end(root, 3, cpu_time_ms=4.5)
    assert resources(recording)["cpu_ms"] == 4.5


def test_http_exchanges_and_the_cost_of_tracing_add_up(recording, resources):
    """Bytes of exchanges, and what two processes say that tracing cost."""
    recording.span("http", "GET", 0, 1, metadata={"exchange": {"request_bytes": 5, "response_bytes": 70}})
    recording.span("http", "GET", 1, 2, status="failed")
    for _ in range(2):
        told = {"events": 2, "bytes": 10, "tracing_us": 1000.5, "dropped": 1, "problems": {"odd": 2}}
        recording.add("trace_end", 4, metadata=told)
    found = resources(recording)
    assert found["http"] == {"exchanges": 2, "errors": 1, "request_bytes": 5, "response_bytes": 70}
    assert found["tracing"] == {
        "processes": 2,
        "events": 4,
        "bytes": 20,
        "dropped": 2,
        "tracing_us": 2001.0,
        "share_of_wall": 0.00050025,
        "problems": {"odd": 4},
    }
