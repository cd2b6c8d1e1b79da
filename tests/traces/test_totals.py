"""What a recording has come to at one event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug import prices
from namel3ss_debug.prices.own import OwnPrices
from namel3ss_debug.traces.totals import RunningTotals, Totals, is_failure


@given(st.lists(st.sampled_from([0.1, 0.25, 1e-9, None]), max_size=30), st.integers(0, 30))
def test_totals_do_not_depend_on_where_one_begins_to_add(costs, cut):
    """Totals taken up at any event and carried on are those of one pass, to the last digit."""
    events = [
        {"event_type": "llm_call_end", "component": "llm", "cost_estimate": c, "timestamp": 1.5}
        for c in costs
    ]
    whole = part = Totals()
    for event in events:
        whole = whole.add(event)
    for event in events[:cut]:
        part = part.add(event)
    for event in events[cut:]:
        part = Totals(*part).add(event)
    assert part == whole


def test_time_held_at_a_prompt_is_no_time_of_the_run():
    """What a debugger held before an event is taken out of its time."""
    totals = Totals()
    for event in (
        {"timestamp": 10.0},
        {"timestamp": 14.5, "paused_before_ms": 3000},
        {"timestamp": "?", "paused_before_ms": 1},
    ):
        totals = totals.add({"event_type": "decision"} | event)
    assert totals.ms == 1500


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ({"event_type": "tool_call_end", "status": "failed"}, True),
        ({"event_type": "tool_call_end", "status": "timeout"}, True),
        ({"event_type": "tool_call_end", "error": "x"}, True),
        ({"event_type": "tool_call_end", "status": "completed", "error": "x"}, False),
        ({"event_type": "error_occurred"}, True),
        ({"event_type": "tool_call_start", "status": "started"}, False),
    ],
)
def test_what_counts_as_a_failure(event, failure):
    """A failed end and a reported error are failures; a start is not."""
    assert is_failure(event) is failure


def test_containers_add_nothing_to_the_totals():
    """An agent that tells the sum of its calls does not make them count twice."""
    totals = Totals()
    for component in ("llm", "agent", "chain"):
        totals = totals.add(
            {"event_type": f"{component}_end", "component": component, "tokens_used": 5, "cost_estimate": 0.5}
        )
    totals = totals.add(
        {"event_type": "llm_call_end", "component": "llm", "usage": {"input_tokens": 2, "output_tokens": 1}}
    )
    assert totals.scope() == {"cost": 0.5, "tokens": 8, "errors": 0, "ms": 0.0}


@pytest.fixture
def calls():
    """Three model calls, in the order of their events: one that tells its cost, one that has a price, one that has none."""
    usage = {"input_tokens": 100, "output_tokens": 10}
    return [
        {"event_type": "llm_call_start", "component": "llm", "event_id": "1", "metadata": {"provider": "openai"}},
        {"event_type": "llm_call_start", "component": "llm", "event_id": "2", "metadata": {"provider": "openai"}},
        {"event_type": "llm_call_end", "component": "llm", "component_name": "a", "parent_event_id": "1", "usage": usage, "cost_estimate": 0.5},
        {"event_type": "llm_call_end", "component": "llm", "component_name": "a", "parent_event_id": "2", "usage": usage},
        {"event_type": "llm_call_end", "component": "llm", "component_name": "b", "parent_event_id": "3", "usage": usage},
        {"event_type": "llm_call_end", "component": "llm", "component_name": "a", "status": "failed", "error": "429"},
    ]  # fmt: skip


def test_a_call_that_tells_no_cost_has_that_of_its_tokens(calls, own_prices):
    """$3 and $15 per million tokens: 100 and 10 of them are $0.00045; calls nobody knows the price of are counted."""
    own_prices({"a": {"input": 3, "output": 15}, "*": None})
    running = RunningTotals()
    for event in calls:
        running.add(event)
    assert (running.totals().cost, running.tokens, running.unpriced) == (0.50045, 330, 1)


def test_the_start_of_a_call_says_who_is_paid(monkeypatch):
    """However many chunks come before its end, and whichever of two starts with the same model it belongs to."""
    asked = []
    monkeypatch.setattr(prices, "find_price", lambda provider, *_, **__: asked.append(provider))
    running = RunningTotals()
    for each in ("openai", "azure.ai.openai"):
        running.add({"event_type": "llm_call_start", "component": "llm", "event_id": each, "metadata": {"provider": each}})  # fmt: skip
    for kind in ("stream_chunk", "llm_call_end"):
        for each in ("openai", "azure.ai.openai", "lost"):
            event = {"event_type": kind, "component": "llm", "component_name": "m", "parent_event_id": each}
            running.add(event | {"usage": {"input_tokens": 1}} if kind == "llm_call_end" else event)
    assert (asked, running.unpriced) == (["openai", "azure.ai.openai", None], 3)


@given(cut=st.integers(0, 6))
def test_priced_totals_do_not_depend_on_where_one_begins_to_add(cut):
    """The cost of a call is told by its end, wherever the totals of the events before it were taken up."""
    usage = {"input_tokens": 7, "output_tokens": 3}
    events = [
        {"event_type": f"llm_call_{half}", "component": "llm", "component_name": "a", "event_id": str(n), "parent_event_id": str(n - 1), "usage": usage}
        for n, half in enumerate(["start", "end"] * 3)
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prices, "_own", OwnPrices({"a": {"input": 0.1, "output": 0.3}}))
        running, part = RunningTotals(), Totals()
        for event in events:
            running.add(event)
        for event in events[:cut]:
            part = part.add(event)
        resumed = RunningTotals(part)
        for event in events[cut:]:
            resumed.add(event)
    assert resumed.totals() == running.totals() == Totals(3 * (7 * 100_000 + 3 * 300_000), 30)
