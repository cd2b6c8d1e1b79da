"""Sums at any event, against adding the events up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug import prices
from namel3ss_debug.prices.own import OwnPrices
from namel3ss_debug.replay.debugger.outline import Outline
from namel3ss_debug.replay.debugger.running_totals import CumulativeTotals, count_calls
from namel3ss_debug.traces.costs import lacks_price, span_cost
from namel3ss_debug.traces.events import without_pauses
from namel3ss_debug.traces.facts import duration_ns, total_tokens
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals, Totals, is_failure

EVENT = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(
            [
                "tool_call_start",
                "tool_call_end",
                "llm_call_start",
                "llm_call_end",
                "decision",
                "state_change",
                "agent_turn_end",
            ]
        ),
        "event_id": st.sampled_from("abcd"),
        "component_name": st.sampled_from("xyz"),
    },
    optional={
        "parent_event_id": st.sampled_from("abcde"),
        "timestamp": st.floats(0, 4e9) | st.integers(0, 100),
        "paused_before_ms": st.floats(0, 1e6) | st.integers(0, 100),
        "duration_ms": st.floats(0, 1e6),
        "tokens_used": st.integers(0, 2**50),
        "cost_estimate": st.floats(0, 1e5),
        "usage": st.just({"input_tokens": 3, "output_tokens": 4}),
        "metadata": st.sampled_from([{"provider": "openai"}, {"provider": "anthropic"}, {}]),
        "status": st.sampled_from(["failed", "completed"]),
        "error": st.just("no"),
        "outputs": st.dictionaries(st.sampled_from("pqr"), st.integers(), max_size=3),
    },
)


def of_one_component(event):
    """The event with the component of its type; a start and its end have the same."""
    kind = event["event_type"].partition("_")[0]
    ids = {key: kind + event[key] for key in ("event_id", "parent_event_id") if key in event}
    return event | ids | {"component": kind if kind in {"tool", "llm"} else "agent"}


EVENT = EVENT.map(of_one_component)
EVENTS = st.integers(0, 30).flatmap(lambda size: st.lists(EVENT, min_size=size, max_size=size))


@pytest.fixture(autouse=True, scope="module")
def _priced():
    """Of the models here, one has a price."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prices, "_own", OwnPrices({"x": {"input": 3, "output": 15}, "*": None}))
        yield


def made(events):
    """An outline of some events, and their running totals."""
    outline, ledger = Outline(), CumulativeTotals()
    for event in events:
        ledger.add(event, outline.add(event))
    return outline, ledger


def added_up(events):
    """The calls of each component and name: (calls, failed, nanoseconds, tokens, 1e-12 dollars, priced, latest, unpriced)."""
    begun, calls = {}, {}

    def of(event):
        return calls.setdefault((event["component"], event["component_name"]), [0, 0, 0, 0, 0, False, 0, 0])

    for number, event in enumerate(map(without_pauses, events), 1):
        if event["component"] == "agent" or not event["event_type"].endswith(("_start", "_end")):
            continue
        if event["event_type"].endswith("_start"):
            begun.setdefault(event["event_id"], []).append(event)
            row = of(event)
            row[0] += 1
            row[6] = number
            continue
        starts = begun.get(event.get("parent_event_id"))
        start = starts.pop() if starts else {}
        row = of(start or event)
        if not start:
            row[0] += 1
            row[6] = number
        cost = span_cost(start, event)
        row[1] += event.get("status") == "failed" or ("status" not in event and "error" in event)
        row[2] += duration_ns(start, event) or 0
        row[3] += total_tokens(event)
        row[4] += cost.amount if cost else 0
        row[5] |= cost is not None
        row[7] += cost is None and event["component"] == "llm" and lacks_price(event)
    return calls


@given(EVENTS)
def test_totals_are_those_of_adding_up(events):
    """At every event, the totals are what adding one event after the other gives."""
    outline, ledger = made(events)
    failures = outline.failures
    builder, running = SpanTableBuilder(), RunningTotals()
    for number, event in enumerate(events, 1):
        place = builder.take(event)
        running.add(event, builder.table.cost_of(place.span))
        totals = running.totals()
        before = ledger.totals(number - 1, 0).cost_pico
        assert ledger.cost_of(number) == ledger.totals(number, 0).cost_pico - before
        assert ledger.totals(number, sum(failed <= number for failed in failures)) == totals
    assert ledger.totals(0, 0) == Totals()
    assert len(failures) == sum(
        is_failure(event) for event in events if not event["event_type"].endswith("_start")
    )


@given(EVENTS)
def test_calls_are_those_of_adding_up(events):
    """At every event, each tool and model has the calls, failures, times, tokens and costs of its spans up to there."""
    spans = made(events)[0].settled_spans()
    for number in range(len(events) + 1):
        rows = {}
        for component in ("tool", "llm"):
            for row in count_calls(spans, component, number):
                rows[component, row.name] = row
        expected = added_up(events[:number])
        assert rows.keys() == expected.keys()
        for key, (calls, failed, nanoseconds, tokens, cost, priced, latest, unpriced) in expected.items():
            assert rows[key] == (
                key[1], calls, failed, nanoseconds / 10**6, tokens, cost / 10**12 if priced else None, latest, unpriced
            )  # fmt: skip


@given(EVENTS)
def test_changes_are_the_latest_ones(events):
    """At every event, each variable has the number of the event that reported its value last."""
    _, ledger = made(events)
    changed = {}
    for number, event in enumerate(events, 1):
        if event["event_type"] == "state_change":
            changed |= dict.fromkeys(event.get("outputs", ()), number)
        assert ledger.changed(number) == changed


def test_of_very_many_variables_the_first_are_followed():
    """What is kept of the changes has a limit."""
    _, ledger = made([{"event_type": "state_change", "outputs": {f"v{n}": n}} for n in range(1005)])
    assert len(ledger.changed(1005)) == 1000


def test_the_start_of_a_call_names_who_is_paid(monkeypatch):
    """It is remembered until the end of the call."""
    asked = []
    monkeypatch.setattr(
        prices, "find_price", lambda provider, *_, address, **__: asked.append((provider, address))
    )
    exchange = {"url": "https://api.openai.com/v1?key=1"}
    call = {"component": "llm", "component_name": "m"}
    starts = [
        call | {"event_type": "llm_call_start", "event_id": str(number), "metadata": metadata}
        for number, metadata in enumerate(({"provider": "openai", "exchange": exchange}, {}))
    ]
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1}}
    ends = [
        call | usage | {"event_type": "llm_call_end", "event_id": f"e{start}", "parent_event_id": start}
        for start in ("1", "0")
    ]
    outline, ledger = made([*starts, *ends])
    assert set(asked) == {(None, None), ("openai", "https://api.openai.com/v1")}
    spans = outline.settled_spans()
    assert [row.calls_without_price for n in (2, 3, 4) for row in count_calls(spans, "llm", n)] == [0, 1, 2]
    assert ledger.totals(4, 0).unpriced == 2
