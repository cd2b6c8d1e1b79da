"""Sums and percentiles of the calls of one subject over the last seconds, kept up to date as calls arrive.

Nothing is read again: a call is added once, and leaves when its time is over. Sums are kept in slices of a second, or of
a 3,600th of the window where that is longer.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from namel3ss_debug.analysis.distributions import LEAST_FOR_OUTLIERS, outer_fence, percentile
from namel3ss_debug.analysis.forecasts import forecast_level
from namel3ss_debug.analysis.triggers.rules import FLOOR_NS, LEAST_CALLS, RECENT
from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_VALUES: Final = 20_000
"""Percentiles are those of this many latest calls at most."""

SUMS: Final = (
    *("calls", "llm_calls", "tool_calls", "failures", "retries", "timeouts"),
    *("tokens", "input_tokens", "output_tokens", "cost", "duration_ns"),
)
_CALLS, _FAILURES = SUMS.index("calls"), SUMS.index("failures")
_MOST_SLICES: Final = 3600
_JUMP: Final = 2
_PARTS: Final = 12
LEAST_OF_PART: Final = 5
"""A rate or a mean of fewer calls says nothing about a trend."""

_FLOOR_PICODOLLARS: Final = 1_000_000
_TOKENS_AS_NS: Final = 1_000_000
"""`outer_fence` wants 10 ms more than the median at least; so scaled, that is 10 tokens."""


SUMMED: Final[dict[str, tuple[str, ...]]] = {
    **{name: (name,) for name in SUMS},
    "error_rate": ("calls", "failures"),
    "calls_per_minute": ("calls",),
    "error_rate_ahead": ("calls", "failures"),
    "mean_ms_ahead": ("calls", "duration_ns"),
    "cost_per_call_ahead": ("calls", "cost"),
}
"""Measure -> the sums that it needs."""

Amounts = Sequence[int]
"""What a call adds to each of `SUMS`."""


class Call(NamedTuple):
    """A call that ended; times in seconds since 1970 and nanoseconds, money in 1e-12 dollars, -1 where not known.

    `share` is how much of its context window a model call filled.
    """

    number: int
    at: float
    component: str
    name: str
    duration_ns: int
    failed: bool
    retried: bool
    timed_out: bool
    tokens: int
    input_tokens: int
    output_tokens: int
    cost: int
    share: float | None

    def amounts(self) -> Amounts:
        """Return what the call adds to each of `SUMS`."""
        is_llm, is_tool = self.component == "llm", self.component == "tool"
        is_call = is_llm or is_tool
        return (
            *(is_call, is_llm, is_tool, is_call and self.failed, self.retried, self.timed_out),
            *(self.tokens, self.input_tokens, self.output_tokens, max(self.cost, 0)),
            max(self.duration_ns, 0) if is_call else 0,
        )


class Values:
    """The values of one quantity over the last seconds, the latest `MOST_VALUES` of them, in order of size."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue: deque[tuple[float, int]] = deque()
        self.ordered: list[int] = []

    def add(self, at: float, value: int) -> None:
        """Add a value."""
        insort(self.ordered, value)
        self._queue.append((at, value))
        if len(self._queue) > MOST_VALUES:
            self._drop()

    def expire(self, now: float) -> None:
        """Drop the values whose time is over."""
        while self._queue and self._queue[0][0] <= now - self._seconds:
            self._drop()

    def _drop(self) -> None:
        del self.ordered[bisect_left(self.ordered, self._queue.popleft()[1])]


