"""What calls cost, as it is shown: the amount, who says so, what is not known, and once how it can be."""

from __future__ import annotations

import pytest

from namel3ss_debug.analysis.aggregate.many import Many
from namel3ss_debug.analysis.computing import analyze_events
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.inspection import Surroundings
from namel3ss_debug.views.analysis import report, several
from namel3ss_debug.views.details import event_in_full
from namel3ss_debug.views.renderers import screen

HINT = "pip install 'namel3ss-debug[prices]' adds what models cost; so does the setting prices"
USAGE = {"input_tokens": 1000, "output_tokens": 100}
START = {"event_type": "llm_call_start", "event_id": "1", "component": "llm", "timestamp": 100.0, "metadata": {"provider": "nobody"}}  # fmt: skip
END = {"event_type": "llm_call_end", "event_id": "2", "parent_event_id": "1", "component": "llm", "timestamp": 101.0, "status": "completed", "duration_ms": 1000.0, "usage": USAGE, "tokens_used": 1100}  # fmt: skip


def document(*models, **changed):
    """The analysis of one call of each of some models."""
    calls = []
    for number, model in enumerate(models):
        start, end = f"{number}s", f"{number}e"
        calls += [
            START | {"event_id": start, "component_name": model},
            END | {"event_id": end, "parent_event_id": start, "component_name": model} | changed,
        ]
    return {"trace": {"path": "t.jsonl"}, **analyze_events(calls, ["execution_overview", "resource_usage"])}


def shown(found, width=200):
    """The lines of a report."""
    return [line.plain.strip() for line in screen.lines(found, width)]


def cost_line(found):
    """What the report says behind `cost`."""
    return next(line.removeprefix("cost").strip() for line in shown(report(found)) if line.startswith("cost"))


def test_a_recorded_cost_needs_no_words():
    """It is the amount, the calls and the tokens."""
    found = document("a", cost_estimate=0.25)
    assert cost_line(found) == "$0.2500: 1 model call, 1,100 tokens (1,000 input, 100 output)"
    assert not any(line.startswith("prices") for line in shown(report(found)))


def test_tokens_that_nobody_told_are_no_zero():
    """As of a stream without usage: neither they nor the cost is known, whatever the price is."""
    end = {**END, "component_name": "a", "usage": {}, "tokens_used": None}
    sections = ["performance", "execution_overview", "resource_usage"]
    found = {"trace": {"path": "t.jsonl"}, **analyze_events([START | {"component_name": "a"}, end], sections)}
    assert "a          1   1,000   1,000   1,000" in shown(report(found))
    assert "without a price" not in "\n".join(shown(report(found)))


def test_a_cost_by_a_price_says_whose(own_prices):
    """And how many calls are not in it; a note names their models."""
    own_prices({"a": {"input": 1, "output": 2}, "*": None})
    found = document("a", "b", "b", "c")
    assert cost_line(found).startswith("$0.0012 without 3 calls of unknown cost: 4 model calls, 4,400 tokens")
    assert "prices   by the setting prices" in shown(report(found))


def test_models_without_a_price_are_named(own_prices):
    """So that a user knows for which of them to give one."""
    pytest.importorskip("genai_prices")
    own_prices({"a": {"input": 1, "output": 2}, "*": None})
    lines = shown(report(document("a", "b", "b", "c")))
    assert "without a price: b (2 calls), c (1 call); the setting prices can give one" in lines
    assert HINT not in lines


def test_models_that_told_no_tokens_are_named_apart(own_prices):
    """A price would not help there: a streamed chat tells its tokens only where it is asked to."""
    pytest.importorskip("genai_prices")
    own_prices({"a": {"input": 1, "output": 2}, "*": None})
    known = document("a", "b")
    resources = known["resource_usage"]
    resources["tokens"]["without_usage_by_model"] = {"a": 2, "b": 1}
    resources["cost"]["without_price_by_model"] = {"a": 2, "b": 3}
    lines = shown(report(known))
    assert "without a price: b (2 calls); the setting prices can give one" in lines
    assert "tokens not recorded: a (2 calls), b (1 call); such calls have no cost" in lines


def together(*found):
    """The answer for several recordings that are all like the first."""
    overview = found[0]["execution_overview"]
    whole = {"aggregate": {"count": len(found), "marked": {}, "by": None}, "execution_overview": overview}
    rows = [{"trace": each["trace"], "execution_overview": overview, "scores": {}} for each in found]
    return Many(whole, rows, [], [])


def test_without_the_extra_one_hint_says_how(own_prices, no_published_prices):
    """Once in a report, and only where a cost would have been shown."""
    found = document("a", "b")
    assert cost_line(found).startswith("not known: 2 model calls, 2,200 tokens")
    for sections in (
        ("execution_overview", "resource_usage"),
        ("execution_overview",),
        ("resource_usage",),
    ):
        part = {"trace": found["trace"]} | {name: found[name] for name in sections}
        assert shown(report(part)).count(HINT) == 1
    assert shown(several(together(found, found))).count(HINT) == 1
    silent = document("a", usage=None, tokens_used=None)
    for priced in (document("a", cost_estimate=0.1), silent, document()):
        assert HINT not in [*shown(report(priced)), *shown(several(together(priced)))]


def test_nothing_is_said_of_prices_that_nobody_needs(own_prices):
    """A report of calls that all have a price has no note on prices."""
    own_prices({"*": {"input": 1, "output": 2}})
    assert not any("setting prices can" in line for line in shown(report(document("a"))))


def cost_of_event(event, start=START):
    """What the page of one event says behind `cost`; None where it says nothing."""
    around = Surroundings(2, event, (1, start))
    lines = (line.plain.strip() for line in event_in_full(around, 200))
    return next((line.removeprefix("cost").strip() for line in lines if line.startswith("cost")), None)


def test_one_event_shows_what_it_cost(own_prices):
    """By its own word, or by its price; the start has none."""
    own_prices({"a": {"input": 1, "output": 2}, "*": None})
    assert cost_of_event(END | {"cost_estimate": 0.5}) == "$0.5000"
    assert cost_of_event(END | {"component_name": "a"}) == "$0.0012  by the setting prices"
    assert cost_of_event(START, END) is None


def test_one_event_says_how_its_cost_can_be_known(own_prices, no_published_prices):
    """Where the published prices are not installed; for a tool there is nothing to know."""
    assert cost_of_event(END | {"component_name": "a"}) == f"not known; {HINT}"
    assert cost_of_event(END | {"component": "tool"}) is None


def test_one_event_says_on_what_terms_it_was_billed(own_prices):
    """Beside the amount, or where these terms are why there is none."""
    pytest.importorskip("genai_prices")
    own_prices({"a": {"input": 1, "output": 2}, "*": None})
    flex = END | {"billing": {"service_tier": "flex"}}
    assert (
        cost_of_event(flex | {"component_name": "a"}) == "$0.0012  by the setting prices  service_tier flex"
    )
    assert (
        cost_of_event(flex | {"component_name": "b"}) == "not known; billed on other terms: service_tier flex"
    )


def test_a_model_that_has_no_price_shows_no_cost(own_prices):
    """No amount is better than a guessed one."""
    pytest.importorskip("genai_prices")
    own_prices({"*": None})
    assert cost_of_event(END | {"component_name": "a"}) is None


def test_every_section_can_be_reported_with_prices(own_prices):
    """A whole document, with a model whose name is missing."""
    own_prices({"*": None})
    assert shown(report({"trace": {"path": "t.jsonl"}, **analyze_events([START, END], SECTIONS)}))
