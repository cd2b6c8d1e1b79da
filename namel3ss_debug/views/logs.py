"""Lines of logs: for the terminal, as JSON, and as the files of a folder for each log."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import chain, count, islice
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from rich.text import Text

from namel3ss_debug.inspection.logs import CATEGORIES, LogLine
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.folders import make_private_folder, open_private
from namel3ss_debug.views.blocks import Table
from namel3ss_debug.views.events import facts
from namel3ss_debug.views.gists import gist, summary
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.views.quantities import is_number
from namel3ss_debug.views.tables import Cell, Column, name, prose
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    WARNING,
    Piece,
    clean,
    fitted,
    piece,
    shorten,
    text,
)
from namel3ss_debug.wire import lenient

_MB: Final = 1 << 20
LIMITS: Final = {
    "agents": (200 * _MB, 10),
    "learning": (100 * _MB, 10),
    "errors": (50 * _MB, 5),
}
"""Category -> the bytes at which a file is rotated, and how many rotated files are kept."""

SUMMARY: Final = "trace_summary.json"
_OWN_FILE = re.compile(r".\.log(\.\d+)?\Z")
_OTHERS: Final = (50 * _MB, 5)
_STYLES: Final = {"debug": DIM, "warning": WARNING, "error": ERROR, "critical": ERROR}
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 200
"""In bytes; file systems take 255, and a number and `.log` come behind it."""

_WHO_CELLS = 24
_ABSENT = "(none)"
_MOST_MEMBERS = 8
_MOST_FILES = 200
"""How many files are open at once; further names share `other.log`."""


def log_table(found: Iterable[LogLine]) -> Table:
    """Return the lines of a log as a table."""
    columns = (
        Column("n", align="right", style=DIM),
        Column("time (UTC)", style=DIM, room=12),
        Column("level", room=7),
        name("agent", 8),
        name("source", 8),
        prose("message", 24),
    )
    return Table(columns, map(_row, found), long=True)


def running_line(line: LogLine, width: int) -> Text:
    """Return one line of a running program, while its number and the widths of later lines are not known."""
    style = _STYLES.get(line.level, "")
    who = line.agent or line.source
    parts = (
        Piece(f"{_clock(line.event)}  ", DIM),
        Piece(f"{clean(line.level, 8):<8}  ", style),
        Piece(
            f"{shorten(clean(who, 60), _WHO_CELLS, middle=True)}  ",
            COMPONENT_STYLES["agent"] if line.agent else "",
        ),
        piece(words(line), style, 400),
    )
    return fitted(parts, width)


def _row(line: LogLine) -> tuple[Cell, ...]:
    source = "" if line.source == line.agent else line.source
    return (
        text(line.number, DIM),
        text(_clock(line.event), DIM),
        text(line.level, _STYLES.get(line.level, ""), 12),
        text(line.agent, COMPONENT_STYLES["agent"], 60),
        text(source, limit=60),
        text(words(line), _STYLES.get(line.level, "") if line.level != "debug" else "", 400),
    )


def words(line: LogLine) -> str:
    """Return the text of a line: its message, its error, and other fields that the program added."""
    event = line.event
    if line.category == "events":
        return "  ".join(
            filter(None, (f"{event['event_type'].removesuffix('_end')}", *facts(event), summary(event)))
        )
    metadata, inputs, outputs = (
        lenient.mapping(event.get(name)) for name in ("metadata", "inputs", "outputs")
    )
    if event["event_type"] == "state_change" and "before" in inputs and "after" in outputs:
        shown = _change(inputs["before"], outputs["after"])
    else:
        shown = line.message or summary({**event, "metadata": _uncategorised(metadata)})
    reason = _reason(event)
    if reason is not None:
        shown = f"{shown} ({gist(reason)})"
    error = event.get("error")
    kind = event.get("error_type")
    failed = f"{kind}: {error}" if kind and error else str(error or "")
    if failed and str(error) not in shown:
        shown = f"{shown} ({failed})" if shown else failed
    extra = metadata.get("extra")
    return f"{shown}  {gist(extra, 160)}" if extra else shown


def _change(before: object, after: object) -> str:
    """Return a state before and after; for two objects only the members that differ, so that a line has room for them."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return f"{gist(before, 160)} -> {gist(after, 160)}"
    differing = (key for key in before | after if before.get(key, _ABSENT) != after.get(key, _ABSENT))
    changes = (
        f"{clean(key, 60)}: {gist(before.get(key, _ABSENT), 80)} -> {gist(after.get(key, _ABSENT), 80)}"
        for key in islice(differing, _MOST_MEMBERS)
    )
    return ", ".join(changes) or "unchanged"


