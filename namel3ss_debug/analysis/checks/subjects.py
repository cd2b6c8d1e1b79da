"""The subjects of rules: the spans of a run as expressions see them, and patterns that choose among them.

A pattern is written like a location of the debugger: a component (`tool`), `component:name` (`tool:search`,
`llm:gpt-4*`), or a bare name (`search`). `if CONDITION` may follow each, where only some spans are meant. Names are
compared regardless of case and may hold `*` and `?`. The components that a program defines itself are not known before
the trace is read, so a bare name stands for such a component as well, and `component:name` needs quotes around the
name.

A span belongs to the nearest agent it began inside. A model call that follows a failed one is an attempt of its own and
a retry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import FIELD_NAMES, Expression, compile_expression, name_fits, nearest
from namel3ss_debug.traces.costs import Cost, span_cost
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.traces.facts import NS_PER_MS, duration_ns, has_failed, is_retry, name_without_start
from namel3ss_debug.traces.span_table import SpanTableBuilder

COMPONENTS: Final = frozenset(
    ["app", "agent", "prompt", "chain", "llm", "tool", "memory", "validation", "http", "mcp"]
)
"""The words that mean all spans of a component when they stand alone."""

REFUSALS: Final = frozenset({"refusal", "content_filter", "safety", "blocked"})
"""The finish reasons of a model that refused to answer."""

SPAN_NAMES: Final = FIELD_NAMES | {
    *("kind", "name", "llm", "tool", "agent", "n", "event"),
    *("cost", "arguments", "result", "refused", "answered", "owner", "open", "failed"),
}
"""The names that an expression about a span may read: the fields of its two events, and names derived from them."""

_CONDITION = re.compile(r"""(?P<quoted>"[^"]*"|'[^']*')|(?:^|\s)if(?:\s+|$)""")
_QUOTED = re.compile(r"""(?:(?P<head>[^\s:"']+):)?(?P<quote>["'])(?P<name>.+)(?P=quote)""")


class SeenSpan(NamedTuple):
    """A span as the rules see it.

    `owner` is the nearest agent it began inside, empty where there is none; for an agent, its own name.
    """

    number: int
    end_number: int | None
    start: Event
    end: Event
    component: str
    name: str
    owner: str
    failed: bool
    retried: bool
    duration_ns: int | None

    @property
    def subject(self) -> str:
        """Return `component:name`."""
        return f"{self.component}:{self.name}" if self.name else self.component

    @property
    def label(self) -> str:
        """Return its name in a message."""
        return f"{self.component} {self.name}" if self.name else f"a span of {self.component}"

    @property
    def call_site(self) -> str | None:
        """Return `file:line` in the user's own code, where it was recorded."""
        site = self.start.get("call_site") or self.end.get("call_site")
        return site if isinstance(site, str) else None

    @property
    def is_turn(self) -> bool:
        """Return whether it is a turn of an agent, which is inside the span of the agent itself."""
        return str(self.event.get("event_type", "")).startswith("agent_turn")

    @property
    def event(self) -> Event:
        """Return the start event, or the end event where there is no start."""
        return self.start or self.end

    @property
    def usage(self) -> dict[str, Any]:
        """Return the tokens of the span by their names."""
        usage = self.end.get("usage")
        return usage if isinstance(usage, dict) else {}

    @property
    def refused(self) -> bool:
        """Return whether a model refused to answer."""
        outputs = self.end.get("outputs")
        if not isinstance(outputs, dict) or self.component != "llm":
            return False
        return bool(outputs.get("refusal")) or str(outputs.get("finish_reason")).lower() in REFUSALS

    @property
    def answered(self) -> bool:
        """Return whether a model gave an answer that asks for no tool."""
        outputs = self.end.get("outputs")
        if not isinstance(outputs, dict) or self.component != "llm" or self.failed or self.refused:
            return False
        return bool(outputs.get("text")) and not outputs.get("tool_calls")

    @property
    def embedded(self) -> bool:
        """Return whether a model made embeddings, which are neither an answer nor a turn."""
        outputs = self.end.get("outputs")
        return isinstance(outputs, dict) and self.component == "llm" and outputs.get("vectors") is not None

    def cost(self) -> Cost | None:
        """Return the recorded cost of the span, or the price of a model call's tokens; None where neither is known."""
        return span_cost(self.start, self.end)

    def scope(self) -> dict[str, Any]:
        """Return the names that expressions see for this span; fields of its end event hide those of its start."""
        scope: dict[str, Any] = {**self.start, **self.end}
        inputs, outputs = self.start.get("inputs"), self.end.get("outputs")
        cost = self.cost()
        scope |= {
            "inputs": inputs,
            "outputs": outputs,
            "kind": self.component,
            "name": self.name,
            "llm": self.name if self.component == "llm" else None,
            "tool": self.name if self.component == "tool" else None,
            "agent": self.name if self.component == "agent" else None,
            "owner": self.owner or None,
            "n": self.number,
            "event": self.event,
            "duration_ms": None if self.duration_ns is None else self.duration_ns / NS_PER_MS,
            "cost": None if cost is None else cost.dollars,
            "arguments": inputs.get("arguments") if isinstance(inputs, dict) else None,
            "result": outputs.get("result") if isinstance(outputs, dict) else None,
            "refused": self.refused,
            "answered": self.answered,
            "failed": self.failed,
            "open": not self.end,
        }
        return scope


