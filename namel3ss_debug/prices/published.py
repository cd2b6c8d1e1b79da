"""The published prices of genai-prices, with their dates, hours and tiers; it is imported when a price is first asked of it.

A token is paid as text: the usage of an event does not tell audio and images apart, nor how long a cache holds what was
written, which is paid as for five minutes. What a provider's own tools cost is not in it either.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import util
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.prices.rates import PER_TOKEN, PICODOLLARS, Price, Rates

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice

EXTRA: Final = "genai-prices"
"""The distribution that the extra `[prices]` brings; with its version, the source of a cost that comes from it."""

INSTALL: Final = "pip install 'namel3ss-debug[prices]'"
"""What a user types for the published prices."""

_PER_REQUEST = PICODOLLARS // 10**3
_PROVIDERS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "gcp.gen_ai": "google",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
"""`gen_ai.provider.name` of OpenTelemetry to the name of the same provider in genai-prices, where it would not find it."""

_LONGEST_NAME = 500
_prices: dict[int, tuple[ModelPrice, Price | None]] = {}
"""By their identity, the prices that were asked for, with what they are here."""


def extra_installed() -> bool:
    """Whether there are published prices; it does not import them."""
    return util.find_spec("genai_prices") is not None


@cache
def extra_source() -> str:
    """The name and version of the published prices; empty where they are not installed."""
    from importlib.metadata import version  # noqa: PLC0415  (it takes longer to import than all of this)

    return f"{EXTRA} {version(EXTRA)}" if extra_installed() else ""


@cache
def _snapshot() -> DataSnapshot | None:
    try:
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  (it takes 0.2 s)
    except ImportError:
        return None
    return get_snapshot()


def published_price(provider: str | None, model: str, at: float | None, address: str | None) -> Price | None:
    """The published price of a model at a time; None where there is none, or no prices are installed.

    Args:
        provider: who is paid; found by the name of the model if left out.
        model: its name.
        at: when, in seconds since the epoch; without it, only prices that never changed are known.
        address: the URL that was asked; where it is a provider's, it is that provider who is paid.
    """
    if len(model) > _LONGEST_NAME:
        return None
    found = _model(provider, model, address)
    if found is None:
        return None
    prices: Any = found.prices
    if isinstance(prices, list):
        moment = _moment(at)
        if moment is None:
            return None
        prices = found.get_prices(moment)
    known = _prices.get(id(prices))
    if known is None:
        known = _prices[id(prices)] = (prices, _published_price(prices))
    return known[1]


def published_window(provider: str | None, model: str, address: str | None) -> int | None:
    """How many tokens a model can take at most; None where that is not published. As `published_price`."""
    found = None if len(model) > _LONGEST_NAME else _model(provider, model, address)
    return None if found is None else found.context_window or None


def _moment(at: float | None) -> datetime | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


@lru_cache(4096)
def _model(provider: str | None, model: str, address: str | None) -> ModelInfo | None:
    """The published entry of a model; the address tells the provider better than its name."""
    snapshot = _snapshot()
    if snapshot is None:
        return None
    name = None if provider is None else _PROVIDERS.get(provider.lower(), provider)
    by_address = (each.id for each in snapshot.providers if address and re.match(each.api_pattern, address))
    try:
        return snapshot.find_provider_model(model, None, next(by_address, name), None)[1]
    except LookupError:
        return None


def _published_price(prices: ModelPrice) -> Price | None:
    """A price in our numbers; None where it is not for tokens."""
    names = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
    told = [getattr(prices, name) for name in names]
    if told[0] is None and told[1] is None:
        return None
    starts = {tier.start for price in told for tier in getattr(price, "tiers", ())}
    a_thousand = prices.requests_kcount
    request = 0 if a_thousand is None else round(_at(a_thousand, 0) * _PER_REQUEST)
    bands = [
        (start, Rates._make((*(_per_token(price, start) for price in told), request)))
        for start in (-1, *sorted(starts))
    ]
    return Price(extra_source(), tuple(bands))


def _per_token(price: Any, start: int) -> int | None:
    return None if price is None else round(_at(price, start) * PER_TOKEN)


def _at(price: Any, start: int) -> Decimal:
    """The price that holds from more than so many input tokens."""
    held = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    found: Decimal = held[-1] if held else getattr(price, "base", price)
    return found
