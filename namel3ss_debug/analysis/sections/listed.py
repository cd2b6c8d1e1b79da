"""What a list shows of each trace besides its files: outcome, duration, cost and errors, kept in the user's cache.

The figures are those of `analyze`, which reads the whole trace. So they are computed once, and kept under the state of
its files: path, inode, size and time of change. A trace that is too large to be read for a list has its outcome only.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from namel3ss_debug.analysis.analyzer import analyze_trace
from namel3ss_debug.analysis.computing import compute_sections, start_table
from namel3ss_debug.analysis.sections.labels import LABELS
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers import find_importer
from namel3ss_debug.importers.folders import describe_foreign, describe_start
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.index import index_path
from namel3ss_debug.traces.lines import Problems, last_line
from namel3ss_debug.traces.outcomes import RunEnd, decide_outcome
from namel3ss_debug.traces.process import read_event_line
from namel3ss_debug.traces.store import notes_of, trace_files

if TYPE_CHECKING:
    from namel3ss_debug.prices import Table
    from namel3ss_debug.traces.store import TraceInfo

VERSION: Final = 3
"""Part of each key: figures of another version are computed again."""

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a trace up to which it is read for a list, which takes about 2 s."""

LARGEST_RUNNING: Final = 4 * 1024 * 1024
"""The same for one that is still written, which has to be read each time."""

MOST_KEPT: Final = 5_000
"""How many traces the cache has figures of; the oldest are removed first."""


_TABLE: Final = SECTIONS | {LABELS.name: LABELS}
_SECTIONS: Final = ("execution_overview", LABELS.name)


class TraceSummary(NamedTuple):
    """What is known of a run; None for what is not known, or was not read.

    `verdict` is that on a re-run, `models` the names of the models, `tags` each tag with its values.
    """

    outcome: str
    outcome_detail: str = ""
    duration_ms: float | None = None
    cost: float | None = None
    calls_without_price: int | None = None
    errors: int | None = None
    tokens: int | None = None
    verdict: str | None = None
    models: Sequence[str] = ()
    tags: Mapping[str, Sequence[str]] = MappingProxyType({})


def summarise(
    infos: Sequence[TraceInfo], prices: Table | None, progress: Callable[[int, int], None] | None = None
) -> list[TraceSummary]:
    """Return a summary of each trace, in the given order.

    Args:
        infos: the traces.
        prices: the user's own prices.
        progress: called with how many traces are done, and how many there are.
    """
    cache = _load()
    changed, found = False, []
    for done, info in enumerate(infos, 1):
        key = _key(info, prices)
        row = cache.get(key)
        if row is None or len(row) != len(TraceSummary._fields):
            summary = _read(info)
            if info.status != "open" and info.size_bytes <= LARGEST:
                cache[key], changed = [*summary[:-1], dict(summary.tags)], True
        else:
            summary = TraceSummary(*row)
        found.append(summary)
        if progress is not None:
            progress(done, len(infos))
    if changed:
        _save(cache)
    return found


def summarise_foreign(
    directory: Path, known: Collection[Path], prices: Table | None
) -> list[tuple[TraceInfo, TraceSummary]]:
    """Return the files of other writers in a folder, as `find_foreign` finds them, each with its summary, in no order.

    A file is imported once for all that a list shows of it.
    """
    found = describe_foreign(directory, known, _import, f"{VERSION} {prices!r} ")
    return [(info, TraceSummary(*summary)) for info, summary in found]


def _import(path: Path) -> list[Any] | None:
    """Return the run, the start and the title of a file, and its summary; None where no importer reads it."""
    importer = find_importer(path)
    if importer is None:
        return None
    if path.stat().st_size > LARGEST:
        return ["", None, "", *decide_outcome("unknown", RunEnd())]
    events = importer.read((path,), Problems())
    first = next(events, None)
    if first is None:
        return None
    builder = start_table(str(path), _SECTIONS, Options(), _TABLE)
    builder.add(chain((first,), events))
    spans = builder.settle()
    spans.about = [{"ending": "unknown"}]
    return [*describe_start(first), *_to_summary(compute_sections(spans, _SECTIONS, Options(), _TABLE))]


def _read(info: TraceInfo) -> TraceSummary:
    if info.size_bytes > (LARGEST_RUNNING if info.status == "open" else LARGEST):
        return TraceSummary(*_outcome_by_last_line(info))
    try:
        document = analyze_trace(open_trace(info.path), _TABLE, _SECTIONS, None).document
    except UnreadableTraceError:  # of an earlier format
        return TraceSummary(*_outcome_by_last_line(info))
    return _to_summary(document)


def _to_summary(document: Mapping[str, Any]) -> TraceSummary:
    overview, labels = document["execution_overview"], document[LABELS.name]
    return TraceSummary(
        overview["outcome"],
        overview["outcome_detail"],
        overview["duration_ms"],
        overview["cost"],
        overview["calls_without_price"],
        overview["errors"],
        overview["tokens"],
        overview.get("rerun_verdict"),
        labels["models"],
        labels["tags"],
    )


def _outcome_by_last_line(info: TraceInfo) -> tuple[str, str]:
    """Return the outcome of a trace that is not read; that a span at the top failed is not known then."""
    process, end = trace_files(info.path)[0], RunEnd()
    last = read_event_line(last_line(process.files[-1]), process.files[-1])
    if last is not None:
        end.add(last)
    if end.exit_status is None:
        end.exit_status = next((note.exit_status for note in notes_of(process) if note.ended), None)
    return decide_outcome(info.status, end)


def _key(info: TraceInfo, prices: Table | None) -> str:
    """Return what the figures depend on, as one short text."""
    state: list[Any] = [VERSION, info.status, repr(prices)]
    for file in info.paths:
        now = os.stat(file)
        state.append((os.path.realpath(file), now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns))
    return hashlib.sha256(repr(state).encode(errors="replace")).hexdigest()[:32]


def _cache_path() -> Path:
    return index_path(Path()).with_name("summaries.json")


def _load() -> dict[str, list[Any]]:
    """Return the kept figures; nothing where there are none, or they are damaged."""
    try:
        kept = orjson.loads(_cache_path().read_bytes())
    except (OSError, RuntimeError, ValueError):
        return {}
    return {key: row for key, row in kept.items() if isinstance(row, list)} if isinstance(kept, dict) else {}


def _save(cache: dict[str, list[Any]]) -> None:
    """Write the figures in one step; without a cache directory they are computed again."""
    try:
        target = _cache_path()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = dict(list(cache.items())[-MOST_KEPT:])
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix="new-", suffix=".tmp", delete=False
        ) as file:
            file.write(orjson.dumps(kept))
        os.replace(file.name, target)
    except (OSError, RuntimeError, TypeError):  # TypeError: a hostile trace adds up to more than 64 bits
        pass
