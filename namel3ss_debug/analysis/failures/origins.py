"""Keep the events before each failure while a trace is read, so that its origin can be found at the end.

These are kept for the first `MOST_TRACED` failures, and for at most as many weak ones before the last of these: the
`TAIL` events before the one that reports the failure; the `MODEL_TAIL` events of model calls before it, which may lie
further back where many tasks run concurrently; and the span itself. Chunks of streams, samples and the like do not count
as events here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.failures.causes import find_origins
from namel3ss_debug.analysis.failures.steps import SpanStep, make_steps
from namel3ss_debug.analysis.failures.suspects import FailureInfo, SuspectedCause
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.analysis.failures.steps import Numbered

TAIL = 128
MODEL_TAIL = 24
MOST_TRACED = 120


class AllBut(frozenset[str]):
    """All event types but those in it: the `events` of a watcher that wants to see all others."""

    def __contains__(self, event_type: object) -> bool:
        return not frozenset.__contains__(self, event_type)


WATCHED = AllBut(
    {
        *("trace_start", "trace_end", "stream_chunk", "resource_sample", "performance_marker", "inputs_read"),
        *("output", "divergence", "stack_sample", "file_access", "memory_summarization", "exception_handled"),
    }
)
"""The types of the events that are looked at."""


class Window(NamedTuple):
    """The window before a failure: the reporting event, the events before it, those of model calls."""

    event: Event
    tail: tuple[Numbered, ...]
    models: tuple[Numbered, ...]


class FailureWindows:
    """The last events, and the windows before the failures so far.

    Attributes:
        full: whether no more windows are kept, so that nothing needs to be remembered any longer.
        weak_at: the number of the latest event that reports a weak failure.
        tail, models: the last events, and the last of model calls; the caller that feeds events appends them.
    """

    def __init__(self) -> None:
        self.full = False
        self.weak_at = 0
        self.tail: deque[Numbered] = deque(maxlen=TAIL)
        self.models: deque[Numbered] = deque(maxlen=MODEL_TAIL)
        self._failed: dict[int, Window] = {}
        self._weak: dict[int, Window] = {}
        self._begun: dict[int, tuple[int, Event]] = {}
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
        return Window(event, tuple(self.tail), tuple(self.models))

    def note_start(self, number: int, start: Event, end_number: int) -> None:
        """Note the start of a span whose end reports a failure."""
        if start and (end_number in self._failed or end_number in self._weak):
            self._begun[end_number] = (number, start)

    def start_of(self, number: int) -> int | None:
        """Return the number of the start of the span whose end has this number, where it is known."""
        start = self._begun.get(number)
        return start[0] if start else None

    def has_window(self, number: int) -> bool:
        """Return whether the window of the failure that an event reports was kept."""
        return number in self._failed or number in self._weak

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
