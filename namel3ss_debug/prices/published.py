"""The published prices of genai-prices, with dates, hours and tiers; it is imported when a price is first needed.

A call that was billed on other terms than the provider's standard ones, such as in a batch or on a faster tier, has a
price only where there is a published one for exactly these terms at that time.
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
"""The distribution that the extra `[prices]` installs; with its version, the source of a cost by its prices."""

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
"""OpenTelemetry's `gen_ai.provider.name` -> the provider's name in genai-prices, for names that this does not know."""

Terms = tuple[tuple[str, str], ...]
"""The terms, other than its standard ones, on which a provider bills a call: `(("service_tier", "flex"),)`."""

_AS_STANDARD: Final = {("groq", "flex")}
"""Tiers that cost the same as the standard one."""

_CONTEXTS: Final = {("service_tier", "batch"): {"processing": "batch"}}
"""Terms that have other names in genai-prices."""

_LONGEST_NAME = 500
_prices: dict[int, tuple[ModelPrice, Price | None]] = {}
"""Converted prices, by the identity of the original, which is kept with each."""


def extra_installed() -> bool:
    """Whether published prices are installed; does not import them."""
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


def published_price(
    provider: str | None, model: str, at: float | None, address: str | None, terms: Terms = ()
) -> Price | None:
    """The published price of a model at a time; None where there is none, or no prices are installed.

    Args:
        provider: who is paid; found by the name of the model if left out.
        model: its name.
        at: the time, in seconds since the epoch; without it, only prices that never changed are known.
        address: the URL of the request; where it is a provider's, that provider is paid.
        terms: the terms, other than the standard ones, on which the call is billed.
    """
    if len(model) > _LONGEST_NAME:
        return None
    seller, found = _model(provider, model, address)
    if found is None or seller is None:
        return None
    terms = tuple(each for each in terms if (seller.id, each[1]) not in _AS_STANDARD)
    moment = _moment(at)
    if terms:
        on_terms = _on_terms(seller, found, moment, terms)
        return None if on_terms is None else _published_price(on_terms)
    prices: Any = found.prices
    if isinstance(prices, list):
        if moment is None:
            return None
        prices = found.get_prices(moment)
    known = _prices.get(id(prices))
    if known is None:
        known = _prices[id(prices)] = (prices, _published_price(prices))
    return known[1]


def _on_terms(seller: Provider, model: ModelInfo, moment: datetime | None, terms: Terms) -> ModelPrice | None:
    """The price of a provider's own model on one other term; prices for several terms at once are not published."""
    context = _CONTEXTS.get(terms[0], dict(terms))
    own = any(each is model for each in seller.models)
    if moment is None or len(terms) > 1 or not own:
        return None
    published = (
        each
        for each in model.price_variants or ()
        if each.when == context and (each.constraint is None or each.constraint.active(moment))
    )
    return model.get_prices(moment, context) if any(published) else None


def published_window(provider: str | None, model: str, address: str | None) -> int | None:
    """The size of a model's context window in tokens; None where it is not published. See `published_price`."""
    found = None if len(model) > _LONGEST_NAME else _model(provider, model, address)[1]
    return None if found is None else found.context_window or None


def _moment(at: float | None) -> datetime | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


@lru_cache(4096)
def _model(provider: str | None, model: str, address: str | None) -> tuple[Provider | None, ModelInfo | None]:
    """The provider that is paid for a model, and the model's published entry; the address counts more than the name."""
    snapshot = _snapshot()
    if snapshot is None:
        return None, None
    name = None if provider is None else _PROVIDERS.get(provider.lower(), provider)
    by_address = (each.id for each in snapshot.providers if address and re.match(each.api_pattern, address))
    try:
        return snapshot.find_provider_model(model, None, next(by_address, name), None)
    except LookupError:
        return None, None


def _published_price(prices: ModelPrice) -> Price | None:
    """A published price in our units; None where it is not a price for tokens."""
    told = {name: getattr(prices, theirs) for name, theirs in _NAMES.items()}
    if told["input"] is None and told["output"] is None:
        return None
    media = [(kind, [getattr(prices, name.format(kind)) for name in _OF_MEDIA]) for kind in MODALITIES]
    media = [(kind, of_kind) for kind, of_kind in media if of_kind != [None, None, None]]
    all_told = [*told.values(), *(price for _, of_kind in media for price in of_kind)]
    starts = {tier.start for price in all_told for tier in getattr(price, "tiers", ())}
    return Price(
        extra_source(), tuple((start, _rates(told, media, start)) for start in (-1, *sorted(starts)))
    )


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

_OF_MEDIA: Final = ("input_{}_mtok", "output_{}_mtok", "cache_{}_read_mtok")
"""The names in genai-prices of the prices for other kinds of tokens than text."""


def _rates(told: dict[str, Any], media: list[tuple[str, list[Any]]], start: int) -> Rates:
    """The prices for calls with more than so many input tokens."""
    rates: dict[str, Any] = {
        name: round(_at(price, start) * (PER_TOKEN if _NAMES[name].endswith("_mtok") else PER_REQUEST))
        for name, price in told.items()
        if price is not None
    }
    apart = (
        Medium(kind, *(None if price is None else round(_at(price, start) * PER_TOKEN) for price in of_kind))
        for kind, of_kind in media
    )
    return Rates(**rates, media=tuple(apart))


def _at(price: Any, start: int) -> Decimal:
    """The price for calls with more than so many input tokens."""
    held = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    found: Decimal = held[-1] if held else getattr(price, "base", price)
    return found
