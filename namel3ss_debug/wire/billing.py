"""Read what a response reports about money: billing terms, the cost of the call, and charges besides tokens.

Terms are the provider's own words, without the standard ones. A call has another price if it is in a batch, on a tier
that is faster or may wait, or in a certain region of the world.
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
"""The providers' words for their standard terms. `auto` is only a wish: the tier that served the call is not known."""

_TICKS_PER_DOLLAR = 10**10
"""xAI reports the cost of a call in ticks of 1e-10 dollars."""


def select_terms(**terms: object) -> dict[str, str]:
    """Return the terms that are not the standard ones, in lower case."""
    words = {name: word.lower() for name, word in terms.items() if isinstance(word, str)}
    return {name: word for name, word in words.items() if word not in _STANDARD}


_TERM_HEADERS = {
    "x-gemini-service-tier": "service_tier",
    "x-amzn-bedrock-service-tier": "service_tier",
    "x-amzn-bedrock-performanceconfig-latency": "latency",
}
"""Headers of Gemini and Bedrock -> the term that they contain, which the body lacks."""

_COST_HEADER = "x-litellm-response-cost"
"""The header in which LiteLLM's proxy reports the cost of a call, calculated from its own prices."""


def read_header_terms(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the billing terms in the headers of a response; the names of the headers are in lower case."""
    return select_terms(**{term: headers[name] for name, term in _TERM_HEADERS.items() if name in headers})


def read_cost(usage: object) -> float | None:
    """Return the cost of the call that its usage reports, in US dollars; None if it reports none.

    OpenRouter, LiteLLM and other gateways send `cost`; Perplexity splits it into parts. DeepInfra sends
    `estimated_cost`, xAI counts ticks. If the user has an own key for the provider (`is_byok`), OpenRouter's cost is
    only its fee, and the provider's cost is added.
    """
    fields = lenient.mapping(usage)
    ticks = lenient.count(fields.get("cost_in_usd_ticks"))
    if ticks is not None:
        return ticks / _TICKS_PER_DOLLAR
    cost = fields.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    dollars = _dollars(fields.get("estimated_cost") if cost is None else cost)
    if dollars is None or fields.get("is_byok") is not True:
        return dollars
    upstream = _dollars(lenient.mapping(fields.get("cost_details")).get("upstream_inference_cost"))
    return None if upstream is None else dollars + upstream


def read_header_cost(headers: Mapping[str, str]) -> float | None:
    """Return the cost of the call that the headers of its response report, in US dollars; None if they report none."""
    try:
        return _dollars(float(headers[_COST_HEADER])) if _COST_HEADER in headers else None
    except ValueError:
        return None


def _dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def drop_zeros(counts: dict[str, int | None]) -> dict[str, int]:
    """Return the counts that are not 0, for values that few calls have."""
    return {name: number for name, number in counts.items() if number}
