"""What tokens cost at rates: each token once, at its own price, in whole 1e-12 dollars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.prices import Price, Rates
from namel3ss_debug.prices.rates import Medium

CLAUDE = Rates(3_000_000, 15_000_000, 300_000, 3_750_000)
"""$3 in, $15 out, $0.30 read from and $3.75 written to the cache, per million tokens."""


@pytest.mark.parametrize(
    ("rates", "usage", "parts"),
    [
        # 1,000 x $3 + 200 x $15 per million: $0.003 and $0.003
        (CLAUDE, {"input_tokens": 1000, "output_tokens": 200}, (3 * 10**9, 3 * 10**9, 0, 0, 0, 0, 0)),
        # of 1,000 in, 600 are read ($0.30) and 300 written ($3.75), so 100 are left at $3
        (
            CLAUDE,
            {"input_tokens": 1000, "output_tokens": 0, "cache_read_tokens": 600, "cache_write_tokens": 300},
            (300_000_000, 0, 180_000_000, 1_125_000_000, 0, 0, 0),
        ),
        # without a price of its own, what the cache read is input
        (
            Rates(2_000_000, 8_000_000),
            {"input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 40, "reasoning_tokens": 4},
            (120_000_000, 80_000_000, 80_000_000, 0, 0, 0, 0),
        ),
        # reasoning is part of the output, and paid at its own price where it has one
        (
            Rates(2_000_000, 8_000_000, reasoning=3_000_000),
            {"input_tokens": 0, "output_tokens": 10, "reasoning_tokens": 4},
            (0, 48_000_000, 0, 0, 12_000_000, 0, 0),
        ),
        # an embedding has no output and no price for it; a request may cost something by itself
        (Rates(20_000, request=5 * 10**9), {"input_tokens": 8}, (160_000, 0, 0, 0, 0, 5 * 10**9, 0)),
        # of 300 written, 200 are kept for an hour at $6
        (
            CLAUDE._replace(cache_write_1h=6_000_000),
            {
                "input_tokens": 300,
                "output_tokens": 0,
                "cache_write_tokens": 300,
                "cache_write_1h_tokens": 200,
            },
            (0, 0, 0, 375_000_000 + 1_200_000_000, 0, 0, 0),
        ),
        # two searches of the web at $10 a thousand, three of files at $2.50
        (
            CLAUDE._replace(web_search=10**10, file_search=25 * 10**8),
            {"input_tokens": 0, "output_tokens": 0, "web_searches": 2, "file_searches": 3},
            (0, 0, 0, 0, 0, 0, 2 * 10**10 + 75 * 10**8),
        ),
        # of 100 in, 40 are sound at $10, 10 of which were read from the cache at $1; of 20 out, 5 at $20
        (
            CLAUDE._replace(media=(Medium("audio", 10_000_000, 20_000_000, 1_000_000),)),
            {
                "input_tokens": 100,
                "output_tokens": 20,
                "cache_read_tokens": 30,
                "input_audio_tokens": 40,
                "output_audio_tokens": 5,
                "cache_audio_read_tokens": 10,
            },
            (
                40 * 3_000_000 + 30 * 10_000_000,
                15 * 15_000_000 + 5 * 20_000_000,
                20 * 300_000 + 10 * 1_000_000,
                0,
                0,
                0,
                0,
            ),
        ),
        # what costs nothing whatever it is needs no numbers
        (Rates(0, 0), None, (0, 0, 0, 0, 0, 0, 0)),
        (Rates(1, 1), {"input_tokens": 7.0, "output_tokens": 0}, (7, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_each_token_is_paid_once_at_its_own_price(rates, usage, parts):
    """The expected amounts are tokens times the dollars per million, worked out by hand."""
    assert rates.split_cost(usage) == parts


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "12",
        {"input_tokens": 10},
        {"output_tokens": 10},
        {"input_tokens": 10, "output_tokens": "3"},
        {"input_tokens": -1, "output_tokens": 3},
        {"input_tokens": True, "output_tokens": 3},
        {"input_tokens": 1.5, "output_tokens": 3},
        {"input_tokens": float("nan"), "output_tokens": 3},
        {"input_tokens": float("inf"), "output_tokens": 3},
        {"input_tokens": 10, "output_tokens": 3, "cache_read_tokens": 6, "cache_write_tokens": 5},
        {"input_tokens": 10, "output_tokens": 3, "cache_write_tokens": 5, "cache_write_1h_tokens": 6},
        # nobody told what an hour in the cache costs, or a search
        {"input_tokens": 10, "output_tokens": 3, "cache_write_tokens": 5, "cache_write_1h_tokens": 5},
        {"input_tokens": 10, "output_tokens": 3, "web_searches": 1},
        {"input_tokens": 10, "output_tokens": 3, "file_searches": 1},
        {"input_tokens": 10, "output_tokens": 3, "web_searches": "many"},
        {"input_tokens": 10, "output_tokens": 3, "cache_read_tokens": "6"},
        {"input_tokens": 10, "output_tokens": 3, "cache_read_tokens": -1},
        {"input_tokens": 10, "output_tokens": 3, "cache_write_tokens": "5"},
        {"input_tokens": 10, "output_tokens": 3, "cache_write_tokens": -1.0},
        {"input_tokens": 10, "output_tokens": 3, "reasoning_tokens": "3"},
    ],
)
def test_a_usage_that_does_not_tell_enough_has_no_cost(usage):
    """What is missing, is no number, or contradicts the rest is not guessed."""
    assert CLAUDE.split_cost(usage) is None


@pytest.mark.parametrize(
    "sound",
    [
        {"input_audio_tokens": 11},
        {"output_audio_tokens": 4},
        {"input_audio_tokens": "all"},
        {"input_audio_tokens": 4, "cache_read_tokens": 2},  # how much of the sound was read from the cache?
        {"input_audio_tokens": 1, "cache_read_tokens": 2, "cache_audio_read_tokens": 2},
    ],
)
def test_sound_that_contradicts_the_rest_has_no_cost(sound):
    """More sound than tokens, more of it cached than there is, or nothing told of which tokens the cache read."""
    rates = CLAUDE._replace(media=(Medium("audio", 10_000_000),))
    usage = {"input_tokens": 10, "output_tokens": 3}
    assert rates.split_cost(usage | sound) is None
    assert rates.split_cost(usage) == CLAUDE.split_cost(usage)


def test_output_without_a_price_has_no_cost():
    """A price that is for input only says nothing about output."""
    assert Rates(20_000).split_cost({"input_tokens": 8, "output_tokens": 1}) is None
    assert (
        Rates(1, 1, reasoning=1).split_cost({"input_tokens": 1, "output_tokens": 1, "reasoning_tokens": 2})
        is None
    )


RATE = st.none() | st.integers(0, 10**9)
USAGE = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"]
    ),
    st.integers(0, 10**7) | st.none() | st.text(max_size=2),
)


@given(st.builds(Rates, RATE, RATE, RATE, RATE, RATE, st.integers(0, 10**9)), USAGE)
def test_the_parts_are_the_whole(rates, usage):
    """A cost is the sum of its parts, no part is negative, and all of it is whole numbers."""
    price = Price("settings", ((-1, rates),))
    parts = price.split_cost(usage)
    if parts is None:
        assert price.cost(usage) is None
    else:
        assert all(type(part) is int and part >= 0 for part in parts)
        assert price.cost(usage) == sum(parts)


@given(
    st.builds(Rates, *[st.integers(0, 10**9)] * 5, st.just(0)),
    *[st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))]
    * 2,
)
def test_two_calls_cost_what_one_with_the_tokens_of_both_would(rates, one, two):
    """Costs add up exactly, to the last 1e-12 dollar."""

    def cost(plain, read, made, thought):
        usage = {
            "input_tokens": plain + read,
            "cache_read_tokens": read,
            "output_tokens": made + thought,
            "reasoning_tokens": thought,
        }
        return sum(rates.split_cost(usage))

    assert cost(*one) + cost(*two) == cost(*(a + b for a, b in zip(one, two, strict=True)))


def test_above_a_threshold_all_tokens_have_the_higher_price():
    """$1.25 per million up to 200,000 tokens of input, $2.50 for every one of them above."""
    bands = ((-1, Rates(1_250_000, 10_000_000)), (200_000, Rates(2_500_000, 15_000_000)))
    price = Price("settings", bands)
    assert price.cost({"input_tokens": 200_000, "output_tokens": 100}) == 251 * 10**9
    assert price.cost({"input_tokens": 200_001, "output_tokens": 100}) == 200_001 * 2_500_000 + 1_500_000_000
    assert price.cost({"output_tokens": 100}) is None
    assert price.cost(None) is None
    assert price.cost("12") is None
