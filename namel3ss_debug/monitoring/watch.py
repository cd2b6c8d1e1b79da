"""What is known of one trace while it grows: open spans, calls in windows of time, processes, and the measures of rules.

Each event is taken once. The table of spans pairs the events; it is begun anew when it has grown, so that a service may
be watched for months. All times are those of the events, or a parameter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.failures.categories import categorise, http_status
from namel3ss_debug.analysis.metrics import MetricTotals
from namel3ss_debug.analysis.sections.calls import PatternCall, Reader, group_levels
from namel3ss_debug.analysis.sections.contexts import (
    FILLS_AT,
    calls_until_full,
    conversation_key,
    count_messages,
)
from namel3ss_debug.analysis.sections.loops import find_loops
from namel3ss_debug.analysis.sections.processes import parse_sample
from namel3ss_debug.analysis.sections.usage import ModelKey, dollars, model_key
from namel3ss_debug.monitoring.processes import ProcessLoad
from namel3ss_debug.monitoring.windows import LEAST_OF_PART, SUMS, Amounts, Call, CallWindow
from namel3ss_debug.traces.costs import Cost
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND
from namel3ss_debug.traces.span_table import SpanTable, SpanTableBuilder, SpanWatcher
from namel3ss_debug.traces.totals import RunningTotals
from namel3ss_debug.wire import lenient

MOST_ROWS: Final = 20_000
"""How large the table of spans grows before a new one is begun with the open spans."""

MOST_SUBJECTS: Final = 500
"""How many tools, models or agents of one trace have windows of their own."""

_MOST_ROUTES: Final = 4 * MOST_SUBJECTS

_LOOP_CALLS: Final = 24
"""Three rounds of the longest cycle."""

_RECENT_CALLS: Final = 100
_CALLS_AFTER_LOOP: Final = 3
_RESTS_SECONDS: Final = 600.0
_LEAST_BUSY_SECONDS: Final = 0.1
_USUAL_WAIT: Final = 2
"""A wait is not unusual up to this multiple of the longest one that the operation had before."""

_CALLS: Final = frozenset({"llm", "tool"})
_DEPENDENCIES: Final = frozenset({"llm", "tool", "http", "memory"})
_REQUESTS: Final = frozenset({"agent", "chain", "prompt"})
_WAITING: Final = frozenset({"tool", "agent", "chain", "memory", "http", "validation", "prompt", "mcp"})
_TIMED: Final = frozenset({"llm", "tool", "agent"})
_REPEATED: Final = frozenset({"llm", "tool", "memory"})
_CALLS_SUM, _FAILURES_SUM = SUMS.index("calls"), SUMS.index("failures")
_COST_SUM, _DURATION_SUM = SUMS.index("cost"), SUMS.index("duration_ns")


class WindowKey(NamedTuple):
    """A kind of subject and a length of time, for which each subject has a window."""

    by: str
    seconds: float | None


RUN: Final = WindowKey("run", None)
RECENTLY: Final = WindowKey("run", 300.0)
"""The windows of the figures that a screen shows: the whole run, and its last five minutes."""

FIGURES: Final[Mapping[WindowKey, frozenset[str]]] = {
    RUN: frozenset({"calls", "failures"}),
    RECENTLY: frozenset({"calls", "p50_ms"}),
}


@dataclass(slots=True)
class RunningSpan:
    """A span that has not ended. `since` is when something last happened in it, `inside` how many spans in it are open."""

    number: int
    start: Event
    component: str
    name: str
    owner: str
    parent: int
    process: str
    began: float
    since: float
    outermost: bool
    pattern: PatternCall
    inside: int = 0
    longest_wait: float = 0.0
    timed_out_inside: bool = False

    @property
    def operation(self) -> str:
        """Return `component:name`."""
        return f"{self.component}:{self.name}"


@dataclass(slots=True)
class Conversation:
    """The latest calls of one conversation: their input tokens, and the size of the context window of the model."""

    model: str
    size: int
    first_messages: int
    messages: int = 0
    at: float = 0.0
    number: int = 0
    tokens: deque[int] = field(default_factory=lambda: deque(maxlen=12))
    _turns: tuple[int, float | None] = (0, None)

    def turns(self) -> float | None:
        """Return in how many calls the window will be nearly full, where that can be known."""
        if self._turns[0] != self.number:  # asked for twice a second; computed for each call it would be dear
            full = self.tokens[-1] >= FILLS_AT * self.size
            soon = None if full else calls_until_full(self.tokens, self.size)
            self._turns = (self.number, 0.0 if full else soon and soon.value)
        return self._turns[1]


class _EndedSpans(SpanWatcher):
    """Passes each span that ends to the watch, once the table knows its facts."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Pass the span on."""
        self._watch.end_span(spans, row, start, end)


