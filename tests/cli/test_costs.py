"""What a call costs by its price, wherever it is shown."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug import ExecutionReplayer

PRICES = {"prices": {"house": {"input": 2, "output": 10}, "other": None}}
USAGE = {"input_tokens": 1000, "output_tokens": 2000}
START = {"event_type": "llm_call_start", "component": "llm", "timestamp": 100.0}
END = {
    "event_type": "llm_call_end",
    "component": "llm",
    "timestamp": 101.0,
    "usage": USAGE,
    "tokens_used": 3000,
}


@pytest.fixture
def calls(workspace):
    """A recording of a call that has a price by the settings, $0.022, and of one that has none."""
    (workspace / ".namel3ss").mkdir(exist_ok=True)
    (workspace / ".namel3ss/debug.json").write_text(json.dumps(PRICES))
    events = []
    for name in ("house", "other"):
        call = {"component_name": name}
        events.append(START | call | {"event_id": name, "metadata": {"provider": "openai"}})
        events.append({"event_type": "stream_chunk", "component": "llm", "parent_event_id": name})
        events.append(END | call | {"parent_event_id": name})
    path = workspace / "calls.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["inspect"],
        ["inspect", "--chunks"],
        ["inspect", "--tree"],
        ["inspect", "--llm", "house"],
        ["inspect", "--where", "n == 3"],
        ["inspect", "--event", "3"],
        ["replay", "--chunks"],
        ["replay", "--step", "-c", "goto 3"],
        ["replay", "--step", "-c", "goto 6", "-c", "list 3"],
        ["replay", "--step", "-c", "goto 3", "-c", "info totals"],
        ["replay", "--step", "-c", "goto 6", "-c", "info cost"],
        ["replay", "--step", "-c", "break if totals.cost > 0.02", "-c", "continue"],
        ["analyze"],
    ],
)
def test_the_cost_is_the_same_wherever_it_is_shown(run, calls, command):
    """In the line of the call, in the tree, at a stop, in the totals, and in the report."""
    name, *options = command
    assert "$0.0220" in run(name, calls, *options).stdout


@pytest.mark.parametrize(
    ("asked", "found"), [("cost > 0.02", [3]), ("cost_estimate == 0.022", [3]), ("cost > 0.03", [])]
)
def test_an_expression_reads_the_cost_that_is_shown(run, calls, asked, found):
    """So do conditions of breakpoints, forwards and backwards, and of the library; nothing is recorded of it."""
    rows = run("inspect", calls, "--where", asked, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(row)["parent_event_id"] for row in rows] == ["house"] * len(found)
    for way in (["continue"], ["goto end", "reverse-continue"]):
        words = [word for command in (f"break llm if {asked}", *way) for word in ("-c", command)]
        assert ("breakpoint 1, llm" in run("replay", calls, *words).stdout) == bool(found)
    replayer = ExecutionReplayer(calls, breakpoints=[f"llm if {asked}"])
    assert [item.number for item in replayer if item.breakpoint] == found
    rule = json.dumps({"assert": f"not ({asked})", "on": "event"})
    assert run("check", calls, "--rule", rule).exit_code == len(found)


def test_the_cost_is_printed_and_watched(run, calls):
    """At the end of a call it is that of its tokens, and before there is none."""
    words = [
        word
        for command in ("watch cost", "continue", "p cost", "goto 6", "p cost")
        for word in ("-c", command)
    ]
    shown = run("replay", calls, *words).stdout.splitlines()
    assert "watch 1, cost: null -> 0.022" in shown
    assert (shown[-3], shown[-1]) == ("0.022", "null")


def test_calls_without_a_price_are_counted(run, calls):
    """Beside the cost, and as a number for programs."""
    told = "$0.0220  (1 call of unknown cost)"
    assert told in run("replay", calls, "--chunks").stdout
    assert told in run("replay", calls, "--step", "-c", "goto end", "-c", "info totals").stdout
    statistics = json.loads(run("replay", calls, "--format", "jsonl").stdout.splitlines()[-1])
    assert (statistics["cost"], statistics["calls_without_price"]) == (0.022, 1)
