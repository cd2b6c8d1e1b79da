"""The examples: plainly run and traced they say the same, and their traces hold every model and tool call."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("openai")
pytest.importorskip("anthropic")

EXAMPLES = Path(__file__).parents[2] / "examples"

SUPPORT = """\
Customer: My order A-1001 arrived broken. Can I have my money back?
[lookup_order] {'item': 'desk lamp', 'price': 39.9, 'currency': 'EUR', 'delivered': '2025-01-03'}
[refund_policy] A full refund within 30 days of delivery.
Agent: I am sorry about the lamp. You get the full 39.90 EUR back within five days.
"""
RESEARCH = """\
Solar: Module prices fell by a fifth in 2024.
Wind: Permits take four years on average.
Storage: Batteries cover the evening peak in California.
Cheap panels meet slow permits; storage closes the gap.
"""
FAILING = """\
step 1: low_stock {"below":10}
step 2: find_suppliers {"sku":"SKU-204"}
step 3: unit_price {"sku":"SKU-204"}
step 4: check_budget {"amount":460.0}
step 5: delivery_day {"weekday":"Tuesday"}
step 6: place_order {"supplier":"S-00","sku":"SKU-204","pieces":40}
"""
WEATHER = "A coat for Oslo and Bergen, a shirt for Lisbon.\n"
REASON = "ValueError: there is no supplier 'S-00' to order 40 pieces of SKU-204 from\n"

# file, status, stdout, end of stderr
RUNS = [
    ("support_agent.py", 0, SUPPORT, ""),
    ("research_agent.py", 0, RESEARCH, ""),
    ("failing_agent.py", 1, FAILING, REASON),
    ("weather_agent.py", 0, WEATHER, ""),
]


def run(*words, cwd):
    """Run one command to its end; no key and no proxy of this environment reaches it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "ANTHROPIC"))}
    return subprocess.run(
        words,
        check=False,
        cwd=cwd,
        env=kept | {"HTTP_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def debug(*words, cwd):
    """Run a command of the debugger."""
    starter = "import sys; from namel3ss_debug.cli.main import namel3ss; sys.argv[0] = 'namel3ss'; namel3ss()"
    return run(sys.executable, "-c", starter, "debug", *words, cwd=cwd)


def trace(example, folder):
    """Trace an example; gives the finished process and the events of the recording."""
    file = folder / "run.jsonl"
    done = debug("trace", "-o", str(file), str(EXAMPLES / example), cwd=folder)
    return done, [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def plain():
    """A function from the name of an example to its finished run without the debugger; each is run once."""
    return functools.cache(
        lambda example: run(sys.executable, "-W", "error", str(EXAMPLES / example), cwd="/")
    )


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A function from the name of an example to its traced run; each is run once."""
    return functools.cache(lambda example: trace(example, tmp_path_factory.mktemp("traced")))


def of_type(events, event_type):
    """The events of one type."""
    return [event for event in events if event["event_type"] == event_type]


@pytest.mark.parametrize(("example", "status", "stdout", "reason"), RUNS)
def test_plain_run(example, status, stdout, reason, plain):
    """An example runs without a key, without a network and without the debugger, and says the same each time."""
    done = plain(example)
    assert (done.stdout, done.returncode) == (stdout, status)
    assert done.stderr.endswith(reason)
    assert bool(done.stderr) == bool(reason)


@pytest.mark.parametrize("example", [row[0] for row in RUNS])
def test_traced_run_says_the_same(example, plain, traced):
    """Traced, an example has the output, the error output and the exit status that it has without the debugger.

    The debugger adds one line of its own at the end, and nothing went wrong inside it.
    """
    done, events = traced(example)
    said, _, ours = done.stderr.rpartition("namel3ss debug: recorded ")
    assert (done.stdout, done.returncode, said) == (
        plain(example).stdout,
        plain(example).returncode,
        plain(example).stderr,
    )
    assert ours.startswith(f"{len(events)} events")
    assert (events[0]["event_type"], events[-1]["event_type"]) == ("trace_start", "trace_end")
    assert events[-1]["metadata"]["problems"] == {}


def test_support_agent_is_recorded(traced):
    """The trace holds the refused attempt, its retry, both tools with their call sites, and the final answer."""
    events = traced("support_agent.py")[1]
    starts, ends = of_type(events, "llm_call_start"), of_type(events, "llm_call_end")
    assert [event["component_name"] for event in starts] == ["gpt-4o-mini"] * 4
    assert [event["status"] for event in ends] == ["failed", "completed", "completed", "completed"]
    assert [event.get("retry_count", 0) for event in starts] == [0, 1, 0, 0]
    assert starts[1]["metadata"]["retry_of"] == starts[0]["event_id"]
    assert ends[1]["outputs"]["tool_calls"][0]["arguments"] == {"order_id": "A-1001"}
    assert ends[3]["outputs"]["text"] == SUPPORT.rpartition("Agent: ")[2].rstrip("\n")
    assert all("support_agent.py:" in event["call_site"] for event in starts)
    tools = [
        (event["component_name"], event["inputs"]["arguments"])
        for event in of_type(events, "tool_call_start")
    ]
    assert tools == [("lookup_order", {"order_id": "A-1001"}), ("refund_policy", {"reason": "damaged"})]
    results = [event["outputs"]["result"] for event in of_type(events, "tool_call_end")]
    assert results == [
        {"item": "desk lamp", "price": 39.9, "currency": "EUR", "delivered": "2025-01-03"},
        "A full refund within 30 days of delivery.",
    ]


def test_research_agent_is_recorded(traced):
    """The trace holds seven model calls of which four were streamed, and the three searches in their own tasks."""
    events = traced("research_agent.py")[1]
    starts = of_type(events, "llm_call_start")
    assert len(starts) == len(of_type(events, "llm_call_end")) == 7
    assert sum(bool(event["inputs"]["params"].get("stream")) for event in starts) == 4
    searches = of_type(events, "tool_call_start")
    asked = Counter(event["inputs"]["arguments"]["topic"] for event in searches)
    assert asked == {"solar": 1, "wind": 1, "storage": 1}
    assert len({event["task"] for event in searches}) == 3
    texts = {event["outputs"].get("text") for event in of_type(events, "llm_call_end")}
    assert set(RESEARCH.splitlines()) <= texts


def test_failing_agent_is_recorded(traced):
    """The trace holds the empty result of step 2 and the tool that raised at step 6, with its error."""
    events = traced("failing_agent.py")[1]
    ends = of_type(events, "tool_call_end")
    names = {event["event_id"]: event["component_name"] for event in of_type(events, "tool_call_start")}
    assert [names[event["parent_event_id"]] for event in ends] == [
        line.split()[2] for line in FAILING.splitlines()
    ]
    assert ends[1]["outputs"]["result"] == []
    assert [event["status"] for event in ends] == ["completed"] * 5 + ["failed"]
    assert (ends[5]["error_type"], ends[5]["error"]) == tuple(REASON.rstrip("\n").split(": ", 1))


def test_weather_agent_runs_again_with_frost(tmp_path):
    """What is asked after the mock differs by it alone, although the model has another port in each run."""
    trace("weather_agent.py", tmp_path)
    again = debug("rerun", "run.jsonl", "--mock", 'get_weather:{"temp_c": -30}', cwd=tmp_path)
    assert again.returncode == 1
    assert again.stdout.endswith(WEATHER)
    assert "The re-run is not verified: 1 stale model call." in again.stderr
    assert "1 as recorded, 1 unverified, 3 by your overrides" in again.stderr
