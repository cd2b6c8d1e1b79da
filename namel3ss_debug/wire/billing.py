"""What a response says about money: the terms on which a call is billed, its cost, and what is billed besides tokens.

Terms are in the provider's own words, and only those that are not standard: a call in a batch, on a tier that is faster
or may wait, in a certain region of the world. Such a call has another price.
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
"""The providers' words for their standard terms; `auto` is only a wish, and does not show how the call was served."""

_TICKS = 10**10
"""How many of the units in which xAI reports the cost of a call make a dollar."""


def terms(**told: object) -> dict[str, str]:
    """Those of the terms that are not the standard ones, in lower case."""
    words = {name: word.lower() for name, word in told.items() if isinstance(word, str)}
    return {name: word for name, word in words.items() if word not in _STANDARD}


_OF_HEADERS = {
    "x-gemini-service-tier": "service_tier",
    "x-amzn-bedrock-service-tier": "service_tier",
    "x-amzn-bedrock-performanceconfig-latency": "latency",
}
"""Headers with a billing term that the body does not contain: Gemini's, and that of a model on Bedrock."""

_COST = "x-litellm-response-cost"
"""The header in which LiteLLM's proxy reports the cost of a call, by its own prices."""


def header_terms(headers: Mapping[str, str]) -> dict[str, str]:
    """The billing terms in the headers of a response; the names of the headers are in lower case."""
    return terms(**{ours: headers[name] for name, ours in _OF_HEADERS.items() if name in headers})


def stated_cost(usage: object) -> float | None:
    """The cost of the call according to its usage, in US dollars; None where the usage contains none.

    OpenRouter, LiteLLM and other gateways send `cost`, which Perplexity also splits into parts; DeepInfra sends
    `estimated_cost`, xAI counts ticks. With the user's own key for a provider, OpenRouter's cost is its fee only.
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
    """The cost of the call according to the headers of its response, in US dollars; None where they contain none."""
    try:
        return _dollars(float(headers[_COST])) if _COST in headers else None
    except ValueError:
        return None


def _dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def some(counts: dict[str, int | None]) -> dict[str, int]:
    """The counts that are not 0, for things that few calls have."""
    return {name: number for name, number in counts.items() if number}
