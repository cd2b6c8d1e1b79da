"""The driver that feeds the events of a trace to the sections that are not yet functions over the table of spans.

A fold (`contract.Fold`) takes spans and point events one at a time. The other sections (`Section.compute`) read the table of
spans, which is made in the same pass.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVERY_OTHER_SECTION, Fold, Section
from namel3ss_debug.analysis.facts import EVERY_EVENT, Below, MeasuredSpan, covered_ns, latest
from namel3ss_debug.analysis.sections.integrity import Integrity
from namel3ss_debug.analysis.sections.table import SECTIONS, in_order
from namel3ss_debug.analysis.totals import Options, TraceTotals
from namel3ss_debug.traces.events import SPAN_FAILURES, begins_span, ends_span, without_pauses
from namel3ss_debug.traces.facts import (
    LONGEST_NS,
    NS_PER_MS,
    duration_ns,
    has_failed,
    is_retry,
    name_without_start,
    since_epoch,
    whole_ns,
)
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.traces.spans import SpanPairing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from namel3ss_debug.traces.events import Event

_new = object.__new__
_NOTHING: Event = {}
_LONGEST_MS = LONGEST_NS / NS_PER_MS


class _Type:
    """One event type: how many there were, which folds want to see them, and which end of a span it is, if any."""

    __slots__ = ("begins", "count", "ends", "listeners")

    def __init__(self, event_type: str, listeners: tuple[Callable[[int, Event], None], ...]) -> None:
        self.count = 0
        self.listeners = listeners
        self.begins = begins_span(event_type)
        self.ends = ends_span(event_type)


class Analysis:
    """The sections of one trace. Feed the events in order, then ask for the results, which ends it.

    Raises:
        WrongUsageError: there is no section of that name.
    """

    def __init__(
        self,
        sections: Collection[str] | None = None,
        options: Options | None = None,
        table: Mapping[str, Section] | None = None,
    ) -> None:
        options = options or Options()
        self._table = SECTIONS if table is None else table
        self._wanted = tuple(self._table) if sections is None else in_order(sections, self._table)
        self._folds: dict[str, Fold] = {}
        self._computed: dict[str, Section] = {}
        self._options = options
        for name in self._wanted:
            self._add(name, options)
        rows = self._computed.values()
        facts = {fact.name: fact for row in rows for fact in row.facts}
        points = {event_type for row in rows for event_type in row.points}
        self._builder = SpanTableBuilder("", tuple(facts.values()), sorted(points)) if rows else None
        self.spans = self._builder.table if self._builder is not None else None
        shown = {fold.span: getattr(fold, "spans", "all") for fold in self._folds.values()}
        self._span_folds = [span for span, which in shown.items() if which == "all"]
        self._top_folds = [span for span, which in shown.items() if which != "none"]
        self._types: dict[str, _Type] = {}
        self._pairing = SpanPairing()
        self._links: dict[str, list[tuple[int, str]]] = {}
        self._below: dict[int, Below] = {}
        self._first_at = inf
        self._last_at = -inf
        self._spans = 0
        self._open_spans = 0
        self._orphan_ends = 0
        self._closed = False

    def _add(self, name: str, options: Options) -> None:
        fold = self._table[name].fold
        if fold is None:
            self._computed[name] = self._table[name]
        elif name not in self._folds:
            self._folds[name] = fold(options)
            for needed in self._needs(name):
                if needed in self._table:
                    self._add(needed, options)

    def _needs(self, name: str) -> tuple[str, ...]:
        """Return the sections, and other parts of the document, that a fold reads."""
        needs = self._folds[name].needs
        if needs != EVERY_OTHER_SECTION:
            return needs
        return (*(other for other in self._table if other != name), "mark")

    @property
    def folds(self) -> Mapping[str, Fold]:
        """The folds, by section; those as well that others need."""
        return self._folds

    @property
    def events(self) -> int:
        """How many events there were."""
        return sum(kind.count for kind in self._types.values())

    def expect_marks(self, may_hold: bool) -> None:
        """Called by the reader: whether the events that follow may hold marks of what was cut or redacted."""
        integrity = self._folds.get("integrity")
        if isinstance(integrity, Integrity):
            integrity.may_hold_marks = may_hold

    def feed_all(self, events: Iterable[Event], first: int = 1) -> None:
        """Take the next events; `first` is the place in the trace of the first of them, from 1."""
        types = self._types
        if self._builder is not None:
            events = self._builder.pass_through(events)
        begin, finish, orphans = self._pairing.begin, self._pairing.finish, self._pairing.orphans
        opened, covered = self._pairing.open, self._pairing._under  # noqa: SLF001
        first_at, last_at = self._first_at, self._last_at
        try:
            for number, event in enumerate(events, first):
                try:
                    kind = types[event["event_type"]]
                except KeyError:
                    kind = types[event["event_type"]] = self._type(event["event_type"])
                kind.count += 1
                if "paused_before_ms" in event:
                    event = without_pauses(event)  # noqa: PLW2901  (to everyone it comes at the time at which it would have)
                at = event.get("timestamp")
                if at is not None:
                    # `max` and `min` would be two calls for every event
                    if at > last_at:
                        last_at = at
                        if at < first_at:  # noqa: PLR1730
                            first_at = at
                    elif at < first_at:
                        first_at = at
                for listen in kind.listeners:
                    listen(number, event)
                if kind.begins:
                    if event["event_id"] in opened:
                        begin(number, event)
                    else:
                        opened[event["event_id"]] = (number, event)  # as `begin`, without the call
                elif kind.ends:
                    if covered or (begun := opened.pop(event.get("parent_event_id", ""), None)) is None:
                        begun = finish(number, event)
                    if begun is not None:
                        self._take(begun[0], begun[1], event, number)  # no `*begun`, which is no quick call
                    elif orphans:
                        self._take_orphans()
        finally:
            self._first_at, self._last_at = first_at, last_at

    def _type(self, event_type: str) -> _Type:
        listeners = [
            fold.event
            for fold in self._folds.values()
            if event_type in fold.events or fold.events is EVERY_EVENT
        ]
        if event_type == "trace_start":
            listeners.insert(0, self._link)
        return _Type(event_type, tuple(listeners))

    def _link(self, number: int, event: Event) -> None:
        """Remember in which span a child process was started; its own spans may name its `trace_start`."""
        if "parent_event_id" in event:
            self._links.setdefault(event["event_id"], []).append((number, event["parent_event_id"]))

    def _take(self, number: int, start: Event, end: Event, ended: int) -> None:
        """Measure a whole span and show it to the folds."""
        began = start.get("timestamp")
        duration = end.get("duration_ms")
        if duration is None:
            lasted = duration_ns(start, end)
        else:
            lasted = int(duration * 1e6 + 0.5) if duration < _LONGEST_MS else LONGEST_NS
        self_ns = lasted or 0
        below = self._below.pop(number, None)
        parent_id = start.get("parent_event_id")
        if parent_id is None:
            above = None
        else:
            found = self._pairing.open.get(parent_id)
            if found is None or found[0] >= number or self._links:
                above = self._above(parent_id, number)
            else:  # as `_above`, without the call
                above = self._below.get(found[0])
                if above is None:
                    above = self._below[found[0]] = Below()
        if began is not None and self_ns:
            begin = int(began * 1e6 + 0.5) * 1000  # as `since_epoch`
            if above is not None:
                leave = above.intervals.append
                leave(begin)
                leave(begin + self_ns)
            if below is not None:
                self_ns -= covered_ns(below.intervals, begin, begin + self_ns)
        name = start.get("component_name")
        if name is None:
            name = name_without_start(start, end)
        self._spans += 1
        status = end.get("status")
        failed = status != "completed" and (
            end.get("error") is not None if status is None else status in SPAN_FAILURES
        )
        retried = ("retry_count" in end or "retry_count" in start) and is_retry(start, end)
        # field by field, because this is done for every span and the constructor takes twice as long
        measured = _new(MeasuredSpan)
        measured.number, measured.end_number = number, ended
        measured.start, measured.end = start, end
        measured.component, measured.name = start["component"], name
        measured.failed, measured.retried = failed, retried
        measured.duration_ns, measured.self_ns = lasted, self_ns
        measured.below, measured.above = below, above
        measured.used = None
        for show in self._span_folds if "parent_event_id" in start else self._top_folds:
            show(measured)

    def _above(self, parent_id: str, before: float) -> Below | None:
        """Return the place for data of the span with that id that began before the event of that number.

        None where that span has ended, or never existed.
        """
        found = self._pairing.open.get(parent_id)
        if self._links or (found is not None and found[0] >= before):
            parent_id, found = self._seek(parent_id, before)
        return None if found is None else self._below.setdefault(found[0], Below())

    def _seek(self, parent_id: str, before: float) -> tuple[str, tuple[int, Event] | None]:
        """Return the latest open span of that id, or the one in which the process of that id was started.

        Because only spans before `before` are looked at, the result is the same in a part as in the whole trace, even
        where ids repeat, and the search ends.
        """
        while True:
            found = self._pairing.open.get(parent_id)
            if found is not None and found[0] >= before:
                found = latest(self._pairing._under.get(parent_id, ()), before)  # noqa: SLF001
            link = latest(self._links.get(parent_id, ()), before)
            if link is None or (found is not None and found[0] > link[0]):
                return parent_id, found
            before, parent_id = link

    def _take_orphans(self) -> None:
        """Show the folds the ends whose starts are in no part."""
        for number, end in self._pairing.orphans:
            duration_ns = whole_ns(end["duration_ms"], NS_PER_MS) if "duration_ms" in end else None
            component, name, self_ns = end["component"], name_without_start(_NOTHING, end), duration_ns or 0
            failed, retried = has_failed(end), is_retry(_NOTHING, end)
            span = MeasuredSpan(
                *(number, number, _NOTHING, end, component, name, failed, retried),
                *(duration_ns, self_ns, None, None),
            )
            self._spans += 1
            self._orphan_ends += 1
            for show in self._top_folds:
                show(span)
        self._pairing.orphans.clear()

    def _take_open(self) -> None:
        """Show the folds the spans that never ended, those that began last first."""
        for span in sorted(self._pairing.remaining(), key=lambda span: -span.number):
            start = span.start
            assert start is not None
            name = start.get("component_name") or name_without_start(start, _NOTHING)
            parent_id = start.get("parent_event_id")
            above = None if parent_id is None else self._above(parent_id, span.number)
            below = self._below.pop(span.number, None)
            measured = MeasuredSpan(
                span.number,
                0,
                start,
                _NOTHING,
                start["component"],
                name,
                False,
                is_retry(start, _NOTHING),
                None,
                0,
                below,
                above,
            )
            self._open_spans += 1
            for fold in self._folds.values():
                fold.open_span(measured)

    def close(self) -> None:
        """End the trace: spans that are still open never ended."""
        if not self._closed:
            self._closed = True
            self._take_orphans()
            self._take_open()
            if self._builder is not None:
                self._builder.settle()
                self._builder = None

    def results(self, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the sections that were requested, in the order of the table.

        Args:
            known: other parts of the document that folds may need: `problems`, what the reader could not read.
        """
        self.close()
        done: dict[str, Any] = dict(known or {})
        if self.spans is not None:
            self.spans.rotated_away |= bool(done.get("problems", {}).get("rotated_away_events"))
            for name, row in self._computed.items():
                if row.compute is not None:
                    done[name] = row.compute(self.spans, self._options)
        for name in self._wanted:
            self._result(name, done)
        return {name: done[name] for name in self._wanted}

    def _result(self, name: str, done: dict[str, Any]) -> None:
        if name in done:
            return
        fold = self._folds[name]
        needs = self._needs(name)
        for needed in needs:
            if needed in self._folds:
                self._result(needed, done)
        done[name] = fold.result(self._totals({needed: done[needed] for needed in needs if needed in done}))

    def _totals(self, sections: Mapping[str, Any] | None = None) -> TraceTotals:
        return TraceTotals(
            types={event_type: kind.count for event_type, kind in self._types.items()},
            spans=self._spans,
            open_spans=self._open_spans,
            orphan_ends=self._orphan_ends,
            first_at=None if self._first_at == inf else since_epoch(self._first_at),
            last_at=None if self._last_at == -inf else since_epoch(self._last_at),
            sections=sections or {},
            table=self._table,
        )