class Usual:
    """What is usual for one quantity: its values, and the last five beside them.

    The last five are not among the values that they are compared with. Neither are later ones while the last five are
    far above: what is wrong for long does not become usual before its window is over.
    """

    def __init__(self, seconds: float, floor: int) -> None:
        self._values, self._floor = Values(seconds), floor
        self.ordered = self._values.ordered
        self._recent: deque[tuple[float, int]] = deque()
        self._jumped = False
        self._near = 0.0  # what is surely not far above the usual values

    def add(self, at: float, value: int) -> None:
        """Add the value of a call that ended at this time."""
        recent = self._recent
        recent.append((at, value))
        if len(recent) <= RECENT:
            return
        settled = recent.popleft()
        self._jumped = (value > self._near or self._jumped) and (self.jump() or 0) > _JUMP
        if not self._jumped:
            self._values.add(*settled)

    def expire(self, now: float) -> None:
        """Drop the values whose time is over."""
        self._values.expire(now)
        self._near = _JUMP * self._usual() if self.ordered else 0.0

    def jump(self) -> float | None:
        """Return the least of the last five as a multiple of the usual median; None where too few are known.

        Once that was large, it is the median of the five until that is small: one quick call among slow ones ends nothing.
        To be more than twice as large it is above nine of ten usual ones as well, so a quantity that varies widely by
        itself makes no jump by chance.
        """
        if len(self.ordered) < LEAST_CALLS - RECENT or len(self._recent) < RECENT:
            return None
        recent = sorted(value for _, value in self._recent)
        return recent[RECENT // 2 if self._jumped else 0] / self._usual()

    def _usual(self) -> float:
        """Return the median, or half of what nine of ten values do not exceed where that is more."""
        return max(percentile(self.ordered, 50), percentile(self.ordered, 90) / _JUMP, self._floor)

    def count_outliers(self, scale: int) -> int | None:
        """Return how many of the last five are far out; None where too few are known."""
        if len(self.ordered) < max(LEAST_CALLS, LEAST_FOR_OUTLIERS):
            return None
        fence = outer_fence(*(percentile(self.ordered, percent) * scale for percent in (25, 50, 75)))
        return sum(value * scale > fence for _, value in self._recent)


QUANTITIES: Final = {
    "duration_ns": (FLOOR_NS, 1),
    "tokens": (1, _TOKENS_AS_NS),
    "cost": (_FLOOR_PICODOLLARS, 1),
}
"""Quantity of a call whose usual values are kept -> its floor, and the scale that `outer_fence` expects."""

READ_BY: Final[dict[str, tuple[str, ...]]] = {
    "slowdown": ("duration_ns",),
    "cost_jump": ("cost",),
    "outliers": tuple(QUANTITIES),
}
"""Measure -> the quantities whose usual values it needs."""

_PERCENTILES: Final = frozenset({"p50_ms", "p95_ms", "p99_ms"})


class CallWindow:
    """The calls of one subject over the last `seconds`, or over the whole run where that is None."""

    def __init__(self, seconds: float | None, measures: Iterable[str]) -> None:
        self.seconds = inf if seconds is None else seconds
        self._width = 1.0 if seconds is None else max(1.0, seconds / _MOST_SLICES)
        self._slices: deque[tuple[int, list[int]]] = deque()
        self.sums = [0] * len(SUMS)
        measures = frozenset(measures)
        summed = {name for measure in measures for name in SUMMED.get(measure, ())}
        self._summed = [index for index, name in enumerate(SUMS) if name in summed]
        self._keeps_shares = "context_share" in measures
        names = {name for measure in measures for name in READ_BY.get(measure, ())}
        self.usual = {name: Usual(self.seconds, QUANTITIES[name][0]) for name in names}
        self._durations = None if measures.isdisjoint(_PERCENTILES) else Values(self.seconds)
        self._shares: deque[tuple[float, float, int]] = (
            deque()
        )  # falling: the first is the largest of the window
        self.began: float | None = None
        self.longest_ns = 0
        self.latest: deque[int] = deque(maxlen=RECENT)
        self.failed: deque[int] = deque(maxlen=RECENT)

    @property
    def only_sums(self) -> bool:
        """Whether it is enough to add the amounts of calls."""
        return not self.usual and self._durations is None and not self._keeps_shares

    def add_amounts(self, at: float, amounts: Amounts) -> None:
        """Add the amounts of a call, or those of several that ended in the same second."""
        if self.began is None or at < self.began:
            self.began = at
        sums = self.sums
        for index in self._summed:
            sums[index] += amounts[index]
        if self._summed and self.seconds != inf:
            number = int(at // self._width)
            if not self._slices or self._slices[-1][0] < number:
                self._slices.append((number, [0] * len(SUMS)))
            kept = self._slices[-1][1]
            for index in self._summed:
                kept[index] += amounts[index]

    def add(self, call: Call, amounts: Amounts) -> None:
        """Add a call, with the result of its `amounts`, which all windows share."""
        self.add_amounts(call.at, amounts)
        self.longest_ns = max(self.longest_ns, call.duration_ns)
        self.latest.append(call.number)
        if call.failed:
            self.failed.append(call.number)
        if self._durations is not None and call.duration_ns >= 0:
            self._durations.add(call.at, call.duration_ns)
        for name, usual in self.usual.items():
            value = getattr(call, name)
            if value > 0:  # a tool has no tokens, and an unknown cost is -1
                usual.add(call.at, value)
        if self._keeps_shares and call.share is not None:
            while self._shares and self._shares[-1][1] <= call.share:
                self._shares.pop()
            self._shares.append((call.at, call.share, call.number))

    def expire(self, now: float) -> None:
        """Drop the calls whose time is over."""
        first = (now - self.seconds) // self._width
        while self._slices and self._slices[0][0] < first:
            gone = self._slices.popleft()[1]
            self.sums = [total - amount for total, amount in zip(self.sums, gone, strict=True)]
        if self._durations is not None:
            self._durations.expire(now)
        for usual in self.usual.values():
            usual.expire(now)
        while self._shares and self._shares[0][0] < now - self.seconds:
            self._shares.popleft()

    def sum(self, name: str) -> int:
        """Return the sum of one of `SUMS`."""
        return self.sums[SUMS.index(name)]

    def error_rate(self) -> float | None:
        """Return the share of the calls that failed; None without a call."""
        return self.sums[_FAILURES] / self.sums[_CALLS] if self.sums[_CALLS] else None

    def per_minute(self, now: float) -> float | None:
        """Return the calls a minute; None before the window was full once."""
        if self.began is None or now - self.began < self.seconds:
            return None
        return self.sums[_CALLS] * 60 / self.seconds

    def percentile_ms(self, percent: int) -> float | None:
        """Return a percentile of the durations; None without a call."""
        values = self._durations.ordered if self._durations is not None else None
        return percentile(values, percent) / NS_PER_MS if values else None

    def ahead(self, now: float, read: Callable[[list[int]], float | None]) -> float | None:
        """Return what a value will surely exceed half a window from now: the lower end of the interval of its forecast.

        Args:
            now: the time.
            read: returns the value of one of twelve parts of the window, from its sums; None where it has too few calls.
        """
        if self.began is None or now - self.began < self.seconds or self.seconds == inf:
            return None
        parts = [[0] * len(SUMS) for _ in range(_PARTS)]
        for number, sums in self._slices:
            index = min(
                max(int((number * self._width - now + self.seconds) / self.seconds * _PARTS), 0), _PARTS - 1
            )
            parts[index] = [total + amount for total, amount in zip(parts[index], sums, strict=True)]
        values = [value for part in parts if (value := read(part)) is not None]
        if len(values) < _PARTS:
            return None
        found = forecast_level(values, _PARTS / 2)
        return None if found is None else max(found.low, 0.0)

    def count_outliers(self) -> int | None:
        """Return the largest number of outliers among the last five, of all quantities."""
        counts = [usual.count_outliers(QUANTITIES[name][1]) for name, usual in self.usual.items()]
        return max((count for count in counts if count is not None), default=None)

    def context(self) -> tuple[float, int] | None:
        """Return the largest share of a context window, and the call that filled it; None where no window is known."""
        return self._shares[0][1:] if self._shares else None
