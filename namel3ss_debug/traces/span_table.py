"""The table of spans: one row for each span of a trace, or of several, and one column for each fact about it.

Starts and ends are paired here, once. Readers of spans read columns: an analysis is a function over this table, and
several traces are one table (`SpanTable.extend`). Rows are in the order in which the spans began, so the row of a parent is
lower than those of its children. Payloads stay in the trace; `SpanTable.events` reads those of one span by its numbers.

An end names its start (`parent_event_id`). Starts with the same id, which only a damaged or hostile trace has, nest like
brackets: an end closes the latest. A span without an end is open. An end without a start is a row of its own.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from itertools import chain
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.errors import DebugError
from namel3ss_debug.traces.costs import Cost, span_cost
from namel3ss_debug.traces.events import Event, NumberedEvents, begins_span, ends_span, without_pauses
from namel3ss_debug.traces.facts import (
    LONGEST_NS,
    NS_PER_MS,
    PARTS,
    duration_ns,
    has_failed,
    is_background,
    is_retry,
    name_without_start,
    since_epoch,
    states_amounts,
    token_parts,
    total_tokens,
    whole_ns,
)
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

AT_TOP, PARENT_LOST = -1, -2
"""The `parent` of a span that names none, and of one whose parent is not in the trace before it.

The first lost parent of a trace has the number `PARENT_LOST`, and each further one a lower number of its own.
"""

_COLUMNS: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("trace", "number", "end"), ("i", 0)),
    **dict.fromkeys(("parent", "around", "agent", "operation", "site", "priced_by"), ("i", -1)),
    **dict.fromkeys(("began", "ended", "duration", "cpu", "own_cpu", "cost", "first_token"), ("q", -1)),
    **dict.fromkeys(("self_time", "tokens", *PARTS), ("q", 0)),
    **dict.fromkeys(("failed", "retried", "turn", "background", "encloses", "states", "counted"), ("b", 0)),
}
"""The columns: the type of their items, as in `array`, and the value that an item has until it is known."""

_ROWS_AT_ONCE = 4096
"""So many rows are added to every column at once: an `append` to each would take longer than all the rest."""

_CLOCK_ERROR = 0.05
"""The share by which the durations of children may differ from the time in which they ran: clocks are not exact."""

_LONGEST_MS = LONGEST_NS / NS_PER_MS
_NOTHING: Event = {}


class Fact(NamedTuple):
    """A column that only some readers of the table need: they name it when the table is made, and find it in `SpanTable.facts`.

    Attributes:
        name: the name of the column.
        read: returns the value from the start and the end event of a span, the latter empty for an open one. It is a whole
            number of 63 bits, or, with `interned`, anything hashable.
        components: the components of the spans that have it; empty for all. Others have -1.
        interned: whether the column holds indexes into `SpanTable.values`.
    """

    name: str
    read: Callable[[Event, Event], Any]
    components: frozenset[str] = frozenset()
    interned: bool = False


class SpanWatcher:
    """What a reader of the table keeps of the events themselves, because it is too much, or of no use to others, as columns.

    `events` are the types of events that `event` is shown. `begin` is shown every start, once its span has a row, and `span`
    every span, once its row is filled. The builder sets `find_parent`, which returns the row of the span that an event names
    as its parent, or what `SpanTable.parent` has.
    """

    events: frozenset[str] = frozenset()
    find_parent: Callable[[Event], int]

    def event(self, number: int, event: Event) -> None:
        """Take an event of one of the types in `events`, in order."""

    def begin(self, spans: SpanTable, row: int, start: Event) -> None:
        """Take a span that began."""

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take a span that ended, `start` empty for an end without a start, or at last one that never did, without `end`."""


EVERY_EVENT = frozenset({"*"})
"""The `events` of a watcher that wants to see all events."""


class PointEvent(NamedTuple):
    """An event that belongs to no span's start or end: the index of its trace, its number, the event."""

    trace: int
    number: int
    event: Event


class EventPlace(NamedTuple):
    """The row of the span that an event begins or ends, `AT_TOP` if none, and that of the span that it names as its parent."""

    span: int
    parent: int


