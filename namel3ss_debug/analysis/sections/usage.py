"""Tokens and money as whole numbers: read from an event, added up exactly, converted to dollars at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.prices import PICODOLLARS, Price, Terms, find_price, find_window
from namel3ss_debug.traces.costs import seller_of, terms_of
from namel3ss_debug.traces.facts import name_without_start

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

_new = tuple.__new__


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


def model_key(start: Event, end: Event) -> ModelKey:
    """Return the model that a call requested."""
    name = start.get("component_name")
    if name is None:
        name = name_without_start(start, end)
    outputs = end.get("outputs")
    response_model = outputs.get("response_model") if type(outputs) is dict else None
    if type(response_model) is not str:
        response_model = None
    metadata = start.get("metadata")
    seller = None if metadata is None else seller_of(metadata)
    terms = terms_of(end) if "billing" in end else ()
    if seller is None:
        return _new(ModelKey, (name, response_model, None, None, terms))
    return _new(ModelKey, (name, response_model, seller.provider, seller.address, terms))


def dollars(amount: int) -> float:
    """Return an amount of 1e-12 dollars in dollars."""
    return amount / PICODOLLARS
