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


class _RedactingImporter:
    """Reads the files of another writer, who may have redacted nothing, without their secrets."""

    def __init__(self, importer: Importer, redactor: Redactor) -> None:
        self._importer = importer
        self._redactor = redactor

    def read(
        self, files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
    ) -> Iterator[Event]:
        """Yield the events of one process."""
        for event in self._importer.read(files, problems, consumed):
            clear: Event = redact_document(event, self._redactor)
            yield clear


def _find_redacting(path: Path, format_name: str | None = None) -> Importer | None:
    importer = _find(path, format_name)
    if importer is None:
        return None
    settings = load_configuration(mistakes=[]).config  # the commands report what is wrong in the settings
    if not settings.redact:
        return importer
    return _RedactingImporter(importer, Redactor(settings.redact_keys, settings.redact_patterns))


def _find(path: Path, format_name: str | None) -> Importer | None:
    if format_name is None:
        return find_importer(path)
    return next(row for row in IMPORTERS if row.name == format_name).load()


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
    find = _find_redacting if redacted else _find
    return reader.open_trace(path, lambda file: find(file, format_name))


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
