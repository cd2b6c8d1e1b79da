"""Keep the events before each failure while a trace is read, so that its origin can be found at the end.

These are kept for the first `MOST_TRACED` failures, and for at most as many weak ones before the last of these: the
`TAIL` events before the one that reports the failure; the `MODEL_TAIL` events of model calls before it, which may lie
further back where many tasks run concurrently; the span itself; and the tokens and money spent until then. Chunks of
streams, samples and the like do not count as events here.

All of that depends only on the numbers of the events, so a cut trace gives the same result. A part keeps its last
events, which complete the windows of the part that follows. A span that was open at the cut is also shown to the part
before it, which recognises it by its number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.failures.causes import find_origins
from namel3ss_debug.analysis.failures.steps import SpanStep, make_steps
from namel3ss_debug.analysis.failures.suspects import FailureInfo, SuspectedCause
from namel3ss_debug.analysis.sections.usage import used
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.analysis.facts import MeasuredSpan
    from namel3ss_debug.analysis.failures.steps import Numbered

TAIL = 128
MODEL_TAIL = 24
MOST_TRACED = 120


class AllBut(frozenset[str]):
    """All event types but those in it: the `events` of a fold that wants to see all others."""

    def __contains__(self, event_type: object) -> bool:
        return not frozenset.__contains__(self, event_type)


WATCHED = AllBut(
    {
        *("trace_start", "trace_end", "stream_chunk", "resource_sample", "performance_marker", "inputs_read"),
        *("output", "divergence", "stack_sample", "file_access", "memory_summarization", "exception_handled"),
    }
)
"""The types of the events that are looked at."""


class Spent(NamedTuple):
    """Tokens, and money in 1e-12 dollars."""

    tokens: int = 0
    cost: int = 0


class Window(NamedTuple):
    """The window before a failure: the reporting event, the events before it, those of model calls, the spending."""

    event: Event
    tail: tuple[Numbered, ...]
    models: tuple[Numbered, ...]
    spent: Spent


class FailureWindows:
    """The last events, and the windows before the failures so far.

    Attributes:
        last: the number of the latest event.
        full: whether no more windows are kept, so that nothing needs to be remembered any longer.
        weak_at: the number of the latest event that reports a weak failure.
        tail, models: the last events, and the last of model calls; the caller that feeds events appends them.
    """

    def __init__(self) -> None:
        self.last = 0
        self.full = False
        self.weak_at = 0
        self.tail: deque[Numbered] = deque(maxlen=TAIL)
        self.models: deque[Numbered] = deque(maxlen=MODEL_TAIL)
        self._tokens = 0
        self._cost = 0
        self._failed: dict[int, Window] = {}
        self._weak: dict[int, Window] = {}
        self._begun: dict[int, tuple[int, Event]] = {}
        self._crossing: list[tuple[int, Spent]] = []
        self._steps: dict[tuple[int, int], SpanStep] = {}

    def note_failure(self, number: int, event: Event) -> None:
        """Keep the events before one that reports a failure."""
        if not self.full:
            self._failed[number] = self._window(event)
            self.full = len(self._failed) >= MOST_TRACED

    def note_weak_failure(self, number: int, event: Event) -> None:
        """Keep the events before one that reports a weak failure."""
        self.weak_at = number
        if not self.full and len(self._weak) < MOST_TRACED:
            self._weak[number] = self._window(event)

    def _window(self, event: Event) -> Window:
        return Window(event, tuple(self.tail), tuple(self.models), Spent(self._tokens, self._cost))

    def note_start(self, span: MeasuredSpan) -> None:
        """Note the start of a span whose end reports a failure."""
        number = span.end_number
        if span.start and (number > self.last or number in self._failed or number in self._weak):
            self._begun[number] = (span.number, span.start)

    def add_spending(self, span: MeasuredSpan) -> None:
        """Add the tokens and the cost of a model call."""
        tokens, _, cost = span.used or used(span)
        amount = cost[0] if cost else 0
        self._tokens += tokens
        self._cost += amount
        if span.end_number > self.last:
            self._crossing.append((span.end_number, Spent(tokens, amount)))

    def _spent_before(self, number: int, spent: Spent) -> Spent:
        """Return what had been spent before an event of the later part."""
        late = [crossing for ended, crossing in self._crossing if ended >= number]
        return Spent(
            self._tokens + spent.tokens - sum(crossing.tokens for crossing in late),
            self._cost + spent.cost - sum(crossing.cost for crossing in late),
        )

    def start_of(self, number: int) -> int | None:
        """Return the number of the start of the span whose end has this number, where it is known."""
        start = self._begun.get(number)
        return start[0] if start else None

    def spent_after(self, number: int) -> Spent | None:
        """Return what the model calls spent after a failure, its own included; None where its window was not kept."""
        window = self._failed.get(number) or self._weak.get(number)
        if window is None:
            return None
        return Spent(self._tokens - window.spent.tokens, self._cost - window.spent.cost)

    def find_origins(self, number: int, info: FailureInfo) -> list[SuspectedCause] | None:
        """Return the suspected causes of the failure that this event reports; None where no window was kept."""
        window = self._failed.get(number) or self._weak.get(number)
        if window is None:
            return None
        began, start = self._begun.get(number, (number, {}))
        events = {
            numbered[0]: numbered
            for numbered in (*window.models, *window.tail)
            if numbered[0] not in {began, number}
        }
        before = make_steps([events[position] for position in sorted(events)], self._steps)
        return find_origins(SpanStep(began, number, start, window.event), info, before)


def _last(before: deque[Numbered], after: tuple[Numbered, ...], most: int) -> tuple[Numbered, ...]:
    missing = most - len(after)
    return (*tuple(before)[-missing:], *after) if missing > 0 else after