NOWHERE = EventPlace(AT_TOP, AT_TOP)
"""The place of an event that is in no span."""


class SpanTable:
    """All spans of a trace, or of several. Unknown times, costs and rows are -1; times are nanoseconds.

    Attributes:
        trace: the index of the trace of a span in `paths`.
        number, end: the numbers of its events. `end` is 0 for a span that never ended, and equal to `number` for an end
            without a start.
        parent: the row of the span that it names as its parent, which may be in another process; `AT_TOP` where it names
            none, `PARENT_LOST` or lower where that is not there.
        around: that row, where the parent was still running when the span ended.
        agent: the row of the nearest agent around it. The turns of an agent are its own.
        operation: an index into `operations`, pairs of component and name.
        site: the call site, an index into `values`.
        began, ended, duration: when it began and ended since the epoch, and how long it took.
        self_time: the duration without the time in which children ran that had ended before it.
        cpu, own_cpu: its CPU time, and that of its self time, which is not known where children ran at the same time.
        encloses: whether a child with a known time ran inside.
        failed, retried: whether it failed, and whether it is an attempt after a failed one.
        turn, background: whether it is a turn of an agent, and a command that a library runs for its own purposes.
        states, counted: whether it states tokens or a cost or is a model call, and whether it states its tokens.
        tokens, input_tokens, ...: its tokens, all and by part.
        cost: 1e-12 dollars, by the source `priced_by`, an index into `values`.
        first_token: the time to the first token.
        facts: the further columns that were asked for.
        lost: the number of a lost parent -> the row of its end, where the trace has that; of one trace only.
        points: event type -> the events of the types that were asked for, in order.
        types: event type -> how many events there are.
        readings: the memory of processes over time: columns `trace`, `number`, `process` (an index into `values` of pairs of
            execution id and prefix of the event ids), `at` and `mb`.
        wall: the time from the first timestamp to the last, of several traces those of each together; None where not known.
        first_at: the first timestamp.
        about: what is known of each trace besides its events, such as what the reader could not read.
        watchers: by name, what was passed to the builder; of one trace only.
        paths: the path of each trace.
        names_traces: whether results name the trace of an event, as they must where there may be several.
    """

    trace: array[int]
    number: array[int]
    end: array[int]
    parent: array[int]
    around: array[int]
    agent: array[int]
    operation: array[int]
    site: array[int]
    priced_by: array[int]
    began: array[int]
    ended: array[int]
    duration: array[int]
    cpu: array[int]
    own_cpu: array[int]
    cost: array[int]
    first_token: array[int]
    self_time: array[int]
    tokens: array[int]
    input_tokens: array[int]
    output_tokens: array[int]
    cache_read_tokens: array[int]
    cache_write_tokens: array[int]
    reasoning_tokens: array[int]
    failed: array[int]
    retried: array[int]
    turn: array[int]
    background: array[int]
    encloses: array[int]
    states: array[int]
    counted: array[int]

    def __init__(self, path: str = "", facts: Iterable[Fact] = (), points: Iterable[str] = ()) -> None:
        self.columns: dict[str, array[int]] = {name: array(kind) for name, (kind, _) in _COLUMNS.items()}
        vars(self).update(self.columns)
        self.facts: dict[str, array[int]] = {fact.name: array("q") for fact in facts}
        self.interned = frozenset(fact.name for fact in facts if fact.interned)
        self.paths = [path]
        self.names_traces = False
        self.lost: dict[int, int] = {}
        self.operations: list[tuple[str, str]] = []
        self.values: list[Any] = []
        self.points: dict[str, list[PointEvent]] = {event_type: [] for event_type in points}
        self.types: Counter[str] = Counter()
        self.readings: dict[str, array[Any]] = {
            **{name: array("i") for name in ("trace", "number", "process")},
            "at": array("q"),
            "mb": array("d"),
        }
        self.about: list[dict[str, Any]] = [{}]
        self.watchers: dict[str, Any] = {}
        self.first_at: int | None = None
        self.wall: int | None = None
        self.traces: list[NumberedEvents | None] = [None]
        self._indexes: tuple[dict[Any, int], dict[Any, int]] = ({}, {})

    def __len__(self) -> int:
        return len(self.number)

    def __getstate__(self) -> dict[str, Any]:
        # an open trace, and what watches one, stay with their process
        return {**vars(self), "traces": [None] * len(self.traces), "watchers": {}}

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return self.types.total()

    @property
    def open_count(self) -> int:
        """How many spans never ended."""
        return self.end.count(0)

    @property
    def last_at(self) -> int | None:
        """The latest timestamp of a trace; None where there is none."""
        return None if self.first_at is None or self.wall is None else self.first_at + self.wall

    def value(self, index: int) -> Any:
        """Return the value that an interned column has; None for -1."""
        return None if index < 0 else self.values[index]

    def operation_index(self, operation: tuple[str, str]) -> int:
        """Return the index of a component with a name, which is new where there is none."""
        found = self._indexes[0].get(operation)
        if found is None:
            found = self._indexes[0][operation] = len(self.operations)
            self.operations.append(operation)
        return found

    def value_index(self, value: Any) -> int:
        """Return the index of a value, which is new where there is none."""
        found = self._indexes[1].get(value)
        if found is None:
            found = self._indexes[1][value] = len(self.values)
            self.values.append(value)
        return found

    def extend(self, other: SpanTable) -> None:
        """Append the spans of other traces, read with the same facts and points."""
        rows, traces = len(self), len(self.paths)
        self.names_traces = True
        operations = [self.operation_index(operation) for operation in other.operations]
        values = [self.value_index(value) for value in other.values]
        moved: dict[str, Callable[[int], int]] = {
            "trace": lambda trace: trace + traces,
            "operation": operations.__getitem__,
            **dict.fromkeys(("parent", "around", "agent"), lambda row: row + rows if row >= 0 else row),
            **dict.fromkeys(
                ("site", "priced_by", "process", *self.interned), lambda at: values[at] if at >= 0 else at
            ),
        }
        pairs: tuple[tuple[dict[str, array[Any]], dict[str, array[Any]]], ...] = (
            (self.columns, other.columns),
            (self.facts, other.facts),
            (self.readings, other.readings),
        )
        for mine, theirs in pairs:
            for name, column in mine.items():
                column.extend(map(moved[name], theirs[name]) if name in moved else theirs[name])
        for event_type, kept in self.points.items():
            kept += [point._replace(trace=point.trace + traces) for point in other.points.get(event_type, ())]
        self.types.update(other.types)
        self.about += other.about
        self.paths += other.paths
        self.traces += other.traces
        if other.wall is not None:
            self.wall = other.wall + (self.wall or 0)
        firsts = [at for at in (self.first_at, other.first_at) if at is not None]
        self.first_at = min(firsts, default=None)

    def component(self, row: int) -> str:
        """Return the component of a span."""
        return self.operations[self.operation[row]][0]

    def name(self, row: int) -> str:
        """Return the name of its component; empty where there is none."""
        return self.operations[self.operation[row]][1]

    def of(self, *components: str) -> Iterator[int]:
        """Yield the rows of some components."""
        wanted = {index for index, (component, _) in enumerate(self.operations) if component in components}
        return (row for row, operation in enumerate(self.operation) if operation in wanted)

    def by_operation(self) -> dict[tuple[str, str], list[int]]:
        """Return component and name -> the rows."""
        groups: list[list[int]] = [[] for _ in self.operations]
        for row, operation in enumerate(self.operation):
            groups[operation].append(row)
        return {operation: rows for operation, rows in zip(self.operations, groups, strict=True) if rows}

    def is_quiet(self, event: Event, row: int) -> bool:
        """Return whether an event is a record for the re-run, or of a command that a library runs: no view needs it.

        Args:
            event: the event.
            row: the span that it begins or ends; negative for none.
        """
        return event["event_type"] == INPUTS_READ or (row >= 0 and bool(self.background[row]))

    def cost_of(self, row: int) -> Cost | None:
        """Return the cost of a span that has ended; None where it is not known, and for no row."""
        amount = self.cost[row] if row >= 0 else -1
        return Cost(amount, self.values[self.priced_by[row]]) if amount >= 0 else None

    def path(self, trace: int) -> dict[str, str]:
        """Return `trace`, the path of a trace, for a row of a result that names an event; {} where there is only one."""
        return {"trace": self.paths[trace]} if self.names_traces else {}

    def place(self, row: int) -> dict[str, Any]:
        """Return the number of a span, after its trace where there are several."""
        return {**self.path(self.trace[row]), "number": self.number[row]}

    def named(self, row: int) -> dict[str, Any]:
        """Return the place of a span with its component and its name."""
        component, name = self.operations[self.operation[row]]
        return {**self.place(row), "component": component, "component_name": name or None}

    def events(self, row: int) -> tuple[Event, Event]:
        """Read the start and the end event of a span from its trace; {} for one that is not there."""
        source = self.traces[self.trace[row]]
        if source is None:
            raise DebugError(
                f"{self.paths[self.trace[row]]}: the payloads of this table are not at hand; load it again"
            )
        number, end = self.number[row], self.end[row]
        return (
            source.event(number) if end != number else _NOTHING,
            source.event(end) if end else _NOTHING,
        )

    def to_columns(self) -> dict[str, Sequence[Any]]:
        """Return the columns by name, with texts in place of indexes; unknown values are None."""
        operations, values = self.operations, self.values
        texts: dict[str, Callable[[int], Any]] = {
            "trace": lambda trace: self.paths[trace],
            "site": lambda site: values[site],
            "priced_by": lambda source: values[source],
        }
        table: dict[str, Sequence[Any]] = {
            "component": [operations[operation][0] for operation in self.operation],
            "name": [operations[operation][1] or None for operation in self.operation],
        }
        for name, column in self.columns.items():
            kind, unknown = _COLUMNS[name]
            if name in texts:
                table[name] = [texts[name](item) if item >= 0 else None for item in column]
            elif kind == "b":
                table[name] = [item == 1 for item in column]
            elif unknown == -1:
                table[name] = [item if item >= 0 else None for item in column]
            elif name != "operation":
                table[name] = column
        table.pop("operation")
        return table

    def to_arrow(self) -> Any:
        """Return the columns as a table of `pyarrow`.

        Raises:
            DebugError: `pyarrow` is not installed.
        """
        try:
            import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise DebugError("to_arrow needs pyarrow: pip install pyarrow") from None
        return pa.table({name: list(column) for name, column in self.to_columns().items()})

    def to_pandas(self) -> Any:
        """Return the columns as a `DataFrame` of pandas.

        Raises:
            DebugError: pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise DebugError("to_pandas needs pandas: pip install pandas") from None
        return pd.DataFrame({name: list(column) for name, column in self.to_columns().items()})


class _Inside:
    """What the children of a span that runs leave for it: when they ran, their CPU time, their time with known CPU time."""

    __slots__ = ("cpu", "intervals", "measured")

    def __init__(self) -> None:
        self.intervals: array[int] = array("q")
        self.cpu = self.measured = 0


class SpanTableBuilder:
    """Reads the events of a trace into a table, a few at a time where the program still runs.

    Args:
        path: the path of the trace.
        facts: further columns.
        points: the types of the events that are kept whole.
        watchers: what keeps more of the events, by name.
        costs: whether the cost of each span is wanted; to find them loads the prices.

    Attributes:
        table: the table. After `add` it holds all spans; `settle` completes those that have not ended, and the agents.
        count: the number of the last event.
    """

    def __init__(
        self,
        path: str = "",
        facts: Sequence[Fact] = (),
        points: Iterable[str] = (),
        watchers: Mapping[str, SpanWatcher] | None = None,
        *,
        costs: bool = True,
    ) -> None:
        self.table = SpanTable(path, facts, points)
        self._costs = costs
        self.table.watchers = dict(watchers or {})
        self._watchers = tuple(self.table.watchers.values())
        for watcher in self._watchers:
            watcher.find_parent = self._find_parent
        self._span_watchers = tuple(
            watcher.span for watcher in self._watchers if type(watcher).span is not SpanWatcher.span
        )
        self._begin_watchers = tuple(
            watcher.begin
            for watcher in self._watchers
            if getattr(type(watcher), "begin", SpanWatcher.begin) is not SpanWatcher.begin
        )
        self.count = 0
        self._facts = facts
        self._wanted: dict[str, tuple[Fact, ...]] = {}
        self._open: dict[str, tuple[int, Event]] = {}
        self._covered: defaultdict[str, list[tuple[int, Event]]] = defaultdict(list)
        self._rows: dict[str, int] = {}
        self._lost_count = 0
        self._processes: set[str] = set()
        self._inside: dict[int, _Inside] = {}
        self._take: dict[str, tuple[Callable[[int, Event], None], ...]] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._first_at, self._last_at = inf, -inf
        self._size = 0
        self._room = [
            (column, array(column.typecode, [unknown]) * _ROWS_AT_ONCE)
            for column, unknown in (
                *((self.table.columns[name], unknown) for name, (_, unknown) in _COLUMNS.items()),
                *((column, -1) for column in self.table.facts.values()),
            )
        ]
        self._process: tuple[str | None, int] = (None, 0)

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events."""
        takers, counts, number = self._take, self._counts, self.count
        first_at, last_at = self._first_at, self._last_at
        for number, event in enumerate(events, self.count + 1):
            event_type = event["event_type"]
            counts[event_type] += 1
            if "paused_before_ms" in event:
                event = without_pauses(event)  # noqa: PLW2901
            at = event.get("timestamp")
            if at is not None:
                # `max` and `min` would be two calls for every event
                if at > last_at:
                    last_at = at
                    if at < first_at:  # noqa: PLR1730
                        first_at = at
                elif at < first_at:
                    first_at = at
            try:
                take = takers[event_type]
            except KeyError:
                take = takers[event_type] = self._takers(event_type)
            for each in take:
                each(number, event)
        self.count, self._first_at, self._last_at = number, first_at, last_at

    def take(self, event: Event) -> EventPlace:
        """Take the next event, and return where it belongs."""
        parent, row = self._find_parent(event), self._size
        self.add((event,))
        if self._size > row:
            return EventPlace(row, parent)
        return EventPlace(parent if ends_span(event["event_type"]) else AT_TOP, parent)

    def _takers(self, event_type: str) -> tuple[Callable[[int, Event], None], ...]:
        """Return what takes the events of a type."""
        takers = [
            watcher.event
            for watcher in self._watchers
            if watcher.events is EVERY_EVENT or event_type in watcher.events
        ]
        if begins_span(event_type):
            takers.append(self._begin)
        elif ends_span(event_type):
            takers.append(self._finish)
        elif event_type in {"trace_start", "resource_sample"} | self.table.points.keys():
            takers.append(self._point)
        return tuple(takers)

    def _point(self, number: int, event: Event) -> None:
        if event["event_type"] == "trace_start":
            event_id = event["event_id"]
            if "parent_event_id" in event or event_id in self._processes:
                # a child process: its spans name this event, and belong to the span in which the process was started
                self._processes.add(event_id)
                self._rows[event_id] = self._find_parent(event)
        elif "memory_usage_mb" in event:
            self._read_memory(number, event)
        kept = self.table.points.get(event["event_type"])
        if kept is not None:
            kept.append(PointEvent(0, number, event))

    def _find_parent(self, event: Event) -> int:
        """Return the row of the span that an event names as its parent, the latest open one with that id."""
        named = event.get("parent_event_id")
        if named is None:
            return AT_TOP
        begun = self._open.get(named)
        return begun[0] if begun else self._latest_row(named)

    def _latest_row(self, named: str) -> int:
        """Return the row of the latest span with an id, a number of its own for one that is lost."""
        row = self._rows.get(named)
        if row is None:
            row = self._rows[named] = PARENT_LOST - self._lost_count
            self._lost_count += 1
        return row

    def _new_row(self, number: int) -> int:
        row = self._size
        if row == len(self.table.number):
            for column, room in self._room:
                column.extend(room)
        self._size = row + 1
        self.table.number[row] = number
        return row

    def _begin(self, number: int, start: Event) -> None:
        table, event_id = self.table, start["event_id"]
        row = self._new_row(number)
        parent = start.get("parent_event_id")
        if parent is not None:
            table.parent[row] = self._latest_row(parent)
        self._rows[event_id] = row
        if event_id in self._open:
            self._covered[event_id].append(self._open[event_id])
        self._open[event_id] = (row, start)
        at = start.get("timestamp")
        if at is not None:
            table.began[row] = int(at * 1e6 + 0.5) * 1000  # as `since_epoch`
        site = start.get("call_site")
        if site is not None:
            table.site[row] = table.value_index(site)
        component = start["component"]
        if component == "agent":
            table.turn[row] = start["event_type"] == "agent_turn_start"
        elif component == "command":
            table.background[row] = is_background(start)
        if "memory_usage_mb" in start:
            self._read_memory(number, start)
        for watch in self._begin_watchers:
            watch(table, row, start)

    def _finish(self, number: int, end: Event) -> None:
        table, event_id = self.table, end.get("parent_event_id", "")
        begun = self._open.pop(event_id, None)
        if begun is None:
            row, start = self._new_row(number), _NOTHING
            lost = self._latest_row(event_id)
            if lost <= PARENT_LOST:
                table.lost.setdefault(lost, row)
        else:
            row, start = begun
            if self._covered.get(event_id):
                self._open[event_id] = self._covered[event_id].pop()
        table.end[row] = number
        at = end.get("timestamp")
        if at is not None:
            table.ended[row] = int(at * 1e6 + 0.5) * 1000  # as `since_epoch`
        if "call_site" in end and table.site[row] < 0:
            table.site[row] = table.value_index(end["call_site"])
        status = end.get("status")
        if status != "completed" and has_failed(end):
            table.failed[row] = 1
        if ("retry_count" in end or "retry_count" in start) and is_retry(start, end):
            table.retried[row] = 1
        self._measure(row, start, end)
        self._fill(row, start, end)
        for watch in self._span_watchers:
            watch(table, row, start, end)
        if "memory_usage_mb" in end:
            self._read_memory(number, end)

    def _measure(self, row: int, start: Event, end: Event) -> None:
        """Fill in the times of a span that ended, and leave them for the span around it."""
        table = self.table
        duration: Any = end.get("duration_ms")
        if duration is None:
            duration = duration_ns(start, end)
        else:
            duration = int(duration * 1e6 + 0.5) if duration < _LONGEST_MS else LONGEST_NS
        own, began = duration or 0, table.began[row]
        inside = self._inside.pop(row, None)
        if inside is not None and inside.intervals:
            table.encloses[row] = 1
            if began >= 0 and own:
                own -= covered_ns(inside.intervals, began, began + duration)
        cpu = (
            None if duration is None or "cpu_time_ms" not in end else whole_ns(end["cpu_time_ms"], NS_PER_MS)
        )
        parent = table.parent[row]
        running = parent >= 0 and not table.end[parent]
        table.around[row] = parent if running else -1
        if running:
            timed = began >= 0 and duration
            if timed or cpu is not None:
                around = self._inside.get(parent)
                if around is None:
                    around = self._inside[parent] = _Inside()
                if timed:
                    leave = around.intervals.append
                    leave(began)
                    leave(began + duration)
                if cpu is not None:
                    around.cpu += cpu
                    around.measured += duration
        if duration is not None:
            table.duration[row], table.self_time[row] = duration, own
        if "cpu_time_ms" in end:
            table.cpu[row] = whole_ns(end["cpu_time_ms"], NS_PER_MS)
        if cpu is not None:
            if inside is not None and inside.intervals:
                ran = duration - own
                if abs(inside.measured - ran) > ran * _CLOCK_ERROR:
                    return
                cpu = max(cpu - inside.cpu, 0)
            table.own_cpu[row] = min(cpu, own)

    def _fill(self, row: int, start: Event, end: Event) -> None:
        """Fill in the operation of a span, its tokens and cost, and the further columns."""
        table = self.table
        component, name = (start or end)["component"], start.get("component_name")
        if name is None or (not name and not end):
            name = name_without_start(start, end)
        table.operation[row] = table.operation_index((component, name))
        if end and (component == "llm" or states_amounts(end)):
            table.states[row] = 1
            if "usage" in end or "tokens_used" in end:
                table.counted[row] = 1
                table.tokens[row] = min(total_tokens(end), LONGEST_NS)
                for part, tokens in zip(PARTS, token_parts(end), strict=True):
                    if tokens:
                        table.columns[part][row] = min(tokens, LONGEST_NS)
            cost = span_cost(start, end) if self._costs else None
            if cost is not None:
                table.cost[row] = min(cost.amount, LONGEST_NS)
                table.priced_by[row] = table.value_index(cost.source)
            metadata = end.get("metadata")
            if metadata and "time_to_first_token_ms" in metadata:
                table.first_token[row] = whole_ns(metadata["time_to_first_token_ms"], NS_PER_MS)
        wanted = self._wanted.get(component)
        if wanted is None:
            wanted = self._wanted[component] = tuple(
                fact for fact in self._facts if not fact.components or component in fact.components
            )
        for fact in wanted:
            value = fact.read(start, end)
            table.facts[fact.name][row] = table.value_index(value) if fact.interned else value

    def _read_memory(self, number: int, event: Event) -> None:
        event_id, run = event.get("event_id", ""), event.get("execution_id", "")
        if event_id[:1] == "p":
            process = self.table.value_index((run, event_id.partition(".")[0]))
        else:  # ids of other formats count for the first process; usually all of them are of one run
            if run != self._process[0]:
                self._process = (run, self.table.value_index((run, "")))
            process = self._process[1]
        at, readings = event.get("timestamp"), self.table.readings
        readings["trace"].append(0)
        readings["number"].append(number)
        readings["process"].append(process)
        readings["at"].append(-1 if at is None else since_epoch(at))
        readings["mb"].append(event["memory_usage_mb"])

    def settle(self) -> SpanTable:
        """Complete the columns that need all events so far, and return the table; `add` may go on after it.

        Watchers are shown the spans that have not ended, the innermost first, so with these it is the end.
        """
        table = self.table
        for column, _ in self._room:
            del column[self._size :]
        left = [*self._open.values(), *chain.from_iterable(self._covered.values())]
        for row, start in sorted(left, key=itemgetter(0), reverse=True):
            parent = table.parent[row]
            table.around[row] = parent if parent >= 0 and not table.end[parent] else -1
            table.retried[row] = is_retry(start, _NOTHING)
            table.encloses[row] = row in self._inside and bool(self._inside[row].intervals)
            self._fill(row, start, _NOTHING)
            for watch in self._span_watchers:
                watch(table, row, start, _NOTHING)
        agents = {row for row in table.of("agent") if not table.turn[row]}
        for row, around in enumerate(table.around):
            if around >= 0:
                table.agent[row] = around if around in agents else table.agent[around]
            else:
                table.agent[row] = -1
        table.types = Counter(self._counts)
        if self._last_at >= self._first_at:
            table.first_at = since_epoch(self._first_at)
            table.wall = since_epoch(self._last_at) - table.first_at
        return table


def span_id(event: Event) -> str | None:
    """Return the id of the span that an event begins or ends: its own, or that of its start."""
    found: str | None = event.get("parent_event_id" if ends_span(event["event_type"]) else "event_id")
    return found


def covered_ns(intervals: array[int], begin: int, end: int) -> int:
    """Return how many nanoseconds from `begin` to `end` lie in at least one of the intervals.

    Args:
        intervals: the begin and the end of each, one after the other.
        begin: the begin of the time that counts.
        end: its end.
    """
    if len(intervals) == 2:
        low, high = intervals
        if begin <= low <= high <= end:  # most often; `max` and `min` are calls
            return high - low
    covered = 0
    numbers = iter(intervals)
    for low, high in sorted(zip(numbers, numbers, strict=True)):
        low, high = max(low, begin), min(high, end)  # noqa: PLW2901
        if high > low:
            covered += high - low
            begin = high
    return covered


def read_spans(
    events: Iterable[Event], path: str = "", facts: Sequence[Fact] = (), points: Iterable[str] = ()
) -> SpanTable:
    """Return the table of spans of some events, in the order of their trace."""
    builder = SpanTableBuilder(path, facts, points)
    builder.add(events)
    return builder.settle()
