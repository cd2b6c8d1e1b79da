import json

import pytest

from namel3ss_debug.analysis.analyzer import TraceAnalyzer


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


def test_calls_that_tell_no_tokens_are_counted_by_model(recording, resources):
    """One that ended well is; one that failed took none."""
    call(recording, 0, model="known", cost_estimate=0.1)
    recording.span("llm", "silent", 1, 2)
    recording.span("llm", "silent", 3, 4, status="failed", error="429")
    tokens = resources(recording)["tokens"]
    assert (tokens["calls_without_usage"], tokens["without_usage_by_model"]) == (1, {"silent": 1})


def test_a_price_stands_in_for_what_a_call_does_not_tell(recording, resources, own_prices):
    """10 in, 4 of them from the cache, and 5 out at $1, $0.50 and $2 per million: 6 + 2 + 10 millionths of a dollar."""
    own_prices({"gpt*": {"input": 1, "cache_read": 0.5, "output": 2}, "*": None})
    agent = recording.start("agent", "root", 0)
    call(recording, 1, agent, cost_estimate=0.25)
    call(recording, 2, agent)
    call(recording, 3, agent, model="gpt-next", outputs={"response_model": "other"})
    call(recording, 4, agent, model="asked", outputs={"response_model": "gpt-5"})
    call(recording, 5, agent, model="new")
    recording.end(agent, 6, tokens_used=75)
    assert resources(recording)["cost"] == {
        "total": 0.250054,
        "calls_with_price": 4,
        "calls_without_price": 1,
        "priced_by": {"recorded": 1, "settings": 3},
        "without_price_by_model": {"new": 1},
        "by_model": {"asked": 0.000018, "gpt": 0.250018, "gpt-next": 0.000018, "new": None},
        "by_agent": {"root": 0.250054},
        "by_tool": {},
    }


def test_costs_of_an_agent_alone_are_recorded_ones(recording, resources):
    """Without model calls, the source is whoever stated the sum."""
    recording.span("agent", "root", 0, 1, tokens_used=15, cost_estimate=0.1)
    assert resources(recording)["cost"]["priced_by"] == {"recorded": 1}


def test_who_is_paid_is_told_by_the_start(recording, resources):
    """The same model name costs what the provider takes that was asked."""
    pytest.importorskip("genai_prices")
    for at, url in enumerate(("https://api.deepseek.com/v1/chat", "https://api.openai.com/v1/chat")):
        start = recording.start(
            "llm", "deepseek-chat", at, metadata={"provider": "openai", "exchange": {"url": url}}
        )
        recording.end(start, at + 0.5, usage={"input_tokens": 10, "output_tokens": 5})
    cost = resources(recording)["cost"]
    assert (cost["calls_with_price"], cost["calls_without_price"]) == (1, 1)


def test_the_sum_by_component_is_the_same(recording, analysed, own_prices):
    """Both sections ask the same prices."""
    own_prices({"gpt": {"input": 0.3, "output": 0.7}})
    call(recording, 1)
    call(recording, 2, cost_estimate=0.1)
    found = analysed(recording.events)
    total = found["resource_usage"]["cost"]["total"]
    assert (
        total
        == found["component_breakdown"]["llm"]["cost"]
        == found["execution_overview"]["cost"]
        == 0.1000065
    )
    assert found["execution_overview"]["priced_by"] == {"recorded": 1, "settings": 1}


def test_memory_is_told_from_first_to_last(recording, resources):
    """Start, end and peak are those in the order of the trace, whoever recorded them."""
    recording.add("resource_sample", 0, memory_usage_mb=50.5)
    start = recording.start("tool", "t", 1)
    recording.add("resource_sample", 2, memory_usage_mb=90.0)
    recording.end(start, 3, memory_usage_mb=60.25)
    memory = resources(recording)["memory"]
    figures = ("samples", "start_mb", "end_mb", "peak_mb", "peak_number")
    assert [memory[name] for name in figures] == [3, 50.5, 60.25, 90.0, 3]


def test_cpu_is_that_of_the_spans_at_the_top(recording, resources):
    """Inner spans are part of the outer ones; without any, nothing is known."""
    assert resources(recording)["cpu_ms"] is None
    root = recording.start("agent", "root", 0)
    recording.span("tool", "t", 1, 2, root, cpu_time_ms=3.0)
    recording.end(root, 3, cpu_time_ms=4.5)
    assert resources(recording)["cpu_ms"] == 4.5


def test_http_exchanges_and_the_cost_of_tracing_add_up(recording, resources):
    """Bytes of exchanges, and what two processes say that tracing cost."""
    exchange = {"url": "https://me@api.test:8080/v1?q=1", "request_bytes": 5, "response_bytes": 70}
    recording.span("http", "GET", 0, 1, metadata={"exchange": exchange})
    recording.span("http", "GET", 1, 2, status="failed")
    for _ in range(2):
        told = {"events": 2, "bytes": 10, "tracing_us": 1000.5, "dropped": 1, "problems": {"odd": 2}}
        recording.add("trace_end", 4, metadata=told)
    found = resources(recording)
    one = {"exchanges": 1, "errors": 0, "request_bytes": 5, "response_bytes": 70}
    assert found["http"] == {**one, "exchanges": 2, "errors": 1, "by_host": {"api.test:8080": one}}
    assert found["tracing"] == {
        "processes": 2,
        "events": 4,
        "bytes": 20,
        "dropped": 2,
        "tracing_us": 2001.0,
        "share_of_wall": 0.00050025,
        "problems": {"odd": 4},
    }


