"""What a model call of a recording cost: what its end event says, else what its tokens cost by the prices.

Everything that shows or adds up money asks here, so that the figures agree wherever they are shown.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from namel3ss_debug import prices
from namel3ss_debug.traces.events import SPAN_FAILURES, Event

RECORDED: Final = "recorded"
"""The source of a cost that the event itself tells."""

_CUT_SHORT = frozenset({"partial", "cancelled"})
"""How a call ended whose usage may not tell all of its tokens."""

_OTHER_MODEL = "tool"
"""The term that says that one more model took part, whose tokens are not in the usage: no price knows what they cost."""

_MOST_DOLLARS = 1e15
_MOST_OPEN = 10_000
"""Of how many calls that have not ended it is remembered who is paid for them."""

_PICODOLLARS = prices.PICODOLLARS


class Cost(NamedTuple):
    """What a call cost, in 1e-12 dollars, and who says so: `RECORDED`, or the source of a price."""

    amount: int
    source: str

    @property
    def dollars(self) -> float:
        """US dollars."""
        return self.amount / _PICODOLLARS


class Seller(NamedTuple):
    """Who is paid for a call, as its start event tells: the provider's name and the URL that was asked."""

    provider: str | None = None
    address: str | None = None


_NOBODY = Seller()


def seller_of(metadata: object) -> Seller | None:
    """Who is paid for the call whose start event has this metadata; None where it does not tell."""
    if type(metadata) is not dict:
        return None
    provider, exchange = metadata.get("provider"), metadata.get("exchange")
    address = exchange.get("url") if type(exchange) is dict else None
    if type(address) is str:
        address = address.partition("?")[0]
    seller = Seller(_text(provider), _text(address))
    return None if seller == _NOBODY else seller


def terms_of(end: Event) -> prices.Terms:
    """On what other terms than the provider's standard ones the call was billed that ends with this event."""
    told = end.get("billing")
    if not told or type(told) is not dict:
        return ()
    return tuple(sorted((str(name), str(word)) for name, word in told.items()))


def recorded_cost(event: Event) -> int | None:
    """`cost_estimate` in 1e-12 dollars; None where the event does not tell a cost."""
    dollars = event.get("cost_estimate")
    if dollars is None:
        return None
    known = (type(dollars) is float or type(dollars) is int) and 0 <= dollars < _MOST_DOLLARS
    return int(dollars * _PICODOLLARS + 0.5) if known else None


def call_cost(end: Event, seller: Seller | None = None) -> Cost | None:
    """What an event says it cost, or, for the end of a model call, what its tokens cost.

    Args:
        end: the event.
        seller: of the end of a call, what `seller_of` says of its start; without it the provider is found by the
            name of the model.

    Returns:
        None where the event is no end of a model call and tells no cost, and where the price is not known. The tokens
        of a call that was cut short are not all told, nor those of one in which another model took part: they have no cost.
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
    provider, address = seller or _NOBODY
    price = prices.find_price(
        provider or _provider(end),
        answered,
        end.get("timestamp"),
        asked=_text(end.get("component_name")),
        address=address,
        terms=terms,
    )
    amount = None if price is None else price.cost(usage)
    return None if price is None or amount is None else Cost(amount, price.source)


class CallCosts:
    """What calls cost, as the events of a recording come: the start of each says who is paid for it."""

    def __init__(self) -> None:
        self._begun: dict[object, Any] = {}

    def of(self, event: Event) -> Cost | None:
        """Take the next event; what it says it cost, else what the model call cost that ends with it."""
        event_type = event.get("event_type", "")
        called = event.get("component") == "llm"
        if event_type[-6:] == "_start":
            if called and "metadata" in event and len(self._begun) < _MOST_OPEN:
                self._begun[event.get("event_id")] = event["metadata"]
            return None
        if called and event_type[-4:] == "_end":
            return call_cost(event, seller_of(self._begun.pop(event.get("parent_event_id"), None)))
        recorded = recorded_cost(event) if "cost_estimate" in event else None
        return None if recorded is None else Cost(recorded, RECORDED)


def lacks_price(end: Event) -> bool:
    """Whether an end that has no cost is of a call that somebody paid for.

    A call that failed and tells of no tokens cost nothing.
    """
    status = end.get("status")
    failed = "error" in end if status is None else status in SPAN_FAILURES
    return not failed or "tokens_used" in end or "usage" in end


def _provider(end: Event) -> str | None:
    metadata = end.get("metadata")
    return _text(metadata.get("provider")) if type(metadata) is dict else None


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None
