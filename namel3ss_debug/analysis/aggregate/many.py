"""Analyze many traces at once: each is read by itself, several in processes of their own, and then they are combined.

How the document of several traces is made:

- Sections whose pooling is `MERGE` are computed from one table of all their spans (`SpanTable.extend`).
- Those whose pooling is a function are made by it from that table and from the section of each trace, because they are
  read from the events themselves.
- Everything else (integrity, dependencies with the critical path, and all sections about the course of one run) has a
  meaning for one trace only: it is in the document of each trace and not in the whole.

A row that names an event by `number` has the path of its trace as `trace`. The traces are combined in the order of the
arguments, whichever process is done first, so the result does not depend on the processes.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter, deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from namel3ss_debug import prices
from namel3ss_debug.analysis.aggregate.trends import compute_trends
from namel3ss_debug.analysis.aggregate.windows import GROUPS
from namel3ss_debug.analysis.analyzer import SCHEMA, analyze_trace
from namel3ss_debug.analysis.computing import compute_sections
from namel3ss_debug.analysis.contract import Section
from namel3ss_debug.analysis.sections.table import SECTIONS, in_order
from namel3ss_debug.analysis.totals import Many, Options
from namel3ss_debug.errors import DebugError, UnreadableTraceError
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.marks import JUDGEMENTS
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.prices import Table
    from namel3ss_debug.traces.reader import Trace
    from namel3ss_debug.traces.span_table import SpanTable

WORTH_A_PROCESS = 8 << 20
"""Bytes of traces for each process: as many as are read in the time that a process takes to start."""

MOST_PROCESSES = 3
"""How many processes read at most: each holds 40 to 50 MB, and together they should hold no more than 300 MB."""

_AHEAD = 4
"""How many traces for each process may be read before the first of them is used."""

_OVERVIEW = "execution_overview"
_MOST_FINDINGS = 3
_DIE_QUIETLY = (signal.SIGINT, signal.SIG_DFL)
"""Ctrl-C ends a reading process at once and silently; its parent reports it."""
_NEEDED = (_OVERVIEW, "resource_usage")
"""Sections that are made for each trace, requested or not: the table, the groups and the trends need them."""


@dataclass(frozen=True)
class AnalysisRequest:
    """A request for the analysis of many traces.

    Attributes:
        sections: the names of the sections; None for all.
        options: the user's settings of the analyses.
        prices: the user's own prices; None for those in use.
        by: what the traces are grouped by, out of `windows.GROUPS`; None for no groups.
        documents: whether the whole document of each trace is wanted.
        left_out: re-runs beside the traces that are not analysed; the document names them.
        change: changes what is read of a trace, such as by redacting it; None for nothing. Other processes call it.
    """

    sections: tuple[str, ...] | None = None
    options: Options = field(default_factory=Options)
    prices: Table | None = None
    by: str | None = None
    documents: bool = False
    left_out: tuple[str, ...] = ()
    change: Callable[[Trace], Trace] | None = None

    def sections_to_fold(self, table: Mapping[str, Section]) -> tuple[str, ...]:
        """Return the sections made for each trace: without the documents, only those that are shown."""
        wanted = table if self.sections is None else self.sections
        shown = [
            name for name in wanted if self.documents or table[name].pooling is not None or table[name].scored
        ]
        return (*shown, *_NEEDED, *(("performance",) if self.by == "agent" else ()))


class TraceResult(NamedTuple):
    """The result for one trace; `error` is the reason where there is none.

    Attributes:
        path: its first file.
        row: `trace`, `execution_overview`, `problems`, `memory_peak_mb`, the `scores` of the sections that have one, the heaviest few of
            the `findings` of its health, and the fingerprints of its `failures`.
        group: the group it belongs to.
        figures: the overview with `memory_peak_mb`.
        document: its whole document as JSON; empty where it was not wanted.
        sections: the sections that were read from its events.
        spans: its table of spans, pickled, so that every group it belongs to loads a copy of its own.
    """

    path: str
    row: dict[str, Any]
    group: str | None = None
    figures: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    document: bytes = b""
    sections: dict[str, Any] = {}  # noqa: RUF012
    spans: bytes = b""
    error: str = ""


def read_recording(request: AnalysisRequest, table: Mapping[str, Section], path: str) -> TraceResult:
    """Read one trace.

    Args:
        request: the request.
        table: all sections.
        path: its first file.
    """
    if request.prices is not None:
        prices.use(request.prices)
    try:
        trace = open_trace(Path(path))
        if request.change is not None:
            trace = request.change(trace)
        spans, document = analyze_trace(trace, table, request.sections_to_fold(table), request.options)
        if not document["trace"]["events"]:
            first = next(iter(trace.problems.first), None)
            why = f"line {first.line}: {first.what}" if first is not None and first.line else "it is empty"
            raise UnreadableTraceError(f"{path}: there is no event in it ({why})")
    except (DebugError, OSError) as error:
        return TraceResult(path, {}, error=str(error))
    wanted = request.sections
    shown = {
        name: value
        for name, value in document.items()
        if wanted is None or name in wanted or name not in table
    }
    memory = document["resource_usage"].get("memory") or {}
    scores = {
        name: value["score"]
        for name, value in shown.items()
        if isinstance(value, dict) and value.get("score") is not None
    }
    spans.paths, spans.names_traces = [path], True
    return TraceResult(
        path=path,
        row={
            "trace": document["trace"],
            _OVERVIEW: document[_OVERVIEW],
            "problems": document["problems"],
            "memory_peak_mb": memory.get("peak_mb"),
            "scores": scores,
            "findings": (shown.get("health") or {}).get("findings", [])[:_MOST_FINDINGS],
            "failures": sorted(
                {failure["fingerprint"] for failure in (shown.get("errors") or {}).get("failures", ())}
            ),
        },
        group=None if request.by is None else GROUPS[request.by](document),
        figures={**document[_OVERVIEW], "memory_peak_mb": memory.get("peak_mb")},
        document=orjson.dumps(shown) if request.documents else b"",
        sections={
            name: document[name] for name, row in table.items() if callable(row.pooling) and name in document
        },
        spans=pickle.dumps(spans),
    )


class TraceGroup:
    """Several traces together: all of them, or those of a group."""

    def __init__(self, request: AnalysisRequest, table: Mapping[str, Section]) -> None:
        self._sections = request.sections
        self._options = request.options
        self._table = table
        self._spans: SpanTable | None = None
        self._runs: list[tuple[float, dict[str, Any]]] = []

    def add(self, result: TraceResult) -> None:
        """Add the next trace."""
        spans: SpanTable = pickle.loads(result.spans)  # noqa: S301  (written by `read_recording`)
        spans.about[0]["sections"] = result.sections
        if self._spans is None:
            self._spans = spans
        else:
            self._spans.extend(spans)
        started_at = result.figures.get("started_at")
        if started_at is not None:
            self._runs.append((started_at, result.figures))

    def sections(self) -> dict[str, Any]:
        """Return the sections of all traces that were added."""
        return self._compute(
            name
            for name, row in self._table.items()
            if row.pooling is not None and (self._sections is None or name in self._sections)
        )

    def _compute(self, names: Iterable[str]) -> dict[str, Any]:
        assert self._spans is not None, "a group has a trace"
        return compute_sections(self._spans, list(names), self._options, self._table)

    def count(self) -> int:
        """Return how many traces there are."""
        return 0 if self._spans is None else len(self._spans.paths)

    def overview(self) -> dict[str, Any]:
        """Return the overview of all of them, requested or not."""
        overview: dict[str, Any] = self._compute([_OVERVIEW])[_OVERVIEW]
        return overview

    def targets(self) -> Counter[Any]:
        """Return how many traces there are of each program; None is the key of those without its name."""
        return Counter(run.get("target") for _, run in self._runs)

    def runs(self, target: object) -> list[tuple[float, dict[str, Any]]]:
        """Return when each run of a program began, and its figures."""
        return [run for run in self._runs if run[1].get("target") == target]

    def began(self) -> float | None:
        """Return when the first of them began; None where no time is recorded."""
        return min((at for at, _ in self._runs), default=None)

    def medians(self, target: object) -> tuple[float, dict[str, Any]] | None:
        """Return when the first run of a program began, and the median of each figure; None where no time is recorded."""
        runs = self.runs(target)
        if not runs:
            return None
        names = runs[0][1].keys()
        values = {name: [run[name] for _, run in runs if lenient.is_number(run.get(name))] for name in names}
        return min(at for at, _ in runs), {
            name: median(known) if known else None for name, known in values.items()
        }


def analyze_many(
    paths: Sequence[Path],
    request: AnalysisRequest,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
) -> Many:
    """Fold many traces and combine them.

    Args:
        paths: the first files of the traces; their order is that of the document.
        request: the request.
        progress: called after each trace with the bytes of the first files of those that were read and of all.
        processes: how many processes read; None for as many as the number and the size of the traces are worth.

    Raises:
        WrongUsageError: there is no section of one of the names.
        UnreadableTraceError: none of the traces can be read.
    """
    table = SECTIONS
    if request.sections is not None:
        in_order(request.sections)
    names = [str(path) for path in paths]
    sizes = [_size(path) for path in names]
    whole = TraceGroup(request, table)
    groups: dict[str | None, TraceGroup] = {}
    failed, rows, traces = [], [], []
    done = 0
    for size, result in zip(sizes, _read_all(names, sum(sizes), request, table, processes), strict=True):
        done += size
        if progress is not None:
            progress(done, sum(sizes))
        if result.error:
            failed.append({"path": result.path, "error": result.error})
            continue
        whole.add(result)
        if request.by is not None:
            groups.setdefault(result.group, TraceGroup(request, table)).add(result)
        rows.append(result.row)
        traces.append(result.document)
    if not rows:
        raise UnreadableTraceError(failed[0]["error"] if failed else "there is no trace to analyze")
    grouped = sorted(groups.items(), key=_by_beginning if request.by == "version" else _by_name)
    document = {
        "schema": SCHEMA,
        "aggregate": {
            "count": len(rows),
            "unreadable": failed,
            "marked": _marked(rows),
            "left_out": list(request.left_out),
            "by": request.by,
        },
        **whole.sections(),
    }
    if request.sections is None or _OVERVIEW in request.sections:
        document["trends"] = _trends_to_json(request.by, whole, [group for _, group in grouped])
    if request.by is not None:
        document["groups"] = [
            {"group": name, "traces": group.count(), **group.sections()} for name, group in grouped
        ]
    document["problems"] = _sum_problems(rows)
    overviews = [{"group": name, "traces": group.count(), **group.overview()} for name, group in grouped]
    return Many(document, rows, overviews, traces if request.documents else [])


def count_useful_processes(trace_count: int, total: int) -> int:
    """Return how many processes should read this many traces of this many bytes; below two, only this one."""
    return min(_processors(), MOST_PROCESSES, trace_count, total // WORTH_A_PROCESS)


def _read_all(
    paths: Sequence[str],
    total: int,
    request: AnalysisRequest,
    table: Mapping[str, Section],
    processes: int | None,
) -> Iterator[TraceResult]:
    """Yield the traces in their order, read by as many processes as they are worth."""
    if processes is None:
        processes = count_useful_processes(len(paths), total)
    if processes < 2:
        yield from (read_recording(request, table, path) for path in paths)
        return
    # A new interpreter for each: the fork of a process with threads may deadlock.
    executor = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=signal.signal, initargs=_DIE_QUIETLY
    )
    waiting: deque[tuple[str, Future[TraceResult] | None]] = deque()
    try:
        for path in paths:
            waiting.append((path, _submit(executor, request, table, path)))
            if len(waiting) > _AHEAD * processes:
                yield _result(request, table, *waiting.popleft())
        while waiting:
            yield _result(request, table, *waiting.popleft())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _submit(
    executor: ProcessPoolExecutor,
    request: AnalysisRequest,
    table: Mapping[str, Section],
    path: str,
) -> Future[TraceResult] | None:
    """Hand a trace to a process; None where the processes have died."""
    try:
        return executor.submit(read_recording, request, table, path)
    except BrokenProcessPool:
        return None


def _result(
    request: AnalysisRequest,
    table: Mapping[str, Section],
    path: str,
    future: Future[TraceResult] | None,
) -> TraceResult:
    """Return the result for a trace, which is read here where the process that read it has died."""
    if future is not None:
        with suppress(BrokenProcessPool):
            return future.result()
    return read_recording(request, table, path)  # a reading process died, so the trace is read here


def _processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _size(path: str) -> int:
    """Return the bytes of the first file. Asking for the sizes of all files would take longer than it is worth."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _marked(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many of the traces are marked good, and how many bad."""
    judged = Counter(row["trace"]["mark"]["judgement"] for row in rows if row["trace"]["mark"])
    return {judgement: judged[judgement] for judgement in JUDGEMENTS}


