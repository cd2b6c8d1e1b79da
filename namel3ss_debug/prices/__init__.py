"""Calculate the cost of a call to a model, by the user's own prices, else by those of the extra `[prices]`.

Money is counted in whole 1e-12 dollars. A dollar per million tokens is a million of these units per token, so that a
cost is a whole number and costs add up exactly in any order. Tokens are counted as in the event format: the input
includes the tokens that the cache read and wrote, the output includes the reasoning. Each token is paid once, at its
own price. A call has no cost if its model has no price, or if its usage lacks a number that the price needs.

The published prices, with their dates, hours and tiers, are those of genai-prices, which is imported when the first
price is needed.
"""

from __future__ import annotations

import hashlib
import json

from namel3ss_debug.prices.own import OWN, OwnPrices, Table, read_table
from namel3ss_debug.prices.published import (
    EXTRA,
    INSTALL,
    Terms,
    extra_source,
    find_published_price,
    find_published_window,
    is_extra_installed,
)
from namel3ss_debug.prices.rates import PICODOLLARS, CostParts, Price, Rates

__all__ = [
    "EXTRA",
    "INSTALL",
    "OWN",
    "PICODOLLARS",
    "CostParts",
    "Price",
    "Rates",
    "Table",
    "Terms",
    "calculate_cost",
    "extra_source",
    "find_price",
    "find_window",
    "fingerprint",
    "is_extra_installed",
    "read_table",
    "use",
]

_own = OwnPrices({})


def use(table: Table) -> None:
    """Use this table as the user's own prices in this process from now on.

    Args:
        table: the prices in the form that `read_table` returns, which is also the form of the setting.
    """
    global _own  # a process has one configuration, and so one table of prices
    if table != _own.table:
        _own = OwnPrices(dict(table))


def find_price(
    provider: str | None,
    model: str | None,
    at: float | None,
    *,
    asked: str | None = None,
    address: str | None = None,
    terms: Terms = (),
) -> Price | None:
    """Return the price of a model at a time: the user's own, else the published one; None if neither is known.

    Args:
        provider: the provider that is paid, by its name in OpenTelemetry's `gen_ai.provider.name` or in genai-prices;
            without it, the name of the model determines it.
        model: the model that answered.
        at: the time, in seconds since the epoch. Without it, only prices that never changed are known.
        asked: the name of the model in the request, which may differ; only the user's own prices use it.
        address: the URL of the request. If it belongs to a provider, that provider is paid.
        terms: the billing terms of the call, without the provider's standard ones. The user's own prices apply to all
            terms.
    """
    own = _own.find(model, asked)
    if own is not None:
        return own[0]
    name = model or asked
    return None if name is None else find_published_price(provider, name, at, address, terms)


def find_window(
    provider: str | None, model: str | None, *, asked: str | None = None, address: str | None = None
) -> int | None:
    """Return the size of a model's context window in tokens: the user's setting, else the published one, else None.

    The arguments are those of `find_price`.
    """
    own_window = _own.find_window(model, asked)
    name = model or asked
    if own_window is not None or name is None:
        return own_window
    return find_published_window(provider, name, address)


def calculate_cost(provider: str | None, model: str | None, usage: object, at: float | None) -> int | None:
    """Return the cost of a call, in 1e-12 dollars; None if its price is not known.

    Args:
        provider: the provider that is paid; see `find_price`.
        model: the model that answered.
        usage: the `usage` of the event: tokens by name.
        at: the time, in seconds since the epoch.
    """
    price = find_price(provider, model, at)
    return None if price is None else price.cost(usage)


def fingerprint() -> str:
    """Return a text that changes whenever costs may change although the trace stays the same."""
    state = json.dumps([extra_source(), sorted(_own.table.items())], sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()[:16]
