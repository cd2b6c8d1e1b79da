"""Weak failures, collected while a trace is read, and those that remain once the real failures are known.

The first `MOST_KEPT` are kept; further ones are only counted. A log record with the words of a failure, or of a weak
one before it, reports that one and is left out; so is an output that repeats the words of a failure inside its span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.failures.categories import categorise
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.analysis.failures.claims import Claim

MOST_KEPT = 1_000
_TELLING = 8
_COMPARED = 200
_LONGEST_TEXT = 1_000


class WeakFailure(NamedTuple):
    """One sign of failure, and the event that it is in."""

    number: int
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
    """The first weak failures of a trace, and how many more there were."""

    def __init__(self) -> None:
        self.kept: list[WeakFailure] = []
        self.more = 0

    def add(self, number: int, event: Event, claim: Claim) -> None:
        """Take the next one."""
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

    def merge(self, later: WeakFailures) -> None:
        """Add those of a later part."""
        room = MOST_KEPT - len(self.kept)
        self.kept += later.kept[:room]
        self.more += later.more + len(later.kept[room:])

    def remaining(
        self, failed: Iterable[tuple[int, str]], start_of: Callable[[int], int | None]
    ) -> list[WeakFailure]:
        """Return those that do not repeat another failure.

        Args:
            failed: the number and the words of every failure.
            start_of: the number of the start of the span whose end has a number, where it is known.
        """
        known = [(number, words[:_COMPARED].strip()) for number, words in failed]
        known = [(number, words) for number, words in known if len(words) >= _TELLING][:MOST_KEPT]
        told = {words for _, words in known}
        found = []
        for weak in self.kept:
            words = weak.error[:_COMPARED].strip()
            if weak.source == "log":
                repeats = any(
                    other in weak.error or (len(words) >= _TELLING and words in other) for other in told
                )
            else:
                began = start_of(weak.number) or weak.number
                repeats = any(began < number < weak.number and other in weak.error for number, other in known)
            if not repeats:
                found.append(weak)
            if len(words) >= _TELLING and words not in told and len(told) < MOST_KEPT:
                told.add(words)
                known.append((weak.number, words))
        return found