def _by_name(group: tuple[str | None, TraceGroup]) -> tuple[bool, str]:
    return group[0] is None, group[0] or ""


def _by_beginning(group: tuple[str | None, TraceGroup]) -> tuple[bool, float, str]:
    """Return a sort key: the time at which the group first occurs, because versions follow each other."""
    began = group[1].began()
    return began is None, began or 0.0, group[0] or ""


def _trends_to_json(by: str | None, whole: TraceGroup, groups: Sequence[TraceGroup]) -> dict[str, Any]:
    """Return the trends of the figures: over days and versions a point is the median of a group, else a trace.

    Different programs are not compared: of several, only the one with the most traces counts.
    """
    targets = whole.targets()
    target = min(targets, key=lambda name: (-targets[name], str(name)), default=None)
    about = {"target": target, "targets": len(targets)}
    if by in {"day", "version"}:
        points = [medians for group in groups if (medians := group.medians(target)) is not None]
        return {"over": f"{by}s", **about, **compute_trends(points)}
    return {"over": "traces", **about, **compute_trends(whole.runs(target))}


def _sum_problems(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the problems of reading all traces, with the first places of the first of them."""
    problems = [row["problems"] for row in rows]
    kinds: Counter[str] = Counter()
    for each in problems:
        kinds.update(each["kinds"])
    counts = ("lost_events", "rotated_away_events", "dropped_events")
    return {
        "total": kinds.total(),
        "kinds": dict(sorted(kinds.items())),
        **{name: sum(each[name] for each in problems) for name in counts},
        "dropped_because": sorted({reason for each in problems for reason in each["dropped_because"]}),
        "first": [problem for each in problems for problem in each["first"]][:100],
    }
