"""Find the cost of a model call: the cost in its end event, else that of its tokens by the known prices.

Everything that shows or adds up money asks here, so that the figures agree wherever they are shown.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from namel3ss_debug import prices
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import has_failed

RECORDED: Final = "recorded"
"""The source of a cost that is recorded in the event itself."""

_CUT_SHORT = frozenset({"partial", "cancelled"})
"""The statuses of calls whose usage may not count all of their tokens."""

_OTHER_MODEL = "tool"
"""The billing term for another model that took part: its tokens are not in the usage, so they cannot be priced."""

_MOST_DOLLARS = 1e15
_PICODOLLARS = prices.PICODOLLARS


class Cost(NamedTuple):
    """What a call cost, in 1e-12 dollars, and where the figure comes from: `RECORDED`, or the source of a price."""

    amount: int
    source: str

    @property
    def dollars(self) -> float:
        """US dollars."""
        return self.amount / _PICODOLLARS


Used = tuple[int, tuple[int, ...], Cost | None]
"""All tokens of a span, their parts in the order of `PARTS`, and the cost. It is a plain tuple, the fastest to make."""


class Seller(NamedTuple):
    """The seller of a call, as its start event names it: the provider's name and the URL of the request."""

    provider: str | None = None
    address: str | None = None


_NO_SELLER = Seller()


def seller_of(metadata: object) -> Seller | None:
    """Return the seller of the call whose start event has this metadata; None where it names none."""
    if type(metadata) is not dict:
        return None
    provider, exchange = metadata.get("provider"), metadata.get("exchange")
    address = exchange.get("url") if type(exchange) is dict else None
    if type(address) is str:
        address = address.partition("?")[0]
    seller = Seller(_text(provider), _text(address))
    return None if seller == _NO_SELLER else seller


def terms_of(end: Event) -> prices.Terms:
    """Return the terms, other than the provider's standard ones, on which the call that ends with this event was billed."""
    billing = end.get("billing")
    if not billing or type(billing) is not dict:
        return ()
    return tuple(sorted((str(name), str(word)) for name, word in billing.items()))


def recorded_cost(event: Event) -> int | None:
    """`cost_estimate` in 1e-12 dollars; None where the event has none."""
    dollars = event.get("cost_estimate")
    if dollars is None:
        return None
    known = (type(dollars) is float or type(dollars) is int) and 0 <= dollars < _MOST_DOLLARS
    return int(dollars * _PICODOLLARS + 0.5) if known else None


def call_cost(end: Event, seller: Seller | None = None) -> Cost | None:
    """Return the cost recorded in an event, or, for the end of a model call, that of its tokens.

    Args:
        end: the event.
        seller: for the end of a call, what `seller_of` returns for its start; without it the provider is found by
            the name of the model.

    Returns:
        None where the event has no cost and is not the end of a model call, and where the price is not known. The
        usage does not count all tokens of a call that was cut short, or in which another model took part: these have
        no cost either.
    """
    recorded = recorded_cost(end)
    if recorded is not None:
        return Cost(recorded, RECORDED)
    usage = end.get("usage")
    if not usage or end.get("component") != "llm" or end.get("status") in _CUT_SHORT:
        return None
    terms = terms_of(end)
    if terms and any(name == _OTHER_MODEL for name, _ in terms):
        return None
    outputs = end.get("outputs")
    answered = _text(outputs.get("response_model")) if type(outputs) is dict else None
    provider, address = seller or _NO_SELLER
    metadata = end.get("metadata")
    price = prices.find_price(
        provider or (_text(metadata.get("provider")) if type(metadata) is dict else None),
        answered,
        end.get("timestamp"),
        asked=_text(end.get("component_name")),
        address=address,
        terms=terms,
    )
    amount = None if price is None else price.cost(usage)
    return None if price is None or amount is None else Cost(amount, price.source)


def span_cost(start: Event, end: Event) -> Cost | None:
    """Return the recorded cost of a span, else that of the tokens of a model call; None where neither is known."""
    recorded = recorded_cost(end)
    if recorded is not None:
        return Cost(recorded, RECORDED)
    if (start or end).get("component") != "llm":
        return None
    return call_cost(end, seller_of(start.get("metadata")))


def priced(event: Event, cost: Cost | None) -> Event:
    """Return an event as expressions read it: with this as its `cost_estimate`, where none is recorded in it."""
    if cost is None or cost.source == RECORDED:
        return event
    return event | {"cost_estimate": cost.dollars}


def lacks_price(end: Event) -> bool:
    """Return whether an end without a cost belongs to a call that had to be paid for.

    A call that failed and used no tokens cost nothing.
    """
    return not has_failed(end) or "tokens_used" in end or "usage" in end


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None
