"""A price as numbers: whole 1e-12 dollars for each token, and what the tokens of a call cost at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

PICODOLLARS: Final = 10**12
"""Parts of a dollar in which money is counted."""

PER_TOKEN: Final = PICODOLLARS // 10**6
"""1e-12 dollars a token that are one US dollar per million tokens."""


class Parts(NamedTuple):
    """What the tokens of one call cost by kind, and what the request itself does, in 1e-12 dollars.

    `input` is what the cache had no part in, `output` is without the reasoning.
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int


class Rates(NamedTuple):
    """1e-12 dollars for a token of each kind; None where there is no price of its own.

    Cached tokens without a price of their own are input, reasoning without one is output. `request` is for the call as such.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    request: int = 0

    def parts(self, usage: object) -> Parts | None:
        """What a usage costs by kind; None where it does not tell enough, or its numbers contradict each other."""
        usage = {} if usage is None else usage
        if not isinstance(usage, Mapping):
            return None
        given = _count(usage.get("input_tokens"), 0 if self.input == 0 else None)
        made = _count(usage.get("output_tokens"), None if self.output else 0)
        read, written = _count(usage.get("cache_read_tokens"), 0), _count(usage.get("cache_write_tokens"), 0)
        thought = _count(usage.get("reasoning_tokens"), 0)
        if given is None or made is None or read is None or written is None or thought is None:
            return None
        if self.reasoning is None:
            thought = 0
        given, made = given - read - written, made - thought
        if given < 0 or made < 0:
            return None
        paid = (
            _paid(given, self.input),
            _paid(made, self.output),
            _paid(read, self.input if self.cache_read is None else self.cache_read),
            _paid(written, self.input if self.cache_write is None else self.cache_write),
            _paid(thought, self.reasoning),
            self.request,
        )
        return None if None in paid else Parts._make(paid)


def _paid(tokens: int, rate: int | None) -> int | None:
    return 0 if not tokens else None if rate is None else tokens * rate


class Price(NamedTuple):
    """The price of one model at one time.

    Attributes:
        source: where it comes from: `settings`, or `genai-prices` with its version.
        bands: rates by the number of input tokens that must be passed for them, from the lowest; they hold for all tokens.
    """

    source: str
    bands: tuple[tuple[int, Rates], ...]

    def parts(self, usage: object) -> Parts | None:
        """What a usage costs by kind; None where it does not tell enough, or its numbers contradict each other."""
        rates = self.bands[0][1]
        if len(self.bands) > 1 and isinstance(usage, Mapping):
            given = _count(usage.get("input_tokens"), 0) or 0
            rates = next(rates for start, rates in reversed(self.bands) if given > start)
        return rates.parts(usage)

    def cost(self, usage: object) -> int | None:
        """What a usage costs, in 1e-12 dollars; None where that cannot be said."""
        parts = self.parts(usage)
        return None if parts is None else sum(parts)


def _count(value: object, otherwise: int | None = None) -> int | None:
    """A number of tokens; `otherwise` where nothing is told, None for what is no number of tokens."""
    if value is None:
        return otherwise
    if type(value) is int and value >= 0:
        return value
    return int(value) if type(value) is float and value >= 0 and value.is_integer() else None
