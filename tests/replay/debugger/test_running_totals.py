"""Sums at any event, against adding the events up."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug import prices
from namel3ss_debug.prices.own import OwnPrices
from namel3ss_debug.replay.debugger import running_totals as ledger_module
from namel3ss_debug.replay.debugger.outline import Outline
from namel3ss_debug.replay.debugger.running_totals import OTHERS, CumulativeTotals, Sums
from namel3ss_debug.traces.costs import call_cost
from namel3ss_debug.traces.events import without_pauses
from namel3ss_debug.traces.spans import SpanPairing
from namel3ss_debug.traces.totals import Totals, is_failure

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
        "component": st.sampled_from(["tool", "llm", "agent"]),
    },
    optional={
        "parent_event_id": st.sampled_from("abcde"),
        "component_name": st.sampled_from("xyz"),
        "timestamp": st.floats(0, 4e9) | st.integers(0, 100),
        "paused_before_ms": st.floats(0, 1e6) | st.integers(0, 100),
        "duration_ms": st.floats(0, 1e6),
        "tokens_used": st.integers(0, 2**70),
        "cost_estimate": st.floats(0, 1e14),
        "usage": st.just({"input_tokens": 3, "output_tokens": 4}),
        "metadata": st.sampled_from([{"provider": "openai"}, {"provider": "anthropic"}, {}]),
        "status": st.sampled_from(["failed", "completed"]),
        "error": st.just("no"),
        "outputs": st.dictionaries(st.sampled_from("pqr"), st.integers(), max_size=3),
    },
)
EVENTS = st.integers(0, 30).flatmap(lambda size: st.lists(EVENT, min_size=size, max_size=size))


@pytest.fixture(autouse=True, scope="module")
def _priced():
    """Of the models here, one has a price."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prices, "_own", OwnPrices({"x": {"input": 3, "output": 15}, "*": None}))
        yield


def made(events, ledger=None):
    """A ledger of some events, and the numbers of those that failed."""
    outline, ledger = Outline(), ledger or CumulativeTotals()
    for event in events:
        begun = outline.add(event)
        ledger.add(event, begun, outline.kind(begun))
    return ledger, list(outline.failures)


def added_up(events):
    """The calls of each component and name: (calls, failed, nanoseconds, tokens, 1e-12 dollars, priced, latest, unpriced)."""
    pairing, calls = SpanPairing(), {}

    def of(event):
        component = event["component"]
        return calls.setdefault((component, event.get("component_name") or ""), [0, 0, 0, 0, 0, False, 0, 0])

    for number, event in enumerate(events, 1):
        span = pairing.feed(number, without_pauses(event))
        start = event if span is None else span.start
        if not event["event_type"].endswith(("_start", "_end")) or start["component"] == "agent":
            continue
        row = of(start)
        if span is None:
            row[0] += 1
            row[6] = number
        if event["event_type"].endswith("_end"):
            spent = Totals().add(event)
            failed = event.get("status") == "failed" or ("status" not in event and "error" in event)
            row[1] += failed
            duration = span.duration_ms if span is not None else event.get("duration_ms")
            row[2] += round((duration or 0) * 10**6)
            row[3] += spent.tokens
            row[4] += spent.cost_pico
            row[5] |= call_cost(event) is not None
            row[7] += spent.unpriced
    return calls


@given(EVENTS)
def test_totals_are_those_of_adding_up(events):
    """At every event, the totals are what adding one event after the other gives."""
    ledger, failures = made(events)
    totals = Totals()
    for number, event in enumerate(events, 1):
        totals = totals.add(event)
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
    ledger, _ = made(events)
    for number in range(len(events) + 1):
        rows = {}
        for component in ("tool", "llm"):
            for row in ledger.rows(component, number):
                rows[component, row.name] = row
        expected = added_up(events[:number])
        assert rows.keys() == expected.keys()
        for key, (calls, failed, nanoseconds, tokens, cost, priced, latest, unpriced) in expected.items():
            assert rows[key] == (
                key[1], calls, failed, nanoseconds / 10**6, tokens, cost / 10**12 if priced else None, latest, unpriced
            )  # fmt: skip


@given(EVENTS, st.booleans())
def test_changes_are_the_latest_ones(events, one_set):
    """At every event, each variable has the number of the event that last told its value."""
    with pytest.MonkeyPatch.context() as patch:
        if one_set:
            patch.setattr(ledger_module, "_MOST_SETS", 1)
        ledger, _ = made(events)
    changed = {}
    for number, event in enumerate(events, 1):
        if event["event_type"] == "state_change":
            changed |= dict.fromkeys(event.get("outputs", ()), number)
        assert ledger.changed(number) == changed


