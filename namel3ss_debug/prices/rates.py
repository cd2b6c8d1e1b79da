"""Prices as whole 1e-12 dollars for each token, and the cost of a call at these prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PICODOLLARS: Final = 10**12
"""Money is counted in units of 1e-12 dollars."""

PER_TOKEN: Final = PICODOLLARS // 10**6
"""One US dollar per million tokens, in 1e-12 dollars for each token."""

PER_REQUEST: Final = PICODOLLARS // 10**3
"""One US dollar per thousand requests or searches, in 1e-12 dollars for each."""

MODALITIES: Final = ("audio", "image", "video")
"""The kinds of tokens besides text."""


class CostParts(NamedTuple):
    """The cost of one call: of its tokens by kind, and of the request and its searches, in 1e-12 dollars.

    `input` is without cached tokens, `output` without reasoning.
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int
    searches: int = 0


class Medium(NamedTuple):
    """The prices of a token of another kind than text, in 1e-12 dollars; None if it is paid like text."""

    kind: str
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None


class Rates(NamedTuple):
    """The prices of a token of each kind, in 1e-12 dollars; None if the kind has no price of its own.

    Cached tokens without a price of their own are paid as input, reasoning without one as output. `request` is the
    price of the call as such. The prices of one-hour cache writes and of a provider's searches cannot be derived from
    other prices.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    request: int = 0
    cache_write_1h: int | None = None
    web_search: int | None = None
    file_search: int | None = None
    media: tuple[Medium, ...] = ()

    def split_cost(self, usage: object) -> CostParts | None:
        """Return the cost of a usage by kind; None if a number is missing, or its numbers contradict each other."""
        usage = {} if usage is None else usage
        if not isinstance(usage, Mapping):
            return None
        uncached = _count(usage.get("input_tokens"), 0 if self.input == 0 else None)
        plain_output = _count(usage.get("output_tokens"), None if self.output else 0)
        read, written = _count(usage.get("cache_read_tokens"), 0), _count(usage.get("cache_write_tokens"), 0)
        reasoning = _count(usage.get("reasoning_tokens"), 0)
        written_1h = _count(usage.get("cache_write_1h_tokens"), 0)
        if (
            uncached is None
            or plain_output is None
            or read is None
            or written is None
            or reasoning is None
            or written_1h is None
        ):
            return None
        if self.reasoning is None:  # reasoning is paid as output
            reasoning = 0
        uncached, plain_output, written = (
            uncached - read - written,
            plain_output - reasoning,
            written - written_1h,
        )
        if uncached < 0 or plain_output < 0 or written < 0:
            return None
        cache_rate = self.input if self.cache_read is None else self.cache_read
        surcharge = (
            self._media_surcharge(usage, (uncached, plain_output, read), cache_rate)
            if self.media
            else _NO_SURCHARGE
        )
        costs = (
            _add(_multiply(uncached, self.input), surcharge[0]),
            _add(_multiply(plain_output, self.output), surcharge[1]),
            _add(_multiply(read, cache_rate), surcharge[2]),
            _add(
                _multiply(written, self.input if self.cache_write is None else self.cache_write),
                _multiply(written_1h, self.cache_write_1h),
            ),
            _multiply(reasoning, self.reasoning),
            self.request,
            _add(
                _multiply(_count(usage.get("web_searches"), 0), self.web_search),
                _multiply(_count(usage.get("file_searches"), 0), self.file_search),
            ),
        )
        return None if None in costs else CostParts._make(costs)

    def _media_surcharge(
        self, usage: Mapping[str, Any], tokens: tuple[int, int, int], cache_rate: int | None
    ) -> tuple[int | None, ...]:
        """Return how much more the tokens of sound and pictures cost than text: input, output, and cache reads.

        Args:
            usage: the usage.
            tokens: the number of tokens of input, output and cache reads, including text.
            cache_rate: the price of a token that was read from the cache.
        """
        surcharge, text_tokens = [0, 0, 0], list(tokens)
        text_rates = (self.input, self.output, cache_rate)
        for medium in self.media:
            input_count = _count(usage.get(f"input_{medium.kind}_tokens"), 0)
            output_count = _count(usage.get(f"output_{medium.kind}_tokens"), 0)
            # If the input has several kinds of tokens, it is not known which of them the cache read.
            default = 0 if not input_count or not tokens[2] else None
            read = _count(usage.get(f"cache_{medium.kind}_read_tokens"), default)
            if input_count is None or output_count is None or read is None:
                return _UNKNOWN_SURCHARGE
            media_tokens = (input_count - read, output_count, read)
            media_rates = (medium.input, medium.output, medium.cache_read)
            for index, (count, media_rate, text_rate) in enumerate(
                zip(media_tokens, media_rates, text_rates, strict=True)
            ):
                text_tokens[index] -= count
                if text_tokens[index] < 0 or count < 0:
                    return _UNKNOWN_SURCHARGE
                surcharge[index] += 0 if media_rate is None else count * (media_rate - (text_rate or 0))
        return tuple(surcharge)


_NO_SURCHARGE = (0, 0, 0)
_UNKNOWN_SURCHARGE = (None, None, None)


def _multiply(tokens: int | None, rate: int | None) -> int | None:
    """Return the cost of some tokens; None if it is not known. Without tokens, it is 0 even without a price."""
    return 0 if tokens == 0 else None if rate is None or tokens is None else tokens * rate


def _add(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class Price(NamedTuple):
    """The price of one model at one time.

    Attributes:
        source: where it comes from: `settings`, or `genai-prices` with its version.
        bands: the number of input tokens that a call must exceed, and the rates for such a call, from the lowest
            number. The rates apply to all tokens of the call.
    """

    source: str
    bands: tuple[tuple[int, Rates], ...]

    def split_cost(self, usage: object) -> CostParts | None:
        """Return the cost of a usage by kind; None if a number is missing, or its numbers contradict each other."""
        input_count = _count(usage.get("input_tokens")) if isinstance(usage, Mapping) else None
        rates = next(rates for start, rates in reversed(self.bands) if (input_count or 0) > start)
        return rates.split_cost(usage)

    def cost(self, usage: object) -> int | None:
        """Return the cost of a usage, in 1e-12 dollars; None if it is not known."""
        parts = self.split_cost(usage)
        return None if parts is None else sum(parts)


def _count(value: object, default: int | None = None) -> int | None:
    """Return a number of tokens; `default` if there is no value, None for a value that is no number of tokens."""
    if value is None:
        return default
    if type(value) is int and value >= 0:
        return value
    return int(value) if type(value) is float and value >= 0 and value.is_integer() else None
