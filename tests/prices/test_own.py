"""The setting `prices`: what is allowed in it, and which entry is for a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import SettingError
from namel3ss_debug.prices.own import OwnPrices, read_table

TABLE = {
    "gpt-4o": {"input": 2.5, "output": 10, "cache_read": 1.25},
    "gpt-4o*": {"input": 1, "output": 1},
    "gpt-*": {"input": 2, "output": 2},
    "gpt-?o-mini": {"input": 3, "output": 3},
    "llama[1]*": {"input": 0, "output": 0},
    "*": None,
}


def input_rate(model, asked=None):
    """What a token of input costs by the table, None where the entry says there is no price."""
    found = OwnPrices(TABLE).find(model, asked)
    assert found is not None
    return None if found[0] is None else found[0].bands[0][1].input


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("gpt-4o", None, 2_500_000),
        ("GPT-4o", None, 2_500_000),
        ("gpt-4o-2024-08-06", None, 1_000_000),
        ("gpt-4o-mini", None, 3_000_000),
        ("gpt-5", None, 2_000_000),
        ("llama[1]-8b", None, 0),
        ("llama1-8b", None, None),
        ("", None, None),
        # the name that was asked for is as good; the more exact entry of the two wins
        ("gpt-4o-2024-08-06", "gpt-4o", 2_500_000),
        ("deployment-7", "gpt-5", 2_000_000),
        (None, "gpt-5", 2_000_000),
        ("gpt-5", "deployment-7", 2_000_000),
    ],
)
def test_the_most_exact_entry_is_the_price(model, asked, expected):
    """An exact name comes before a pattern, and of patterns the one with most letters before the others."""
    assert input_rate(model, asked) == expected


@pytest.mark.parametrize(
    ("entry", "usage", "cost"),
    [
        # 10 tokens that a cache keeps for an hour, at $6 per million
        ({"cache_write": 3.75, "cache_write_1h": 6}, {"cache_write_1h_tokens": 10}, 60_000_000),
        # whoever tells one price of what is written may have another for an hour
        ({"cache_write": 3.75}, {"cache_write_1h_tokens": 10}, None),
        ({}, {"cache_write_1h_tokens": 10}, 30_000_000),
        ({"web_search": 10, "file_search": 2.5}, {"web_searches": 2, "file_searches": 1}, 22_530_000_000),
        ({}, {"web_searches": 1}, None),
    ],
)
def test_an_entry_may_tell_of_hours_and_searches(entry, usage, cost):
    """What it does not tell is not guessed; without any price of caches all that is written is input."""
    [price] = OwnPrices({"m": {"input": 3, "output": 0, **entry}}).find("m", None) or ()
    assert price is not None
    assert price.cost({"input_tokens": 10, "output_tokens": 0, "cache_write_tokens": 10, **usage}) == cost


def test_of_two_exact_entries_that_of_the_model_that_answered_is_the_price():
    """What was asked for may have been answered by another model, and that one is paid."""
    prices = OwnPrices({"asked": {"input": 1}, "answered": {"input": 2, "context_window": 9}})
    (price,) = prices.find("answered", "asked")
    assert (price.bands[0][1].input, prices.find_window("answered", "asked")) == (2_000_000, 9)


def test_a_model_that_no_entry_fits_is_not_known():
    """Which is another thing than an entry that says there is no price."""
    assert OwnPrices({"a*": None}).find("b", "c") is None
    assert OwnPrices({"a*": None}).find("abc", None) == (None,)
    assert OwnPrices({}).find("a", "a") is None
    assert OwnPrices({"a": None}).find(None, None) is None


@given(st.dictionaries(st.text("ab*?[", min_size=1), st.just({"input": 1}) | st.none()), st.text("ab["))
def test_the_order_of_the_entries_means_nothing(table, model):
    """A table turned round gives the same answers."""
    turned = dict(reversed(table.items()))
    assert OwnPrices(table).find(model, None) == OwnPrices(turned).find(model, None)


def test_a_long_name_is_no_work():
    """Patterns do not try every way to share a name among their stars."""
    prices = OwnPrices({"*a" * 30 + "b": None})
    assert prices.find("a" * 20_000, None) is None  # trying every way would never end


@pytest.mark.parametrize(
    ("value", "table"),
    [
        ({}, {}),
        ('{"m": {"input": 0.5, "output": 2}, "n*": null}', {"m": {"input": 0.5, "output": 2}, "n*": None}),
        (TABLE, TABLE),
        ({"m": {"context_window": 9, "input": 1}}, {"m": {"context_window": 9, "input": 1}}),
    ],
)
def test_a_table_is_an_object_or_its_text(value, table):
    """From the file it comes as an object, from the environment as JSON."""
    assert read_table(value) == table


_RATES = (
    "input, output, cache_read, cache_write, cache_write_1h, reasoning (US dollars per million tokens), "
    "web_search and file_search (per thousand searches), or null for no price"
)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"m": 3}, f'prices["m"] is 3, allowed is an object of {_RATES}'),
        ({"m": {"inptu": 3}}, 'prices["m"] has "inptu"; did you mean input?'),
        ({"m": {"zzz": 3}}, f'prices["m"] has "zzz", allowed is an object of {_RATES}'),
        (
            {"m": {"output": 3}},
            'prices["m"] has no input, which every price needs: US dollars per million tokens',
        ),
        ({"m": {}}, 'prices["m"] has no input, which every price needs: US dollars per million tokens'),
        (
            {"gpt-4.1": {"input": -1}},
            'prices["gpt-4.1"].input is -1, allowed is a number of US dollars per million tokens from 0',
        ),
        (
            {"m": {"input": 3, "web_search": -1}},
            'prices["m"].web_search is -1, allowed is a number of US dollars per thousand searches from 0',
        ),
        (
            {"a\nb": {"input": "3"}},
            'prices["a\\nb"].input is "3", allowed is a number of US dollars per million tokens from 0',
        ),
        (
            {"m": {"input": 1, "context_window": 1.5}},
            'prices["m"].context_window is 1.5, allowed is a whole number of tokens from 1',
        ),
        (
            {"m": {"input": 1, "context_window": 0}},
            'prices["m"].context_window is 0, allowed is a whole number of tokens from 1',
        ),
        ({"m": {"context_window": 9, "inptu": 1}}, 'prices["m"] has "inptu"; did you mean input?'),
        (
            '{"m": {"input": NaN}}',
            'prices["m"].input is NaN, allowed is a number of US dollars per million tokens from 0',
        ),
        (
            {"m": {"input": True}},
            'prices["m"].input is true, allowed is a number of US dollars per million tokens from 0',
        ),
    ],
)
def test_a_bad_entry_is_named_in_one_line(value, message):
    """Which entry, what it is, and what is allowed."""
    with pytest.raises(SettingError) as error:
        read_table(value)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [3, None, [], "3", "[1]", "{nope", "[" * 100_000])
def test_what_is_no_table_is_refused(value):
    """The settings say what they allow."""
    with pytest.raises((TypeError, ValueError)):
        read_table(value)
