"""One event on one line: its number, its time, its type, and the gist of its inputs or outputs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from namel3ss_debug.inspection import ChunkCounter, StreamedAnswer
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import EventPlace, SpanTableBuilder
from namel3ss_debug.views.gists import summary
from namel3ss_debug.views.quantities import count, duration, is_number, money, tokens
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    STATUS_STYLES,
    WARNING,
    Piece,
    clean,
    fitted,
    piece,
    shorten,
    wrapped_lines,
)
from namel3ss_debug.wire import lenient

NAME_LIMIT = 120
LINE_NAME_CELLS = 40
MAX_INDENT = 8
NUMBER_WIDTH = 5
_REPLACED = frozenset({"outputs", "metadata", "status", "error", "error_type", "stack_trace"})
"""The fields that the answer of a mock replaces."""

WIDE = 110
"""From this width on, a line shows more of a streamed answer than the number of its chunks."""


def event_line(
    number: int,
    event: Event,
    *,
    width: int,
    started_at: float | None = None,
    depth: int = 0,
    note: str = "",
    streamed: StreamedAnswer | None = None,
    cost: float | None = None,
) -> Text:
    """Return one event on one line of at most `width` cells.

    Args:
        number: its place in the trace.
        event: the event.
        width: the cells the line may take.
        started_at: the timestamp times are counted from; none are shown without it.
        depth: how many spans it happened inside.
        note: our own words about it, such as a mark for a mocked answer.
        streamed: the chunks of the call that ends with it.
        cost: its cost in US dollars, where it does not hold that itself.
    """
    when = f" {offset(event.get('timestamp'), started_at):>7}  "
    parts = [
        Piece(f"{number:>{NUMBER_WIDTH}}{when}{'  ' * min(depth, MAX_INDENT)}", DIM),
        *titled(event, LINE_NAME_CELLS),
    ]
    if note:
        parts.append(Piece(f"  {note}", "bold"))
    parts.extend(Piece(f"  {fact}") for fact in facts(event, cost))
    if streamed is not None:
        parts.append(Piece(f"  {streamed_words(streamed, width)}", DIM))
    if gist := summary(event):
        parts.append(Piece(f"  {gist}", ERROR if status_style(event) == ERROR else DIM))
    return fitted(parts, width)


def is_mocked(event: Event) -> bool:
    """Return whether the answer in an event is that of a mock."""
    metadata = event.get("metadata")
    return isinstance(metadata, dict) and metadata.get("mocked") is True


def recorded_lines(event: Event, width: int) -> Iterator[Text]:
    """Yield the recorded answer below the answer of a mock, or why a mock was not used."""
    metadata, margin = lenient.mapping(event.get("metadata")), " " * (NUMBER_WIDTH + 10)
    problem, recorded = metadata.get("mock_problem"), metadata.get("recorded")
    if isinstance(problem, str):
        label, further = f"{margin}not mocked  ", f"{margin}            "
        for row in wrapped_lines(clean(problem, 400), width, DIM, first=label, further=further):
            row.stylize(WARNING, 0, len(label))
            yield row
    if not is_mocked(event) or not isinstance(recorded, dict):
        return
    before = {name: value for name, value in event.items() if name not in _REPLACED} | recorded
    status = recorded.get("status")
    parts = [Piece(f"{margin}recorded", DIM)]
    if status not in {None, "completed"} if isinstance(status, str | None) else True:
        parts.append(piece(f"  {status}", DIM, 30))
    parts.append(Piece(f"  {summary(before)}", ERROR if status_style(before) == ERROR else DIM))
    yield fitted(parts, width)


class RunningLines:
    """One line for each event as it arrives, indented by the spans that are open around it.

    Attributes:
        width: the cells a line may take.
        chunks: whether the chunks of streamed answers have lines of their own; else the end of their call counts
        them.
        streams: counts the chunks that have no line yet.
    """

    def __init__(self, width: int, *, chunks: bool = False) -> None:
        self.width = width
        self.chunks = chunks
        self.streams = ChunkCounter()
        self.started_at: float | None = None
        self._builder = SpanTableBuilder()
        self._depths: dict[int, int] = {}

    def line(self, number: int, event: Event, note: str = "") -> Text | None:
        """Return the line of the next event; None for a chunk that its call counts, and for what no view needs."""
        if self.started_at is None:
            self.started_at = event.get("timestamp")
        place = self._builder.take(event)
        if self._builder.table.is_quiet(event, place.span):
            return None
        if not self.chunks and self.streams.count_chunk(event, place):
            return None
        streamed = self.streams.pop_answer(event, place)
        cost = self._builder.table.cost_of(place.span)
        depth = self._depth(place)
        return event_line(
            number,
            event,
            width=self.width,
            started_at=self.started_at,
            depth=depth,
            note=note,
            streamed=streamed,
            cost=cost and cost.dollars,
        )

    def _depth(self, place: EventPlace) -> int:
        """Return the depth of an event: that of its start for an end, else one below its parent."""
        if place.span in self._depths:
            return self._depths.pop(place.span)
        depth = self._depths.get(place.parent, -1) + 1
        if place.span >= 0:
            self._depths[place.span] = depth
        return depth


def title(event: Event) -> Text:
    """Return the event type in the colour of its component, and the component's name."""
    return fitted(titled(event, NAME_LIMIT), 2 * NAME_LIMIT)


