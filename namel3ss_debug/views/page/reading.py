"""Read a trace for a page; a large one by two processes, since its analysis takes as long as all the rest.

Both read the same events, but only one searches them for secrets, and sends the other the numbers of those that have any.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug import prices
from namel3ss_debug.analysis.analyzer import collecting_rarely
from namel3ss_debug.analysis.failures.value_links import find_value_links
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.events import Event, without_content
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.traces.redaction.documents import redact_document
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.span_table import SpanTable
from namel3ss_debug.traces.store import trace_files
from namel3ss_debug.views.page.page_data import Columns, PageColumns, read_columns
from namel3ss_debug.views.page.run_facts import read_facts

WORTH_A_PROCESS: Final = 8 << 20
"""Bytes of a trace whose analysis takes longer than a process needs to start."""

EVENTS_AT_ONCE: Final = 1000
"""After so many events the other process is sent which of them have secrets."""

MOST_LINKED: Final = 12
"""As many events of findings have their values linked."""


Clear = Callable[[int, Event], Event]
"""Returns the event with a number without secrets; the same object if it has none."""

_Searched = tuple[float, list[int]]
"""The number of the last event that was searched, and those of the events with secrets since the last time."""


class TracePage(NamedTuple):
    """What a page holds of one trace.

    Attributes:
        facts: what is known of the run, as JSON.
        columns: its spans, points, transcript and the rest, as JSON.
        blocks: its events as JSON lines, compressed.
    """

    facts: dict[str, Any]
    columns: Columns
    blocks: list[bytes]


@dataclass(frozen=True)
class PageRequest:
    """What a page is made of.

    Attributes:
        config: the settings: what is secret, and the user's prices.
        options: what the user has set about the analyses.
        reference: how the trace is named in a command; empty for the latest.
        content: whether it has messages, arguments, results and texts of errors.
    """

    config: DebugConfiguration
    options: Options
    reference: str = ""
    content: bool = True

    def clear(self) -> Clear:
        """Return what redacts an event by the settings."""
        config = self.config
        if not config.redact:
            return lambda _, event: event
        redactor = Redactor(config.redact_keys, config.redact_patterns)
        return lambda _, event: redact_document(event, redactor)

    def prepare(self, clear: Clear) -> Clear:
        """Return what takes out of an event, besides secrets, what is not wanted."""
        return clear if self.content else lambda *each: without_content(clear(*each))

    def change(self, trace: Trace, clear: Clear | None = None) -> Trace:
        """Return the trace, which is read without secrets and without what is not wanted from now on."""
        trace.change = self.prepare(clear or self.clear())
        return trace

    def read_facts(self, trace: Trace, clear: Clear) -> dict[str, Any]:
        """Return what is known of the run."""
        return read_facts(self.change(trace, clear), self.options)


def read_page(trace: Trace, request: PageRequest) -> TracePage:
    """Read a trace for a page."""
    if sum(path.stat().st_size for path in trace.files) < WORTH_A_PROCESS:
        facts = request.read_facts(trace, request.clear())
        read = read_columns(request.change(trace, request.clear()).events())
    else:
        facts, read = _read_in_two_processes(trace, request)
    facts["reference"] = request.reference
    facts["blocks"] = [list(each) for each in read.ranges]
    found = find_first(facts, read.failure, read.answer)
    columns = {
        **read.columns,
        "provenance": read_links(read.spans, [*found, read.answer]),
        "source": {},
    }
    return TracePage(facts, columns, list(read.blocks))


def find_first(facts: dict[str, Any], failure: int, answer: int) -> list[int]:
    """Note which event is selected when the page opens, and return those that prove the findings.

    Args:
        facts: what is known of the run.
        failure: the first end of a span that failed; 0 for none.
        answer: the last answer; 0 for none.
    """
    found = [number for row in facts["findings"] for number in row["events"]]
    facts["first"] = next(iter(found), 0) or failure or answer or 1
    return found[:MOST_LINKED]


def read_links(spans: SpanTable, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return where the values of some events came from, and where they were used."""
    return [link.to_json() for link in find_value_links(spans, numbers)]


def _read_in_two_processes(trace: Trace, request: PageRequest) -> tuple[dict[str, Any], PageColumns]:
    # A new interpreter: the fork of a process with threads may deadlock.
    context = get_context("spawn")
    queue: Queue[_Searched] = context.Queue()
    queue.cancel_join_thread()  # what the other process has not read when it ends, it does not need
    clear, before = request.clear(), _state_of(trace)
    found: list[_Searched] = []
    facts = None
    with ProcessPoolExecutor(1, context, initializer=_start, initargs=(queue,)) as executor:
        future = executor.submit(_read_facts_elsewhere, trace.path, request)
        try:
            for searched in _find_secrets(trace, clear):
                found.append(searched)
                queue.put(searched)
        finally:
            queue.put((inf, []))  # the other process would wait for it
        read = read_columns(request.change(trace, _clear_known(iter(found), clear)).events())
        with suppress(BrokenProcessPool):  # it was killed
            facts = future.result()
    if facts is None or _state_of(trace) != before:  # the numbers may have been those of other events
        facts = request.read_facts(trace, clear)
        read = read_columns(request.change(trace, clear).events())
    return facts, read


def _state_of(trace: Trace) -> list[tuple[Path, int, int]]:
    """Return what changes when the trace does."""
    files = [path for process in trace_files(trace.path) for path in process.files]
    return [(path, (found := path.stat()).st_size, found.st_mtime_ns) for path in files]


def _find_secrets(trace: Trace, clear: Clear) -> Iterator[_Searched]:
    """Yield which events have secrets; before the events are read for the page, so that the other process does not wait."""
    trace.change = None
    numbers: list[int] = []
    with collecting_rarely():
        for number, event in enumerate(trace.events(), 1):
            if clear(number, event) is not event:
                numbers.append(number)
            if number % EVENTS_AT_ONCE == 0:
                yield number, numbers
                numbers = []
    yield inf, numbers


def _clear_known(searched: Iterator[_Searched], clear: Clear) -> Clear:
    """Return what redacts the events in which secrets were found."""
    reached, secret = 0.0, set[int]()

    def clear_known(number: int, event: Event) -> Event:
        nonlocal reached
        while number > reached:
            reached, numbers = next(searched)
            secret.update(numbers)
        return clear(number, event) if number in secret else event

    return clear_known


_queues: list[Queue[_Searched]] = []
"""In the other process, where the numbers come from."""


def _start(queue: Queue[_Searched]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it silently
    _queues.append(queue)


def _read_facts_elsewhere(path: Path, request: PageRequest) -> dict[str, Any]:
    if request.config.prices is not None:
        prices.use(request.config.prices)
    searched = iter(_queues[0].get, None)
    return request.read_facts(open_trace(path), _clear_known(searched, request.clear()))
