"""The columns and the blocks of a page: its spans, points and transcript, and its events.

One pass over the events makes all of it. Texts are interned: a column of texts holds indexes into `strings`. Times are
whole microseconds since the first timestamp; what is not known is -1.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from namel3ss_debug.analysis.analyzer import collecting_rarely
from namel3ss_debug.analysis.sections.hot_functions import EVENT_TYPE as STACK_SAMPLE
from namel3ss_debug.inspection.transcript import TranscriptStep, TranscriptWatcher
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.traces.facts import NS_PER_MS, has_failed, since_epoch, whole_ns
from namel3ss_debug.traces.span_table import EVERY_EVENT, SpanTable, SpanTableBuilder, SpanWatcher
from namel3ss_debug.views.cleaning import ELLIPSIS
from namel3ss_debug.views.gists import call, summary
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.views.transcript import describe_plain
from namel3ss_debug.wire import lenient

BLOCK: Final = 256 * 1024
"""So many bytes of JSON are decoded when one event in them is looked at."""

LEVEL: Final = 5
"""The level of gzip. Of 100 MB of a trace, 6 leaves 9 % less in 0.6 s more, 9 leaves 11 % less in 1.8 s more, 4 leaves 10 % more."""

GIST: Final = 80
"""The characters of a span's gist: a tree has no room for more."""

SAMPLES: Final = 1000
"""The readings of a process: no curve on a screen has more points."""

LONG_RUN: Final = 20_000
"""The lines of a transcript from which each has at most `GIST` characters, because they would be half of the page."""

LONGEST: Final = 2000
"""The characters of any text in the columns: the whole one is in the payload."""

POINTS: Final = ("resource_sample", STACK_SAMPLE)
"""The events besides spans that columns are made of."""

_NS_PER_US: Final = 1000
_PICO_PER_NANO: Final = 1000
_DECODED: Final = 64

Columns = dict[str, Any]


class PageColumns(NamedTuple):
    """What one pass over the events gives.

    Attributes:
        spans: the table of spans; it reads payloads from the blocks.
        columns: the spans, points, transcript and the rest, as JSON.
        blocks: the events as JSON lines, compressed.
        ranges: the first number and the number of events of each block.
        failure, answer: the first end of a span that failed, and the last answer of a model that asked for no tool; 0 for none.
    """

    spans: SpanTable
    columns: Columns
    blocks: Sequence[bytes]
    ranges: Sequence[tuple[int, int]]
    failure: int
    answer: int


def read_columns(events: Iterable[Event]) -> PageColumns:
    """Read the events of a trace, without secrets and without content that is not wanted, for a page."""
    with (
        collecting_rarely(),
        ThreadPoolExecutor(1) as pool,
    ):  # zlib lets go of the interpreter, so a second processor compresses
        packer = EventPacker(pool.submit)
        watcher, transcript = PageWatcher(packer), TranscriptWatcher()
        builder = SpanTableBuilder(points=POINTS, watchers={"page": watcher, "transcript": transcript})
        builder.add(events)
        spans = builder.settle()
        texts = Texts()
        steps = transcript.result(spans, {}).steps
        columns = {
            "spans": span_columns(spans, watcher, texts),
            "points": point_columns(watcher.points, spans.first_at or 0, texts),
            "transcript": step_columns(steps, texts, len(steps)),
            "messages": read_changes(steps),
            "samples": sample_columns(spans),
            "flame": flame_columns(spans),
            "processes": watcher.processes,
        }
        blocks, ranges = packer.finish()
    spans.traces = [BlockReader(lambda index: unpack(blocks[index]), ranges)]
    return PageColumns(
        spans, {"strings": texts.known, **columns}, blocks, ranges, watcher.failure, watcher.answer
    )


