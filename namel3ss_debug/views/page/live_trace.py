"""A trace that grows, as the live page shows it: what is new since a page asked last, its events, and a search in them.

Everything is read once. A page names how far it is (`Cursor`), and gets the rows of spans that began or ended since, the points and
the lines of the transcript that are new, at most `MOST` of each. What needs all events (outcome, findings, cost) is analysed
now and then, beside it, and a last time when the trace is over.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import DebugError
from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.inspection.selection import Chooser, Selection
from namel3ss_debug.inspection.transcript import TranscriptWatcher
from namel3ss_debug.monitoring.sources import TraceSource
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import since_epoch
from namel3ss_debug.traces.span_table import SpanTable, SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals
from namel3ss_debug.views.page.page_data import (
    POINTS,
    BlockReader,
    Columns,
    EventPacker,
    PageWatcher,
    Texts,
    describe_span,
    flame_columns,
    point_columns,
    read_changes,
    sample_columns,
    span_columns,
    step_columns,
)
from namel3ss_debug.views.page.reading import PageRequest, find_first, read_links
from namel3ss_debug.views.quantities import money

MOST: Final = 5000
"""So many events are read at once, and so many rows sent."""

MOST_FOUND: Final = 50_000
FIND_SECONDS: Final = 5.0
"""A search ends after this time, and says how far it went."""

ANALYSED_SHARE: Final = 20
"""The analysis takes one part of time in so many."""

RUNNING, UNKNOWN = "running", "unknown"
"""Outcomes; the second one is that of a trace whose files were deleted before its end was analysed."""


class Cursor(NamedTuple):
    """How far a page is.

    Attributes:
        spans: how many begins and ends of spans it has.
        points: how many points.
        steps: how many lines of the transcript.
        round: the number of the transcript, which is made anew when the trace is over.
        analysis: the number of the analysis.
    """

    spans: int = 0
    points: int = 0
    steps: int = 0
    round: int = 0
    analysis: int = 0

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor from five numbers with commas between them; the empty text is the beginning.

        Raises:
            ValueError: it is something else.
        """
        numbers = [int(number) for number in text.split(",")] if text else []
        if (numbers and len(numbers) != len(cls._fields)) or min(numbers, default=0) < 0:
            raise ValueError(text)
        return cls(*numbers)


