"""Tokens and money as whole numbers: read from an event, added up exactly, converted to dollars at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.prices import PICODOLLARS, Price, Terms, find_price, find_window
from namel3ss_debug.traces.costs import RECORDED, Cost, call_cost, recorded_cost, seller_of, terms_of

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.traces.events import Event

PARTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
"""The parts of `usage`. Input includes the tokens read from and written to the cache, output includes the reasoning."""
_new = tuple.__new__
NO_PARTS = (0,) * len(PARTS)
"""The result of `token_parts` for an event without `usage`."""


Used = tuple[int, tuple[int, ...], Cost | None]
"""All tokens of a span, their parts in the order of `PARTS`, and the cost. It is a plain tuple, the fastest to make."""


class ModelKey(NamedTuple):
    """Identifies a price and a context window: the requested and the answering model, the provider, the billing."""

    name: str
    response_model: str | None = None
    provider: str | None = None
    address: str | None = None
    terms: Terms = ()

    def window(self) -> int | None:
        """Return how many tokens the model can take at most; None where that is not known."""
        return find_window(self.provider, self.response_model, asked=self.name or None, address=self.address)

    def price(self, at: float | None) -> Price | None:
        """Return the price at a time in seconds since the epoch; None where it is not known."""
        return find_price(
            self.provider,
            self.response_model,
            at,
            asked=self.name or None,
            address=self.address,
            terms=self.terms,
        )


def model_key(span: MeasuredSpan) -> ModelKey:
    """Return the model that a call requested."""
    outputs = span.end.get("outputs")
    response_model = outputs.get("response_model") if type(outputs) is dict else None
    if type(response_model) is not str:
        response_model = None
    metadata = span.start.get("metadata")
    seller = None if metadata is None else seller_of(metadata)
    terms = terms_of(span.end) if "billing" in span.end else ()
    if seller is None:
        return _new(ModelKey, (span.name, response_model, None, None, terms))
    return _new(ModelKey, (span.name, response_model, seller.provider, seller.address, terms))


def parse_count(value: object) -> int:
    """Return a count in an event; 0 for a value that is not a count."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(value, 0)
    if isinstance(value, float) and 0 <= value < float(1 << 53):
        return int(value)
    return 0


def token_parts(event: Event) -> tuple[int, ...]:
    """Return the parts of `usage` in the order of `PARTS`."""
    usage = event.get("usage")
    if usage is None:
        return NO_PARTS
    get = usage.get
    read, written = get("cache_read_tokens", 0), get("cache_write_tokens", 0)
    parts = (get("input_tokens", 0), get("output_tokens", 0), read, written, get("reasoning_tokens", 0))
    try:
        if parts[0] | parts[1] | read | written | parts[4] >= 0:  # whole numbers, none below zero
            return parts
    except TypeError:
        pass
    return tuple(parse_count(usage.get(part)) for part in PARTS)


def total_tokens(event: Event) -> int:
    """Return all tokens of a call: `tokens_used`, else input and output together."""
    tokens: int | None = event.get("tokens_used")
    if tokens is not None:
        return tokens
    parts = token_parts(event)
    return parts[0] + parts[1]


def used(span: MeasuredSpan) -> Used:
    """Return the tokens of a span and its cost: the recorded cost, else that of the tokens of a model call.

    It is computed once for each span, however many folds ask for it. Callers that must be fast look at `span.used`
    first.
    """
    known = span.used
    if known is None:
        end = span.end
        parts = token_parts(end)
        tokens: int | None = end.get("tokens_used")  # as `total_tokens`
        known = span.used = (parts[0] + parts[1] if tokens is None else tokens, parts, _cost(span))
    return known


def span_cost(span: MeasuredSpan) -> Cost | None:
    """Return the recorded cost of a span, else that of the tokens of a model call; None where neither is known."""
    return used(span)[2]


def _cost(span: MeasuredSpan) -> Cost | None:
    """Return the recorded cost of a span, else the price of a model call's tokens."""
    recorded = recorded_cost(span.end)
    if recorded is not None:
        return _new(Cost, (recorded, RECORDED))
    return call_cost(span.end, seller_of(span.start.get("metadata"))) if span.component == "llm" else None


def dollars(amount: int) -> float:
    """Return an amount of 1e-12 dollars in dollars."""
    return amount / PICODOLLARS
