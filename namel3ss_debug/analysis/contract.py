"""What an analysis is: the protocol of a fold, and how events of several recordings are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Totals
    from namel3ss_debug.traces.events import Event

NUMBER_BITS = 40
"""The bits of the number of an event; the bits above hold the place of its recording, where there are several."""


class Fold(Protocol):
    """One analysis.

    `events` are the types of the point events it wants to see (`EVERY_EVENT`: all events there are, in order), `needs`
    the sections whose results it reads, and other parts of the document that `Analysis.results` is given.
    A fold with a constant `spans` is only shown the spans without a known parent (`top`), or no ended span at all
    (`none`).
    An instance holds plain data only, so that it can go from one process to another.
    """

    events: frozenset[str]
    needs: tuple[str, ...]

    def span(self, span: MeasuredSpan) -> None:
        """Take a span that ended, or an end whose start is not in the trace. The order of the spans is not fixed."""

    def open_span(self, span: MeasuredSpan) -> None:
        """Take a span that never ended; these come after all others, inner ones before outer ones."""

    def event(self, number: int, event: Event) -> None:
        """Take an event of one of the types in `events`."""

    def merge(self, later: Self) -> None:
        """Add what a later part, or another trace, has found; `later` is not used any more."""

    def result(self, totals: Totals) -> dict[str, Any]:
        """The section of the document: JSON, in a fixed order."""


class Pooled(Fold, Protocol):
    """An analysis that has a meaning for the spans of several recordings together.

    Its `merge` also takes another recording, in which no span is open any more, and its rows name events
    by `number`.
    """

    def renumber(self, by: int) -> None:
        """Add this to the numbers of all events that are kept, so that they identify the recording as well."""


def is_pooled(fold: object) -> bool:
    """Whether a fold can be pooled with that of another recording."""
    return bool(getattr(fold, "pooled", hasattr(fold, "renumber")))


def names_event(key: str) -> bool:
    """Whether the value of this key is the number of an event: `number`, `peak_number`."""
    return key == "number" or key.endswith("_number")