def compress(data: bytes) -> bytes:
    """Return data as gzip, without the time: the same trace gives the same page."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def unpack(data: bytes) -> bytes:
    """Return what a gzip holds."""
    return zlib.decompress(data, 16 + zlib.MAX_WBITS)


class Texts:
    """Texts, each once, of at most `LONGEST` characters; 0 is the empty one."""

    def __init__(self) -> None:
        self.known: list[str] = [""]
        self._indexes: dict[str, int] = {"": 0}

    def index(self, text: str) -> int:
        """Return the index of a text, which is new where there is none."""
        found = self._indexes.get(text)
        if found is None:
            if len(text) > LONGEST:
                return self.index(text[: LONGEST - 1] + ELLIPSIS)
            found = self._indexes[text] = len(self.known)
            self.known.append(text)
        return found


class EventPacker:
    """Packs events into blocks."""

    def __init__(self, submit: Callable[..., Future[bytes]]) -> None:
        self._submit = submit
        self._lines: list[bytes] = []
        self._size, self._first = 0, 1
        self._blocks: list[Future[bytes]] = []
        self._ranges: list[tuple[int, int]] = []

    def add(self, event: Event) -> None:
        """Take the next event."""
        try:
            line = orjson.dumps(event)
        except TypeError:  # half of a surrogate pair, or an integer of more than 64 bits
            line = json_bytes(event).encode()
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BLOCK:
            self._pack()

    def _pack(self) -> None:
        self._blocks.append(self._submit(compress, b"\n".join(self._lines)))
        self._ranges.append((self._first, len(self._lines)))
        self._first += len(self._lines)
        self._lines, self._size = [], 0

    def finish(self) -> tuple[list[bytes], list[tuple[int, int]]]:
        """Return the blocks, and the first number and the number of events of each."""
        if self._lines:
            self._pack()
        return [block.result() for block in self._blocks], self._ranges

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first number and the number of events of each block so far."""
        return [*self._ranges, (self._first, len(self._lines))] if self._lines else list(self._ranges)

    def read(self, index: int) -> bytes:
        """Return the JSON lines of a block."""
        if 0 <= index < len(self._blocks):
            return unpack(self._blocks[index].result())
        return b"\n".join(self._lines)


