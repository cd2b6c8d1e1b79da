"""A price as numbers: whole 1e-12 dollars for each token, and the cost of the tokens of a call at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PICODOLLARS: Final = 10**12
"""How many of the units in which money is counted make a dollar."""

PER_TOKEN: Final = PICODOLLARS // 10**6
"""One US dollar per million tokens, in 1e-12 dollars for each token."""

PER_REQUEST: Final = PICODOLLARS // 10**3
"""One US dollar per thousand requests or searches, in 1e-12 dollars for each."""

MODALITIES: Final = ("audio", "image", "video")
"""The kinds of tokens besides text."""


class Parts(NamedTuple):
    """The cost of one call: of its tokens by kind, and of the request and its searches, in 1e-12 dollars.

    `input` is without cached tokens, `output` without the reasoning.
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int
    searches: int = 0


class Medium(NamedTuple):
    """1e-12 dollars for a token of another kind than text; None where it is paid like text."""

    kind: str
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None


class Rates(NamedTuple):
    """1e-12 dollars for a token of each kind; None where there is no price of its own.

    Cached tokens without a price of their own are paid as input, reasoning without one as output. `request` is for the
    call as such. The prices of one-hour cache writes and of a provider's searches cannot be derived from other prices.
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

    def parts(self, usage: object) -> Parts | None:
        """What a usage costs by kind; None where a number is missing, or its numbers contradict each other."""
        usage = {} if usage is None else usage
        if not isinstance(usage, Mapping):
            return None
        given = _count(usage.get("input_tokens"), 0 if self.input == 0 else None)
        made = _count(usage.get("output_tokens"), None if self.output else 0)
        read, written = _count(usage.get("cache_read_tokens"), 0), _count(usage.get("cache_write_tokens"), 0)
        thought, long = (
            _count(usage.get("reasoning_tokens"), 0),
            _count(usage.get("cache_write_1h_tokens"), 0),
        )
        if (
            given is None
            or made is None
            or read is None
            or written is None
            or thought is None
            or long is None
        ):
            return None
        if self.reasoning is None:
            thought = 0
        given, made, written = given - read - written, made - thought, written - long
        if given < 0 or made < 0 or written < 0:
            return None
        cached = self.input if self.cache_read is None else self.cache_read
        more = self._beyond_text(usage, (given, made, read), cached) if self.media else _NOTHING
        paid = (
            _sum(_paid(given, self.input), more[0]),
            _sum(_paid(made, self.output), more[1]),
            _sum(_paid(read, cached), more[2]),
            _sum(
                _paid(written, self.input if self.cache_write is None else self.cache_write),
                _paid(long, self.cache_write_1h),
            ),
            _paid(thought, self.reasoning),
            self.request,
            _sum(
                _paid(_count(usage.get("web_searches"), 0), self.web_search),
                _paid(_count(usage.get("file_searches"), 0), self.file_search),
            ),
        )
        return None if None in paid else Parts._make(paid)

    def _beyond_text(
        self, usage: Mapping[str, Any], tokens: tuple[int, int, int], cached: int | None
    ) -> tuple[int | None, ...]:
        """How much more the tokens of sound and pictures cost than text: input, output, and cache reads.

        Args:
            usage: the usage.
            tokens: how many tokens there are of each of these, including text.
            cached: the price of a token that was read from the cache.
        """
        more, left = [0, 0, 0], list(tokens)
        for medium in self.media:
            given = _count(usage.get(f"input_{medium.kind}_tokens"), 0)
            made = _count(usage.get(f"output_{medium.kind}_tokens"), 0)
            # where the input is of several kinds, it is not known which of them the cache read
            unknown = 0 if not given or not tokens[2] else None
            read = _count(usage.get(f"cache_{medium.kind}_read_tokens"), unknown)
            if given is None or made is None or read is None:
                return _UNKNOWN
            of_kind = (given - read, made, read)
            text, own = (self.input, self.output, cached), (medium.input, medium.output, medium.cache_read)
            for place in range(3):
                left[place] -= of_kind[place]
                if left[place] < 0 or of_kind[place] < 0:
                    return _UNKNOWN
                dear = own[place]
                more[place] += 0 if dear is None else of_kind[place] * (dear - (text[place] or 0))
        return tuple(more)


_NOTHING = (0, 0, 0)
_UNKNOWN = (None, None, None)


def _paid(tokens: int | None, rate: int | None) -> int | None:
    return 0 if tokens == 0 else None if rate is None or tokens is None else tokens * rate


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class Price(NamedTuple):
    """The price of one model at one time.

    Attributes:
        source: where it comes from: `settings`, or `genai-prices` with its version.
        bands: rates by the number of input tokens that a call must exceed for them, from the lowest; the rates apply to
            all tokens of the call.
    """

    source: str
    bands: tuple[tuple[int, Rates], ...]

    def parts(self, usage: object) -> Parts | None:
        """What a usage costs by kind; None where a number is missing, or its numbers contradict each other."""
        given = _count(usage.get("input_tokens")) if isinstance(usage, Mapping) else None
        rates = next(rates for start, rates in reversed(self.bands) if (given or 0) > start)
        return rates.parts(usage)

    def cost(self, usage: object) -> int | None:
        """What a usage costs, in 1e-12 dollars; None where that is not known."""
        parts = self.parts(usage)
        return None if parts is None else sum(parts)


def _count(value: object, otherwise: int | None = None) -> int | None:
    """A number of tokens; `otherwise` where there is no value, None for a value that is no number of tokens."""
    if value is None:
        return otherwise
    if type(value) is int and value >= 0:
        return value
    return int(value) if type(value) is float and value >= 0 and value.is_integer() else None
