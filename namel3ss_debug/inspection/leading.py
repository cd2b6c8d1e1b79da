"""Read the activity right before one event: the last steps of all agents and components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from namel3ss_debug.inspection.activity import Activity, read_activity
from namel3ss_debug.traces.events import Event, NumberedEvents
from namel3ss_debug.traces.span_table import read_spans

LOOKED_BACK = 400
"""How many events before it are read."""

MOST_STEPS = 16


@dataclass(frozen=True)
class _EventSlice:
    """Some consecutive events of a trace, as a trace."""

    slice: Sequence[Event]

    def events(self, start: int = 1) -> Iterator[Event]:
        """Yield the events from the number `start` among them on."""
        return iter(self.slice[start - 1 :])


def read_leading_activity(trace: NumberedEvents, number: int, *, most: int = MOST_STEPS) -> Activity:
    """Return the activity of everything up to an event, with only its last steps.

    A span that ends after the event is a step by its beginning; its end is known, but is no step of the activity.

    Args:
        trace: the trace.
        number: the number of the event, from 1.
        most: how many steps are kept.
    """
    first = max(number - LOOKED_BACK, 1)
    events = [event for _, event in zip(range(first, number + 1), trace.events(first), strict=False)]
    if not any(isinstance(event.get("component_name"), str) for event in events):
        return Activity()
    activity = read_activity(_EventSlice(events), "*")
    first_event = next(iter(trace.events()), {})
    activity.began_at = first_event.get("timestamp")
    activity.steps = activity.steps[-most:]
    for step in activity.steps:
        step.number += first - 1
        if step.end_number is not None:
            step.end_number += first - 1
    table = read_spans(trace.events())
    ends = dict(zip(table.number, table.end, strict=True))
    for step in activity.steps:
        if step.end is None and (end := ends.get(step.number)):
            step.end, step.end_number, step.opening = trace.event(end), end, True
    return activity
