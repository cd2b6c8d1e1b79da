"""A long trace folded in two parts at once: the part after a cut in a process of its own, the rest here.

The cut is at the beginning of a line near the middle. The result is the same, byte for byte, because a fold of two
parts, merged in order, is that of the whole (`folds`), and because the second part knows the numbers of its events: in
a trace of one process that has no gaps, the number of an event is its `seq` plus one. Reading the first part shows
whether it has gaps; if it has, or if the later process failed, everything is read once more, in this process. Where two
parts gain nothing (a short trace, one of several processes, a compressed one, one processor), it is read here only.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug import prices
from namel3ss_debug.analysis.folds import Analysis
from namel3ss_debug.traces.reader import Trace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from namel3ss_debug.analysis.contract import Section
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.prices import Table
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.lines import Problems
    from namel3ss_debug.traces.process import Resume

WORTH_TWO = 64 << 20
"""From so many bytes on, a trace is worth a second process."""

DIE_QUIETLY = (signal.SIGINT, signal.SIG_DFL)
"""Ctrl-C ends the later process at once and silently; its parent reports it."""


class Asked(NamedTuple):
    """A request for an analysis: the sections (None for all), the options, and the table of sections."""

    sections: Collection[str] | None
    options: Options | None
    table: Mapping[str, Section]


class Read(NamedTuple):
    """A trace that was read: its analysis, and the execution that its first event names."""

    analysis: Analysis
    execution_id: str | None


class _Later(NamedTuple):
    """The result of the later process: an analysis, and what could not be read."""

    analysis: Analysis
    problems: Problems
    lost: int


def read_whole(trace: Trace, asked: Asked) -> Read:
    """Fold a trace from its beginning to its end."""
    analysis = Analysis(*asked)
    with _marking(trace, analysis):
        return _feed(analysis, trace.events())


def read_in_two(trace: Trace, asked: Asked, own_prices: Table | None = None, least: int = WORTH_TWO) -> Read:
    """Fold a trace, the later half of it in a process of its own where that is worth it.

    Args:
        trace: the trace.
        asked: what is asked of it.
        own_prices: the user's own prices; None for none.
        least: how many bytes it must have for that.
    """
    cut = trace.middle(least) if processors() > 1 else None
    if cut is None:
        return read_whole(trace, asked)
    # a new interpreter: a fork of a process that has threads may never come to its end
    executor = ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=signal.signal, initargs=DIE_QUIETLY
    )
    later: _Later | None = None
    try:
        with TemporaryDirectory() as folder:
            found = Path(folder, "later")
            waiting = executor.submit(_read_later, trace.path, trace.files, cut, asked, own_prices, found)
            analysis = Analysis(*asked)
            with _marking(trace, analysis), _telling_twice(trace):
                before = trace.before(cut)
                read = _feed(analysis, before.events())
            sound = before.ended_at(cut) and analysis.events == cut.expected and not trace.lost
            if sound and waiting.result():
                executor.shutdown()  # its memory is free before what it found takes some here
                with found.open("rb") as file:
                    later = pickle.load(file)  # noqa: S301  (written by `_read_later`, in a folder of our own)
    except (BrokenProcessPool, OSError):
        later = None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    if later is None:
        return read_whole(trace, asked)
    analysis.merge(later.analysis)
    trace.take_later(cut, before.lines_before(cut), later.problems, later.lost)
    return read


def _read_later(
    path: Path, files: tuple[Path, ...], cut: Resume, asked: Asked, own_prices: Table | None, found: Path
) -> bool:
    """Fold what comes after a cut, and write it to a file; False where not every event has a line of its own.

    A file takes no memory; data that is sent through a pipe would be in memory three times.
    """
    if own_prices is not None:
        prices.use(own_prices)
    trace = Trace(path)
    if trace.files != files:
        return False
    analysis = Analysis(*asked)
    with collecting_rarely(), _marking(trace, analysis):
        after = trace.after()
        analysis.feed_all(after.events(cut), cut.expected + 1)
    if after.seekable and found.parent.exists():
        with found.open("wb") as file:
            pickle.dump(_Later(analysis.detached(), trace.problems, trace.lost), file)
    return after.seekable


def _feed(analysis: Analysis, events: Iterable[Event]) -> Read:
    events = iter(events)
    first = list(islice(events, 1))
    analysis.feed_all(chain(first, events))
    return Read(analysis, first[0].get("execution_id") if first else None)


@contextmanager
def _marking(trace: Trace, analysis: Analysis) -> Iterator[None]:
    """Have the reader report to the section `integrity` where payloads may have been cut or redacted."""
    trace.marks = analysis.expect_marks if "integrity" in analysis.folds else None
    try:
        yield
    finally:
        trace.marks = None


@contextmanager
def _telling_twice(trace: Trace) -> Iterator[None]:
    """Count each byte read here twice for the display of progress: the other process reads about as much."""
    report = trace.progress
    if report is not None:
        trace.progress = lambda done, total: report(min(2 * done, total), total)
    try:
        yield
    finally:
        trace.progress = report


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let the garbage collector run a hundredth as often: there are no cycles, and it takes a sixth of all time."""
    young, *old = gc.get_threshold()
    gc.set_threshold(100 * young, *old)
    try:
        yield
    finally:
        gc.set_threshold(young, *old)


def processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
