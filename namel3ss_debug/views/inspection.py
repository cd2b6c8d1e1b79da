"""Events as a table, and spans as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from namel3ss_debug.inspection import ChosenSpans, EventLine
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.spans import Forest, Node, Span
from namel3ss_debug.views.events import chunk_words, offset, status_style, streamed_words
from namel3ss_debug.views.gists import request_text, summary
from namel3ss_debug.views.quantities import count, duration, is_number, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose, table
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    STATUS_STYLES,
    WARNING,
    Piece,
    clean,
    line,
    piece,
    shorten,
)

NAME_LIMIT = 120
GUIDE_LEVELS = 10
"""How many levels of a tree are drawn; deeper ones move no further to the right."""

NUMBER_ROOM = 5
NARROW, VERY_NARROW = 64, 56
"""With fewer cells a row has only the event, its figures and its gist; with fewer still, no gist."""

TREE_NAME_CELLS = 48
TROUBLED_NAME_CELLS = 24
"""How wide a name is in the tree; narrower where a status and an error come behind it."""


def event_lines(events: Iterable[EventLine], width: int, started_at: float | None) -> Iterator[Text]:
    """One row for each event, in the given order."""
    columns = (
        Column("n", align="right", style=DIM, room=NUMBER_ROOM),
        Column("s", align="right", style=DIM),
        Column("event", least=14 if width < VERY_NARROW else 16, cut="word"),
        name("name", 8 if width < VERY_NARROW else 12),
        number("took"),
        number("tokens"),
        number("cost"),
        prose("what", 12),
    )
    return table(columns, (_event_row(item, started_at, width) for item in events), width)


def _event_row(item: EventLine, started_at: float | None, width: int) -> tuple[Cell, ...]:
    place, event, streamed, cost = item
    component = str(event.get("component", ""))
    status = event.get("status")
    style = status_style(event)
    told = f"{streamed_words(streamed, width)}  " if streamed is not None else ""
    unusual = f"{status} " if status not in {None, "started", "completed", "failed"} else ""
    what, kind = unusual + told + summary(event), event.get("event_type", "")
    if width < VERY_NARROW:
        what, kind = "", _in_short(event)
    return (
        Piece(str(place), DIM),
        Piece("" if width < NARROW else offset(event.get("timestamp"), started_at).removeprefix("+"), DIM),
        piece(kind, COMPONENT_STYLES.get(component, ""), 60),
        piece(event.get("component_name") or "", limit=NAME_LIMIT),
        Piece(duration(event.get("duration_ms"))),
        Piece("" if width < NARROW else tokens(event.get("tokens_used"))),
        Piece("" if width < NARROW else money(event.get("cost_estimate", cost))),
        piece(what, style if style in {ERROR, WARNING} else DIM),
    )


def _in_short(event: Event) -> str:
    """An event in two words, where there is no room for more: `llm start`, `tool failed`."""
    kind, status = str(event.get("event_type", "")), event.get("status")
    for long in ("_call", "_execution"):
        kind = kind.replace(f"{long}_", "_")
    if kind.endswith("_end") and status not in {None, "started", "completed"}:
        kind = kind.removesuffix("end") + str(status)
    return kind.replace("_", " ")


def more_events(left_out: int, counted: int) -> Iterator[Text]:
    """A note on the events that the limit left out, of which at most so many were counted."""
    yield _more(f"more than {counted:,} more events" if left_out > counted else count(left_out, "more event"))


def tree_lines(chosen: ChosenSpans, width: int) -> Iterator[Text]:
    """The tree of spans, each with its number, and its figures on the right."""
    forest = chosen.forest
    nodes = list(_drawn(forest))
    columns = (
        Column("n", align="right", style=DIM, room=NUMBER_ROOM),
        Column("span", least=20),
        number("took"),
        number("tokens"),
        number("cost"),
    )
    yield from table(columns, (_tree_row(guides, node) for guides, node in nodes), width)
    yield from more_spans(chosen.total - len(nodes))
    notes = [
        (
            forest.lost_parents,
            "span names a parent that is not there",
            "spans name a parent that is not there",
        ),
        (forest.cycles, "circle of parents was cut", "circles of parents were cut"),
        (forest.duplicates, "span has the id of another", "spans have the id of another"),
    ]
    for amount, one, several in notes:
        if amount:
            yield line((f"{amount:,} {one if amount == 1 else several}", WARNING))


def more_spans(left_out: int) -> Iterator[Text]:
    """A note on the spans that the limit left out."""
    if left_out > 0:
        yield _more(count(left_out, "more span"))


def _more(what: str) -> Text:
    return line((f"… {what}; --limit 0 shows all, --llm, --tool and --where choose", DIM))


def _drawn(forest: Forest) -> Iterator[tuple[str, Node]]:
    """Every node with the guides before it, parents before children; any depth, no recursion.

    From `GUIDE_LEVELS` on the guides grow no longer, and the level is shown in words.
    """
    stack = [("", "", 0, node) for node in reversed(forest.roots)]
    while stack:
        guides, below, level, node = stack.pop()
        yield guides + (f"level {level + 1}  " if level > GUIDE_LEVELS else ""), node
        last = len(node.children) - 1
        for i in range(last, -1, -1):
            own, inner = ("└─ ", "   ") if i == last else ("├─ ", "│  ")
            kept = below[-3 * GUIDE_LEVELS :]
            further = below + inner if len(below) < 3 * GUIDE_LEVELS else kept
            stack.append((kept + own, further, level + 1, node.children[i]))


def _tree_row(guides: str, node: Node) -> tuple[Cell, ...]:
    span = node.span
    label = Text(end="").append(guides, DIM).append_text(_span_label(span))
    measured = span.end or {}
    return (
        Piece(str(span.number), DIM),
        label,
        Piece(duration(span.duration_ms)),
        Piece(tokens(measured.get("tokens_used"))),
        Piece(money(measured.get("cost_estimate"))),
    )


def _other_recording(place: dict[str, Any]) -> str:
    """The place of an event in another recording, or in the trace of another tracer."""
    recording = clean(place.get("execution_id") or place.get("trace_id"), 32)
    event = clean(place.get("event_id") or place.get("span_id"), 20)
    return f"recording {recording[:8]}, event {event}" if "execution_id" in place else f"trace {recording}"


def _span_label(span: Span) -> Text:
    """The type and the name of a span, and its status and error where it did not end in order."""
    label = Text(end="").append(clean(span.kind, 40), COMPONENT_STYLES.get(span.component, ""))
    if span.name:
        room = TREE_NAME_CELLS if span.status == "completed" else TROUBLED_NAME_CELLS
        label.append(" ").append(shorten(clean(span.name, NAME_LIMIT), room, middle=True), "bold")
    start = span.start or {}
    if "method" in start:
        label.append(f"  {request_text(start['method'], start.get('url'))}", DIM)
    continues = start.get("continues")
    if continues:
        label.append(f"  from {_other_recording(continues)}", DIM)
    retries = span.event.get("retry_count")
    if is_number(retries) and retries > 0:
        label.append(f"  retry {tokens(retries)}", WARNING)
    if span.status != "completed":
        label.append("  ").append(clean(span.status, 20), STATUS_STYLES.get(span.status, ""))
    if span.failed and span.end is not None:
        label.append("  ").append(summary(span.end), ERROR)
    told = span.end or span.start or {}
    if told.get("chunks"):
        label.append("  ").append(chunk_words(told["chunks"], told.get("first_token_ms")), DIM)
    return label