class LiveTrace:
    """A trace that grows. The methods may be called in any thread.

    Args:
        path: its first file, which need not be there yet.
        request: what the page is made of.

    Attributes:
        is_over: whether no event can come any more.
    """

    def __init__(self, path: Path, request: PageRequest) -> None:
        self.path, self.request, self.is_over = path, request, False
        self._lock = threading.Lock()
        self._searching = threading.Lock()
        self._pool = ThreadPoolExecutor(1)
        self._packer = EventPacker(self._pool.submit)
        self._watcher, self._transcript = _LiveWatcher(self._packer), TranscriptWatcher()
        watchers = {"page": self._watcher, "transcript": self._transcript}
        self._builder = SpanTableBuilder(points=POINTS, watchers=watchers)
        self._spans = self._builder.table
        self._totals = RunningTotals()
        self._steps = self._transcript.steps  # those that only the end of the trace completes
        self._source = TraceSource(path)
        self._unread: Iterator[Event] | None = None
        self._clear = request.prepare(request.clear())
        self._last_look = False
        self._facts: dict[str, Any] = {}
        self._more: Columns = {}
        self._analysis, self._analysed, self._analysed_over = 0, (0, False), False
        self._next_analysis = 0.0

    def end(self) -> None:
        """Take it that nobody writes to the trace any more: what is there is all."""
        self._last_look = True

    def close(self) -> None:
        """Close the files."""
        self._source.close()
        self._pool.shutdown(wait=False)

    def read(self, now: float) -> None:
        """Take the events that are new, at most `MOST`."""
        with self._lock:
            if self.is_over:
                return
            is_new_look = self._unread is None
            if self._unread is None:
                # Of several processes, the last events wait for earlier ones, which do not come any more.
                self._unread = self._source.events(inf if self._last_look else now)
            events = list(islice(self._unread, MOST))
            for event in events:
                self._take(self._clear(self._builder.count + 1, event))
            if len(events) < MOST:
                self._unread = None
            if self._source.is_over or (self._last_look and is_new_look and not events):
                self._settle()

    def _take(self, event: Event) -> None:
        place = self._builder.take(event)
        self._totals.add(event, self._spans.cost_of(place.span))
        if self._spans.first_at is None and self._totals.began_at is not None:
            self._spans.first_at = since_epoch(self._totals.began_at)

    def _settle(self) -> None:
        began = self._spans.first_at
        self._builder.settle()
        self._spans.first_at = began  # the times that pages have count from it
        self._spans.traces = [self._reader()]
        self._steps = self._transcript.result(self._spans, {}).steps
        self.is_over = True

    def _reader(self) -> BlockReader:
        ranges = self._packer.ranges()
        last = self._packer.read(len(ranges) - 1)  # read now, since it grows
        return BlockReader(
            lambda index: last if index == len(ranges) - 1 else self._packer.read(index), ranges
        )

    def make_facts(self) -> dict[str, Any]:
        """Return what is known of the run now."""
        with self._lock:
            return self._make_facts()

    def _make_facts(self) -> dict[str, Any]:
        totals = self._totals.totals()
        counted = {
            "wall_ms": totals.ms if totals.began_at is not None else None,
            "cost": totals.cost if totals.cost_pico else None,
            "cost_text": money(totals.cost) if totals.cost_pico else "",
            "tokens": totals.tokens,
            "events": self._builder.count,
            "spans": self._watcher.begun,
        }
        outcome = UNKNOWN if self._analysed_over else RUNNING
        unknown: dict[str, Any] = {
            "path": str(self.path),
            "title": self.path.name,
            "started_at": None,
            "outcome": outcome,
            "is_failure": False,
            "outcome_text": outcome,
            "exit_status": None,
            "lines": [],
            "findings": [],
            "first": 0,
        }
        facts = (
            {**unknown, **counted, **self._facts}
            if self._analysed_over
            else {**unknown, **self._facts, **counted}
        )
        blocks = [list(each) for each in self._packer.ranges()]
        return {**facts, "reference": self.request.reference, "blocks": blocks}

    def make_batch(self, at: Cursor) -> dict[str, Any] | None:
        """Return what a page does not have yet, with its next cursor; None for nothing."""
        with self._lock:
            return self._make_batch(at)

    def _make_batch(self, at: Cursor) -> dict[str, Any] | None:
        watcher, texts = self._watcher, Texts()
        restarts = at.round != int(self.is_over)
        if restarts:
            at = at._replace(round=int(self.is_over), steps=0)
        log = watcher.changed[at.spans : at.spans + MOST]
        rows = sorted(set(log))
        is_all = at.spans + len(log) >= len(watcher.changed)
        # Points and lines name rows: those of rows that the page does not have yet wait.
        known = watcher.begun if is_all else rows[-1] + 1
        points = watcher.points[at.points : at.points + MOST]
        points = points[: _count(points, lambda point: point.row < known)]
        first = max(at.steps - 1, 0)  # the last line that the page has may have changed
        steps = self._steps[first : first + MOST]
        steps = steps[: _count(steps, lambda step: step.row < known)]
        after = at._replace(
            spans=at.spans + len(log),
            points=at.points + len(points),
            steps=max(first + len(steps), at.steps),
            analysis=self._analysis,
        )
        has_more = not is_all or after.points < len(watcher.points) or after.steps < len(self._steps)
        is_last = self._analysed_over and not has_more
        if after == at and not restarts and not is_last:
            return None
        batch = {
            "after": ",".join(map(str, after)),
            "more": has_more,
            "over": is_last,
            "restarts": restarts,
            "facts": self._make_facts(),
            "first_line": first,
            "spans": {"row": rows, **span_columns(self._spans, watcher, texts, rows)},
            "points": point_columns(points, self._spans.first_at or 0, texts),
            "transcript": step_columns(steps, texts, len(self._steps)),
            "messages": read_changes(steps),
            "processes": watcher.processes,
            "strings": texts.known,
        }
        return batch if at.analysis == self._analysis else {**batch, **self._more}

    def analyze(self, now: float, clock: Callable[[], float] = time.monotonic) -> bool:
        """Analyse the run so far, if that is due, and return whether it was."""
        with self._lock:
            count, is_over = self._builder.count, self.is_over
            is_new, is_time = (count, is_over) != self._analysed, now >= self._next_analysis
            is_due = is_new or is_time if is_over else is_new and is_time
            if not count or self._analysed_over or not is_due:
                return False
        began = clock()
        facts: dict[str, Any] = {}
        with suppress(DebugError):  # its files were deleted, or rotated away
            facts = self.request.read_facts(open_trace(self.path), self.request.clear())
        with self._lock:
            if facts:
                found = find_first(facts, self._watcher.failure, self._watcher.answer)
                self._more = {"flame": flame_columns(self._spans), "samples": sample_columns(self._spans)}
                if is_over:
                    self._more["provenance"] = read_links(self._spans, [*found, self._watcher.answer])
                self._facts = facts
            self._analysis += 1
            self._analysed = count, is_over
            # A program that has written its end may still run, as long as it holds its file.
            is_running = facts.get("outcome") == RUNNING and not self._last_look
            self._analysed_over = is_over and not is_running
        self._next_analysis = now + max(1.0, ANALYSED_SHARE * (clock() - began))
        return True

    def read_block(self, first: int, last: int) -> bytes:
        """Return events by their numbers, as JSON lines: those from `first` to `last` in the block of `first`."""
        with self._lock:
            ranges = self._packer.ranges()
            index = bisect_left(ranges, first + 1, key=lambda each: each[0]) - 1
            if index < 0 or first >= sum(ranges[index]):
                return b""
            lines = self._packer.read(index).split(b"\n")
        return b"\n".join(lines[first - ranges[index][0] : last - ranges[index][0] + 1])

    def find(self, where: str, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
        """Return the numbers of the events for which an expression holds, and how many events were looked at.

        Raises:
            ExpressionError: it cannot be read.
        """
        wanted = Selection(where=compile_expression(where))
        with self._searching:
            with self._lock:
                reader = self._reader()
            chooser, found, number, end = Chooser(wanted), list[int](), 0, clock() + FIND_SECONDS
            for number, event in enumerate(reader.events(), 1):
                if chooser.choose(number, event):
                    found.append(number)
                if len(found) >= MOST_FOUND or (number % 64 == 0 and clock() >= end):
                    break
        return {"numbers": found, "looked_at": number, "events": reader.count()}


class _LiveWatcher(PageWatcher):
    """Keeps as well which rows changed, and fills in of a span that begins what the table has only at its end.

    Attributes:
        changed: the row of each span that began or ended, in this order.
        begun: how many rows there are.
    """

    def __init__(self, packer: EventPacker) -> None:
        super().__init__(packer)
        self.changed = array("i")
        self.begun = 0

    def begin(self, spans: SpanTable, row: int, start: Event) -> None:
        """Take a span that began."""
        spans.operation[row] = spans.operation_index((start["component"], start.get("component_name") or ""))
        parent = spans.parent[row]
        if parent >= 0:
            is_agent = spans.component(parent) == "agent" and not spans.turn[parent]
            spans.agent[row] = parent if is_agent else spans.agent[parent]
        self.gists[row] = describe_span(start, {})
        self._note(row)

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take a span that ended."""
        super().span(spans, row, start, end)
        self._note(row)

    def _note(self, row: int) -> None:
        self.changed.append(row)
        self.begun = max(self.begun, row + 1)


def _count(rows: list[Any], holds: Callable[[Any], bool]) -> int:
    """Return after how many rows the first one is for which something does not hold."""
    return next((index for index, row in enumerate(rows) if not holds(row)), len(rows))
