"""What a call to a model costs: from the user's own prices, else from those of the extra `[prices]`.

Money is counted in whole 1e-12 dollars. A dollar per million tokens is a million of them per token, so that a cost is
a whole number and costs add up exactly in any order. Tokens are counted as the event format does: the input includes
what the cache read and wrote, the output includes the reasoning; each token is paid once, at its own price. A call
has no cost where its model has no price, or where its usage does not tell every number that the price asks for.

The published prices, with their dates, hours and tiers, are those of genai-prices; it is imported when the first
price is asked of it.
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
    """From now on, let these be the user's own prices in this process.

    Args:
        table: as `read_table` gives it, and as the setting `prices` stands in a configuration.
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
        provider: who is paid, as `gen_ai.provider.name` of OpenTelemetry or genai-prices name it; found by the
            name of the model if left out.
        model: the model that answered.
        at: when, in seconds since the epoch. Without it, only prices that never changed are known.
        asked: the name that was asked for, where it may be another one; only the user's own prices know it.
        address: the URL that was asked. Where it is a provider's, it is that provider who is paid.
        terms: on what other terms than the provider's standard ones it is billed; the user's own prices hold for all.
    """
    own = _own.find(model, asked)
    if own is not None:
        return own[0]
    name = model or asked
    return None if name is None else published_price(provider, name, at, address, terms)


def find_window(
    provider: str | None, model: str | None, *, asked: str | None = None, address: str | None = None
) -> int | None:
    """How many tokens a model can take at most: as the user says, else as published; None where neither is known.

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
        at: when, in seconds since the epoch.
    """
    price = find_price(provider, model, at)
    return None if price is None else price.cost(usage)


def fingerprint() -> str:
    """What costs depend on besides the recording: another text where they may be others."""
    from hashlib import sha256  # noqa: PLC0415  (programs that are traced import this module, and need no price)

    told = json.dumps([extra_source(), sorted(_own.table.items())], sort_keys=True)
    return sha256(told.encode()).hexdigest()[:16]