class SpanReader:
    """Reads the events of a trace and yields each span with the agent it belongs to."""

    def __init__(self) -> None:
        self._builder = SpanTableBuilder()
        self._open: dict[int, tuple[int, Event]] = {}
        self._owners: dict[int, str] = {}
        self._without_start: list[SeenSpan] = []

    def feed(self, number: int, event: Event) -> SeenSpan | None:
        """Add the next event, and return the span that ends with it, if one does."""
        event_type = event["event_type"]
        row, parent = self._builder.take(event)
        if begins_span(event_type):
            owner = self._owners.get(parent, "")
            if event["component"] == "agent" and not event_type.startswith("agent_turn"):
                owner = str(event.get("component_name") or owner)
            if owner:
                self._owners[row] = owner
            self._open[row] = (number, event)
        elif row in self._open:
            return _make_span(*self._open.pop(row), self._owners.get(row, ""), event, number)
        elif ends_span(event_type):
            self._without_start.append(_make_span(number, {}, "", event, number))
        return None

    def iter_unfinished(self) -> Iterator[SeenSpan]:
        """Yield the spans that have only one of their events, by number."""
        unfinished = [
            _make_span(*begun, self._owners.get(row, ""), {}, None) for row, begun in self._open.items()
        ]
        yield from sorted(self._without_start + unfinished, key=lambda span: span.number)


def _make_span(number: int, start: Event, owner: str, end: Event, end_number: int | None) -> SeenSpan:
    """Return a span with everything that rules read."""
    name = start.get("component_name") or end.get("component_name") or name_without_start(start, end)
    return SeenSpan(
        number,
        end_number,
        start,
        end,
        (start or end)["component"],
        name,
        owner,
        bool(end) and has_failed(end),
        is_retry(start, end),
        duration_ns(start, end),
    )


@dataclass(frozen=True, slots=True)
class SpanPattern:
    """A pattern that chooses spans."""

    text: str
    component: str | None
    name: str | None
    condition: Expression | None = field(default=None, compare=False)

    def matches(self, span: SeenSpan) -> bool:
        """Return whether the pattern matches the span."""
        if self.component is not None and span.component != self.component:
            return False
        if self.name is not None and not name_fits(span.name, self.name) and not self._is_of(span.component):
            return False
        return self.condition is None or self.condition.matches(span.scope())

    def _is_of(self, component: str) -> bool:
        """Return whether the pattern is a bare name that is this component, one of the program's own."""
        return self.component is None and component == self.name and component not in COMPONENTS

    @property
    def subject(self) -> str:
        """Return the subject of a finding where no span matches the pattern."""
        return ":".join(part for part in (self.component, self.name) if part) or "span"


def parse_pattern(text: str) -> SpanPattern:
    """Parse a pattern of spans.

    Raises:
        ExpressionError: its condition does not parse.
        WrongUsageError: it is empty.
    """
    subject, condition = _split(text)
    if not subject and condition is None:
        raise WrongUsageError("a pattern is empty, write one such as tool:search or llm if refused")
    compiled = None if condition is None else compile_expression(condition, SPAN_NAMES)
    quoted = _QUOTED.fullmatch(subject)
    if quoted:
        return SpanPattern(text, quoted["head"], quoted["name"], compiled)
    head, colon, name = subject.partition(":")
    if colon:
        if head not in COMPONENTS:
            known = f'; they are {", ".join(sorted(COMPONENTS))}; of one of your own, write {head}:"{name}"'
            near = nearest(head, COMPONENTS)
            raise WrongUsageError(f"{text!r} begins with no component{near or known}")
        return SpanPattern(text, head, name or None, compiled)
    if not subject or subject in COMPONENTS:
        return SpanPattern(text, subject or None, None, compiled)
    if " " in subject:
        raise WrongUsageError(f"{text!r} is no pattern; write component:name, as in tool:delete_*")
    return SpanPattern(text, None, subject, compiled)


def _split(text: str) -> tuple[str, str | None]:
    """Split a pattern into its subject and its condition."""
    for match in _CONDITION.finditer(text):
        if match["quoted"] is None:
            return text[: match.start()].strip(), text[match.end() :].strip()
    return text.strip(), None
