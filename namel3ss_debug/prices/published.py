"""The published prices of genai-prices, with their dates, hours and tiers; it is imported when a price is first asked of it.

A call that was billed on other terms than the provider's standard ones, as in a batch or on a faster tier, has a price
where there is a published one for these very terms at that time.
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
"""The distribution that the extra `[prices]` brings; with its version, the source of a cost that comes from it."""

INSTALL: Final = "pip install 'namel3ss-debug[prices]'"
"""What a user types for the published prices."""

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

Terms = tuple[tuple[str, str], ...]
"""On what other terms than its standard ones a provider bills a call: `(("service_tier", "flex"),)`."""

_AS_STANDARD: Final = {("groq", "flex")}
"""Tiers that cost what the standard one does."""

_CONTEXTS: Final = {("service_tier", "batch"): {"processing": "batch"}}
"""Terms that genai-prices names otherwise."""

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


def published_price(
    provider: str | None, model: str, at: float | None, address: str | None, terms: Terms = ()
) -> Price | None:
    """The published price of a model at a time; None where there is none, or no prices are installed.

    Args:
        provider: who is paid; found by the name of the model if left out.
        model: its name.
        at: when, in seconds since the epoch; without it, only prices that never changed are known.
        address: the URL that was asked; where it is a provider's, it is that provider who is paid.
        terms: on what other terms than the standard ones it is billed.
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
    """What the provider's own model costs on one other term; that of several at once is not published."""
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
    """How many tokens a model can take at most; None where that is not published. As `published_price`."""
    found = None if len(model) > _LONGEST_NAME else _model(provider, model, address)[1]
    return None if found is None else found.context_window or None


def _moment(at: float | None) -> datetime | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


@lru_cache(4096)
def _model(provider: str | None, model: str, address: str | None) -> tuple[Provider | None, ModelInfo | None]:
    """Who is paid for a model, and its published entry; the address tells the provider better than its name."""
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
    """A price in our numbers; None where it is not for tokens."""
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
"""The names of prices here to those of genai-prices."""

_OF_MEDIA: Final = ("input_{}_mtok", "output_{}_mtok", "cache_{}_read_mtok")
"""Those of a kind of tokens besides text."""


def _rates(told: dict[str, Any], media: list[tuple[str, list[Any]]], start: int) -> Rates:
    """The prices that hold from more than so many input tokens."""
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
    """The price that holds from more than so many input tokens."""
    held = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    found: Decimal = held[-1] if held else getattr(price, "base", price)
    return found
