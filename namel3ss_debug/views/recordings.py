"""Recordings as a list, and the problems of reading one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.traces.names import OWN_NAME
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.quantities import bytes_text, count, day_and_minute, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose, table
from namel3ss_debug.views.terminal import DIM, WARNING, line, text

if TYPE_CHECKING:
    from namel3ss_debug.traces.store import TraceInfo

STATUS_STYLES = {"finished": "", "open": "green", "killed": "yellow"}
SHOWN_PROBLEMS = 2
NARROW = 64
"""With fewer cells, a list keeps what identifies a recording: id, time, program, and an end out of order."""


def recording_lines(found: Sequence[TraceInfo], directory: Path, width: int) -> Iterator[Text]:
    """One row for each recording, in the given order, the newest first."""
    narrow = width < NARROW
    columns = (*_which(width), number("events"), number("size"), prose("status", 6))
    rows = (
        (
            *_told(info, width),
            "" if narrow else tokens(info.events),
            "" if narrow else bytes_text(info.size_bytes),
            "" if narrow and info.status == "finished" and info.rerun_of is None else text(*_status(info)),
        )
        for info in found
    )
    yield from table(columns, rows, width)
    size = bytes_text(sum(info.size_bytes for info in found))
    yield Text("")
    yield line((f"{count(len(found), 'recording')}, {size}, in {directory}", DIM))


def _which(width: int) -> tuple[Column, Column, Column]:
    """The columns that identify the recording of a row."""
    return name("recording", 8), Column("UTC" if width < NARROW else "started (UTC)"), name("program", 8)


def _told(info: TraceInfo, width: int) -> tuple[Cell, Cell, Cell]:
    """The name of a recording, when it began (on a narrow screen without the year), and its program."""
    return (
        text(short_name(info.path), limit=120),
        text(day_and_minute(info.started_at, year=width >= NARROW), DIM),
        text(program(info), limit=80),
    )


def _status(info: TraceInfo) -> tuple[str, str]:
    """How it ended, with a style; a re-run that ended in order is marked as a re-run."""
    style = STATUS_STYLES.get(info.status, "")
    if info.rerun_of is None:
        return info.status, style
    return ("re-run", DIM) if info.status == "finished" else (f"re-run, {info.status}", style)


def removed_lines(removed: Sequence[TraceInfo], width: int) -> Iterator[Text]:
    """One row for each recording that was, or would be, removed."""
    columns = (*_which(width), number("size"))
    yield from table(columns, ((*_told(info, width), bytes_text(info.size_bytes)) for info in removed), width)


def recordings_document(found: Iterable[TraceInfo]) -> list[dict[str, Any]]:
    """The recordings as JSON has them."""
    return [
        {
            "path": str(info.path),
            "execution_id": info.execution_id,
            "started_at": info.started_at,
            "modified_at": info.modified_at,
            "target": info.target,
            "argv": list(info.argv),
            "status": info.status,
            "rerun_of": info.rerun_of,
            "events": info.events,
            "bytes": info.size_bytes,
            "files": info.files,
            "processes": info.processes,
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


def place(file: str, line_number: int) -> str:
    """A place in a file, such as `trace_x.jsonl:14`; line 0 means the whole file."""
    short = Path(file).name
    return f"{short}:{line_number}" if line_number else short