class BlockReader:
    """Reads single events back from the blocks, which takes no index of the trace."""

    def __init__(self, read: Callable[[int], bytes], ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = ranges
        self._decode = lru_cache(_DECODED)(lambda index: read(index).split(b"\n"))

    def count(self) -> int:
        """Return how many events there are."""
        return sum(self._ranges[-1]) - 1 if self._ranges else 0

    def event(self, number: int) -> Event:
        """Return the event with this number."""
        low, high = 0, len(self._ranges) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._ranges[middle][0] <= number else (low, middle - 1)
        event: Event = orjson.loads(self._decode(low)[number - self._ranges[low][0]])
        return event

    def events(self, start: int = 1) -> Iterator[Event]:
        """Yield all events from a number on."""
        return map(self.event, range(start, self.count() + 1))


class PagePoint(NamedTuple):
    """An event that begins or ends no span; `row` is that of the span around it."""

    number: int
    event_type: str
    name: str
    row: int
    at: float | None
    failed: int
    gist: str


class PageWatcher(SpanWatcher):
    """Keeps of the events what a page shows besides the table of spans, and passes them on to the blocks."""

    events = EVERY_EVENT

    def __init__(self, packer: EventPacker) -> None:
        self._packer = packer
        self.points: list[PagePoint] = []
        self.gists: dict[int, str] = {}
        self.errors: dict[int, str] = {}
        self.processes = ["main"]
        self.process_of: dict[int, int] = {}
        self._process_indexes: dict[str, int] = {}
        self.failure = self.answer = 0

    def event(self, number: int, event: Event) -> None:
        """Take the next event."""
        self._packer.add(event)
        event_type = event["event_type"]
        if not (begins_span(event_type) or ends_span(event_type)):
            self.points.append(
                PagePoint(
                    number,
                    event_type,
                    event.get("component_name") or "",
                    max(self.find_parent(event), -1),
                    event.get("timestamp"),
                    int(has_failed(event)),
                    summary(event)[:GIST],
                )
            )

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take a span that ended, or at last one that never did."""
        first = start or end
        self.gists[row] = describe_span(start, end)
        event_id = first.get("event_id", "")
        if event_id[:1] == "p":
            self.process_of[row] = self._process_index(event_id.partition(".")[0])
        if spans.failed[row]:
            self.errors[row] = summary({"error": end.get("error"), "error_type": end.get("error_type")})
            self.failure = self.failure or spans.end[row]
        elif end and first["component"] == "llm":
            outputs = lenient.mapping(end.get("outputs"))
            if outputs.get("text") and not outputs.get("tool_calls"):
                self.answer = spans.end[row]

    def _process_index(self, prefix: str) -> int:
        found = self._process_indexes.get(prefix)
        if found is None:
            found = self._process_indexes[prefix] = len(self.processes)
            self.processes.append(prefix)
        return found


def describe_span(start: Event, end: Event) -> str:
    """Return what went into a span and came out of it on one line, as a tree shows it."""
    result = summary(end) if end and end.get("error") is None else ""
    if not start or len(result) >= GIST:  # what came out says more
        return result[:GIST]
    arguments = (
        lenient.mapping(start.get("inputs")).get("arguments") if start["component"] == "tool" else None
    )
    went_in = call("", arguments, GIST) if arguments is not None else summary(start)
    return " → ".join(filter(None, (went_in[: max(GIST - len(result), GIST // 2)], result)))[:GIST]


def span_columns(
    spans: SpanTable, watcher: PageWatcher, texts: Texts, rows: Sequence[int] | None = None
) -> Columns:
    """Return the columns of some spans; of all if `rows` is left out."""

    def of(column: Sequence[int]) -> Sequence[int]:
        return column if rows is None else [column[row] for row in rows]

    begin = spans.first_at or 0
    operations = {
        index: tuple(texts.index(text or "") for text in spans.operations[index])
        for index in dict.fromkeys(of(spans.operation))
    }
    chosen = range(len(spans)) if rows is None else rows
    amounts = {"input": spans.input_tokens, "output": spans.output_tokens, "cached": spans.cache_read_tokens}
    return {
        "number": list(of(spans.number)),
        "end": list(of(spans.end)),
        "parent": [max(parent, -1) for parent in of(spans.parent)],
        "agent": list(of(spans.agent)),
        "component": [operations[operation][0] for operation in of(spans.operation)],
        "name": [operations[operation][1] for operation in of(spans.operation)],
        "began": [(at - begin) // _NS_PER_US if at >= 0 else -1 for at in of(spans.began)],
        "duration": _microseconds(of(spans.duration)),
        "self": _microseconds(of(spans.self_time)),
        "first_token": _microseconds(of(spans.first_token)),
        "failed": list(of(spans.failed)),
        "retried": list(of(spans.retried)),
        "background": list(of(spans.background)),
        **{
            name: [
                amount if counted else -1
                for amount, counted in zip(of(column), of(spans.counted), strict=True)
            ]
            for name, column in amounts.items()
        },
        "cost": [cost // _PICO_PER_NANO if cost >= 0 else -1 for cost in of(spans.cost)],
        "process": [watcher.process_of.get(row, 0) for row in chosen],
        "error": [texts.index(watcher.errors.get(row, "")) for row in chosen],
        "gist": [texts.index(watcher.gists[row]) for row in chosen],
    }


def _microseconds(column: Sequence[int]) -> list[int]:
    return [value // _NS_PER_US if value >= 0 else -1 for value in column]


def point_columns(points: Sequence[PagePoint], begin: int, texts: Texts) -> Columns:
    """Return the columns of points, from the nanosecond at which the trace begins."""
    return {
        "number": [point.number for point in points],
        "type": [texts.index(point.event_type) for point in points],
        "name": [texts.index(point.name) for point in points],
        "row": [point.row for point in points],
        "at": [-1 if point.at is None else (since_epoch(point.at) - begin) // _NS_PER_US for point in points],
        "failed": [point.failed for point in points],
        "gist": [texts.index(point.gist) for point in points],
    }


def step_columns(steps: Sequence[TranscriptStep], texts: Texts, count: int) -> Columns:
    """Return the columns of lines of a transcript that has `count` lines."""
    most = None if count < LONG_RUN else GIST
    return {
        "number": [step.number for step in steps],
        "end": [step.end_number for step in steps],
        "row": [max(step.row, -1) for step in steps],
        "depth": [step.depth for step in steps],
        "what": [texts.index(step.what) for step in steps],
        "component": [texts.index(step.component) for step in steps],
        "name": [texts.index(step.name) for step in steps],
        "at": [-1 if step.at is None else round(step.at * 1e6) for step in steps],
        "agent": [texts.index(step.agent) for step in steps],
        "before": [step.before for step in steps],
        "beside": [int(step.beside) for step in steps],
        "retries": [step.retries for step in steps],
        "text": [texts.index(describe_plain(step)[:most]) for step in steps],
    }


def read_changes(steps: Sequence[TranscriptStep]) -> dict[str, Any]:
    """Return the row of each request to a model -> how it differs from the one before."""
    return {
        str(step.row): _changes_to_json(step)
        for step in steps
        if step.component == "llm" and begins_span(step.event["event_type"])
    }


def _changes_to_json(step: TranscriptStep) -> dict[str, Any]:
    """Return how a request to a model differs from the one before: indexes of messages in both, and the kind of change."""
    changes = [
        [-1 if each.after is None else each.after, each.kind, -1 if each.before is None else each.before]
        for each in step.changes
    ]
    return {"against": step.row_before, "changes": changes}


def sample_columns(spans: SpanTable) -> Columns:
    """Return the readings of memory, and the CPU time of the processes where that was sampled."""
    begin, readings = spans.first_at or 0, spans.readings
    computed = {
        number: event["cpu_time_ms"]
        for _, number, event in spans.points["resource_sample"]
        if "cpu_time_ms" in event
    }
    kept = _thin_out(readings["process"], readings["mb"])
    numbers, times = readings["number"], readings["at"]
    return {
        "number": [numbers[index] for index in kept],
        "process": [spans.values[readings["process"][index]][1] or "main" for index in kept],
        "at": [(times[index] - begin) // _NS_PER_US if times[index] >= 0 else -1 for index in kept],
        "memory_mb": [readings["mb"][index] for index in kept],
        "cpu_ms": [computed.get(numbers[index], -1) for index in kept],
    }


def flame_columns(spans: SpanTable) -> Columns:
    """Return the sampled stacks of each operation: indexes of frames, the outermost first, and microseconds."""
    frames: dict[str, int] = {}
    weights: Counter[tuple[int, ...]] = Counter()
    for _, _, event in spans.points[STACK_SAMPLE]:
        operation = f"{event['component']} {event.get('component_name') or ''}".strip()
        for stack in lenient.mappings(lenient.mapping(event.get("metadata")).get("stacks")):
            names = [operation, *(str(name) for name in lenient.sequence(stack.get("functions")))]
            indexes = tuple(frames.setdefault(name[:LONGEST], len(frames)) for name in names)
            weights[indexes] += whole_ns(stack.get("self_ms"), NS_PER_MS) // _NS_PER_US
    return {"frames": list(frames), "stacks": [*map(list, weights)], "weights": list(weights.values())}


def _thin_out(processes: Sequence[int], values: Sequence[float]) -> list[int]:
    """Return the indexes of at most `SAMPLES` readings of each process, of those side by side the highest, in order."""
    by_process: dict[int, list[int]] = {}
    for index, process in enumerate(processes):
        by_process.setdefault(process, []).append(index)
    kept = []
    for indexes in by_process.values():
        size = -(-len(indexes) // SAMPLES)
        kept += [
            max(indexes[place : place + size], key=values.__getitem__)
            for place in range(0, len(indexes), size)
        ]
    return sorted(kept)
