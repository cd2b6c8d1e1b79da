"""What a model call cost: what its end says, else its tokens by the price, else nothing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.traces.costs import Cost, Seller, call_cost, lacks_price, recorded_cost, seller_of

END = {
    "event_type": "llm_call_end",
    "component": "llm",
    "component_name": "asked",
    "status": "completed",
    "timestamp": 1_735_689_600.0,
    "usage": {"input_tokens": 1000, "output_tokens": 100},
    "outputs": {"response_model": "answered"},
}
PRICED = Cost(1_200_000_000, "settings")
"""1,000 and 100 tokens at $1 and $2 per million tokens: $0.0012."""


@pytest.fixture(autouse=True)
def price(own_prices):
    """One model has a price, and nobody else knows another."""
    own_prices({"answered": {"input": 1, "output": 2}, "*": None})


@pytest.mark.parametrize(
    ("changed", "cost"),
    [
        ({}, PRICED),
        ({"cost_estimate": 0.25}, Cost(250_000_000_000, "recorded")),
        ({"cost_estimate": 0}, Cost(0, "recorded")),
        ({"cost_estimate": 0.25, "component": "agent"}, Cost(250_000_000_000, "recorded")),
        ({"cost_estimate": "much"}, PRICED),
        ({"outputs": None, "component_name": "answered"}, PRICED),
        ({"outputs": {"response_model": ["answered"]}, "component_name": "answered"}, PRICED),
        ({"outputs": {"response_model": "other"}, "component_name": "answered"}, PRICED),
        ({"outputs": {"response_model": "other"}}, None),
        ({"status": "failed", "error": "cut off"}, PRICED),
        ({"status": "partial"}, None),
        ({"status": "cancelled"}, None),
        ({"component": "agent"}, None),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": {"input_tokens": 1000}}, None),
        ({"timestamp": None, "metadata": "odd"}, PRICED),
        # prices of one's own hold for all terms
        ({"billing": {"service_tier": "flex"}}, PRICED),
        ({"billing": {"tool": "advisor"}}, None),  # whose tokens are not told
        ({"billing": {"tool": "advisor"}, "cost_estimate": 0.25}, Cost(250_000_000_000, "recorded")),
    ],
)
def test_a_call_costs_what_it_says_or_what_its_tokens_cost(changed, cost):
    """The recorded cost comes first; without it and without a price, or with a usage that was cut, there is none."""
    assert call_cost({**END, **changed}) == cost


@pytest.mark.parametrize(
    ("billing", "dollars"),
    [
        (None, 2_250_000_000),
        ({"service_tier": "flex"}, 1_125_000_000),
        ({"service_tier": "scale"}, None),
        ({"service_tier": "flex", "speed": "fast"}, None),
        ("flex", 2_250_000_000),
        ({"service_tier": ["flex"]}, None),
    ],
)
def test_a_call_on_other_terms_has_their_price_or_none(own_prices, billing, dollars):
    """gpt-5 is $1.25 and $10 per million tokens; on the flex tier half of that, on others nobody says."""
    pytest.importorskip("genai_prices")
    own_prices({})
    end = {**END, "timestamp": 1_793_534_400.0, "outputs": {"response_model": "gpt-5"}}
    told = {} if billing is None else {"billing": billing}
    cost = call_cost({**end, **told}, Seller("openai"))
    assert (None if cost is None else cost.amount) == dollars


def test_dollars_of_a_cost():
    """1e-12 dollars are turned into dollars at the end."""
    assert PRICED.dollars == 0.0012


@pytest.mark.parametrize(
    ("metadata", "seller"),
    [
        ({"provider": "openai"}, Seller("openai", None)),
        (
            {"provider": "openai", "exchange": {"url": "https://x.example/v1?key=1"}},
            Seller("openai", "https://x.example/v1"),
        ),
        ({"exchange": {"url": "https://x.example/v1"}}, Seller(None, "https://x.example/v1")),
        ({"provider": 3, "exchange": {"url": 4}}, None),
        ({"provider": "", "exchange": "odd"}, None),
        ({}, None),
        (None, None),
        ("odd", None),
    ],
)
def test_who_is_paid_is_told_by_the_start(metadata, seller):
    """The provider's name and the address, without what was asked of it."""
    assert seller_of(metadata) == seller


@pytest.mark.parametrize(
    ("end", "lacks"),
    [
        ({"status": "completed"}, True),
        ({"status": "failed"}, False),
        ({"error": "no"}, False),
        ({"status": "failed", "tokens_used": 5}, True),
        ({"status": "failed", "usage": {"input_tokens": 5}}, True),
    ],
)
def test_a_refused_call_lacks_no_price(end, lacks):
    """Nobody paid for it; for one that used tokens somebody did."""
    assert lacks_price(end) is lacks


@given(st.lists(st.integers(0, 10**9).map(lambda n: n / 10**7), max_size=50))
def test_costs_add_up_exactly(costs):
    """A sum of costs is the sum of what they mean, and not of their binary approximations."""
    total = sum(recorded_cost({"cost_estimate": cost}) for cost in costs)
    assert Cost(total, "").dollars == float(sum(Fraction(str(cost)) for cost in costs))


@pytest.mark.parametrize("odd", [-1, 1e300, float("nan"), True, "1", [1]])
def test_what_is_no_amount_is_no_cost(odd):
    """A damaged cost says nothing and breaks nothing."""
    assert recorded_cost({"cost_estimate": odd}) is None
    assert recorded_cost({}) is None
