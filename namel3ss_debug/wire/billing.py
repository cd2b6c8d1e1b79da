"""What a provider says of the money: on what terms a call is billed, what it cost, and what is billed besides tokens.

Terms are told in the provider's own words, and only where they are not its standard ones: a call in a batch, on a tier
that is faster or may wait, in a certain part of the world. What such a call costs is another price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from namel3ss_debug.wire import lenient

Json = dict[str, Any]

_STANDARD = frozenset(
    {"", "auto", "default", "global", "not_available", "on_demand", "standard", "unspecified"}
)
"""What providers call their standard terms; `auto` is a wish, which says nothing of how it was served."""

_TICKS = 10**10
"""Parts of a dollar in which xAI tells what a call cost."""


def terms(**told: object) -> dict[str, str]:
    """Those of the terms that are not the standard ones, in small letters."""
    words = {name: word.lower() for name, word in told.items() if isinstance(word, str)}
    return {name: word for name, word in words.items() if word not in _STANDARD}


_OF_HEADERS = {
    "x-gemini-service-tier": "service_tier",
    "x-amzn-bedrock-service-tier": "service_tier",
    "x-amzn-bedrock-performanceconfig-latency": "latency",
}
"""Headers that tell a term of what came beside a body that does not: Gemini's, and that of a model of Bedrock's."""

_COST = "x-litellm-response-cost"
"""The header by which LiteLLM's proxy tells what a call cost, by its prices."""


def header_terms(headers: Mapping[str, str]) -> dict[str, str]:
    """The terms that the headers of a response tell; their names are in small letters."""
    return terms(**{ours: headers[name] for name, ours in _OF_HEADERS.items() if name in headers})


def stated_cost(usage: object) -> float | None:
    """What the usage says that the call cost, in US dollars; None where it does not tell.

    OpenRouter, LiteLLM and other gateways say `cost`, of which Perplexity tells the parts too, DeepInfra says
    `estimated_cost`, xAI counts ticks. With a key of one's own, OpenRouter's cost is its fee alone.
    """
    told = lenient.mapping(usage)
    ticks = lenient.count(told.get("cost_in_usd_ticks"))
    if ticks is not None:
        return ticks / _TICKS
    cost = told.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    dollars = _dollars(told.get("estimated_cost") if cost is None else cost)
    if dollars is None or told.get("is_byok") is not True:
        return dollars
    upstream = _dollars(lenient.mapping(told.get("cost_details")).get("upstream_inference_cost"))
    return None if upstream is None else dollars + upstream


def header_cost(headers: Mapping[str, str]) -> float | None:
    """What the headers of a response say that the call cost, in US dollars; None where they do not tell."""
    try:
        return _dollars(float(headers[_COST])) if _COST in headers else None
    except ValueError:
        return None


def _dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def some(counts: dict[str, int | None]) -> dict[str, int]:
    """Those of the counts that are not 0: of what few calls have."""
    return {name: number for name, number in counts.items() if number}
