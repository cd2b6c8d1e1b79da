"""Find the published prices of genai-prices, with dates, hours and tiers; it is imported when a price is first needed.

A call may be billed on other terms than the provider's standard ones, such as in a batch or on a faster tier. It has a
price only if one is published for exactly these terms at that time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import util
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.prices.rates import MODALITIES, PER_REQUEST, PER_TOKEN, Medium, Price, Rates

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

EXTRA: Final = "genai-prices"
"""The distribution that the extra `[prices]` installs; with its version, it is the source of a cost."""

INSTALL: Final = "pip install 'namel3ss-debug[prices]'"
"""The command that installs the published prices."""

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
"""OpenTelemetry's `gen_ai.provider.name` -> the provider's name in genai-prices, if that does not know the former."""

Terms = tuple[tuple[str, str], ...]
"""The billing terms of a call without the provider's standard ones: `(("service_tier", "flex"),)`."""

_AS_STANDARD: Final = {("groq", "flex")}
"""Providers and tiers that cost the same as the standard one."""

_CONTEXTS: Final = {("service_tier", "batch"): {"processing": "batch"}}
"""Terms that have other names in genai-prices."""

_LONGEST_NAME = 500
_prices: dict[int, tuple[ModelPrice, Price | None]] = {}
"""Identity of a price of genai-prices -> that price, which keeps the identity unique, and the converted one."""


def is_extra_installed() -> bool:
    """Return whether published prices are installed, without importing them."""
    return util.find_spec("genai_prices") is not None


@cache
def extra_source() -> str:
    """Return the name and version of the published prices; empty if they are not installed."""
    from importlib.metadata import version  # it takes longer to import than all of this

    return f"{EXTRA} {version(EXTRA)}" if is_extra_installed() else ""


@cache
def _snapshot() -> DataSnapshot | None:
    try:
        from genai_prices.data_snapshot import get_snapshot  # it takes 0.2 s
    except ImportError:
        return None
    return get_snapshot()


def find_published_price(
    provider: str | None, model: str, at: float | None, address: str | None, terms: Terms = ()
) -> Price | None:
    """Return the published price of a model at a time; None if there is none, or no prices are installed.

    Args:
        provider: the provider that is paid; without it, the name of the model determines it.
        model: the name of the model.
        at: the time, in seconds since the epoch; without it, only prices that never changed are known.
        address: the URL of the request; if it belongs to a provider, that provider is paid.
        terms: the billing terms of the call, without the provider's standard ones.
    """
    if len(model) > _LONGEST_NAME:
        return None
    seller, entry = _model(provider, model, address)
    if entry is None or seller is None:
        return None
    terms = tuple(term for term in terms if (seller.id, term[1]) not in _AS_STANDARD)
    moment = _to_datetime(at)
    if terms:
        on_terms = _find_price_on_terms(seller, entry, moment, terms)
        return None if on_terms is None else _convert_price(on_terms)
    prices: Any = entry.prices
    if isinstance(prices, list):
        if moment is None:
            return None
        prices = entry.get_prices(moment)
    converted = _prices.get(id(prices))
    if converted is None:
        converted = _prices[id(prices)] = (prices, _convert_price(prices))
    return converted[1]


def _find_price_on_terms(
    seller: Provider, model: ModelInfo, moment: datetime | None, terms: Terms
) -> ModelPrice | None:
    """Return the price of a provider's own model on one other term; prices for several terms are not published."""
    context = _CONTEXTS.get(terms[0], dict(terms))
    is_own = any(own_model is model for own_model in seller.models)
    if moment is None or len(terms) > 1 or not is_own:
        return None
    # Without a variant for these terms, `get_prices` would return the standard price.
    variants = (
        variant
        for variant in model.price_variants or ()
        if variant.when == context and (variant.constraint is None or variant.constraint.active(moment))
    )
    return model.get_prices(moment, context) if any(variants) else None


def find_published_window(provider: str | None, model: str, address: str | None) -> int | None:
    """Return the size of a model's context window in tokens; None if it is not published. See `find_published_price`."""
    entry = None if len(model) > _LONGEST_NAME else _model(provider, model, address)[1]
    return None if entry is None else entry.context_window or None


def _to_datetime(at: float | None) -> datetime | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


@lru_cache(4096)
def _model(provider: str | None, model: str, address: str | None) -> tuple[Provider | None, ModelInfo | None]:
    """Return the provider that is paid for a model, and the model's published entry; the address overrides the name."""
    snapshot = _snapshot()
    if snapshot is None:
        return None, None
    name = None if provider is None else _PROVIDERS.get(provider.lower(), provider)
    by_address = (
        candidate.id
        for candidate in snapshot.providers
        if address and re.match(candidate.api_pattern, address)
    )
    try:
        return snapshot.find_provider_model(model, None, next(by_address, name), None)
    except LookupError:
        return None, None


def _convert_price(prices: ModelPrice) -> Price | None:
    """Return a published price in our units; None if it is not a price for tokens."""
    text_prices = {name: getattr(prices, published_name) for name, published_name in _NAMES.items()}
    if text_prices["input"] is None and text_prices["output"] is None:
        return None
    media = [(kind, [getattr(prices, name.format(kind)) for name in _MEDIA_NAMES]) for kind in MODALITIES]
    media = [(kind, media_prices) for kind, media_prices in media if media_prices != [None, None, None]]
    all_prices = [*text_prices.values(), *(price for _, media_prices in media for price in media_prices)]
    starts = {tier.start for price in all_prices for tier in getattr(price, "tiers", ())}
    bands = tuple((start, _convert_rates(text_prices, media, start)) for start in (-1, *sorted(starts)))
    return Price(extra_source(), bands)


_NAMES: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "request": "requests_kcount",
    "cache_write_1h": "cache_write_1h_mtok",
    "web_search": "web_searches_kcount",
    "file_search": "storage_searches_kcount",
}
"""Our names of prices -> those of genai-prices."""

_MEDIA_NAMES: Final = ("input_{}_mtok", "output_{}_mtok", "cache_{}_read_mtok")
"""The names in genai-prices of the prices for other kinds of tokens than text."""


def _convert_rates(text_prices: dict[str, Any], media: list[tuple[str, list[Any]]], start: int) -> Rates:
    """Return the rates for calls with more than `start` input tokens."""
    rates: dict[str, Any] = {
        name: round(
            _select_tier(price, start) * (PER_TOKEN if _NAMES[name].endswith("_mtok") else PER_REQUEST)
        )
        for name, price in text_prices.items()
        if price is not None
    }
    media_rates = (
        Medium(
            kind,
            *(None if price is None else round(_select_tier(price, start) * PER_TOKEN) for price in prices),
        )
        for kind, prices in media
    )
    return Rates(**rates, media=tuple(media_rates))


def _select_tier(price: Any, start: int) -> Decimal:
    """Return the price for calls with more than `start` input tokens."""
    tier_prices = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    amount: Decimal = tier_prices[-1] if tier_prices else getattr(price, "base", price)
    return amount
