"""Open a trace in any format that has an importer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from namel3ss_debug.config import load_configuration
from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers import IMPORTERS, find_importer
from namel3ss_debug.traces import reader
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.reader import Importer, Trace
from namel3ss_debug.traces.redaction.documents import redact_document
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.span_table import SpanTable, read_spans


class _CarefulImporter:
    """Reads the files of another writer, who may have redacted nothing, without their secrets."""

    def __init__(self, importer: Importer, redactor: Redactor | None) -> None:
        self._importer = importer
        self._redactor = redactor

    def read(
        self, files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
    ) -> Iterator[Event]:
        """Yield the events of one process.

        Raises:
            UnreadableTraceError: a value is nested so deeply that Python cannot follow it; orjson takes 1,024 levels.
        """
        try:
            for event in self._importer.read(files, problems, consumed):
                yield event if self._redactor is None else redact_document(event, self._redactor)
        except RecursionError:
            raise UnreadableTraceError(f"{files[0]}: its JSON is nested too deeply") from None


def _find(path: Path, format_name: str | None, *, redacted: bool) -> Importer | None:
    if format_name is None:
        importer = find_importer(path)
    else:
        importer = next(row for row in IMPORTERS if row.name == format_name).load()
    if importer is None:
        return None
    return _CarefulImporter(importer, load_redactor() if redacted else None)


def load_redactor() -> Redactor | None:
    """Return what replaces secrets by the settings in force; None where they switch that off."""
    settings = load_configuration(mistakes=[]).config  # the commands report what is wrong in the settings
    return Redactor(settings.redact_keys, settings.redact_patterns) if settings.redact else None


def open_trace(path: str | Path, *, redacted: bool = True, format_name: str | None = None) -> Trace:
    """Open the trace that a file belongs to, in our format or one that has an importer.

    Args:
        path: the file.
        redacted: whether secrets in a file of another writer are replaced; `check` looks for them, and shows none.
        format_name: the name of its importer; without it, the contents of the file decide.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is not a regular file, may not be read, or is in another encoding.
    """
    return reader.open_trace(path, lambda file: _find(file, format_name, redacted=redacted))


def open_nonempty_trace(path: str | Path, *, redacted: bool = True, format_name: str | None = None) -> Trace:
    """Open a trace that holds at least one event; the arguments are those of `open_trace`.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: nothing in it can be read.
    """
    trace = open_trace(path, redacted=redacted, format_name=format_name)
    if next(trace.events(), None) is None:
        first = next(iter(trace.problems.first), None)
        if first is not None and first.line and "torn" not in first.what:
            why = f"line {first.line}: {first.what}"
        else:
            why = "only the beginning of a line" if trace.path.stat().st_size else "it is empty"
            if (
                find_importer(trace.path) is not None
            ):  # such as a log of Inspect AI whose samples were not kept
                raise UnreadableTraceError(f"{path}: no agent, model or tool was called in it")
        raise UnreadableTraceError(
            f"{path}: there is no event in it ({why}); give the .jsonl file of a trace"
        )
    return trace


def load_spans(path: str | Path) -> SpanTable:
    """Return the spans of a trace as a table: a row for each span, a column for each fact about it.

    `SpanTable.extend` appends the spans of another trace, `to_arrow` and `to_pandas` hand the table to those libraries, and
    `events` reads the payloads of one span.

    Args:
        path: any file of the trace, in our format or one that has an importer.

    Raises:
        TraceNotFoundError: there is nothing at that path.
        UnreadableTraceError: what is there is not a trace, or nothing in it can be read.
    """
    trace = open_nonempty_trace(path)
    table = read_spans(trace.events(), str(path))
    table.traces = [trace]
    return table
