"""Collect weak failures while a trace is read, and select those that do not repeat a real failure.

The first `MOST_KEPT` are kept; further ones are only counted. A log record with the text of a failure, or of an earlier
weak one, reports that one and is left out. So is an output that repeats the text of a failure inside its span.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.failures.categories import categorise
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.analysis.failures.claims import Claim

MOST_KEPT = 1_000
_LEAST_COMPARED = 8
_COMPARED = 200
_LONGEST_TEXT = 1_000


class WeakFailure(NamedTuple):
    """One sign of failure, and the event that it is in.

    Attributes:
        number: the number of the event.
        row: the row of the span that it ends; of an event alone that of the span around it.
        began: the number of the start of the span; that of the event where there is none.
        confidence, source, path: as in `Claim`.
    """

    number: int
    row: int
    began: int
    component: str
    name: str
    error: str
    error_type: str | None
    category: str
    confidence: float
    source: str
    path: str
    call_site: str | None
    at: float | None
    http_status: int | None


class WeakFailures:
    """The first weak failures of a trace, and the number of further ones."""

    def __init__(self) -> None:
        self.kept: list[WeakFailure] = []
        self.more = 0

    def add(self, number: int, event: Event, claim: Claim, row: int, began: int) -> None:
        """Add the next one."""
        if len(self.kept) >= MOST_KEPT:
            self.more += 1
            return
        component, name, site = event.get("component"), event.get("component_name"), event.get("call_site")
        component = component if isinstance(component, str) else ""
        code = claim.http_status
        error = (claim.error or "")[:_LONGEST_TEXT]
        self.kept.append(
            WeakFailure(
                number=number,
                row=row,
                began=began,
                component=component,
                name=name if isinstance(name, str) else "",
                error=error,
                error_type=claim.error_type,
                category=categorise(claim.error_type, error, http_status=code, component=component),
                confidence=claim.confidence,
                source=claim.source,
                path=claim.path,
                call_site=site if isinstance(site, str) else None,
                at=event.get("timestamp"),
                http_status=code,
            )
        )

    def remaining(self, failed: Iterable[tuple[int, str]]) -> list[WeakFailure]:
        """Return those that do not repeat another failure.

        Args:
            failed: the number and the text of every failure.
        """
        known = [(number, text[:_COMPARED].strip()) for number, text in failed]
        known = [(number, text) for number, text in known if len(text) >= _LEAST_COMPARED][:MOST_KEPT]
        known_texts = {text for _, text in known}
        remaining = []
        for weak in self.kept:
            text = weak.error[:_COMPARED].strip()
            if weak.source == "log":
                repeats = any(
                    other in weak.error or (len(text) >= _LEAST_COMPARED and text in other)
                    for other in known_texts
                )
            else:
                repeats = any(
                    weak.began < number < weak.number and other in weak.error for number, other in known
                )
            if not repeats:
                remaining.append(weak)
            if len(text) >= _LEAST_COMPARED and text not in known_texts and len(known_texts) < MOST_KEPT:
                known_texts.add(text)
                known.append((weak.number, text))
        return remaining
