"""What a call costs by its price, wherever it is shown."""

from __future__ import annotations

import json

import pytest

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
        ["replay"],
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


def test_calls_without_a_price_are_counted(run, calls):
    """Beside the cost, and as a number for programs."""
    told = "$0.0220  (1 call of unknown cost)"
    assert told in run("replay", calls).stdout
    assert told in run("replay", calls, "--step", "-c", "goto end", "-c", "info totals").stdout
    statistics = json.loads(run("replay", calls, "--format", "jsonl").stdout.splitlines()[-1])
    assert (statistics["cost"], statistics["calls_without_price"]) == (0.022, 1)
