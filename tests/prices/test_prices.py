"""What a call costs: the user's own prices first, then the published ones, and nothing where neither knows."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from namel3ss_debug import prices

USAGE = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
AT = 1_735_689_600.0  # 2025-01-01


def test_own_prices_come_first(own_prices):
    """A model of the table has the table's price, whoever else would know one; null is no price."""
    own_prices({"gpt-4o": {"input": 1, "output": 2}, "o3*": None})
    assert prices.calculate_cost("openai", "gpt-4o", USAGE, AT) == 3 * 10**12
    assert prices.find_price("openai", "gpt-4o", AT).source == "settings"
    assert prices.calculate_cost("openai", "o3-mini", USAGE, AT) is None


def test_a_model_nobody_knows_has_no_cost(own_prices):
    """It is never guessed, and neither is that of a call without a model."""
    own_prices({"other": {"input": 1}})
    assert prices.calculate_cost("openai", "no-such-model-of-theirs", USAGE, AT) is None
    assert prices.calculate_cost(None, None, USAGE, AT) is None
    assert prices.calculate_cost("openai", "gpt-4o" * 1000, USAGE, AT) is None


def test_without_the_extra_only_own_prices_are_known(own_prices, no_published_prices):
    """It is no error that there are no published prices."""
    assert not prices.is_extra_installed()
    assert prices.extra_source() == ""
    assert prices.calculate_cost("openai", "gpt-4o", USAGE, AT) is None
    own_prices({"gpt-4o": {"input": 1, "output": 2}})
    assert prices.calculate_cost("openai", "gpt-4o", USAGE, AT) == 3 * 10**12


def test_the_fingerprint_is_another_where_costs_may_be_others(own_prices):
    """It depends on the table and not on its order."""
    before = prices.fingerprint()
    own_prices({"a": None, "b": {"input": 1}})
    one = prices.fingerprint()
    own_prices({"b": {"input": 1}, "a": None})
    assert prices.fingerprint() == one != before


def test_a_price_can_go_to_another_process(own_prices):
    """It is plain data."""
    own_prices({"a": {"input": 1}})
    price = prices.find_price(None, "a", None)
    assert pickle.loads(pickle.dumps(price)) == price


@pytest.mark.parametrize(
    "use",
    [
        "prices.use({'gpt-4o': {'input': 1, 'output': 1}})",
        "prices.use({'*': None})",
    ],
)
def test_published_prices_are_imported_only_when_one_is_asked_for(use):
    """Importing them takes longer than reading a small recording."""
    code = f"""
import sys
from namel3ss_debug import prices
{use}
prices.calculate_cost("openai", "gpt-4o", {{"input_tokens": 1, "output_tokens": 1}}, 1.0)
assert sys.modules.get("genai_prices") is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_windows_are_the_users_own_else_published(own_prices):
    """An entry that tells none leaves it to what is published; nobody guesses one."""
    own_prices({"gpt-4o": {"input": 1, "context_window": 9000}, "o3*": {"input": 1}})
    assert prices.find_window("openai", "gpt-4o") == 9000
    assert prices.find_window(None, "answered", asked="gpt-4o") == 9000
    assert prices.find_window(None, "nobody-knows") is None
    assert prices.find_window(None, None) is None
    assert prices.calculate_cost("openai", "gpt-4o", {"input_tokens": 3, "output_tokens": 0}, AT) == 3 * 10**6
    pytest.importorskip("genai_prices")
    assert prices.find_window("openai", "gpt-4o-mini") == 128_000
    assert prices.find_window("openai", "o3-mini") == 200_000
