from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.usage import dollars, picodollars, token_parts, total_tokens


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"tokens_used": 7, "usage": {"input_tokens": 1}}, 7),
        ({"usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 2}}, 7),
        ({"usage": {"input_tokens": "3", "output_tokens": 4.0}}, 4),
        ({}, 0),
    ],
)
def test_tokens_are_the_total_or_input_and_output(event, expected):
    """Cached tokens are part of the input and are not added to it."""
    assert total_tokens(event) == expected


@pytest.mark.parametrize("odd", ["12", None, -5, [1], True, 1e400])
def test_parts_that_are_no_counts_are_zero(odd):
    """A damaged usage says nothing and breaks nothing."""
    assert token_parts({"usage": {"input_tokens": odd, "output_tokens": 2}})[1] == 2
    assert token_parts({"usage": {"input_tokens": odd}})[0] in {0, 1}


@given(st.lists(st.integers(0, 10**9).map(lambda n: n / 10**7), max_size=50))
def test_costs_add_up_exactly(costs):
    """A sum of costs is the sum of what they mean, and not of their binary approximations."""
    total = sum(picodollars({"cost_estimate": cost}) for cost in costs)
    assert dollars(total) == float(sum(Fraction(str(cost)) for cost in costs))


def test_no_cost_is_not_a_cost_of_nothing():
    """An event that tells no cost has none."""
    assert picodollars({}) is None
    assert picodollars({"cost_estimate": 0}) == 0
