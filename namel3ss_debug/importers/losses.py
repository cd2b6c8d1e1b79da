"""Find what an import did not carry over: what was left out, what only `metadata.source` has, and what the file lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from namel3ss_debug.traces.events import Event, begins_span
from namel3ss_debug.wire import lenient

_MOST_NAMES = 12


class Losses:
    """Counts of one import. `add` is shown each of its events.

    Attributes:
        events, spans: how many there are.
        kept: name of a field that only `metadata.source` has -> how many spans have it.
        absent: what the file does not state -> of how many spans.
    """

    def __init__(self) -> None:
        self.events = self.spans = 0
        self.kept: Counter[str] = Counter()
        self.absent: Counter[str] = Counter()

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events, and count them."""
        for event in events:
            self.add(event)
            yield event

    def add(self, event: Event) -> None:
        """Take the next event."""
        self.events += 1
        kind = event["event_type"]
        if kind in ("trace_start", "trace_end"):
            return
        self.kept.update(map(str, lenient.mapping(lenient.mapping(event.get("metadata")).get("source"))))
        if begins_span(kind):
            self.spans += 1
            self.absent["start of a span"] += "timestamp" not in event
            if kind == "llm_call_start":
                self.absent["messages to a model"] += not lenient.mapping(event.get("inputs")).get("messages")
            elif kind == "tool_call_start":
                self.absent["arguments of a tool"] += "arguments" not in lenient.mapping(event.get("inputs"))
        elif kind.endswith("_end"):
            self.absent["duration of a span"] += "duration_ms" not in event
            if kind == "llm_call_end":
                self.absent["tokens of a model call"] += "usage" not in event
                self.absent["cost of a model call"] += "cost_estimate" not in event
                self.absent["answer of a model"] += not lenient.mapping(event.get("outputs"))
            elif kind == "tool_call_end" and "error" not in event:
                self.absent["result of a tool"] += "result" not in lenient.mapping(event.get("outputs"))

    def describe(self, left_out: Mapping[str, int]) -> Iterator[str]:
        """Yield a line for each thing that was not carried over."""
        if not left_out:
            yield "nothing was left out"
        for what, times in sorted(left_out.items()):
            yield f"left out: {what}, {times:,} times" if times > 1 else f"left out: {what}, once"
        if self.kept:
            names = [name for name, _ in self.kept.most_common(_MOST_NAMES)]
            more = f" and {len(self.kept) - len(names)} more" if len(self.kept) > len(names) else ""
            yield f"kept in metadata.source only: {', '.join(names)}{more}"
        for what, times in self.absent.items():
            if times:
                yield (
                    f"not in the file: {what}, {times:,} times"
                    if times > 1
                    else f"not in the file: {what}, once"
                )
