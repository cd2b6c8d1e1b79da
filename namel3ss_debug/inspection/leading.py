"""What happened right before one event, as a story: the last steps of all agents and components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from namel3ss_debug.inspection.journey import Step, Story, journey
from namel3ss_debug.traces.events import Event, ends_span

LOOKED_BACK = 400
"""How many events before it are read."""

MOST_STEPS = 16
EVERYBODY = "*"


class Recorded(Protocol):
    """A trace, as far as this module needs it."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events from a number on."""


@dataclass(frozen=True)
class _Part:
    """Some events of a trace, as a trace."""

    some: Sequence[Event]

    def events(self, start: int = 1) -> Iterator[Event]:
        """The events, from a place among them on."""
        return iter(self.some[start - 1 :])


def leading(trace: Recorded, number: int, *, most: int = MOST_STEPS) -> Story:
    """The story of everything up to an event, with only its last steps.

    A span that ends after the event is a step by its beginning; its end is known, but is no step of the story.

    Args:
        trace: the recording.
        number: the place of the event in it, from 1.
        most: how many steps are kept.
    """
    first = max(number - LOOKED_BACK, 1)
    some = [event for _, event in zip(range(first, number + 1), trace.events(first), strict=False)]
    if not any(isinstance(event.get("component_name"), str) for event in some):
        return Story()
    told = journey(_Part(some), EVERYBODY)
    began = next(iter(trace.events()), {})
    told.began_at = began.get("timestamp")
    told.steps = told.steps[-most:]
    for step in told.steps:
        _renumber(step, first - 1)
    _end_later(told.steps, trace, number)
    return told


def _renumber(step: Step, by: int) -> None:
    step.number += by
    if step.end_number is not None:
        step.end_number += by


def _end_later(steps: Sequence[Step], trace: Recorded, number: int) -> None:
    """Add the later ends to spans that are open at an event; one that never ended stays open."""
    still_open = {
        step.event["event_id"]: step
        for step in steps
        if step.end is None and step.event["event_type"].endswith("_start")
    }
    if not still_open:
        return
    for later, event in enumerate(trace.events(number + 1), number + 1):
        kind = event["event_type"]
        ends = ends_span(kind)  # the end of a process is not that of what started it
        if ends and event.get("parent_event_id") in still_open:
            step = still_open.pop(event["parent_event_id"])
            step.end, step.end_number, step.opening = event, later, True
            if not still_open:
                return
