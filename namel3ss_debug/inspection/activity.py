"""Read everything that one agent or component did, in order: its spans, the spans inside them, and its other events.

This takes one pass over the trace, and keeps only the steps and the table of spans in memory. A span with something
inside becomes two steps, its beginning and its end; any other span becomes one.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.inspection.selection import EventSource
from namel3ss_debug.inspection.streams import CHUNK
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.traces.facts import has_failed
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.span_table import AT_TOP, EventPlace, SpanTableBuilder

SKIPPED_TYPES = frozenset(
    {CHUNK, INPUTS_READ, "resource_sample", "stack_sample", "file_access", "trace_start", "trace_end"}
)
"""Types of events that are no steps."""

_NAMES_KEPT = 10_000
_NAMES_SHOWN = 8
_SENDERS = ("from", "sender", "source", "from_agent", "source_agent")
_RECEIVERS = ("to", "receiver", "recipient", "target", "to_agent", "target_agent")


@dataclass(slots=True, eq=False)
class ActivityStep:
    """One step of an activity: a span, its beginning or its end, or another event.

    Attributes:
        number: the number of its first event.
        event: its first event; for an end without a start, the end.
        depth: 0 for spans and events of NAME itself, 1 for those directly inside.
        own: whether it is NAME's own span or event.
        caller: the name, or the kind, of the span in which it ran; empty at the top.
        opening: whether it is only the beginning of a span: something ran inside, so that the end is a separate step,
            or the end comes after the last event of the activity.
        closing: whether it is such an end.
        end: the end event, if the span ended.
        end_number: the number of the end event.
    """

    number: int
    event: Event
    depth: int
    own: bool
    caller: str = ""
    opening: bool = False
    closing: bool = False
    end: Event | None = None
    end_number: int | None = None

    @property
    def is_span(self) -> bool:
        """Return whether it has an end, or should have one."""
        return str(self.event["event_type"]).endswith(("_start", "_end"))

    @property
    def failed(self) -> bool:
        """Return whether it failed; for a span with something inside, only the step of its end fails."""
        if self.opening or (self.is_span and self.end is None):
            return False
        return has_failed(self.event if self.end is None else self.end)


@dataclass
class Activity:
    """The activity of an agent or a component, here called NAME.

    Attributes:
        names: the recorded names that match.
        components: the components of these names.
        steps: the first steps, in order.
        total: how many steps there are.
        spans: how many of the steps are NAME's own spans.
        failures: how many steps failed.
        calls: how often each (component, name) ran directly inside, and how often it failed.
        began_at: when the trace began, in seconds since the epoch.
    """

    names: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    steps: list[ActivityStep] = field(default_factory=list)
    total: int = 0
    spans: int = 0
    failures: int = 0
    calls: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    began_at: float | None = None


def read_activity(trace: EventSource, name: str, *, limit: int | None = None) -> Activity:
    """Return the activity of an agent or a component.

    Args:
        trace: the trace to read.
        name: its name, in upper or lower case, with `*` and `?` for anything; or a component such as `llm`. Commands
            that libraries run for their own purposes are left out, unless it is their very name.
        limit: how many steps are kept at most.

    Raises:
        WrongUsageError: nothing in the trace has that name; the message suggests the nearest name.
    """
    reader = _ActivityReader(name, limit)
    activity = reader.read(trace)
    # A component counts only if nothing has its name.
    if not activity.total and name.lower() in reader.components:
        activity = _ActivityReader(name, limit, by_component=True).read(trace)
    if not activity.total:
        raise WrongUsageError(_describe_unknown_name(name, reader.names, reader.components))
    return activity


def _describe_unknown_name(name: str, names: Counter[str], components: set[str]) -> str:
    known = {known_name.lower(): known_name for known_name in (*sorted(components), *sorted(names))}
    near = difflib.get_close_matches(name.lower(), known, 1)
    listed = ", ".join(known_name for known_name, _ in names.most_common(_NAMES_SHOWN))
    if near:
        hint = f"did you mean {known[near[0]]}?"
    else:
        hint = f"there are {listed}" if listed else "nothing has a name"
    return f"nothing in this trace is called {name!r}; {hint}"


@dataclass(slots=True)
class _BegunSpan:
    """A span: its depth in the activity (None outside of it), its label, its step, and whether anything ran inside."""

    depth: int | None
    label: str
    own: bool
    parent: _BegunSpan | None
    step: ActivityStep | None = None
    inner: bool = False


class _ActivityReader:
    """A reader of events that keeps those that belong to the activity."""

    def __init__(self, name: str, limit: int | None, *, by_component: bool = False) -> None:
        self.name = name
        self.limit = limit
        self.by_component = by_component
        self.names: Counter[str] = Counter()
        self.components: set[str] = set()
        self.activity = Activity()
        self._builder = SpanTableBuilder(costs=False)
        self._begun: dict[int, _BegunSpan] = {}

    def read(self, trace: EventSource) -> Activity:
        """Read the trace and return the activity."""
        activity, names, components = self.activity, set(), set()
        for number, event in enumerate(trace.events(), 1):
            if number == 1:
                activity.began_at = event.get("timestamp")
            place = self._builder.take(event)
            if self._is_background(event, place):
                continue
            name, component = event.get("component_name"), event.get("component")
            if isinstance(name, str) and (name in self.names or len(self.names) < _NAMES_KEPT):
                self.names[name] += 1
            if isinstance(component, str):
                self.components.add(component)
            if self._take(number, event, place):
                names.add(str(event.get("component_name") or event["component"]))
                components.add(str(event["component"]))
        activity.names, activity.components = sorted(names) or [self.name], sorted(components)
        activity.steps.sort(key=lambda step: step.number)
        return activity

    def _is_background(self, event: Event, place: EventPlace) -> bool:
        """Return whether an event belongs to a command that a library runs for its own purposes."""
        background = place.span != AT_TOP and self._builder.table.background[place.span]
        return bool(background) and str(event.get("component_name")).lower() != self.name.lower()

    def _fits(self, event: Event) -> bool:
        if self.by_component:
            return str(event.get("component")).lower() == self.name.lower()
        name = event.get("component_name")
        return isinstance(name, str) and name_fits(name, self.name)

    def _take(self, number: int, event: Event, place: EventPlace) -> bool:
        """Take the next event and return whether it is NAME's own."""
        kind = event["event_type"]
        if begins_span(kind):
            return self._take_start(number, event, place)
        if ends_span(kind):
            return self._take_end(number, event, self._begun.get(place.span))
        if kind in SKIPPED_TYPES:
            return False
        # A message between agents belongs to the activities of both.
        own = self._fits(event) or any(
            name_fits(agent, self.name) for agent in find_message_ends(event) if agent
        )
        parent_span = self._begun.get(place.parent)
        if own or (parent_span is not None and parent_span.depth is not None):
            self._add_step(number, event, parent_span, own=own)
        return self._fits(event)

    def _take_start(self, number: int, event: Event, place: EventPlace) -> bool:
        """Take a start and return whether it is NAME's own."""
        parent_span, own = self._begun.get(place.parent), self._fits(event)
        depth = None if parent_span is None else parent_span.depth
        label = str(event.get("component_name") or event["component"])
        begun = self._begun[place.span] = _BegunSpan(None, label, own, parent_span)
        if own or depth is not None:
            begun.depth = 0 if depth is None else depth + 1
            begun.step = self._add_step(number, event, parent_span, own=own)
            self.activity.spans += own
            if begun.depth == 1 and not own:
                self._get_counts(event)[0] += 1
        return own

    def _get_counts(self, event: Event) -> list[int]:
        key = str(event["component"]), str(event.get("component_name") or "")
        return self.activity.calls.setdefault(key, [0, 0])

    def _take_end(self, number: int, event: Event, begun: _BegunSpan | None) -> bool:
        """Take an end and return whether it is NAME's own; if anything ran inside, the end is a separate step."""
        if begun is None:
            own = self._fits(event)
            if own:
                step = self._add_step(number, event, None, own=True)
                if step is not None:
                    step.end, step.end_number = event, number
            return own
        if begun.depth is None:
            return False
        failed = has_failed(event)
        self.activity.failures += failed
        if begun.depth == 1 and not begun.own:
            self._get_counts(event)[1] += failed
        if begun.step is not None:
            begun.step.end, begun.step.end_number = event, number
        if begun.inner:
            if begun.step is not None:
                begun.step.opening = True
            step = self._add_step(number, event, begun.parent, own=begun.own, inner=False)
            if step is not None:
                step.closing, step.end, step.end_number, step.depth = True, event, number, begun.depth
                step.caller = begun.label
        return begun.own

    def _add_step(
        self, number: int, event: Event, parent_span: _BegunSpan | None, *, own: bool, inner: bool = True
    ) -> ActivityStep | None:
        """Count a step, and keep it if there is room."""
        self.activity.total += 1
        depth = 0 if parent_span is None or parent_span.depth is None else parent_span.depth + 1
        caller = "" if parent_span is None else parent_span.label
        # Each open span around this step gets a separate step for its end. All spans around a marked one are marked.
        while inner and parent_span is not None and not parent_span.inner:
            parent_span.inner = True
            parent_span = parent_span.parent
        if self.limit is not None and len(self.activity.steps) >= self.limit:
            return None
        step = ActivityStep(number, event, depth, own, caller)
        self.activity.steps.append(step)
        return step


def find_message_ends(event: Event) -> tuple[str, str]:
    """Return the sender and the recipient of a message, by its payloads; empty if they are missing or it is no message.

    A message without a sender in its payloads is from the component of its event.
    """
    if event["event_type"] != "agent_message":
        return "", ""
    fields = (event.get(name) for name in ("metadata", "inputs", "outputs"))
    payloads = [payload for payload in fields if isinstance(payload, dict)]
    sender, receiver = (
        next(
            (str(payload[key]) for payload in payloads for key in keys if isinstance(payload.get(key), str)),
            "",
        )
        for keys in (_SENDERS, _RECEIVERS)
    )
    return sender or str(event.get("component_name") or ""), receiver
