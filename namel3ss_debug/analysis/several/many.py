"""Many recordings at once: each is folded by itself, several in processes of their own, and then put together.

How the document of several recordings is made:

- Sections whose fold can be pooled (`contract.Pooled`) are merged, so that a percentile is that of all their spans.
- Those of `adding.ADDED` are added up from what each recording gave; the overview has rules of its own.
- Everything else (integrity, dependencies with the critical path, and all that looks at the course of one run) has a
  meaning for one recording only: it is in the document of each recording and not in the whole.

An entry that names an event by `number` has the path of its recording as `trace`. The recordings are put together in
the order in which they were given, whichever process is done first, so that the result is that of folding one
after the other.
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
from namel3ss_debug.analysis import plugins
from namel3ss_debug.analysis.analyzer import SCHEMA, SectionTable, fold, section_table
from namel3ss_debug.analysis.contract import NUMBER_BITS, is_pooled, names_event
from namel3ss_debug.analysis.folds import Analysis
from namel3ss_debug.analysis.halves import DIE_QUIETLY, processors
from namel3ss_debug.analysis.several.adding import ADDED, Added, Overviews, Recurring
from namel3ss_debug.analysis.several.trends import trends
from namel3ss_debug.analysis.several.windows import GROUPS
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.errors import DebugError, UnreadableTraceError
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.prices import Table

WORTH_A_PROCESS = 8 << 20
"""Bytes of recordings for each process: as many as are read in the time that a process takes to start."""

MOST_PROCESSES = 3
"""How many processes read at most: each holds 40 to 50 MB, and all together shall hold no more than 300 MB."""

_AHEAD = 4
"""How many recordings for each process may be read before the first of them is taken."""

_OVERVIEW = "execution_overview"
_MOST_FINDINGS = 3
SCORED = ("integrity", "health")
"""The sections whose score is in the row of each recording."""

_NEEDED = (_OVERVIEW, "resource_usage")
"""Sections made for each recording, asked for or not: the table, the groups and the trends need them."""


@dataclass(frozen=True)
class Request:
    """A request for the analysis of many recordings.

    Attributes:
        sections: the names of the sections; None for all.
        options: what the user has set about the analyses.
        prices: the user's own prices; None for those in use.
        by: what the recordings are grouped by, out of `windows.GROUPS`; None for no groups.
        documents: whether the whole document of each recording is wanted.
        left_out: re-runs that lie beside the recordings and are not analysed; the document names them.
    """

    sections: tuple[str, ...] | None = None
    options: Options = field(default_factory=Options)
    prices: Table | None = None
    by: str | None = None
    documents: bool = False
    left_out: tuple[str, ...] = ()

    def folded(self, table: Mapping[str, object]) -> tuple[str, ...]:
        """Return the sections made for each recording: without the documents, only those of which something is shown."""
        wanted = table if self.sections is None else self.sections
        shown = [name for name in wanted if self.documents or _is_shown(name, table[name])]
        return (*shown, *_NEEDED, *(("performance",) if self.by == "agent" else ()))


def _is_shown(name: str, made_by: object) -> bool:
    """Return whether a section of one recording is seen in the whole, or has its score in the recording's row."""
    return name in ADDED or name in SCORED or isinstance(made_by, plugins.Plugin) or is_pooled(made_by)


class Recording(NamedTuple):
    """The result for one recording; `error` is the reason where there is none.

    Attributes:
        path: its first file.
        row: `trace`, `execution_overview`, `problems`, the `scores` of the sections that have one, and of the
            `findings` of its health the heaviest few.
        group: what it is grouped by.
        figures: the overview with `memory_peak_mb`.
        document: its whole document as JSON; empty where it was not wanted.
        sections: the sections that are added up.
        pooled: its settled `Analysis`, pickled: every group it is put into takes a copy of its own.
        plugin_errors: the errors of analyses of installed packages, by section.
    """

    path: str
    row: dict[str, Any]
    group: str | None = None
    figures: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    document: bytes = b""
    sections: dict[str, Any] = {}  # noqa: RUF012
    pooled: bytes = b""
    plugin_errors: dict[str, str] = {}  # noqa: RUF012
    error: str = ""