def titled(event: Event, name_cells: int) -> Iterator[Piece]:
    """Yield the pieces of a title; a name wider than `name_cells` is cut in its middle."""
    component = event.get("component")
    style = COMPONENT_STYLES.get(component, "") if isinstance(component, str) else ""
    yield piece(event.get("event_type") or "event", style, 60)
    name = event.get("component_name")
    if name not in {None, ""} if isinstance(name, str | None) else True:
        yield Piece(" ")
        yield Piece(shorten(clean(name, NAME_LIMIT), name_cells, middle=True), "bold")


def facts(event: Event, cost: float | None = None) -> list[str]:
    """Return the figures of an event: its status where that is not the usual one, duration, tokens, cost.

    Args:
        event: the event.
        cost: its cost in US dollars, where it does not hold that itself.
    """
    status = event.get("status")
    unusual = status not in {None, "completed", "started"} if isinstance(status, str | None) else True
    used = event.get("tokens_used")
    retries = event.get("retry_count")
    return [
        fact
        for fact in (
            clean(status, 20) if unusual else "",
            duration(event.get("duration_ms")),
            f"{tokens(used)} {'token' if used == 1 else 'tokens'}" if used is not None else "",
            money(event.get("cost_estimate", cost)),
            f"retry {tokens(retries)}" if is_number(retries) and retries > 0 else "",
        )
        if fact
    ]


def streamed_words(streamed: StreamedAnswer, width: int) -> str:
    """Return what was streamed, as `8 chunks, first token 120 ms`; without the time on a narrow screen."""
    return chunk_words(streamed.chunks, streamed.first_token_ms if width >= WIDE else None)


def chunk_words(chunks: int, first_token_ms: object) -> str:
    """Return a number of chunks, and when the first token came where that is known."""
    first = duration(first_token_ms)
    return count(chunks, "chunk") + (f", first token {first}" if first else "")


def status_style(event: Event) -> str:
    """Return the style of an event's status; a failure without one is a failure too."""
    status = event.get("status")
    if isinstance(status, str) and status in STATUS_STYLES:
        return STATUS_STYLES[status]
    return ERROR if event.get("error") is not None else ""


def offset(timestamp: object, started_at: object) -> str:
    """Format the seconds since the start, `+1.234`, or minutes and seconds, `+12:05.1`."""
    if not is_number(timestamp) or not is_number(started_at):
        return ""
    seconds = timestamp - started_at
    sign = "-" if seconds < 0 else "+"
    seconds = abs(seconds)
    if seconds < 600:
        return f"{sign}{seconds:.3f}"
    minutes, rest = divmod(seconds, 60)
    return f"{sign}{minutes:,.0f}:{rest:04.1f}"