def test_what_tracing_took_has_no_share_of_a_run_whose_beginning_is_gone(recording, tmp_path):
    """It is told of the whole run, and how long that was is not known any more."""
    recording.span("tool", "t", 1, 2)
    recording.add("trace_end", 4, metadata={"events": 9, "bytes": 10, "tracing_us": 1000.5})
    for suffix, share in (("", 0.00033350), (".s3", None)):
        events = [event | {"seq": event["seq"] + (6 if suffix else 0)} for event in recording.events]
        path = tmp_path / f"run{suffix}.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        found = TraceAnalyzer(path, sections=["resource_usage"]).analyze()["resource_usage"]["tracing"]
        assert (found["tracing_us"], found["share_of_wall"]) == (1000.5, share)
        path.unlink()


def test_tools_and_turns_hold_all_that_ran_inside(recording, resources):
    """An agent that a tool calls claims its calls, and still the tool and the turn around it tell them."""
    outer = recording.start("agent", "outer", 0)
    turn = recording.start("agent", "turn 1", 1, outer, kind="agent_turn")
    call(recording, 1, turn)
    tool = recording.start("tool", "ask", 2, turn)
    inner = recording.start("agent", "inner", 3, tool)
    call(recording, 4, inner, cost_estimate=0.5)
    recording.end(inner, 6)
    recording.end(tool, 7, tokens_used=15)
    recording.end(turn, 8)
    recording.end(outer, 9)
    recording.span("tool", "priced", 10, 11, tokens_used=7, cost_estimate=0.25)
    found = resources(recording)
    tokens = found["tokens"]
    assert {name: row["total"] for name, row in tokens["by_agent"].items()} == {"inner": 15, "outer": 15}
    assert {name: row["total"] for name, row in tokens["by_tool"].items()} == {"ask": 15, "priced": 7}
    assert found["cost"]["by_tool"] == {"ask": 0.5, "priced": 0.25}
    [row] = found["turns"]["listed"]
    assert (row["number"], row["component_name"], row["calls"], row["total"]) == (2, "turn 1", 2, 30)
    assert tokens["cached_share"] == 0.4


def test_a_tool_that_runs_inside_itself_holds_each_call_once(recording, analysed):
    """Its tokens are never more than those of the run, however deep it calls itself, and through what."""
    outer = recording.start("tool", "research", 0)
    recording.span("llm", "m", 1, 2, outer, usage={"input_tokens": 1, "output_tokens": 0}, cost_estimate=0.5)
    for at in (3, 6):
        agent = recording.start("agent", "Helper", at, outer)
        other = recording.start("tool", "ask", at, agent)
        inner = recording.start("tool", "research", at, other)
        recording.span("llm", "m", at, at + 1, inner, usage={"input_tokens": 10, "output_tokens": 0})
        recording.end(inner, at + 2)
        recording.end(other, at + 2)
        recording.end(agent, at + 2)
    recording.end(outer, 9)
    found = analysed(recording.events, ["resource_usage"])["resource_usage"]
    assert found["tokens"]["total"] == 21
    assert {name: row["total"] for name, row in found["tokens"]["by_tool"].items()} == {
        "ask": 20,
        "research": 21,
    }
    assert found["cost"]["by_tool"]["research"] == 0.5


def test_files_are_summed_by_path_and_the_slowest_comes_first(recording, resources):
    """Their sums, and the time that the run waited for them as a share of its wall time."""
    for at, (name, read, written, took) in enumerate(
        [("a", 5, 0, 0.5), ("b", 0, 8, 100.0), ("a", 7, 0, 0.25)]
    ):
        counts = {"bytes_read": read, "bytes_written": written, "reads": 1, "writes": 2, "io_ms": took}
        recording.add("file_access", at / 2, component="file", component_name=name, metadata=counts)
    section = resources(recording)
    files = section["files"]
    assert (files["count"], files["opens"], files["bytes_read"], files["io_ms"]) == (2, 3, 12, 100.75)
    assert [row["component_name"] for row in files["listed"]] == ["b", "a"]
    assert files["listed"][1] == {
        "component_name": "a",
        "opens": 2,
        "reads": 2,
        "writes": 4,
        "bytes_read": 12,
        "bytes_written": 0,
        "io_ms": 0.75,
    }
    waited = {"count": 3, "measured": 3, "wait_ms": 100.75, "share_of_wall": 0.10075}
    assert section["io_wait"] == {"files": waited}


def test_waiting_is_the_self_time_without_the_time_of_the_processor(recording, resources):
    """A tool does not wait for what runs inside it; where no CPU time was recorded, waiting is not known."""
    tool = recording.start("tool", "search", 0)
    recording.span("http", "GET", 0, 1, tool, cpu_time_ms=100.0)
    recording.end(tool, 2, cpu_time_ms=400.0)
    recording.span("llm", "gpt", 2, 4)
    recording.span("chain", "own", 4, 5, cpu_time_ms=0.0)
    assert resources(recording)["io_wait"] == {
        "llm": {"count": 1, "measured": 0, "wait_ms": None, "share_of_wall": None},
        "http": {"count": 1, "measured": 1, "wait_ms": 900.0, "share_of_wall": 0.18},
        "tool": {"count": 1, "measured": 1, "wait_ms": 700.0, "share_of_wall": 0.14},
    }