def read(request: Request, table: SectionTable, place: int, path: str) -> Recording:
    """Fold one recording.

    Args:
        request: what is asked.
        table: all sections.
        place: its place among the recordings, from 1.
        path: its first file.
    """
    if request.prices is not None:
        prices.use(request.prices)
    try:
        trace = open_trace(Path(path))
        analysis, document = fold(trace, table, request.folded(table), request.options)
        if not analysis.events:
            first = next(iter(trace.problems.first), None)
            why = f"line {first.line}: {first.what}" if first is not None and first.line else "it is empty"
            raise UnreadableTraceError(f"{path}: there is no event in it ({why})")
    except (DebugError, OSError) as error:
        return Recording(path, {}, error=str(error))
    wanted = request.sections
    shown = {name: value for name, value in document.items() if _is_wanted(name, wanted, table)}
    memory = document["resource_usage"].get("memory") or {}
    scores = {
        name: value["score"]
        for name, value in shown.items()
        if isinstance(value, dict) and value.get("score") is not None
    }
    analysis.settle(place)
    return Recording(
        path=path,
        row={
            "trace": document["trace"],
            _OVERVIEW: document[_OVERVIEW],
            "problems": document["problems"],
            "scores": scores,
            "findings": (shown.get("health") or {}).get("findings", [])[:_MOST_FINDINGS],
        },
        group=None if request.by is None else GROUPS[request.by](document),
        figures={**document[_OVERVIEW], "memory_peak_mb": memory.get("peak_mb")},
        document=orjson.dumps(shown) if request.documents else b"",
        sections={name: value for name, value in shown.items() if name in ADDED},
        pooled=pickle.dumps(analysis),
        plugin_errors=document.get("plugin_errors", {}),
    )


def _is_wanted(name: str, sections: Sequence[str] | None, table: Iterable[str]) -> bool:
    return sections is None or name in sections or name not in table


class Together:
    """Several recordings together: all of them, or those of a group."""

    def __init__(self, sections: Sequence[str] | None) -> None:
        self._sections = sections
        self._pool: Analysis | None = None
        self._overviews = Overviews()
        self._added: dict[str, Added] = {}
        self._keys: dict[str, dict[str, None]] = {}
        self._recurring = Recurring()
        self._runs: list[tuple[float, dict[str, Any]]] = []
        self.errors: dict[str, str] = {}

    def take(self, recording: Recording) -> None:
        """Add the next recording."""
        self._overviews.take(recording.row[_OVERVIEW])
        for name, section in recording.sections.items():
            self._added.setdefault(name, Added()).take(section, recording.path)
            self._keys.setdefault(name, {}).update(dict.fromkeys(section))
        self._recurring.take(recording.sections.get("errors", {}).get("failures", ()), recording.path)
        pooled: Analysis = pickle.loads(recording.pooled)  # noqa: S301  (written by `read`)
        if self._pool is None:
            self._pool = pooled
        else:
            self._pool.merge(pooled)
        self.errors = recording.plugin_errors | self.errors
        started_at = recording.figures.get("started_at")
        if started_at is not None:
            self._runs.append((started_at, recording.figures))

    def sections(self, paths: Sequence[str], order: Iterable[str]) -> dict[str, Any]:
        """Return the sections of all recordings taken in.

        Args:
            paths: the recordings, by their places.
            order: the names of all sections, in the order of the document.
        """
        made: dict[str, Any] = {} if self._pool is None else _placed(self._pool.results(), paths)
        made |= {name: added.result() for name, added in self._added.items()}
        if "errors" in made:
            known = made["errors"] | {"error_rate": self._overviews.error_rate}
            made["errors"] = {key: known[key] for key in self._keys["errors"] if key in known}
            made["errors"]["recurring"] = self._recurring.result()
        if "pairs" in made.get("interactions", ()):
            # the same pair may be in all of them
            made["interactions"]["pairs"] = len(made["interactions"]["calls"])
        made[_OVERVIEW] = self._overviews.result()
        wanted = made.keys() if self._sections is None else self._sections
        return {
            name: made[name] for name in order if name in made and name in wanted and name not in self.errors
        }

    def count(self) -> int:
        """Return how many recordings there are."""
        return len(self._overviews.rows)

    def overview(self) -> dict[str, Any]:
        """Return the overview of all of them, asked for or not."""
        return self._overviews.result()

    def targets(self) -> Counter[Any]:
        """Return how many recordings there are of each program; None for those that do not name theirs."""
        return Counter(run.get("target") for _, run in self._runs)

    def runs(self, target: object) -> list[tuple[float, dict[str, Any]]]:
        """Return when each recording of a program began, and its figures."""
        return [run for run in self._runs if run[1].get("target") == target]

    def began(self) -> float | None:
        """Return when the first of them began; None where no time is recorded."""
        return min((at for at, _ in self._runs), default=None)

    def middle(self, target: object) -> tuple[float, dict[str, Any]] | None:
        """Return when the first of those of a program began, and the median of each figure; None where no time is
        recorded.
        """
        runs = self.runs(target)
        if not runs:
            return None
        names = runs[0][1].keys()
        values = {name: [run[name] for _, run in runs if lenient.is_number(run.get(name))] for name in names}
        return min(at for at, _ in runs), {
            name: median(told) if told else None for name, told in values.items()
        }


