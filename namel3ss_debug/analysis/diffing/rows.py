"""A run as rows of numbers: digests of what each span and point event was, what it was asked, and what came of it.

No payload is kept: a row is some hundred bytes however large the event was, and what differs is read again by its
number. The attempts of one call are one row, that of the last attempt, which also has their number.
"""

from __future__ import annotations

import zlib
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.diffing.questions import answer_of, asked_of, model_parts, shape_number, shape_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.totals import RunningTotals, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from namel3ss_debug.analysis.diffing.masks import Masks
    from namel3ss_debug.traces.reader import Trace

NOBODY: Final = -1
"""Stands for a missing row."""

OPEN: Final = "open"
_LEFT_OUT: Final = frozenset(
    {"stream_chunk", "resource_sample", "stack_sample", "performance_marker", "divergence", INPUTS_READ}
)
"""Events about how something happened, not what happened: they differ in runs that are otherwise the same."""

NEVER: Final = 1 << 62
_MOST_SHAPES = 10_000


class Kind(NamedTuple):
    """What rows of one kind have in common: the event type without `_start`, the component and its name."""

    type: str
    component: str
    name: str | None

    @property
    def label(self) -> str:
        """The name of the kind in a path: the component's name, else the component, else the type."""
        return self.name or self.component or self.type


class Figures(NamedTuple):
    """The totals of a run."""

    totals: Totals
    memory_mb: float | None
    model_calls: int
    tool_calls: int


class Rows:
    """One run, row by row, in the order in which things began; the columns are as long as there are rows.

    Attributes:
        kinds: the kinds of rows; `kind` is a place in it.
        number, end_number: the numbers of the two events; `end_number` of a point event is its own number, and a
            number beyond all others for a span that never ended.
        parent: the row around it, `NOBODY` at the top.
        shape: a digest of the kind and of which arguments there were.
        settings, prompt: for a model call, digests of the model with its parameters, and of the program's prompt.
        asked: a digest of everything else that it was asked.
        answered: a digest of what came of it.
        status: a place in `statuses`.
        lane: the line of work that it belongs to: a number for each task of each thread.
        attempts: how many attempts it took, 1 for most.
        subtree: a digest of the row and of all that happened inside it.
        children: the rows inside each row by `children_of`.
        events: how many events the run has.
        payloads: whether questions or answers were recorded anywhere in the run.
        exit_status: that of its first process; None where it was not recorded.
    """

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.statuses: list[str] = []
        self.kind, self.status, self.lane, self.attempts = (array("i") for _ in range(4))
        self.number, self.end_number, self.parent = (array("q") for _ in range(3))
        self.shape, self.settings, self.prompt, self.asked, self.answered, self.subtree = (
            array("Q") for _ in range(6)
        )
        self.first_attempt = array("q")
        self.events = 0
        self.payloads = False
        self.execution_id: str | None = None
        self.target: str | None = None
        self.exit_status: int | None = None
        self.figures = Figures(Totals(), None, 0, 0)
        self._first_child = array("q")
        self._children = array("q")

    def __len__(self) -> int:
        return len(self.kind)

    def children_of(self, row: int) -> array[int]:
        """The rows inside a row, or at the top for `NOBODY`, in the order in which they began."""
        return self._children[self._first_child[row + 1] : self._first_child[row + 2]]

    def what(self, row: int) -> Kind:
        """The kind of a row."""
        return self.kinds[self.kind[row]]

    def status_of(self, row: int) -> str:
        """How it ended."""
        return self.statuses[self.status[row]]

    def where(self, row: int) -> tuple[str, ...]:
        """The labels of the rows around it, from the outermost."""
        labels = []
        row = self.parent[row]
        while row != NOBODY:
            labels.append(self.what(row).label)
            row = self.parent[row]
        return tuple(reversed(labels))

    def finish(self, *, payloads: bool) -> None:
        """Make the digests of the subtrees, with or without the payloads."""
        self.subtree = array("Q", bytes(8 * len(self)))
        for row in range(len(self) - 1, -1, -1):
            own = (self._of_kind(row), hash_of(self.status_of(row)), self.attempts[row])
            said = (
                *(self.shape[row], self.settings[row], self.prompt[row]),
                *(self.asked[row], self.answered[row]),
            )
            inside = tuple(self.subtree[child] for child in self.children_of(row))
            self.subtree[row] = hash((own, said if payloads else (), inside)) & 0xFFFFFFFFFFFFFFFF

    def _of_kind(self, row: int) -> int:
        return hash_of("\n".join(map(str, self.what(row))))

    def link(self, later_attempts: Iterable[tuple[int, int]]) -> None:
        """Put every row below its parent; only the last attempt of a call has a place of its own."""
        hidden = bytearray(len(self))
        for row, first in later_attempts:
            self.attempts[row] = self.attempts[first] + 1
            self.first_attempt[row] = self.first_attempt[first]
            hidden[first] = 1
        counts = array("q", bytes(8 * (len(self) + 2)))
        for row in range(len(self)):
            if not hidden[row]:
                counts[self.parent[row] + 2] += 1
        for place in range(1, len(counts)):
            counts[place] += counts[place - 1]
        self._first_child = array("q", counts)
        self._children = array("q", bytes(8 * counts[-1]))
        at = array("q", counts)
        for row in range(len(self)):
            if not hidden[row]:
                place = self.parent[row] + 1
                self._children[at[place]] = row
                at[place] += 1


