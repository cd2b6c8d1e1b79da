"""Recordings as a list, and the problems of reading one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.traces.marks import BAD
from namel3ss_debug.traces.names import OWN_NAME
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.quantities import bytes_text, count, day_and_minute, duration, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose, table
from namel3ss_debug.views.terminal import DIM, ERROR, GOOD, WARNING, line, text

if TYPE_CHECKING:
    from namel3ss_debug.analysis.summary.listed import Summary
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.store import TraceInfo

OUTCOME_STYLES = {
    "failed": ERROR,
    "killed": WARNING,
    "interrupted": WARNING,
    "running": GOOD,
    "unknown": WARNING,
}
SHOWN_PROBLEMS = 2
_NO_MARKS: Mapping[Path, Mark] = {}
NARROW = 64
"""With fewer cells, a list keeps what identifies a recording: id, time, program, and an outcome out of order."""

WIDE = 100
"""With as many cells, a list also has the years, the number of events and the sizes."""


def list_lines(
    found: Sequence[tuple[TraceInfo, Summary]],
    directory: Path,
    width: int,
    marks: Mapping[Path, Mark] = _NO_MARKS,
) -> Iterator[Text]:
    """Yield one row for each recording, in the given order, the newest first, with its mark if any has one."""
    headers = (
        ()
        if width < NARROW
        else ("took", "cost", "errors", "dropped", "events", "size")[: 6 if width >= WIDE else 4]
    )
    marked = any(info.path in marks for info, _ in found)
    columns = (
        *_which(year=width >= WIDE),
        *map(number, headers),
        prose("outcome", 6),
        *((prose("mark", 4),) if marked else ()),
    )
    rows = (
        (
            *_told(info, year=width >= WIDE),
            *_figures(info, summary)[: len(headers)],
            _outcome_cell(info, summary, narrow=width < NARROW),
            *((_mark(marks.get(info.path)),) if marked else ()),
        )
        for info, summary in found
    )
    yield from table(columns, rows, width)
    size = bytes_text(sum(info.size_bytes for info, _ in found))
    yield Text("")
    yield line((f"{count(len(found), 'recording')}, {size}, in {directory}", DIM))


def _mark(mark: Mark | None) -> Text:
    """Return the judgement of a run, in red if it is bad."""
    return text("" if mark is None else mark.judgement, ERROR if mark and mark.judgement == BAD else "")


def _figures(info: TraceInfo, summary: Summary) -> tuple[Cell, ...]:
    """The numbers of a run; empty for what is not known."""
    cost = money(summary.cost) if summary.cost or summary.calls_without_price == 0 else ""
    return (
        duration(summary.duration_ms) if summary.duration_ms is not None else "",
        f"{cost}+" if cost and summary.calls_without_price else cost,
        text(tokens(summary.errors), ERROR) if summary.errors else "",
        text(tokens(info.dropped), WARNING) if info.dropped else "",
        tokens(info.events),
        bytes_text(info.size_bytes),
    )


def _which(*, year: bool) -> tuple[Column, Column, Column]:
    """The columns that identify the recording of a row."""
    return name("recording", 8), Column("started (UTC)" if year else "UTC"), name("program", 8)


def _told(info: TraceInfo, *, year: bool) -> tuple[Cell, Cell, Cell]:
    """The name of a recording, when it began, and its program."""
    return (
        text(short_name(info.path), limit=120),
        text(day_and_minute(info.started_at, year=year), DIM),
        text(program(info), limit=80),
    )


def _outcome_cell(info: TraceInfo, summary: Summary, *, narrow: bool) -> Cell:
    """The outcome of a run; a re-run is marked as one, and a narrow screen shows no outcome that is in order."""
    words = ["re-run"] if info.rerun_of is not None else []
    if summary.outcome != "completed" or not (narrow or words):
        detail = summary.outcome_detail.replace("exit status", "status")  # a row has little room
        words.append(describe_outcome(summary.outcome, detail))
    style = OUTCOME_STYLES.get(summary.outcome, DIM if words == ["re-run"] else "")
    return text(", ".join(words), style)


def describe_outcome(outcome: str, detail: str) -> str:
    """Return an outcome with what is known besides, such as `failed (exit status 3)`."""
    return f"{outcome} ({detail})" if detail else outcome


def removed_lines(removed: Sequence[TraceInfo], width: int) -> Iterator[Text]:
    """One row for each recording that was, or would be, removed."""
    year = width >= NARROW
    columns = (*_which(year=year), number("size"))
    yield from table(
        columns, ((*_told(info, year=year), bytes_text(info.size_bytes)) for info in removed), width
    )


def recordings_document(
    found: Iterable[TraceInfo], marks: Mapping[Path, Mark] = _NO_MARKS
) -> list[dict[str, Any]]:
    """Return the recordings as JSON documents show them."""
    return [
        {
            "path": str(info.path),
            "execution_id": info.execution_id,
            "started_at": info.started_at,
            "modified_at": info.modified_at,
            "target": info.target,
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
    """The program as the user named it; for one outside of the working directory, the name of its file."""
    if not info.target:
        return command(info.argv)
    shown = whole_site(info.target)
    return shown.rsplit("/", 1)[-1] if shown.startswith("/") else shown


def command(words: Sequence[object]) -> str:
    """The words of a command line, with only the file name of the program."""
    first, *rest = map(str, words or [""])
    return " ".join([first.rsplit("/", 1)[-1], *rest])


def short_name(path: Path) -> str:
    """The name of a recording on the command line: its id if we named the file, else the name of the file."""
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return stem[-8:] if OWN_NAME.match(stem) else path.name


def short_site(site: object) -> str:
    """A path, or a place such as `/home/me/agents/app.py:42`, for a narrow column.

    It is written from the working directory where it lies below it, else with its last folder only:
    `…/agents/app.py:42`.
    """
    shown = whole_site(site)
    *_, folder, file = ["", *shown.rsplit("/", 2)][-3:]
    return f"…/{folder}/{file}" if shown.startswith("/") and shown.count("/") > 2 else shown


def whole_site(site: object) -> str:
    """A path, or a place such as `/home/me/agents/app.py:42`, from the working directory where it lies below it."""
    return shorter_path(Path(site)) if isinstance(site, str) and site.startswith("/") else str(site)


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
    found: Iterable[tuple[TraceInfo, Summary]], marks: Mapping[Path, Mark] = _NO_MARKS
) -> list[dict[str, Any]]:
    """Return the recordings of a list as JSON has them: those of `recordings_document`, with their summaries."""
    pairs = list(found)
    rows = recordings_document((info for info, _ in pairs), marks)
    return [row | summary._asdict() for row, (_, summary) in zip(rows, pairs, strict=True)]


def place(file: str, line_number: int) -> str:
    """A place in a file, such as `trace_x.jsonl:14`; line 0 means the whole file."""
    short = Path(file).name
    return f"{short}:{line_number}" if line_number else short
