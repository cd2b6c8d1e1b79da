"""What a recording has come to at one event."""

from __future__ import annotations

import pytest

from namel3ss_debug import prices
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals, is_failure


def add_up(events):
    """The totals of some events, each with the cost that the table of spans has."""
    builder, running = SpanTableBuilder(), RunningTotals()
    for event in events:
        place = builder.take(event)
        running.add(event, builder.table.cost_of(place.span))
    return running.totals()


def test_time_held_at_a_prompt_is_no_time_of_the_run():
    """What a debugger held before an event is taken out of its time."""
    events = ({"timestamp": 10.0}, {"timestamp": 14.5, "paused_before_ms": 3000})
    assert add_up({"event_type": "decision"} | event for event in events).ms == 1500


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
    events = [
        {"event_type": f"{component}_end", "component": component, "tokens_used": 5, "cost_estimate": 0.5}
        for component in ("llm", "agent", "chain")
    ]
    usage = {"input_tokens": 2, "output_tokens": 1}
    events.append({"event_type": "llm_call_end", "component": "llm", "usage": usage})
    assert add_up(events).scope() == {"cost": 0.5, "tokens": 8, "errors": 0, "ms": 0.0}


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
    totals = add_up(calls)
    assert (totals.cost, totals.tokens, totals.unpriced) == (0.50045, 330, 1)


def test_the_start_of_a_call_says_who_is_paid(monkeypatch):
    """However many chunks come before its end, and whichever of two starts with the same model it belongs to."""
    asked = []
    monkeypatch.setattr(prices, "find_price", lambda provider, *_, **__: asked.append(provider))
    events = [
        {"event_type": "llm_call_start", "component": "llm", "event_id": each, "metadata": {"provider": each}}
        for each in ("openai", "azure.ai.openai")
    ]
    for kind in ("stream_chunk", "llm_call_end"):
        for each in ("openai", "azure.ai.openai", "lost"):
            event = {"event_type": kind, "component": "llm", "component_name": "m", "parent_event_id": each}
            events.append(event | {"usage": {"input_tokens": 1}} if kind == "llm_call_end" else event)
    unpriced = add_up(events).unpriced
    assert (asked, unpriced) == (["openai", "azure.ai.openai", None], 3)
