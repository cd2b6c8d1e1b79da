"""Recordings as a list, and the problems of reading one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.traces.marks import BAD
from namel3ss_debug.traces.outcomes import describe_outcome
from namel3ss_debug.views.blocks import Block, Note, Table
from namel3ss_debug.views.paths import command, short_name, whole_site
from namel3ss_debug.views.quantities import bytes_text, count, day_and_minute, duration, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, OUTCOME_STYLES, WARNING, line, text

if TYPE_CHECKING:
    from namel3ss_debug.analysis.sections.listed import TraceSummary
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.store import RemovedTrace, TraceInfo

VERDICT_STYLES = {"diverged": ERROR, "unverified": WARNING, "incomplete": WARNING}
SHOWN_PROBLEMS = 2
_NO_MARKS: Mapping[Path, Mark] = {}
NARROW = 64
"""With fewer cells, a list keeps what identifies a trace: id, time, program, and an unusual outcome."""

WIDE = 100
"""With as many cells, a list also has the years, the number of events and the sizes."""

WITH_FOLDERS = 120
"""With as many cells, a program has its folder; in fewer, the path is cut where the programs of a folder differ."""


def list_blocks(
    found: Sequence[tuple[tuple[TraceInfo, TraceSummary], int]],
    directory: Path,
    width: int,
    marks: Mapping[Path, Mark] = _NO_MARKS,
) -> Iterator[Block]:
    """Yield one row for each trace, in the given order, with its mark if any has one, and their number and size.

    Args:
        found: the traces, each with its depth: a re-run stands one level below its trace.
        directory: where they are.
        width: the cells of the screen.
        marks: the marks of the traces, by path.
    """
    sessions = any(info.title for (info, _), _ in found)
    figures = _session_figures if sessions else _figures
    names = (
        ("took", "tokens", "cost", "errors", "size")
        if sessions
        else ("took", "cost", "errors", "dropped", "events", "size")
    )
    headers = () if width < NARROW else names if width >= WIDE else names[:4]
    marked = any(info.path in marks for (info, _), _ in found)
    columns = (
        *_identity_columns(year=width >= WIDE, what="title" if sessions else "program"),
        *map(number, headers),
        prose("outcome", 6),
        *((prose("mark", 4),) if marked else ()),
    )
    rows = (
        (
            *_identity_cells(info, year=width >= WIDE, folder=width >= WITH_FOLDERS, depth=depth),
            *figures(info, summary)[: len(headers)],
            _outcome_cell(info, summary, width, below=depth > 0),
            *((_mark(marks.get(info.path)),) if marked else ()),
        )
        for (info, summary), depth in found
    )
    yield Table(columns, rows, long=True)
    size = bytes_text(sum(info.size_bytes for (info, _), _ in found))
    yield Note(f"{count(len(found), 'trace')}, {size}, in {directory}", is_line=True)


def _mark(mark: Mark | None) -> Text:
    """Return the judgement of a run, in red if it is bad."""
    return text("" if mark is None else mark.judgement, ERROR if mark and mark.judgement == BAD else "")


def _figures(info: TraceInfo, summary: TraceSummary) -> tuple[Cell, ...]:
    """Return the numbers of a run; empty for what is not known."""
    cost = money(summary.cost) if summary.cost or summary.calls_without_price == 0 else ""
    return (
        duration(summary.duration_ms) if summary.duration_ms is not None else "",
        f"{cost}+" if cost and summary.calls_without_price else cost,
        text(tokens(summary.errors), ERROR) if summary.errors else "",
        text(tokens(info.dropped), WARNING) if info.dropped else "",
        tokens(info.events),
        bytes_text(info.size_bytes),
    )


def _session_figures(info: TraceInfo, summary: TraceSummary) -> tuple[Cell, ...]:
    """Return the numbers of a session of another tool, which drops no events, and is no file of them."""
    took, cost, errors, _, _, size = _figures(info, summary)
    return took, tokens(summary.tokens) if summary.tokens else "", cost, errors, size


def _identity_columns(*, year: bool, what: str = "program") -> tuple[Column, Column, Column]:
    """Return the columns that identify the trace of a row."""
    return name("trace", 8), Column("started (UTC)" if year else "UTC"), name(what, 8)


def _identity_cells(info: TraceInfo, *, year: bool, folder: bool, depth: int = 0) -> tuple[Cell, Cell, Cell]:
    """Return the name of a trace, when it began, and its program."""
    branch = "  " * (depth - 1) + "└─ " if depth else ""
    return (
        Text(end="").append(branch, DIM).append_text(text(short_name(info.path), limit=120)),
        text(day_and_minute(info.started_at, year=year), DIM),
        text(program(info) if folder or info.title else program(info).rsplit("/", 1)[-1], limit=80),
    )


def _outcome_cell(info: TraceInfo, summary: TraceSummary, width: int, *, below: bool) -> Cell:
    """Return the outcome of a run; a re-run has its verdict, and a narrow screen shows only an unusual outcome.

    Args:
        info: the trace.
        summary: its figures.
        width: the cells of the screen.
        below: whether it stands below its trace; elsewhere its row names the trace.
    """
    words = []
    if info.rerun_of is not None:
        of = f" of {info.rerun_of[:8]}" if info.rerun_of and width >= WIDE else ""
        named = "re-run" if below else f"re-run{of}: {summary.verdict}" if summary.verdict else f"re-run{of}"
        words.append(summary.verdict if below and summary.verdict else named)
    if summary.outcome != "completed" or not (width < NARROW or words):
        # A row has little room, and a re-run often ends as the trace above it.
        detail = "" if below else summary.outcome_detail.replace("exit status", "status")
        words.append(describe_outcome(summary.outcome, detail))
    is_fine = summary.outcome == "completed" and info.rerun_of is not None
    style = (
        VERDICT_STYLES.get(summary.verdict or "", "") if is_fine else OUTCOME_STYLES.get(summary.outcome, "")
    )
    return text(", ".join(words), style)


def removed_blocks(
    removed: Sequence[RemovedTrace], directory: Path, width: int, *, dry_run: bool
) -> Iterator[Block]:
    """Yield one row for each trace that was, or would be, removed, with the reason, and their number and size."""
    if not removed:
        yield Note(f"nothing to remove in {directory}", "", is_line=True)
        return
    year = width >= NARROW
    columns = (*_identity_columns(year=year), number("size"), prose("why", 6))
    rows = (
        (*_identity_cells(info, year=year, folder=year), bytes_text(info.size_bytes), text(f"{kind}: {why}"))
        for info, kind, why in removed
    )
    yield Table(columns, rows, long=True)
    done = "would be removed from" if dry_run else "removed from"
    size = bytes_text(sum(info.size_bytes for info, _, _ in removed))
    yield Note(f"{count(len(removed), 'trace')}, {size}, {done} {directory}", "", is_line=True)


def traces_document(
    found: Iterable[TraceInfo], marks: Mapping[Path, Mark] = _NO_MARKS
) -> list[dict[str, Any]]:
    """Return the traces as JSON documents show them."""
    return [
        {
            "path": str(info.path),
            "execution_id": info.execution_id,
            "started_at": info.started_at,
            "modified_at": info.modified_at,
            "target": info.target,
            "title": info.title or None,
            "argv": list(info.argv),
            "status": info.status,
            "mark": marks[info.path].to_json() if info.path in marks else None,
            "rerun_of": info.rerun_of,
            "events": info.events,
            "bytes": info.size_bytes,
            "files": info.files,
            "processes": info.processes,
            "dropped_events": info.dropped,
            "dropped_because": list(info.dropped_because),
        }
        for info in found
    ]


def program(info: TraceInfo) -> str:
    """Return the program as the user named it; for one outside of the working directory, the name of its file.

    A session of another tool has a title.
    """
    if info.title:
        return info.title
    if not info.target:
        return command(info.argv)
    shown = whole_site(info.target)
    return shown.rsplit("/", 1)[-1] if shown.startswith("/") else shown


def problem_lines(problems: Mapping[str, Any]) -> Iterator[Text]:
    """Yield a line about events that the program could not write, and one with the first problems while reading."""
    if problems.get("dropped_events"):
        yield line((describe_dropped(problems["dropped_events"], problems["dropped_because"]), WARNING))
    if problems["total"]:
        places = [
            f"{problem['what']} ({place(problem['file'], problem['line'])})"
            for problem in problems["first"][:SHOWN_PROBLEMS]
        ]
        more = ", ..." if problems["total"] > len(places) else ""
        heading = f"{count(problems['total'], 'problem')} while reading: "
        yield line((heading, WARNING), f"{', '.join(places)}{more}")


def describe_dropped(events: int, reasons: Iterable[str]) -> str:
    """Return a sentence such as `22,191 events were dropped: no space left on device`."""
    return f"{count(events, 'event')} {'was' if events == 1 else 'were'} dropped: {', '.join(reasons)}"


def list_document(
    found: Iterable[tuple[TraceInfo, TraceSummary]], marks: Mapping[Path, Mark] = _NO_MARKS
) -> list[dict[str, Any]]:
    """Return the traces of a list as JSON: the rows of `traces_document` with their summaries."""
    pairs = list(found)
    rows = traces_document((info for info, _ in pairs), marks)
    return [
        row | summary._asdict() | {"tags": dict(summary.tags)}
        for row, (_, summary) in zip(rows, pairs, strict=True)
    ]


def place(file: str, line_number: int) -> str:
    """Return a place in a file, such as `trace_x.jsonl:14`; line 0 means the whole file."""
    short = Path(file).name
    return f"{short}:{line_number}" if line_number else short
