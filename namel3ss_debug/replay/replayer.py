"""A recording from its first event to its last, with answers replaced where the user gives others, and statistics.

Nothing is executed: a mocked answer is shown in place of the recorded one and marked, with what was recorded
beside it. Running the program again on other answers is the re-run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from namel3ss_debug.errors import PlaceError
from namel3ss_debug.replay.breakpoints import Breakpoint, Nth, Place, find_nth, know, parse_place
from namel3ss_debug.replay.history import Fold
from namel3ss_debug.replay.walk import Walk
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.totals import Totals, is_failure

_ANSWER_KEYS = frozenset({"text", "tool_calls", "finish_reason", "response_model"})


class Replayed(NamedTuple):
    """One event of a replay: its number, what is shown, the place of a breakpoint it hit, and whether it is mocked."""

    number: int
    event: Event
    breakpoint: str | None = None
    mocked: bool = False


@dataclass(frozen=True)
class Statistics:
    """What was replayed.

    `errors` counts the events that say something failed, `cost` is in US dollars, `wall_ms` from the first timestamp
    to the latest; `breakpoints` counts the hits of each place.
    """

    events: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    by_component: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    tokens: int = 0
    cost: float = 0.0
    wall_ms: float = 0.0
    mocked: int = 0
    breakpoints: dict[str, int] = field(default_factory=dict)


class ExecutionReplayer:
    """Replays a recording.

    Iterate over it for the events; `statistics` tells of those that came so far.

    Args:
        path: any file of the trace.
        breakpoints: where `Replayed.breakpoint` is set; as places or `ReplayBreakpoint`.
        mock_responses: the answers to show instead, by `NAME`, `NAME@N`, `component:name` or component.
        components: only events of these components, none meaning all.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is no trace.
        PlaceError: a place or the name of a mock does not parse, or the recording does not hold it.
        ExpressionError: the condition of a place does not parse.
    """

    def __init__(
        self,
        path: str | Path,
        breakpoints: Iterable[str | Breakpoint] = (),
        mock_responses: Mapping[str, Any] | None = None,
        components: Collection[str] = (),
    ) -> None:
        self.trace = open_trace(path)
        self.components = frozenset(components)
        self.breakpoints = [
            each if isinstance(each, Breakpoint) else Breakpoint(each) for each in breakpoints
        ]
        mocks = dict(mock_responses or {})
        known = know(self.trace.events()) if mocks or self.breakpoints else None
        for each in self.breakpoints:
            parse_place(each.parsed.text, known)
        self.mocks = [_Mock(_call(name, parse_place(name, known)), answer) for name, answer in mocks.items()]
        self._count = _Count()

    def __iter__(self) -> Iterator[Replayed]:
        """Every event in order."""
        self._count = count = _Count()
        walk = Walk(self.trace)
        nths = [find_nth(each.parsed, self.trace.events()) for each in self.breakpoints]
        mocked: dict[str, Any] = {}
        seen = [0] * len(self.mocks)
        for number, event, fold in walk.history.forward(0):
            shown, replaced = self._answered(event, mocked, seen)
            if self.components and event.get("component") not in self.components:
                continue
            pairs = zip(self.breakpoints, nths, strict=True)
            hits = [each.parsed.text for each, nth in pairs if _hit(each, nth, event, fold, walk)]
            count.add(shown, hits, replaced=replaced)
            yield Replayed(number, shown, hits[0] if hits else None, replaced)

    @property
    def statistics(self) -> Statistics:
        """What was replayed so far in the latest pass."""
        return self._count.statistics()

    def _answered(self, event: Event, mocked: dict[str, Any], seen: list[int]) -> tuple[Event, bool]:
        """The event as it is shown, and whether it is the end of a mocked call."""
        for place, mock in enumerate(self.mocks):
            if not mock.place.enters(event):
                continue
            seen[place] += 1
            if mock.place.occurrence in (None, seen[place]) and "event_id" in event:
                mocked[event["event_id"]] = mock.answer
        if mocked and event["event_type"][-4:] == "_end" and event.get("parent_event_id") in mocked:
            return _mocked(event, mocked.pop(event["parent_event_id"])), True
        return event, False


class _Mock(NamedTuple):
    place: Place
    answer: Any


@dataclass
class _Count:
    """Adds up what was replayed."""

    types: Counter[str] = field(default_factory=Counter)
    components: Counter[str] = field(default_factory=Counter)
    breakpoints: Counter[str] = field(default_factory=Counter)
    totals: Totals = field(default_factory=Totals)
    mocked: int = 0

    def add(self, event: Event, hits: list[str], *, replaced: bool) -> None:
        self.types[event["event_type"]] += 1
        self.components[str(event.get("component", ""))] += 1
        self.breakpoints.update(hits)
        self.totals = self.totals.add(event)
        self.mocked += replaced

    def statistics(self) -> Statistics:
        totals = self.totals
        return Statistics(
            self.types.total(),
            dict(sorted(self.types.items())),
            dict(sorted(self.components.items())),
            totals.errors,
            totals.tokens,
            totals.cost,
            totals.ms,
            self.mocked,
            dict(self.breakpoints),
        )


def _call(name: str, place: Place) -> Place:
    """The place of a mock, which must name calls."""
    if place.condition is not None or place.covers is is_failure or name.startswith("/"):
        raise PlaceError(f"{name}: a mock is given for a name, as in search, search@2, llm:gpt-4o or llm")
    return place


def _hit(wanted: Breakpoint, nth: Nth | None, event: Event, fold: Fold, walk: Walk) -> bool:
    totals = fold.totals.scope() if wanted.reads_totals else {}
    state = walk.variables(fold.changed) if wanted.reads_totals else {}
    return wanted.enabled and wanted.stops(fold.number, event, totals, state, nth)


def _mocked(event: Event, answer: Any) -> Event:
    """The end of a call with another answer, marked, and with what was recorded beside it."""
    kept = ("status", "error", "error_type", "stack_trace", "outputs")
    recorded = {name: event[name] for name in kept if name in event}
    shown = {name: value for name, value in event.items() if name not in kept}
    shown["status"] = "completed"
    shown["outputs"] = _outputs(event, answer)
    shown["metadata"] = event.get("metadata", {}) | {"mocked": True, "recorded": recorded}
    return shown


def _outputs(event: Event, answer: Any) -> dict[str, Any]:
    """An answer in the shape that the calls of its component have."""
    if event.get("component") != "llm":
        return {"result": answer}
    if isinstance(answer, dict) and not _ANSWER_KEYS.isdisjoint(answer):
        return answer
    return {"text": answer if isinstance(answer, str) else orjson.dumps(answer, default=str).decode()}