@dataclass
class Many:
    """The result: the document of all recordings, and the data beside it.

    Attributes:
        document: everything but `traces`.
        rows: one for each recording that could be read, as `Recording.row`.
        groups: the overview of each group with `group` and `recordings`; empty without groups.
        traces: the documents of the recordings, as JSON; empty where they were not wanted.
    """

    document: dict[str, Any]
    rows: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    traces: list[bytes]


def analyze_many(
    paths: Sequence[Path],
    request: Request,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
) -> Many:
    """Fold many recordings and put them together.

    Args:
        paths: the first files of the recordings; their order is that of the document.
        request: what is asked.
        progress: called after each recording with the bytes of the first files of those that were read and of all.
        processes: how many processes read; found by the number and the size of the recordings if left out.

    Raises:
        WrongUsageError: there is no section of one of the names.
        UnreadableTraceError: none of the recordings can be read.
    """
    table = section_table(request.sections)
    names = [str(path) for path in paths]
    sizes = [_size(path) for path in names]
    whole = Together(request.sections)
    groups: dict[str | None, Together] = {}
    failed, rows, traces = [], [], []
    done = 0
    for size, recording in zip(sizes, _read_all(names, sum(sizes), request, table, processes), strict=True):
        done += size
        if progress is not None:
            progress(done, sum(sizes))
        if recording.error:
            failed.append({"path": recording.path, "error": recording.error})
            continue
        whole.take(recording)
        if request.by is not None:
            groups.setdefault(recording.group, Together(request.sections)).take(recording)
        rows.append(recording.row)
        traces.append(recording.document)
    if not rows:
        raise UnreadableTraceError(failed[0]["error"] if failed else "there is no recording to analyse")
    grouped = sorted(groups.items(), key=_beginning if request.by == "version" else _name)
    document = {
        "schema": SCHEMA,
        "recordings": {"count": len(rows), "unreadable": failed, **_asked(request)},
        **whole.sections(names, table),
    }
    if request.sections is None or _OVERVIEW in request.sections:
        document["trends"] = _trends(request.by, whole, [together for _, together in grouped])
    if request.by is not None:
        document["groups"] = [
            {"group": name, "recordings": together.count(), **together.sections(names, table)}
            for name, together in grouped
        ]
    document["problems"] = _problems(rows)
    if whole.errors:
        document["plugin_errors"] = dict(sorted(whole.errors.items()))
    overviews = [
        {"group": name, "recordings": together.count(), **together.overview()} for name, together in grouped
    ]
    return Many(document, rows, overviews, traces if request.documents else [])


