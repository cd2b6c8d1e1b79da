"""A run as rows of numbers: digests of what each span and point event was, of its request and of its answer.

No payload is kept. A row is some hundred bytes however large the event was, and differing events are read again by
their numbers. The attempts of one call are one row: that of the last attempt, with the number of attempts.
"""

from __future__ import annotations

import zlib
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.diff.output import Output
from namel3ss_debug.analysis.diff.requests import (
    RowKind,
    answer_field,
    request_field,
    shape_digest,
    shape_key,
    split_model_request,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.output import EVENT_TYPE as OUTPUT
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals, Totals
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from namel3ss_debug.analysis.diff.masks import Masks
    from namel3ss_debug.traces.reader import Trace

NO_ROW: Final = -1
"""Stands for a missing row."""

OPEN: Final = "open"
_IGNORED_TYPES: Final = frozenset(
    {
        *("stream_chunk", "resource_sample", "stack_sample", "performance_marker", "exception_handled"),
        *("divergence", "file_access", INPUTS_READ),
    }
)
"""Events about how something happened, not what happened. They differ in runs that are otherwise the same."""

NEVER: Final = 1 << 62
_MOST_SHAPES = 10_000


class Figures(NamedTuple):
    """The totals of a run."""

    totals: Totals
    memory_mb: float | None
    model_calls: int
    tool_calls: int


class Rows:
    """One run, row by row, in the order in which spans and events began. Each column has one item for each row.

    Attributes:
        kinds: the kinds of rows; `kind` is an index into it.
        number, end_number: the numbers of the two events; `end_number` of a point event is its own number, and `NEVER` for
            a span that never ended.
        parent: the row around it, `NO_ROW` at the top.
        shape: a digest of the kind and of the names and types of its arguments.
        settings, prompt: for a model call, digests of the model with its parameters, and of the program's prompt.
        request: a digest of everything else in the request.
        answer: a digest of the answer or the error.
        status: an index into `statuses`.
        task: a number for each task of each thread.
        attempts: how many attempts the call took, 1 for most.
        first_attempt: the number of the start event of the first attempt.
        subtree: a digest of the row and of all rows inside it.
        events: how many events the run has.
        payloads: whether any request or answer was recorded.
        exit_status: that of its first process; None where it was not recorded.
        output: what it printed, which has no rows.
    """

    def __init__(self) -> None:
        self.kinds: list[RowKind] = []
        self.statuses: list[str] = []
        self.kind, self.status, self.task, self.attempts = (array("i") for _ in range(4))
        self.number, self.end_number, self.parent = (array("q") for _ in range(3))
        self.shape, self.settings, self.prompt, self.request, self.answer, self.subtree = (
            array("Q") for _ in range(6)
        )
        self.first_attempt = array("q")
        self.events = 0
        self.payloads = False
        self.execution_id: str | None = None
        self.target: str | None = None
        self.exit_status: int | None = None
        self.output = Output()
        self.figures = Figures(Totals(), None, 0, 0)
        self._first_child = array("q")
        self._children = array("q")

    def __len__(self) -> int:
        return len(self.kind)

    def children_of(self, row: int) -> array[int]:
        """Return the rows inside a row, or at the top for `NO_ROW`, in the order in which they began."""
        return self._children[self._first_child[row + 1] : self._first_child[row + 2]]

    def kind_of(self, row: int) -> RowKind:
        """Return the kind of a row."""
        return self.kinds[self.kind[row]]

    def status_of(self, row: int) -> str:
        """Return the status that a row ended with."""
        return self.statuses[self.status[row]]

    def path_of(self, row: int) -> tuple[str, ...]:
        """Return the labels of the rows around it, from the outermost."""
        labels = []
        row = self.parent[row]
        while row != NO_ROW:
            labels.append(self.kind_of(row).label)
            row = self.parent[row]
        return tuple(reversed(labels))

    def compute_subtrees(self, *, payloads: bool) -> None:
        """Compute the digests of the subtrees, with or without the payloads."""
        self.subtree = array("Q", bytes(8 * len(self)))
        # A row comes after its parent, so backwards the rows inside a row are done before it.
        for row in range(len(self) - 1, -1, -1):
            own = (
                stable_hash("\n".join(map(str, self.kind_of(row)))),
                stable_hash(self.status_of(row)),
                self.attempts[row],
            )
            payload_digests = (
                *(self.shape[row], self.settings[row], self.prompt[row]),
                *(self.request[row], self.answer[row]),
            )
            inside = tuple(self.subtree[child] for child in self.children_of(row))
            # `hash` is signed, and the column holds unsigned numbers of 64 bits.
            self.subtree[row] = hash((own, payload_digests if payloads else (), inside)) & 0xFFFFFFFFFFFFFFFF

    def link_rows(self, later_attempts: Iterable[tuple[int, int]]) -> None:
        """Put every row below its parent. Of the attempts of a call only the last one is linked."""
        hidden = bytearray(len(self))
        for row, first in later_attempts:
            self.attempts[row] = self.attempts[first] + 1
            self.first_attempt[row] = self.first_attempt[first]
            hidden[first] = 1
        # A counting sort by parent keeps the order in which the rows began. Parents are shifted by one for `NO_ROW`.
        counts = array("q", bytes(8 * (len(self) + 2)))
        for row in range(len(self)):
            if not hidden[row]:
                counts[self.parent[row] + 2] += 1
        for index in range(1, len(counts)):
            counts[index] += counts[index - 1]
        self._first_child = array("q", counts)
        self._children = array("q", bytes(8 * counts[-1]))
        next_index = array("q", counts)
        for row in range(len(self)):
            if not hidden[row]:
                parent = self.parent[row] + 1
                self._children[next_index[parent]] = row
                next_index[parent] += 1


def stable_hash(text: str) -> int:
    """Return a hash of a short text that is the same in every process."""
    return zlib.crc32(text.encode(errors="replace"))


def read_rows(trace: Trace, masks: Masks) -> Rows:
    """Read a trace into rows in one pass. A trace without an index gets one in the same pass."""
    reader = _RowReader(masks)
    for number, event in enumerate(trace.indexed_events(), 1):
        reader.add_event(number, event)
    return reader.finish()


class _RowReader:
    """Builds the rows of one trace, event by event."""

    def __init__(self, masks: Masks) -> None:
        self.rows = Rows()
        self._masks = masks
        self._kinds: dict[RowKind, int] = {}
        self._shapes: dict[tuple[object, ...], int] = {}
        self._statuses: dict[str, int] = {}
        self._tasks: dict[Any, int] = {}
        self._spans = SpanTableBuilder()
        self._row_of: dict[int, int] = {NO_ROW: NO_ROW}  # row in the table of spans -> row here
        self._totals = RunningTotals()
        self._memory: float | None = None
        self._attempts: list[tuple[int, int]] = []
        self._failed_last: dict[tuple[int, int], int] = {}
        self._latest_attempt: dict[str, int] = {}

    def add_event(self, number: int, event: Event) -> None:
        """Add the next event."""
        rows = self.rows
        rows.events = number
        event_type = event["event_type"]
        place = self._spans.take(event)
        self._totals.add(event, self._spans.table.cost_of(place.span))
        used = event.get("memory_usage_mb")
        if used is not None and type(used) in (int, float) and (self._memory is None or used > self._memory):
            self._memory = used
        if event_type == "trace_start":
            self._start_process(event)
            rows.output.add_header(event)
        elif event_type == OUTPUT:
            rows.output.add(number, event)
        elif event_type == "trace_end":
            self._note_exit_status(event)
        elif event_type in _IGNORED_TYPES:
            return
        elif event_type[-4:] == "_end":
            row = self._row_of.get(place.span, NO_ROW)
            if row == NO_ROW:
                row = self._add_row(number, event, event_type[:-4], NO_ROW)
            self._end_span(row, number, event)
        else:
            parent = self._row_of.get(place.parent, NO_ROW)
            if event_type[-6:] == "_start":
                row = self._row_of[place.span] = self._add_row(number, event, event_type[:-6], parent)
                self._start_span(row, event)
            else:
                self._add_point(number, event, event_type, parent)

    def finish(self) -> Rows:
        """Return the rows, completed with what is only known at the end."""
        rows = self.rows
        for row, end_number in enumerate(rows.end_number):
            if end_number == NEVER:
                rows.status[row] = self._status(OPEN)
        rows.link_rows(self._attempts)
        types = self._spans.settle().types
        calls = types["llm_call_start"], types["tool_call_start"]
        rows.figures = Figures(self._totals.totals(), self._memory, *calls)
        return rows

    def _start_process(self, event: Event) -> None:
        """Note the target of the first process."""
        metadata = lenient.mapping(event.get("metadata"))
        if self.rows.execution_id is None:
            self.rows.execution_id = event.get("execution_id")
            target = metadata.get("target")
            self.rows.target = target if isinstance(target, str) else None

    def _note_exit_status(self, event: Event) -> None:
        """Note the exit status of the first process."""
        metadata = lenient.mapping(event.get("metadata"))
        status = metadata.get("exit_status")
        if isinstance(status, int) and not metadata.get("process"):
            self.rows.exit_status = status

    def _start_span(self, row: int, event: Event) -> None:
        """Complete a row by its start event: digests of its request."""
        rows, masks = self.rows, self._masks
        inputs = event.get("inputs")
        if event.get("component") == "llm" and isinstance(inputs, dict):
            parts = split_model_request(masks.mask_named(inputs, "inputs"))
            rows.settings[row] = masks.digest_repeated(parts.settings, "inputs")
            rows.prompt[row] = (
                hash(
                    (
                        masks.digest_repeated(parts.tools, "inputs.tools"),
                        *(masks.digest_repeated(message, "inputs.messages") for message in parts.prompt),
                    )
                )
                & 0xFFFFFFFFFFFFFFFF
            )
            rows.request[row] = (
                hash(
                    (
                        masks.digest(parts.other, "inputs"),
                        *(masks.digest_repeated(message, "inputs.messages") for message in parts.context),
                    )
                )
                & 0xFFFFFFFFFFFFFFFF
            )
        else:
            field, request = request_field(event)
            rows.request[row] = masks.digest(request, field)
        rows.payloads = rows.payloads or bool(inputs)
        self._note_retry(row, event)

    def _note_retry(self, row: int, event: Event) -> None:
        """Note that a row is another attempt of a call.

        Either its metadata names the first attempt, or the same request follows right after a failure.
        """
        rows = self.rows
        metadata = event.get("metadata")
        retry_of = metadata.get("retry_of") if isinstance(metadata, dict) else None
        self._latest_attempt[event["event_id"]] = row
        if isinstance(retry_of, str) and retry_of in self._latest_attempt:
            self._attempts.append((row, self._latest_attempt[retry_of]))
            self._latest_attempt[retry_of] = row
            return
        key = (rows.parent[row], rows.task[row])
        failed = self._failed_last.pop(key, NO_ROW)
        request = rows.request[row] or rows.prompt[row]
        if failed != NO_ROW and request and request_key(rows, failed) == request_key(rows, row):
            self._attempts.append((row, failed))

    def _end_span(self, row: int, number: int, event: Event) -> None:
        """Complete a row by its end event: its status, and a digest of its answer or its error."""
        rows = self.rows
        rows.end_number[row] = number
        failed = event.get("error") is not None
        status = event.get("status") or ("failed" if failed else "completed")
        rows.status[row] = self._status(status)
        field, answer = answer_field(event)
        rows.answer[row] = self._masks.digest(answer, field)
        rows.payloads = rows.payloads or "outputs" in event
        if status != "completed":
            rows.answer[row] ^= self._masks.digest([event.get("error_type"), event.get("error")], "error")
            self._failed_last[rows.parent[row], rows.task[row]] = row

    def _add_point(self, number: int, event: Event, kind: str, parent: int) -> None:
        """Add a row for an event that is no start and no end."""
        rows = self.rows
        row = self._add_row(number, event, kind, parent)
        rows.end_number[row] = number
        rows.status[row] = self._status(event.get("status") or "")
        payloads = [event.get("inputs"), event.get("outputs"), event.get("metadata"), event.get("error")]
        if event.get("component") == "log":
            payloads = [
                self._masks.mask_text(part, timed=True) if type(part) is str else part
                for part in _texts_in(payloads)
            ]
        rows.request[row] = self._masks.digest(payloads, "metadata")

    def _add_row(self, number: int, event: Event, kind: str, parent: int) -> int:
        """Append a row to every column. Its end event completes it later."""
        rows = self.rows
        row_kind = RowKind(
            kind, str(event.get("component") or ""), lenient.string(event.get("component_name"))
        )
        row = len(rows.kind)
        rows.kind.append(self._intern(self._kinds, rows.kinds, row_kind))
        rows.number.append(number)
        rows.end_number.append(NEVER)
        rows.first_attempt.append(number)
        rows.parent.append(parent)
        rows.shape.append(self._shape(row_kind, event))
        for column in (rows.settings, rows.prompt, rows.request, rows.answer):
            column.append(0)
        rows.status.append(self._status(""))
        thread_and_task = (str(event.get("thread")), str(event.get("task")))
        rows.task.append(self._tasks.setdefault(thread_and_task, len(self._tasks)))
        rows.attempts.append(1)
        return row

    def _shape(self, kind: RowKind, event: Event) -> int:
        """Return the digest of an event's shape, from a cache."""
        key = shape_key(kind, event)
        try:
            digest = self._shapes.get(key)
        except TypeError:  # a step type that is not a text cannot be hashed
            return shape_digest(kind, event)
        if digest is None:
            digest = shape_digest(kind, event)
            if len(self._shapes) < _MOST_SHAPES:
                self._shapes[key] = digest
        return digest

    def _status(self, status: object) -> int:
        return self._intern(self._statuses, self.rows.statuses, str(status))

    @staticmethod
    def _intern(indexes: dict[Any, int], listed: list[Any], value: Any) -> int:
        """Return the index of a value in a list, and append the value where it is new."""
        index = indexes.get(value)
        if index is None:
            index = indexes[value] = len(listed)
            listed.append(value)
        return index


def request_key(rows: Rows, row: int) -> object:
    """Return a key of the whole request; it is equal where two rows have the same request."""
    return (rows.shape[row], rows.settings[row], rows.prompt[row], rows.request[row])


def _texts_in(payloads: list[Any]) -> list[Any]:
    """Return all texts in the payloads of a log record."""
    texts: list[Any] = []
    stack = [*reversed(payloads)]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value[key] for key in sorted(value, reverse=True))
        elif isinstance(value, list):
            stack.extend(reversed(value))
        elif isinstance(value, str):
            texts.append(value)
    return texts