@given(EVENTS, EVENTS)
def test_a_kept_ledger_is_the_same_and_grows(earlier, later):
    """What was written and read again answers as before, and takes further events as if it had never been away."""
    outline, ledger = Outline(), CumulativeTotals()
    for event in earlier:
        ledger.add(event, begun := outline.add(event), outline.kind(begun))
    arrays = []
    told = orjson.dumps(ledger.to_json(), default=lambda value: arrays.append(value) or len(arrays) - 1)
    again = CumulativeTotals.from_json(orjson.loads(told), arrays)
    for event in later:
        again.add(event, begun := outline.add(event), outline.kind(begun))
    whole, _ = made(earlier + later)
    assert again.count == whole.count == len(earlier + later)
    for number in range(whole.count + 1):
        assert again.totals(number, 0) == whole.totals(number, 0)
        assert again.changed(number) == whole.changed(number)
        for component in ("tool", "llm"):
            assert [*again.rows(component, number)] == [*whole.rows(component, number)]


@given(st.lists(st.integers(0, 2**100), max_size=20))
def test_sums_are_exact_beyond_64_bits(parts):
    """Every partial sum is that of the parts, however large."""
    sums = Sums()
    for part in parts:
        sums.add(part)
    assert [sums.at(count) for count in range(len(parts) + 1)] == [
        sum(parts[:n]) for n in range(len(parts) + 1)
    ]
    again = Sums(sums.low, sums.high)
    assert again.total == sum(parts)


def test_very_many_names_are_taken_together():
    """Past a thousand tools the further ones are one row, and of further variables the changes are not known."""
    events = [
        {"event_type": "tool_call_start", "event_id": str(n), "component": "tool", "component_name": f"t{n}"}
        for n in range(1005)
    ]
    events += [{"event_type": "state_change", "outputs": {f"v{n}": n}} for n in range(1005)]
    ledger, _ = made(events)
    rows = [*ledger.rows("tool", len(events))]
    assert (len(rows), rows[-1].name, rows[-1].calls) == (1001, OTHERS, 5)
    assert len(ledger.changed(len(events))) == 1000


def test_very_many_changes_stay_bounded(monkeypatch):
    """Where every event changes other variables, what is kept of the changes has a limit."""
    monkeypatch.setattr(ledger_module, "_MOST_SETS", 2)
    monkeypatch.setattr(ledger_module, "MOST_CHANGES", 10)
    events = [{"event_type": "state_change", "outputs": {f"v{n}": 1, f"v{n + 1}": 1}} for n in range(50)]
    ledger, _ = made(events)
    assert sum(map(len, ledger.changes.values())) <= 12


def test_the_start_of_a_call_says_who_is_paid(monkeypatch):
    """Its start is remembered until its end, over a ledger that is kept in between."""
    asked = []
    monkeypatch.setattr(
        prices, "find_price", lambda provider, *_, address, **__: asked.append((provider, address))
    )
    exchange = {"url": "https://api.openai.com/v1?key=1"}
    start = {"event_type": "llm_call_start", "component": "llm", "component_name": "m"}
    outline, ledger = Outline(), CumulativeTotals()
    for metadata in ({"provider": "openai", "exchange": exchange}, {}):
        event = start | {"event_id": str(outline.count), "metadata": metadata}
        ledger.add(event, begun := outline.add(event), outline.kind(begun))
    arrays = []
    told = orjson.dumps(ledger.to_json(), default=lambda value: arrays.append(value) or len(arrays) - 1)
    again = CumulativeTotals.from_json(orjson.loads(told), arrays)
    for call in ("1", "0"):
        end = {
            "event_type": "llm_call_end",
            "component": "llm",
            "component_name": "m",
            "parent_event_id": call,
        }
        end |= {"usage": {"input_tokens": 1, "output_tokens": 1}}
        again.add(end, begun := outline.add(end), outline.kind(begun))
    assert set(asked) == {(None, None), ("openai", "https://api.openai.com/v1")}
    assert asked[-1] == ("openai", "https://api.openai.com/v1")
    assert again.sellers == {}
    assert [row.calls_without_price for n in (2, 3, 4) for row in again.rows("llm", n)] == [0, 1, 2]
    assert again.totals(4, 0).unpriced == 2