class Watch:
    """The state of one trace.

    Attributes:
        title: its program, as far as it is known.
        pid: of its first process.
        began, clock: its first and its latest time; None and 0 before there is an event.
        count: the number of the latest event.
        totals: tokens, cost and errors.
        requests: how many outermost agents, chains and prompts have ended.
        open: row of the table -> span.
        loads: prefix of a process -> its memory and processor time.
        new_calls: the calls that ended since the list was emptied, with what they add.
        down_at: since when a process is gone without an end; None for none.
        replaced: whether a later run of the same program is there.
    """

    def __init__(
        self,
        path: str,
        windows: Mapping[WindowKey, frozenset[str]],
        *,
        leak_seconds: float = 1800.0,
        cpu_share: float | None = 0.9,
        machine_mb: float | None = None,
        metrics: MetricTotals | None = None,
    ) -> None:
        self.path, self.title = path, ""
        self.argv: tuple[str, ...] = ()
        self.pid: int | None = None
        self.began: float | None = None
        self.clock = 0.0
        self.count = self.requests = 0
        self.totals = RunningTotals()
        self.open: dict[int, RunningSpan] = {}
        self.loads: dict[str, ProcessLoad] = {}
        self.new_calls: list[tuple[Call, Amounts]] = []
        self.down_at: float | None = None
        self.down_processes: list[int] = []
        self.replaced = False
        self._leak_seconds, self._cpu_share, self._machine_mb = leak_seconds, cpu_share, machine_mb
        self._keys, self._metrics = windows, metrics
        self.windows: dict[WindowKey, dict[str, CallWindow]] = {key: {} for key in windows}
        self._routes: dict[tuple[str, str, str, bool], list[CallWindow]] = {}
        self._longest: dict[str, float] = {}
        self._context_sizes: dict[ModelKey, int | None] = {}
        self._cost: Cost | None = None  # of the span that the event being taken ends
        self._conversations: dict[tuple[int, int], Conversation] = {}
        self._reader = Reader()
        self._patterns: deque[PatternCall] = deque(maxlen=_RECENT_CALLS)
        self._enclosing: dict[int, PatternCall] = {}
        self._loop: tuple[int, tuple[int, ...]] | None = (0, ())
        for key in (RUN, RECENTLY):
            if key in windows:
                self.windows[key][""] = CallWindow(key.seconds, windows[key])
        self._begin_table()

    def _begin_table(self) -> None:
        """Begin a table of spans, with the spans that are open."""
        self._builder = SpanTableBuilder(watchers={"ended": _EndedSpans(self)})
        self._rows = 0
        spans, self.open = sorted(self.open.values(), key=lambda span: span.number), {}
        renamed: dict[Any, int] = {}
        for span in spans:
            old = span.pattern.row
            self._builder.count = span.number - 1
            row = self._builder.take(span.start).span
            renamed[old] = row
            span.parent = renamed.get(span.parent, -1)
            span.pattern = span.pattern._replace(
                row=row, parent=renamed.get(span.pattern.parent, span.pattern.parent)
            )
            self.open[row] = span
            self._rows = row + 1
        self._enclosing = {row: span.pattern for row, span in self.open.items()}
        self._patterns.clear()

    def take(self, event: Event) -> None:
        """Take the next event."""
        if self._rows > MOST_ROWS:
            self._begin_table()
        self.count += 1
        self._builder.count = self.count - 1
        event_type = event["event_type"]
        at = event.get("timestamp")
        at = self.clock if at is None else float(at)
        self.clock = max(self.clock, at)
        if self.began is None:
            self.began = at
        self._cost = None
        row, parent = self._builder.take(event)
        self.totals.add(event, self._cost)
        self._rows = max(self._rows, row + 1)
        if begins_span(event_type):
            self._begin_span(row, parent, event, at)
        elif not ends_span(event_type):
            if event_type == "trace_start":
                self._read_start(event)
            elif event_type == "resource_sample" and "cpu_time_ms" in event:
                sample = parse_sample(self.count, event)
                if sample.cpu_ns is not None:
                    self.load_of(_process(event)).add_cpu(at, sample.cpu_ns / NS_PER_SECOND, self.count)
            self._touch(parent, at)
        memory = event.get("memory_usage_mb")
        if memory is not None:
            self.load_of(_process(event)).add_memory(at, memory, self.count)

    def _read_start(self, event: Event) -> None:
        metadata = lenient.mapping(event.get("metadata"))
        if self.pid is None and type(metadata.get("pid")) is int:
            self.pid = metadata["pid"]
        if not self.title:
            argv = metadata.get("argv")
            source = lenient.mapping(metadata.get("source"))
            self.title = str(metadata.get("target") or source.get("title") or "")
            self.argv = tuple(map(str, argv)) if isinstance(argv, list) else ()

    def load_of(self, process: str) -> ProcessLoad:
        """Return the readings of a process by the prefix of its event ids; `p0` for the first."""
        load = self.loads.get(process)
        if load is None:
            load = self.loads[process] = ProcessLoad(self._leak_seconds, self._cpu_share)
        return load

    def _begin_span(self, row: int, parent: int, start: Event, at: float) -> None:
        component, name = start["component"], start.get("component_name") or ""
        around = self.open.get(parent)
        owner = around.owner if around else ""
        if component == "agent" and not start["event_type"].startswith("agent_turn"):
            owner = name or owner
        outermost = component in _REQUESTS and not (around and _is_in_request(around, self.open))
        pattern = self._reader.open_call(self.count, row, self._builder.table.parent[row], start)
        if around is not None:
            around.inside += 1
        self.open[row] = RunningSpan(
            *(self.count, start, component, name, owner, parent, _process(start), at, at, outermost, pattern)
        )
        self._enclosing[row] = pattern
        self._touch(parent, at)

    def _touch(self, row: int, at: float) -> None:
        """Note that something happened in a span."""
        span = self.open.get(row)
        if span is not None:
            span.longest_wait = max(span.longest_wait, at - span.since)
            span.since = max(span.since, at)

    def end_span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take a span that ended; the table calls this."""
        span = self.open.pop(row, None)
        self._cost = spans.cost_of(row)
        if span is None:
            return
        if self._metrics is not None:
            self._metrics.add(spans, row, span.owner)
        at = spans.ended[row] / NS_PER_SECOND if spans.ended[row] >= 0 else self.clock
        around = self.open.get(span.parent)
        component, failed, duration = span.component, bool(spans.failed[row]), spans.duration[row]
        name = spans.name(row)
        timed_out = failed and not span.timed_out_inside and component in _DEPENDENCIES and _is_timeout(end, component)  # fmt: skip
        if around is not None:
            around.inside -= 1
            around.timed_out_inside |= timed_out or span.timed_out_inside
            self._touch(span.parent, at)
        self.requests += span.outermost
        if duration > 0:
            operation = f"{component}:{name}"
            self._longest[operation] = max(self._longest.get(operation, 0.0), duration / NS_PER_SECOND)
        cpu = spans.cpu[row]
        seconds = duration / NS_PER_SECOND
        if cpu >= 0 and self._cpu_share is not None and seconds >= _LEAST_BUSY_SECONDS and cpu > self._cpu_share * duration:  # fmt: skip
            self.load_of(span.process).add_busy(at - seconds, at)
        if component in _REPEATED:
            self._patterns.append(self._reader.call(spans, row, start, end))
            self._loop = None
        if component in _TIMED or timed_out:
            self._add(span.owner, Call(
                span.number, at, component, name, duration, failed, bool(spans.retried[row]), timed_out, spans.tokens[row],
                spans.input_tokens[row], spans.output_tokens[row], spans.cost[row], self._context_share(spans, row, start, end),
            ))  # fmt: skip

    def _context_share(self, spans: SpanTable, row: int, start: Event, end: Event) -> float | None:
        """Return how much of its context window a model call filled; None where that is not known."""
        if not spans.input_tokens[row] or start["component"] != "llm":
            return None
        key = model_key(start, end)
        if key not in self._context_sizes:
            self._context_sizes[key] = key.window()
        size = self._context_sizes[key]
        if size:
            self._add_turn(spans, row, start, size)
        return spans.input_tokens[row] / size if size else None

    def _add_turn(self, spans: SpanTable, row: int, start: Event, size: int) -> None:
        """Add a model call to its conversation; with as few messages as the first one had, another one begins."""
        begins = conversation_key(start, {})
        key = (begins, spans.parent[row] if begins < 0 else 0)
        messages = count_messages(start, {})
        found = self._conversations.pop(key, None)
        if found is None or messages <= found.first_messages < found.messages:
            found = Conversation(spans.name(row), size, messages)
        found.messages, found.at, found.number = messages, self.clock, spans.number[row]
        found.tokens.append(spans.input_tokens[row])
        self._conversations[key] = found
        if len(self._conversations) > MOST_SUBJECTS:
            del self._conversations[next(iter(self._conversations))]

    def context_turns(self, model: str, now: float) -> tuple[float | None, Iterable[int]]:
        """Return in how many calls a context of a model is 80 % full, and the latest call of the conversation.

        Of several the fewest; those that rest are left out.
        """
        fewest: tuple[float, int] | None = None
        for each in self._conversations.values():
            if each.model != model or now - each.at > _RESTS_SECONDS:
                continue
            turns = each.turns()
            if turns is not None:
                fewest = min(fewest or (turns, each.number), (turns, each.number))
        return (None, ()) if fewest is None else (fewest[0], fewest[1:])

    def _add(self, owner: str, call: Call) -> None:
        """Add a call to the windows of all its subjects."""
        is_call, amounts = call.component in _CALLS or call.timed_out, call.amounts()
        if is_call:
            self.new_calls.append((call, amounts))
        route = (call.component, call.name, owner, is_call)
        windows = self._routes.get(route)
        if windows is None:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            windows = self._routes[route] = list(self._windows_for(*route))
        for window in windows:
            window.add(call, amounts)

    def _windows_for(self, component: str, name: str, owner: str, is_call: bool) -> Iterator[CallWindow]:
        """Yield the windows of all subjects of a call."""
        subjects = {
            "run": "" if is_call else None,
            "agent": owner if is_call and owner else None,
            "model": name if component == "llm" else None,
            "tool": name if component == "tool" else None,
            "operation": f"{component}:{name}",
        }
        for key, windows in self.windows.items():
            subject = subjects.get(key.by)
            if subject is None:
                continue
            if subject not in windows and len(windows) < MOST_SUBJECTS:
                windows[subject] = CallWindow(key.seconds, self._keys[key])
            if subject in windows:
                yield windows[subject]

    def subjects(self, key: WindowKey) -> Iterator[tuple[str, CallWindow | None]]:
        """Yield the subjects of a kind, each with its window; a process, and an operation that only began, have none."""
        if key.by == "process":
            yield from ((process, None) for process in list(self.loads))
            return
        windows = self.windows.get(key, {})
        if key.by == "run":
            yield "", windows.get("")
            return
        names = dict.fromkeys(windows)
        of = {"model": "llm", "tool": "tool"}
        for span in self.open.values():
            if key.by == "operation":
                names[span.operation] = None
            elif of.get(key.by) == span.component:
                names[span.name] = None
        for name in list(names)[:MOST_SUBJECTS]:
            yield name, windows.get(name)

    def longest_open(
        self, by: str, subject: str, now: float, *, blocked: bool
    ) -> tuple[float, RunningSpan | None]:
        """Return how long an open span has waited with nothing running inside, and which; of several the longest.

        Args:
            by: the kind of subject.
            subject: which one.
            now: the time.
            blocked: whether model calls, waits that are usual for the operation, and processes that compute are left out.
        """
        most, worst = 0.0, None
        for span in self.open.values():
            waited = now - span.since
            if (
                span.inside
                or waited <= most
                or span.component not in (_WAITING if blocked else _WAITING | {"llm"})
            ):
                continue
            if by == "operation" and span.operation != subject:
                continue
            if by in ("model", "tool") and (
                span.name != subject or span.component != {"model": "llm"}.get(by, by)
            ):
                continue
            if blocked:
                usual = max(self._longest.get(span.operation, 0.0), span.longest_wait)
                busy = self.loads.get(span.process)
                if waited <= _USUAL_WAIT * usual or (busy is not None and (busy.cpu_share() or 0) > 0.5):
                    continue
            most, worst = waited, span
        return most, worst

    def loop(self) -> tuple[int, tuple[int, ...]]:
        """Return of how many calls the longest loop consists that goes on, and its events."""
        if self._loop is None:
            self._loop = max(self._find_loops(), default=(0, ()))
        return self._loop

    def _find_loops(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        around: dict[Any, PatternCall] = {}
        for call in self._patterns:
            parent = call.parent
            while parent in self._enclosing and parent not in around:
                around[parent] = self._enclosing[parent]
                parent = around[parent].parent
        self._enclosing = {
            row: self._enclosing[row] for row in self._enclosing.keys() & {*around, *self.open}
        }
        calls = {**around, **{call.row: call for call in self._patterns}}
        for level in group_levels(sorted(calls.values(), key=lambda call: call.number)).calls:
            latest = level[-_LOOP_CALLS:]
            for found in find_loops(latest):
                numbers = found["numbers"]
                after = sum(call.number > numbers[-1] for call in latest)
                if found["kind"] == "loop" and (after <= _CALLS_AFTER_LOOP or found["count"] > len(numbers)):
                    yield found["count"], tuple(numbers)

    def memory_mb(self) -> float | None:
        """Return the latest memory of all processes together; None where no memory was recorded."""
        known = [load.mb for load in self.loads.values() if load.mb is not None]
        return sum(known) if known else None

    def memory_share(self) -> float | None:
        """Return that as a share of the memory of the machine."""
        memory = self.memory_mb()
        return memory / self._machine_mb if memory is not None and self._machine_mb else None


class Reading(NamedTuple):
    """What a measure is read from."""

    watch: Watch | None
    by: str
    subject: str
    window: CallWindow | None
    now: float


Measure = Callable[[Reading], tuple[float | None, Iterable[int]]]
"""Returns the value of a measure, None where it is not known, and the events that prove it."""


def _of_calls(read: Callable[[CallWindow, float], float | None], events: str = "latest") -> Measure:
    def measure(reading: Reading) -> tuple[float | None, Iterable[int]]:
        window = reading.window
        return (None, ()) if window is None else (read(window, reading.now), getattr(window, events))

    return measure


def _sum_of(name: str, events: str = "latest") -> Measure:
    return _of_calls(lambda window, _: window.sum(name), events)


def _of_load(read: Callable[[ProcessLoad, float], float | None]) -> Measure:
    def measure(reading: Reading) -> tuple[float | None, Iterable[int]]:
        load = reading.watch.loads.get(reading.subject or "p0") if reading.watch else None
        return (None, ()) if load is None else (read(load, reading.now), load.numbers)

    return measure


def _open(blocked: bool) -> Measure:
    def measure(reading: Reading) -> tuple[float | None, Iterable[int]]:
        if reading.watch is None:
            return None, ()
        seconds, span = reading.watch.longest_open(reading.by, reading.subject, reading.now, blocked=blocked)
        return seconds, (span.number,) if span else ()

    return measure


def _of_watch(read: Callable[[Watch, float], tuple[float | None, Iterable[int]]]) -> Measure:
    def measure(reading: Reading) -> tuple[float | None, Iterable[int]]:
        return (None, ()) if reading.watch is None else read(reading.watch, reading.now)

    return measure


def _down(watch: Watch, now: float) -> tuple[float | None, Iterable[int]]:
    down = watch.down_at is not None and not watch.replaced
    return max(now - (watch.down_at or 0), 0.001) if down else 0.0, (watch.count,)


def _context_turns(reading: Reading) -> tuple[float | None, Iterable[int]]:
    return (None, ()) if reading.watch is None else reading.watch.context_turns(reading.subject, reading.now)


def _ahead(read: Callable[[list[int]], float]) -> Measure:
    def of_part(sums: list[int]) -> float | None:
        return read(sums) if sums[_CALLS_SUM] >= LEAST_OF_PART else None

    return _of_calls(lambda window, now: window.ahead(now, of_part))


def _context(reading: Reading) -> tuple[float | None, Iterable[int]]:
    filled = reading.window.context() if reading.window else None
    return (None, ()) if filled is None else (filled[0], (filled[1],))


MEASURES: Final[dict[str, Measure]] = {
    **{name: _sum_of(name) for name in ("calls", "llm_calls", "tool_calls", "retries", "tokens", "input_tokens", "output_tokens")},
    "failures": _sum_of("failures", "failed"),
    "timeouts": _sum_of("timeouts", "failed"),
    "cost": _of_calls(lambda window, _: dollars(window.sum("cost"))),
    "error_rate": _of_calls(lambda window, _: window.error_rate(), "failed"),
    "longest_ms": _of_calls(lambda window, _: window.longest_ns / NS_PER_MS),
    "calls_per_minute": _of_calls(CallWindow.per_minute),
    "p50_ms": _of_calls(lambda window, _: window.percentile_ms(50)),
    "p95_ms": _of_calls(lambda window, _: window.percentile_ms(95)),
    "p99_ms": _of_calls(lambda window, _: window.percentile_ms(99)),
    "slowdown": _of_calls(lambda window, _: window.usual["duration_ns"].jump()),
    "cost_jump": _of_calls(lambda window, _: window.usual["cost"].jump()),
    "outliers": _of_calls(lambda window, _: window.count_outliers()),
    "context_share": _context,
    "context_turns": _context_turns,
    "error_rate_ahead": _ahead(lambda sums: sums[_FAILURES_SUM] / sums[_CALLS_SUM]),
    "mean_ms_ahead": _ahead(lambda sums: sums[_DURATION_SUM] / sums[_CALLS_SUM] / NS_PER_MS),
    "cost_per_call_ahead": _ahead(lambda sums: dollars(sums[_COST_SUM]) / sums[_CALLS_SUM]),
    "memory_mb_ahead": _of_load(lambda load, _: load.mb_ahead()),
    "cpu_share": _of_load(lambda load, _: load.cpu_share()),
    "busy_seconds": _of_load(ProcessLoad.busy_seconds),
    "memory_mb_per_hour": _of_load(lambda load, _: load.mb_per_hour()),
    "memory_mb": _of_watch(lambda watch, _: (watch.memory_mb(), (watch.count,))),
    "memory_share": _of_watch(lambda watch, _: (watch.memory_share(), (watch.count,))),
    "duration_ms": _of_watch(lambda watch, now: ((now - (watch.began or now)) * 1000, (1,))),
    "loop_calls": _of_watch(lambda watch, _: watch.loop()),
    "open_seconds": _open(blocked=False),
    "blocked_seconds": _open(blocked=True),
    "down_seconds": _of_watch(_down),
}  # fmt: skip
"""Measure of a growing trace -> its value now."""

WITHOUT_WINDOW: Final = frozenset(
    {
        *("cpu_share", "busy_seconds", "memory_mb_per_hour", "memory_mb", "memory_share", "duration_ms"),
        *(
            "loop_calls",
            "open_seconds",
            "blocked_seconds",
            "down_seconds",
            "context_turns",
            "memory_mb_ahead",
        ),
    }
)
"""The measures that are not read from a window of calls."""


def _process(event: Event) -> str:
    """Return the prefix of the event ids of a process; `p0` for the first."""
    event_id = event.get("event_id", "")
    return event_id.partition(".")[0] if event_id[:1] == "p" else "p0"


def _is_in_request(span: RunningSpan | None, spans: Mapping[int, RunningSpan]) -> bool:
    """Return whether a span is, or lies in, an agent, a chain or a prompt."""
    while span is not None:
        if span.component in _REQUESTS:
            return True
        span = spans.get(span.parent)
    return False


def _is_timeout(end: Event, component: str) -> bool:
    """Return whether a call failed because it was not answered in time."""
    return (
        categorise(
            lenient.string(end.get("error_type")),
            lenient.string(end.get("error")),
            http_status=http_status(end),
            status=end.get("status"),
            component=component,
        )
        == "timeout"
    )