def worth(recordings: int, total: int) -> int:
    """Return how many processes read so many recordings, of so many bytes together; less than two: this one alone."""
    return min(processors(), MOST_PROCESSES, recordings, total // WORTH_A_PROCESS)


def _read_all(
    paths: Sequence[str], total: int, request: Request, table: SectionTable, processes: int | None
) -> Iterator[Recording]:
    """Yield the recordings in their order, read by as many processes as they are worth."""
    if processes is None:
        processes = worth(len(paths), total)
    places = enumerate(paths, 1)
    if processes < 2:
        yield from (read(request, table, place, path) for place, path in places)
        return
    # a new interpreter for each: a fork of a process that has threads may never come to its end
    executor = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=signal.signal, initargs=DIE_QUIETLY
    )
    waiting: deque[tuple[int, str, Future[Recording] | None]] = deque()
    try:
        for place, path in places:
            waiting.append((place, path, _submit(executor, request, table, place, path)))
            if len(waiting) > _AHEAD * processes:
                yield _result(request, table, *waiting.popleft())
        while waiting:
            yield _result(request, table, *waiting.popleft())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _submit(
    executor: ProcessPoolExecutor, request: Request, table: SectionTable, place: int, path: str
) -> Future[Recording] | None:
    try:
        return executor.submit(read, request, table, place, path)
    except BrokenProcessPool:
        return None


def _result(
    request: Request, table: SectionTable, place: int, path: str, future: Future[Recording] | None
) -> Recording:
    if future is not None:
        with suppress(BrokenProcessPool):
            return future.result()
    return read(request, table, place, path)  # something ended a process that read, so it is read here


def _size(path: str) -> int:
    """Return the bytes of its first file: to ask for all of them would take longer than it is worth."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _asked(request: Request) -> dict[str, Any]:
    return {"left_out": list(request.left_out), "by": request.by}


def _name(group: tuple[str | None, Together]) -> tuple[bool, str]:
    return group[0] is None, group[0] or ""


def _beginning(group: tuple[str | None, Together]) -> tuple[bool, float, str]:
    """By when the group was first seen, as versions follow each other."""
    began = group[1].began()
    return began is None, began or 0.0, group[0] or ""


def _trends(by: str | None, whole: Together, groups: Sequence[Together]) -> dict[str, Any]:
    """Over days and versions, a point is the median of a group; otherwise a recording.

    Different programs are not compared: of several, only the one with the most recordings counts.
    """
    targets = whole.targets()
    target = min(targets, key=lambda name: (-targets[name], str(name)), default=None)
    about = {"target": target, "targets": len(targets)}
    if by in {"day", "version"}:
        points = [middle for together in groups if (middle := together.middle(target)) is not None]
        return {"over": f"{by}s", **about, **trends(points)}
    return {"over": "recordings", **about, **trends(whole.runs(target))}


def _placed(value: Any, paths: Sequence[str]) -> Any:
    """Return a result in which every entry that names an event also names its recording."""
    if isinstance(value, list):
        return [_placed(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _placed(item, paths) for key, item in value.items()}
    for key in filter(names_event, inner):
        number = inner[key]
        if isinstance(number, int) and 0 < number >> NUMBER_BITS <= len(paths):
            place = (number >> NUMBER_BITS) - 1
            inner = {"trace": paths[place], **inner, key: number & ((1 << NUMBER_BITS) - 1)}
    return inner


def _problems(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the problems of reading all recordings, with the first places of the first of them."""
    added = Added()
    for row in rows:
        added.take({**row["problems"], "first": []}, "")
    first = [place for row in rows for place in row["problems"]["first"]]
    return {**added.result(), "first": first[:100]}