def _reason(event: Event) -> Any:
    """Return the reason for a decision or a change; None where the event does not hold one."""
    if event["event_type"] not in {"decision", "state_change"}:
        return None
    places = (lenient.mapping(event.get("metadata")), lenient.mapping(event.get("inputs")))
    reasons = (place.get(key) for place in places for key in ("reason", "reasoning"))
    return next((reason for reason in reasons if reason not in (None, "", {}, [])), None)


def _uncategorised(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of an event without the name of its log."""
    return {key: value for key, value in metadata.items() if key != "category"}


def document(line: LogLine) -> dict[str, Any]:
    """Return one line as JSON."""
    event = line.event
    metadata, inputs, outputs = (
        lenient.mapping(event.get(name)) for name in ("metadata", "inputs", "outputs")
    )
    changed = event["event_type"] == "state_change"
    figure = event["event_type"] == "performance_marker"
    row = {
        "number": line.number or None,
        "event_id": event.get("event_id"),
        "timestamp": event.get("timestamp"),
        "level": line.level,
        "category": line.category,
        "agent": line.agent or None,
        "source": line.source or None,
        "event_type": event["event_type"],
        "message": line.message or None,
        "before": inputs.get("before") if changed else None,
        "after": outputs.get("after") if changed else None,
        "reason": _reason(event),
        "extra": (_uncategorised(metadata) if figure else metadata.get("extra")) or None,
        "error_type": event.get("error_type"),
        "error": event.get("error"),
        "call_site": event.get("call_site"),
    }
    return {key: value for key, value in row.items() if value is not None}


def _moment(event: Event) -> datetime | None:
    at = event.get("timestamp")
    try:
        return datetime.fromtimestamp(at, UTC) if is_number(at) else None
    except (ValueError, OverflowError, OSError):
        return None


def _clock(event: Event) -> str:
    moment = _moment(event)
    return "" if moment is None else moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


class Written(NamedTuple):
    """The result of writing: the folder of the session, its files in order, and the number of lines by category."""

    folder: Path
    files: tuple[Path, ...]
    counts: dict[str, int]


def write_tree(
    found: Iterable[LogLine], directory: Path, began: float | None, about: dict[str, Any]
) -> Written:
    """Write the classic tree: `session_YYYYMMDD_HHMMSS/CATEGORY/NAME.log` and `trace_summary.json`.

    A name is that of the agent, or of the logger where there is none. Files rotate by `LIMITS`. Folders are made with
    the mode 0700, files with 0600. Files of the same trace from before are replaced; if a folder of another
    trace exists, the new folder is called `session_YYYYMMDD_HHMMSS_ID8`.

    Args:
        found: the lines.
        directory: where the folder of the session is made.
        began: when the trace began, in seconds since the epoch; now where that is not known.
        about: the other fields of the summary: `execution_id`, or `trace` where that is None, names the trace it
            is of.

    Raises:
        OSError: a file cannot be written.
    """
    at = datetime.now(UTC) if began is None else datetime.fromtimestamp(began, UTC)
    folder = _session_folder(directory, f"session_{at:%Y%m%d_%H%M%S}", about)
    _write_summary(folder, about)  # first, so that an interrupted write can be recognised as well
    handlers: dict[tuple[str, str], RotatingFileHandler] = {}
    counts: Counter[str] = Counter()
    try:
        for line in found:
            counts[line.category] += 1
            handler = _handler(handlers, folder, line)
            handler.emit(logging.makeLogRecord({"msg": _written(line)}))
    finally:
        for handler in handlers.values():
            handler.close()
    lines_by_category = dict(sorted(counts.items()))
    summary_file = _write_summary(folder, {**about, "lines": lines_by_category})
    files = sorted({Path(handler.baseFilename) for handler in handlers.values()})
    return Written(folder, (*files, summary_file), lines_by_category)


def _session_folder(directory: Path, classic: str, about: dict[str, Any]) -> Path:
    """Return the folder for this trace, without the logs that an earlier command wrote there."""
    make_private_folder(directory)
    for folder in sorted(directory.glob(f"{classic}*")):
        if _is_of(folder, about):
            _remove_logs(folder)
            return folder
    execution = _UNSAFE.sub("_", str(about.get("execution_id") or "other"))[:8]
    others = (f"{classic}_{execution}_{again}" for again in count(2))
    for name_of_folder in chain((classic, f"{classic}_{execution}"), others):
        with suppress(FileExistsError):
            (directory / name_of_folder).mkdir(mode=0o700)
            return directory / name_of_folder
    raise AssertionError


def _is_of(folder: Path, about: dict[str, Any]) -> bool:
    """Return whether the summary in a folder belongs to this trace."""
    key = "execution_id" if about.get("execution_id") else "trace"
    try:
        summary_read = orjson.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(summary_read, dict) and summary_read.get(key) == about.get(key) is not None


def _remove_logs(folder: Path) -> None:
    """Remove the files that we write, and their folders if nothing else is left in them."""
    for category in CATEGORIES:
        inside = folder / category
        if inside.is_symlink() or not inside.is_dir():
            continue
        for path in list(inside.iterdir()):
            if _OWN_FILE.search(path.name):
                path.unlink()
        with suppress(OSError):
            inside.rmdir()


def _write_summary(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / SUMMARY
    path.unlink(missing_ok=True)  # it may be from an earlier command, with another mode
    with open(path, "x", encoding="utf-8", opener=open_private) as file:
        file.write(json_bytes(content, indent=True) + "\n")
    return path


class _PrivateLog(RotatingFileHandler):
    """A file that rotates, readable for its owner alone."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=open_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  (the contract of `logging`)
        """Raise the error to the caller, instead of printing a traceback on stderr."""
        raise  # noqa: PLE0704  (called where an exception was caught)


def _handler(
    handlers: dict[tuple[str, str], RotatingFileHandler], folder: Path, line: LogLine
) -> RotatingFileHandler:
    """Return the file of a category and a name, opened when first used; the last of very many names share one file."""
    named = line.agent or line.source
    safe = _UNSAFE.sub("_", named).strip("._").encode()[:_LONGEST_NAME].decode("utf-8", "ignore") or "unnamed"
    key = (line.category, safe)
    if key not in handlers and len(handlers) >= _MOST_FILES:
        key = (line.category, "other")
    handler = handlers.get(key)
    if handler is None:
        in_every_locale = os.fsdecode(f"{key[1]}.log".encode())
        path = folder / line.category / in_every_locale
        make_private_folder(path.parent)
        most, kept = LIMITS.get(line.category, _OTHERS)
        handler = _PrivateLog(path, maxBytes=most, backupCount=kept, delay=True)
        handler.setFormatter(logging.Formatter("%(message)s"))
        handlers[key] = handler
    return handler


def _written(line: LogLine) -> str:
    """Return one line of a file; nothing in it can begin a new line."""
    moment = _moment(line.event)
    at = "" if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"{at} {line.level.upper():<8} {clean(line.source, 80)} #{line.number}: {clean(words(line), 20_000)}"
    )