def hash_of(text: str) -> int:
    """A number for a short text that is the same in every process."""
    return zlib.crc32(text.encode(errors="replace"))


def read_rows(trace: Trace, masks: Masks) -> Rows:
    """Read a trace once into rows; where it has no index yet, one is made on the way."""
    reading = _Reading(masks)
    for number, event in enumerate(trace.indexed_events(), 1):
        reading.take(number, event)
    return reading.finished()


class _Reading:
    """One pass over one trace."""

    def __init__(self, masks: Masks) -> None:
        self.rows = Rows()
        self._masks = masks
        self._kinds: dict[Kind, int] = {}
        self._shapes: dict[tuple[object, ...], int] = {}
        self._statuses: dict[str, int] = {}
        self._lanes: dict[Any, int] = {}
        self._ids: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._totals = RunningTotals()
        self._memory: float | None = None
        self._calls = {"llm": 0, "tool": 0}
        self._attempts: list[tuple[int, int]] = []
        self._failed_last: dict[tuple[int, int], int] = {}
        self._latest: dict[str, int] = {}

    def take(self, number: int, event: Event) -> None:
        """Take the next event."""
        rows = self.rows
        rows.events = number
        self._totals.add(event)
        event_type = event["event_type"]
        used = event.get("memory_usage_mb")
        if used is not None and type(used) in (int, float) and (self._memory is None or used > self._memory):
            self._memory = used
        if event_type == "trace_start":
            self._process(event)
        elif event_type == "trace_end":
            self._exit(event)
        elif event_type in _LEFT_OUT:
            return
        elif event_type[-4:] == "_end":
            row = self._open.pop(event.get("parent_event_id", ""), NOBODY)
            if row == NOBODY:
                row = self._add(number, event, event_type[:-4], None)
            self._end(row, number, event)
        elif event_type[-6:] == "_start":
            self._begin(number, event, event_type[:-6])
        else:
            self._point(number, event, event_type)

    def finished(self) -> Rows:
        """The rows, completed with what is only known at the end."""
        rows = self.rows
        for row in self._open.values():
            rows.end_number[row] = NEVER
            rows.status[row] = self._status(OPEN)
        rows.link(self._attempts)
        calls = self._calls
        rows.figures = Figures(self._totals.totals(), self._memory, calls["llm"], calls["tool"])
        return rows

    def _process(self, event: Event) -> None:
        """Begin a process; if it was started inside a span, its rows belong below that span."""
        metadata = event.get("metadata")
        told = metadata if isinstance(metadata, dict) else {}
        if self.rows.execution_id is None:
            self.rows.execution_id = event.get("execution_id")
            target = told.get("target")
            self.rows.target = target if isinstance(target, str) else None
        parent = event.get("parent_event_id")
        if parent is not None and event["event_id"] not in self._links:
            self._links[event["event_id"]] = parent

    def _exit(self, event: Event) -> None:
        metadata = event.get("metadata")
        told = metadata if isinstance(metadata, dict) else {}
        status = told.get("exit_status")
        if isinstance(status, int) and not told.get("process"):
            self.rows.exit_status = status

    def _begin(self, number: int, event: Event, kind: str) -> None:
        """Take a start: a row, with digests of what was asked."""
        rows, masks = self.rows, self._masks
        row = self._add(number, event, kind, event)
        event_id = event["event_id"]
        self._ids[event_id] = self._open[event_id] = row
        inputs = event.get("inputs")
        if event.get("component") == "llm" and isinstance(inputs, dict):
            parts = model_parts(masks.compared(inputs, "inputs"))
            rows.settings[row] = masks.repeated(parts.settings, "inputs")
            rows.prompt[row] = (
                hash(
                    (
                        masks.repeated(parts.tools, "inputs.tools"),
                        *(masks.repeated(message, "inputs.messages") for message in parts.told),
                    )
                )
                & 0xFFFFFFFFFFFFFFFF
            )
            rows.asked[row] = (
                hash(
                    (
                        masks.digest(parts.rest, "inputs"),
                        *(masks.repeated(message, "inputs.messages") for message in parts.context),
                    )
                )
                & 0xFFFFFFFFFFFFFFFF
            )
        else:
            field, asked = asked_of(event)
            rows.asked[row] = masks.digest(asked, field)
        rows.payloads = rows.payloads or bool(inputs)
        self._follow(row, event)

    def _follow(self, row: int, event: Event) -> None:
        """Note another attempt of a call: one that says so, else one with the same question right after the failure."""
        rows = self.rows
        metadata = event.get("metadata")
        retry_of = metadata.get("retry_of") if isinstance(metadata, dict) else None
        if isinstance(retry_of, str) and retry_of in self._ids:
            first = self._latest.get(retry_of, self._ids[retry_of])
            self._latest[retry_of] = row
            self._attempts.append((row, first))
            return
        key = (rows.parent[row], rows.lane[row])
        failed = self._failed_last.pop(key, NOBODY)
        asked = rows.asked[row] or rows.prompt[row]
        if failed != NOBODY and asked and question(rows, failed) == question(rows, row):
            self._attempts.append((row, failed))

    def _end(self, row: int, number: int, event: Event) -> None:
        rows = self.rows
        rows.end_number[row] = number
        failed = event.get("error") is not None
        status = event.get("status") or ("failed" if failed else "completed")
        rows.status[row] = self._status(status)
        field, answer = answer_of(event)
        rows.answered[row] = self._masks.digest(answer, field)
        rows.payloads = rows.payloads or "outputs" in event
        if status != "completed":
            rows.answered[row] ^= self._masks.digest([event.get("error_type"), event.get("error")], "error")
            self._failed_last[rows.parent[row], rows.lane[row]] = row

    def _point(self, number: int, event: Event, kind: str) -> None:
        rows = self.rows
        row = self._add(number, event, kind, event)
        rows.end_number[row] = number
        rows.status[row] = self._status(event.get("status") or "")
        told = [event.get("inputs"), event.get("outputs"), event.get("metadata"), event.get("error")]
        if event.get("component") == "log":
            told = [
                self._masks.said(part, timed=True) if type(part) is str else part for part in _words(told)
            ]
        rows.asked[row] = self._masks.digest(told, "metadata")

    def _add(self, number: int, event: Event, kind: str, start: Event | None) -> int:
        """Append a row to every column; the data of its end is added later."""
        rows = self.rows
        what = Kind(kind, str(event.get("component") or ""), _name(event))
        row = len(rows.kind)
        rows.kind.append(self._place(self._kinds, rows.kinds, what))
        rows.number.append(number)
        rows.end_number.append(NEVER)
        rows.first_attempt.append(number)
        rows.parent.append(self._parent(event) if start is not None else NOBODY)
        rows.shape.append(self._shape(what, event))
        for column in (rows.settings, rows.prompt, rows.asked, rows.answered):
            column.append(0)
        rows.status.append(self._status(""))
        rows.lane.append(self._lane(event))
        rows.attempts.append(1)
        if start is event and kind in {"llm_call", "tool_call"}:
            self._calls["llm" if kind == "llm_call" else "tool"] += 1
        return row

    def _shape(self, what: Kind, event: Event) -> int:
        key = shape_of(what, event)
        try:
            found = self._shapes.get(key)
        except TypeError:  # a step type that is not a text
            return shape_number(what, event)
        if found is None:
            found = shape_number(what, event)
            if len(self._shapes) < _MOST_SHAPES:
                self._shapes[key] = found
        return found

    def _parent(self, event: Event) -> int:
        wanted = event.get("parent_event_id")
        for _ in range(len(self._links) + 1):
            if wanted is None:
                return NOBODY
            found = self._ids.get(wanted)
            if found is not None:
                return found
            wanted = self._links.get(wanted)
        return NOBODY

    def _lane(self, event: Event) -> int:
        key = (str(event.get("thread")), str(event.get("task")))
        return self._lanes.setdefault(key, len(self._lanes))

    def _status(self, status: object) -> int:
        return self._place(self._statuses, self.rows.statuses, str(status))

    @staticmethod
    def _place(places: dict[Any, int], listed: list[Any], what: Any) -> int:
        place = places.get(what)
        if place is None:
            place = places[what] = len(listed)
            listed.append(what)
        return place


def question(rows: Rows, row: int) -> object:
    """All that was asked, as a key; equal where two rows asked the same."""
    return (rows.shape[row], rows.settings[row], rows.prompt[row], rows.asked[row])


def _name(event: Event) -> str | None:
    name = event.get("component_name")
    return name if isinstance(name, str) else None


def _words(told: list[Any]) -> list[Any]:
    """The words of a log record: the texts in it, at any place."""
    found: list[Any] = []
    stack = [*reversed(told)]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value[key] for key in sorted(value, reverse=True))
        elif isinstance(value, list):
            stack.extend(reversed(value))
        elif isinstance(value, str):
            found.append(value)
    return found
