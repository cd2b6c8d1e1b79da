"""Everything that one agent or component did, in order: its spans, what ran inside them, and its other events.

It takes one pass over the recording, and only keeps the steps and the ids of open spans in memory. A span with
something inside becomes two steps, its beginning and its end, any other span one.
"""

from __future__ import annotations

import difflib
from collections import Counter, deque
from dataclasses import dataclass, field

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.inspection.selection import Events
from namel3ss_debug.inspection.streams import CHUNK
from namel3ss_debug.traces.events import SPAN_FAILURES, Event, ends_span
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ

UNTOLD = frozenset({CHUNK, INPUTS_READ, "resource_sample", "stack_sample", "trace_start", "trace_end"})
"""Types of events that are no steps of a story."""

_ENDED_KEPT = 10_000
_NAMES_KEPT = 10_000
_SHOWN_NAMES = 8
_SENDERS = ("from", "sender", "source", "from_agent", "source_agent")
_RECEIVERS = ("to", "receiver", "recipient", "target", "to_agent", "target_agent")


@dataclass(slots=True, eq=False)
class Step:
    """One step of a story: a span, its beginning or its end, or another event.

    Attributes:
        number: the number of the event it begins with.
        event: that event; for an end without a start, the end.
        depth: 0 for what NAME did itself, 1 for what ran directly inside.
        own: whether it is NAME's own span or event.
        caller: the name, or the kind, of the span it ran inside; empty at the top.
        opening: whether it is only the beginning of a span: something ran inside, so that the end is a separate step,
            or the end comes after the last event of the story.
        closing: whether it is such an end.
        end: the end event, where the span ended.
        end_number: its number.
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
        """Whether it has an end, or should have one."""
        return str(self.event["event_type"]).endswith(("_start", "_end"))

    @property
    def failed(self) -> bool:
        """Whether it failed; for a span with something inside, this is only true of the step of its end."""
        event = self.end if self.end is not None else self.event
        if self.opening or (self.is_span and self.end is None):
            return False
        status = event.get("status")
        return event.get("error") is not None if status is None else status in SPAN_FAILURES


@dataclass
class Story:
    """The story of an agent or a component, here called NAME.

    Attributes:
        names: the recorded names that fitted.
        components: the components of these names.
        steps: the first steps, in order.
        total: how many steps there are.
        spans: how many of the steps are NAME's own spans.
        failures: how many steps failed.
        calls: how often each (component, name) ran directly inside, and how often it failed.
        began_at: when the recording began, in seconds since the epoch.
    """

    names: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    total: int = 0
    spans: int = 0
    failures: int = 0
    calls: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    began_at: float | None = None


def journey(trace: Events, name: str, *, limit: int | None = None) -> Story:
    """The story of an agent or a component.

    Args:
        trace: the trace to read.
        name: its name, in upper or lower case, with `*` and `?` for anything; or a component such as `llm`.
        limit: how many steps are kept at most.

    Raises:
        WrongUsageError: nothing in the trace has that name; the nearest name is suggested.
    """
    teller = _Teller(name, limit)
    story = teller.tell(trace)
    if not story.total and name.lower() in teller.components:
        story = _Teller(name, limit, by_component=True).tell(trace)
    if not story.total:
        raise WrongUsageError(_nobody(name, teller.names, teller.components))
    return story


def _nobody(name: str, names: Counter[str], components: set[str]) -> str:
    known = {each.lower(): each for each in (*sorted(components), *sorted(names))}
    near = difflib.get_close_matches(name.lower(), known, 1)
    told = ", ".join(each for each, _ in names.most_common(_SHOWN_NAMES))
    hint = (
        f"did you mean {known[near[0]]}?" if near else f"there are {told}" if told else "nothing has a name"
    )
    return f"nothing in this recording is called {name!r}; {hint}"


@dataclass(slots=True)
class _Open:
    """A span that has not ended: its depth in the story (None outside of it), its step, its label."""

    depth: int | None
    label: str
    step: Step | None = None
    own: bool = False
    parent: str | None = None
    inner: bool = False


class _Teller:
    """Reads the events and keeps those that belong to the story."""

    def __init__(self, name: str, limit: int | None, *, by_component: bool = False) -> None:
        self.name = name
        self.limit = limit
        self.by_component = by_component
        self.names: Counter[str] = Counter()
        self.components: set[str] = set()
        self.story = Story()
        self._open: dict[str, _Open] = {}
        self._ended: deque[str] = deque()  # a span that outlives its parent still belongs to it

    def tell(self, trace: Events) -> Story:
        """Read the trace."""
        story, names, components = self.story, set(), set()
        for number, event in enumerate(trace.events(), 1):
            if number == 1:
                story.began_at = event.get("timestamp")
            self._know(event)
            if self._take(number, event):
                names.add(str(event.get("component_name") or event["component"]))
                components.add(str(event["component"]))
        story.names, story.components = sorted(names) or [self.name], sorted(components)
        story.steps.sort(key=lambda step: step.number)
        return story

    def _know(self, event: Event) -> None:
        name, component = event.get("component_name"), event.get("component")
        if isinstance(name, str) and (name in self.names or len(self.names) < _NAMES_KEPT):
            self.names[name] += 1
        if isinstance(component, str):
            self.components.add(component)

    def _fits(self, event: Event) -> bool:
        if self.by_component:
            return str(event.get("component")).lower() == self.name.lower()
        name = event.get("component_name")
        return isinstance(name, str) and name_fits(name, self.name)

    def _take(self, number: int, event: Event) -> bool:
        """Take the next event; return whether it is NAME's own."""
        kind = event["event_type"]
        if kind.endswith("_start"):
            return self._begin(number, event)
        if ends_span(kind):
            return self._finish(number, event)
        if kind in UNTOLD:
            return False
        own = self._fits(event) or any(name_fits(end, self.name) for end in message_ends(event) if end)
        around = self._open.get(event.get("parent_event_id") or "")
        if own or (around is not None and around.depth is not None):
            self._add(number, event, around, own=own)
        return self._fits(event)

    def _begin(self, number: int, event: Event) -> bool:
        """Take a start; return whether it is NAME's own."""
        parent = event.get("parent_event_id")
        around = self._open.get(parent or "")
        depth = None if around is None else around.depth
        if event["event_type"] == "trace_start":
            if around is not None:  # what a child process does belongs to the span that started it
                self._open[event["event_id"]] = _Open(depth, around.label, parent=parent)
            return False
        own = self._fits(event)
        opened = _Open(None, str(event.get("component_name") or event["component"]), own=own, parent=parent)
        if own or depth is not None:
            opened.depth = 0 if depth is None else depth + 1
            opened.step = self._add(number, event, around, own=own)
            self.story.spans += own
            if opened.depth == 1 and not own:
                self._call(event)[0] += 1
        self._open[event["event_id"]] = opened
        return own

    def _call(self, event: Event) -> list[int]:
        key = str(event["component"]), str(event.get("component_name") or "")
        return self.story.calls.setdefault(key, [0, 0])

    def _finish(self, number: int, event: Event) -> bool:
        """Take an end; return whether it is NAME's own. If something happened inside, the end is a separate step."""
        parent = event.get("parent_event_id") or ""
        opened = self._open.get(parent)
        if opened is None:
            own = self._fits(event)
            if own:
                step = self._add(number, event, None, own=True)
                if step is not None:
                    step.end, step.end_number = event, number
            return own
        self._ended.append(parent)
        if len(self._ended) > _ENDED_KEPT:
            self._open.pop(self._ended.popleft(), None)
        if opened.depth is None:
            return False
        failed = _failed(event)
        self.story.failures += failed
        if opened.depth == 1 and not opened.own:
            self._call(event)[1] += failed
        if opened.step is not None:
            opened.step.end, opened.step.end_number = event, number
        if opened.inner:
            if opened.step is not None:
                opened.step.opening = True
            step = self._add(number, event, self._open.get(opened.parent or ""), own=opened.own, inner=False)
            if step is not None:
                step.closing, step.end, step.end_number, step.depth = True, event, number, opened.depth
        return opened.own

    def _add(
        self, number: int, event: Event, around: _Open | None, *, own: bool, inner: bool = True
    ) -> Step | None:
        """Keep a step, where there is room for it, and count it."""
        self.story.total += 1
        depth = 0 if around is None or around.depth is None else around.depth + 1
        while inner and around is not None and not around.inner:
            around.inner = True
            around = self._open.get(around.parent or "")
        if self.limit is not None and len(self.story.steps) >= self.limit:
            return None
        above = self._open.get(event.get("parent_event_id") or "")
        step = Step(number, event, depth, own, caller="" if above is None else above.label)
        self.story.steps.append(step)
        return step


def message_ends(event: Event) -> tuple[str, str]:
    """The sender and the recipient of a message, by its payloads; empty where they are not there, or it is no message.

    A message without a sender in its payloads is from the component of its event.
    """
    if event["event_type"] != "agent_message":
        return "", ""
    found = [event.get(part) for part in ("metadata", "inputs", "outputs")]
    payloads = [payload for payload in found if isinstance(payload, dict)]
    sender, receiver = (
        next(
            (str(payload[key]) for payload in payloads for key in keys if isinstance(payload.get(key), str)),
            "",
        )
        for keys in (_SENDERS, _RECEIVERS)
    )
    return sender or str(event.get("component_name") or ""), receiver


def _failed(end: Event) -> bool:
    status = end.get("status")
    return end.get("error") is not None if status is None else status in SPAN_FAILURES
