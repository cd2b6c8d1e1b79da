"""What a call to a model costs, by the user's own prices, else by those of the extra `[prices]`.

Money is counted in whole 1e-12 dollars. A dollar per million tokens is a million of these units per token, so that a
cost is a whole number and costs add up exactly in any order. Tokens are counted as in the event format: the input
includes what the cache read and wrote, the output includes the reasoning; each token is paid once, at its own price. A
call has no cost where its model has no price, or where its usage lacks a number that the price needs.

The published prices, with their dates, hours and tiers, are those of genai-prices, which is imported when the first
price is needed.
"""

from __future__ import annotations

import json

from namel3ss_debug.prices.own import OWN, OwnPrices, Table, read_table
from namel3ss_debug.prices.published import (
    EXTRA,
    INSTALL,
    Terms,
    extra_installed,
    extra_source,
    published_price,
    published_window,
)
from namel3ss_debug.prices.rates import PICODOLLARS, Parts, Price, Rates

__all__ = [
    "EXTRA",
    "INSTALL",
    "OWN",
    "PICODOLLARS",
    "Parts",
    "Price",
    "Rates",
    "Table",
    "Terms",
    "cost_of",
    "extra_installed",
    "extra_source",
    "find_price",
    "find_window",
    "fingerprint",
    "read_table",
    "use",
]

_own = OwnPrices({})


def use(table: Table) -> None:
    """Use these as the user's own prices in this process from now on.

    Args:
        table: the prices as `read_table` returns them, which is also the form of the setting in a configuration.
    """
    global _own  # noqa: PLW0603  (the configuration in force is one for a process, and so are its prices)
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
    """The price of a model at a time: the user's own, else the published one; None where neither is known.

    Args:
        provider: who is paid, by the name in OpenTelemetry's `gen_ai.provider.name` or in genai-prices; found by the
            name of the model if left out.
        model: the model that answered.
        at: the time, in seconds since the epoch. Without it, only prices that never changed are known.
        asked: the name in the request, where it may differ; only the user's own prices use it.
        address: the URL of the request. Where it is a provider's, that provider is paid.
        terms: the terms, other than the provider's standard ones, on which the call is billed; the user's own prices
            apply to all terms.
    """
    own = _own.find(model, asked)
    if own is not None:
        return own[0]
    name = model or asked
    return None if name is None else published_price(provider, name, at, address, terms)


def find_window(
    provider: str | None, model: str | None, *, asked: str | None = None, address: str | None = None
) -> int | None:
    """The size of a model's context window in tokens: the user's setting, else the published one; None without either.

    The arguments are those of `find_price`.
    """
    own = _own.window(model, asked)
    name = model or asked
    if own is not None or name is None:
        return own
    return published_window(provider, name, address)


def cost_of(provider: str | None, model: str | None, usage: object, at: float | None) -> int | None:
    """What a call costs, in 1e-12 dollars; None where its price is not known.

    Args:
        provider: who is paid; see `find_price`.
        model: the model that answered.
        usage: the `usage` of the event: tokens by name.
        at: the time, in seconds since the epoch.
    """
    price = find_price(provider, model, at)
    return None if price is None else price.cost(usage)


def fingerprint() -> str:
    """A text for everything that costs depend on besides the recording: it changes when costs may change."""
    from hashlib import sha256  # noqa: PLC0415  (programs that are traced import this module, and need no price)

    told = json.dumps([extra_source(), sorted(_own.table.items())], sort_keys=True)
    return sha256(told.encode()).hexdigest()[:16]
