"""Keep the spans that ended before each failure while a trace is read, so that its origin can be found at the end.

These are kept for the first `MOST_TRACED` failures, and for at most as many weak ones before the last of these: the `TAIL`
spans that ended before the event that reports the failure, and the `MODEL_TAIL` model calls, which may have ended earlier
where many tasks run concurrently. What ended outside of all spans, as a run does, may have begun long before: of it the
`LONG_TAIL` spans are kept.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.failures.causes import find_origins
from namel3ss_debug.analysis.failures.steps import SpanStep
from namel3ss_debug.analysis.failures.suspects import FailureInfo, SuspectedCause
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import AT_TOP

if TYPE_CHECKING:
    from namel3ss_debug.traces.span_table import SpanTable

TAIL = 128
LONG_TAIL = 400
MODEL_TAIL = 24
MOST_TRACED = 120

EndedSpan = tuple[int, Event, Event]
"""The row of a span that ended, its start and its end event."""


def tail_inside(around: int) -> int:
    """Return how many of the spans that ended before a failure are searched; `around` is the row of the span around it."""
    return LONG_TAIL if around == AT_TOP else TAIL


def make_step(spans: SpanTable, row: int, start: Event, end: Event) -> SpanStep:
    """Return a span of the table as a step, with its start and its end event."""
    return SpanStep(spans.number[row], spans.end[row], start, end, row, spans.parent[row])


class Window(NamedTuple):
    """The start and the end event that report a failure, and the spans that ended before it."""

    start: Event
    end: Event
    tail: tuple[EndedSpan, ...]
    models: tuple[EndedSpan, ...]


class FailureWindows:
    """The spans that ended last, and the windows before the failures so far."""

    def __init__(self) -> None:
        self._tail: deque[EndedSpan] = deque(maxlen=LONG_TAIL)
        self._models: deque[EndedSpan] = deque(maxlen=MODEL_TAIL)
        self._failed: dict[int, Window] = {}
        self._weak: dict[int, Window] = {}
        self._steps: dict[int, SpanStep] = {}

    def add(self, row: int, start: Event, end: Event) -> None:
        """Take the next span that ended."""
        if len(self._failed) < MOST_TRACED:
            self._tail.append((row, start, end))
            if end["component"] == "llm":
                self._models.append((row, start, end))

    def note_failure(
        self, number: int, start: Event, end: Event, *, weak: bool = False, tail: int = TAIL
    ) -> None:
        """Keep the spans that ended before an event that reports a failure."""
        kept = self._weak if weak else self._failed
        if len(self._failed) < MOST_TRACED and len(kept) < MOST_TRACED:
            kept[number] = Window(start, end, tuple(self._tail)[-tail:], tuple(self._models))

    def has_window(self, number: int) -> bool:
        """Return whether the window of the failure that an event reports was kept."""
        return number in self._failed or number in self._weak

    def find_origins(
        self, spans: SpanTable, row: int, number: int, info: FailureInfo
    ) -> list[SuspectedCause] | None:
        """Return the suspected causes of the failure that an event reports; None where no window was kept.

        Args:
            spans: the table of spans.
            row: the row of the span that the event ends; of an event alone that of the span around it.
            number: the number of the event.
            info: what is known of the failure.
        """
        window = self._failed.get(number) or self._weak.get(number)
        if window is None:
            return None
        before = {ended[0]: ended for ended in (*window.models, *window.tail)}
        steps = self._steps
        steps |= {one: make_step(spans, *before[one]) for one in before.keys() - steps.keys()}
        failed = (
            make_step(spans, row, window.start, window.end)
            if window.start
            else SpanStep(number, number, window.start, window.end, row, AT_TOP)
        )
        return find_origins(failed, info, [steps[one] for one in sorted(before)])
