"""Events as a table, and spans as a tree or as bars over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from rich.text import Text

from namel3ss_debug.inspection import ChosenSpans, EventLine
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.spans import Forest, Node, Span
from namel3ss_debug.views.blocks import Bar, Block, Note, Table, Timeline
from namel3ss_debug.views.events import WIDE, chunk_words, offset, status_style, streamed_words
from namel3ss_debug.views.gists import request_text, summary
from namel3ss_debug.views.quantities import count, duration, is_number, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    STATUS_STYLES,
    WARNING,
    Piece,
    clean,
    piece,
    shorten,
)

NAME_LIMIT = 120
NUMBER_ROOM = 5
NARROW, VERY_NARROW = 64, 56
"""With fewer cells a row has only the event, its figures and its gist; with fewer still, no gist."""

TREE_NAME_CELLS = 48
TROUBLED_NAME_CELLS = 24
"""How wide a name is in the tree; narrower where a status and an error come behind it."""


def event_table(events: Iterable[EventLine], width: int | None, started_at: float | None) -> Table:
    """Return a row for each event, in the given order.

    Args:
        events: the events.
        width: the cells of the screen; None if there is none.
        started_at: the timestamp from which times are counted.
    """
    width = width or WIDE
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
    return Table(columns, (_event_row(item, started_at, width) for item in events), long=True)


def _event_row(item: EventLine, started_at: float | None, width: int) -> tuple[Cell, ...]:
    place, event, streamed, cost = item
    component = str(event.get("component", ""))
    status = event.get("status")
    style = status_style(event)
    chunks = f"{streamed_words(streamed, width)}  " if streamed is not None else ""
    unusual = f"{status} " if status not in {None, "started", "completed", "failed"} else ""
    what, kind = unusual + chunks + summary(event), event.get("event_type", "")
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
    """Return an event in two words, for narrow screens: `llm start`, `tool failed`."""
    kind, status = str(event.get("event_type", "")), event.get("status")
    for long in ("_call", "_execution"):
        kind = kind.replace(f"{long}_", "_")
    if kind.endswith("_end") and status not in {None, "started", "completed"}:
        kind = kind.removesuffix("end") + str(status)
    return kind.replace("_", " ")


def more_events(left_out: int, counted: int) -> Note:
    """Return a note on the events that the limit left out, of which at most `counted` were counted."""
    return _more(
        f"more than {counted:,} more events" if left_out > counted else count(left_out, "more event")
    )


def tree_blocks(chosen: ChosenSpans) -> Iterator[Block]:
    """Yield the tree of spans, each with its number, and its figures on the right."""
    forest = chosen.forest
    rows = list(_tree_rows(forest))
    depths = [depth for depth, _ in rows]
    columns = (
        Column("n", align="right", style=DIM, room=NUMBER_ROOM),
        Column("span", least=20),
        number("took"),
        number("tokens"),
        number("cost"),
    )
    yield Table(columns, [cells for _, cells in rows], depths=depths, label=1)
    yield from more_spans(chosen.total - sum(1 for _ in forest.walk()))
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
            yield Note(f"{amount:,} {one if amount == 1 else several}", WARNING, is_line=True)


def more_spans(left_out: int) -> Iterator[Note]:
    """Yield a note on the spans that the limit left out."""
    if left_out > 0:
        yield _more(count(left_out, "more span"))


def _more(what: str) -> Note:
    return Note(f"… {what}; --limit 0 shows all, --llm, --tool and --where choose", is_line=True)


class _Task(NamedTuple):
    """The spans of one of several tasks that ran side by side in a span."""

    path: str
    spans: list[Node]


def _tree_rows(forest: Forest) -> Iterator[tuple[int, tuple[Cell, ...]]]:
    """Yield the depth and the cells of each row; a trace may be nested so deep that this cannot be recursive."""
    stack: list[tuple[int, Node | _Task]] = [
        (0, node) for node in reversed(_group_by_task(None, forest.roots))
    ]
    while stack:
        depth, item = stack.pop()
        if isinstance(item, _Task):
            yield depth, _task_row(item)
            stack += [(depth + 1, node) for node in reversed(item.spans)]
        else:
            yield depth, _tree_row(item)
            stack += [(depth + 1, child) for child in reversed(_group_by_task(item, item.children))]


def _group_by_task(parent: Node | None, children: Sequence[Node]) -> list[Node | _Task]:
    """Return the children of a span, or the roots, with those of each task together if several tasks ran there.

    A task with a single span here needs no row of its own.
    """
    own = "" if parent is None else _task_path(parent.span)
    by_path: dict[str, list[Node]] = {}
    for child in children:
        by_path.setdefault(_task_path(child.span), []).append(child)
    others = [path for path in by_path if path not in {own, ""}]
    # The roots are also what a program does one after the other: tasks whose spans do not alternate stay as they are.
    if len(others) < 2 or (parent is None and not _alternate(children)):
        return list(children)
    arranged: list[Node | _Task] = []
    for child in children:
        path = _task_path(child.span)
        spans = by_path[path]
        if path not in others or len(spans) == 1:
            arranged.append(child)
        elif child is spans[0]:
            arranged.append(_Task(path, spans))
    return arranged


def _alternate(spans: Sequence[Node]) -> bool:
    """Return whether a task has spans before and after a span of another task."""
    paths = [path for path, _ in groupby(_task_path(node.span) for node in spans)]
    tasks = [path for path in paths if path]
    return len(tasks) > len(set(tasks))


def _task_path(span: Span) -> str:
    """Return the identity of the task or thread of a span; "" for the main one."""
    event = span.event
    return str(event.get("task_path") or event.get("task") or event.get("thread") or "")


def _task_row(task: _Task) -> tuple[Cell, ...]:
    """Return the row of a task: the time from its first start to its last end, and the sums of its spans."""
    starts = [node.span.started_at for node in task.spans]
    ends = [node.span.ended_at for node in task.spans]
    took = ""
    if all(map(is_number, starts)) and all(map(is_number, ends)):
        took = duration((max(filter(is_number, ends)) - min(filter(is_number, starts))) * 1000)
    label = Text(end="").append("task ", DIM).append(clean(task.path, NAME_LIMIT))
    return Piece(""), label, Piece(took, DIM), Piece(""), Piece("")


def _tree_row(node: Node) -> tuple[Cell, ...]:
    span = node.span
    measured = span.end or {}
    return (
        Piece(str(span.number), DIM),
        _span_label(span),
        Piece(duration(span.duration_ms)),
        Piece(tokens(measured.get("tokens_used"))),
        Piece(money(measured.get("cost_estimate"))),
    )


def _describe_origin(origin: dict[str, Any]) -> str:
    """Return where a span continues from: an event of another trace of ours, or the trace of another tracer."""
    trace = clean(origin.get("execution_id") or origin.get("trace_id"), 32)
    event = clean(origin.get("event_id") or origin.get("span_id"), 20)
    return f"trace {trace[:8]}, event {event}" if "execution_id" in origin else f"trace {trace}"


def _span_label(span: Span) -> Text:
    """Return the type and the name of a span, and its status and error unless it completed."""
    label = Text(end="").append(clean(span.kind, 40), COMPONENT_STYLES.get(span.component, ""))
    if span.name:
        room = TREE_NAME_CELLS if span.status == "completed" else TROUBLED_NAME_CELLS
        label.append(" ").append(shorten(clean(span.name, NAME_LIMIT), room, middle=True), "bold")
    start = span.start or {}
    if "method" in start:
        label.append(f"  {request_text(start['method'], start.get('url'))}", DIM)
    continues = start.get("continues")
    if continues:
        label.append(f"  from {_describe_origin(continues)}", DIM)
    retries = span.event.get("retry_count")
    if is_number(retries) and retries > 0:
        label.append(f"  retry {tokens(retries)}", WARNING)
    if span.status != "completed":
        label.append("  ").append(clean(span.status, 20), STATUS_STYLES.get(span.status, ""))
    if span.failed and span.end is not None:
        label.append("  ").append(summary(span.end), ERROR)
    half = span.end or span.start or {}
    if half.get("chunks"):
        label.append("  ").append(chunk_words(half["chunks"], half.get("first_token_ms")), DIM)
    return label


def timeline_blocks(chosen: ChosenSpans) -> Iterator[Block]:
    """Yield the spans as bars; an open span goes on to the end, and a streamed answer is thin until it begins."""
    bars = [_bar(depth, node.span) for depth, node in chosen.forest.walk()]
    yield Timeline(bars)
    yield from more_spans(chosen.total - len(bars))


def _bar(depth: int, span: Span) -> Bar:
    start, length = span.started_at, (span.duration_ms or 0) / 1000
    if start is None and span.ended_at is not None:
        start = span.ended_at - length
    if not is_number(start):
        start = None
    is_open = span.status == "open"
    waited = (span.end or {}).get("first_token_ms")
    component_style = COMPONENT_STYLES.get(span.component, "")
    return Bar(
        number=span.number,
        label=clean(span.name or span.kind, NAME_LIMIT),
        depth=depth,
        start=start,
        end=None if is_open or start is None else start + length,
        waited_until=start + waited / 1000 if is_number(waited) and start is not None else None,
        took="open" if is_open else duration(span.duration_ms),
        style=WARNING if is_open else ERROR if span.failed else component_style,
        label_style=component_style,
        took_style=STATUS_STYLES.get(span.status, ""),
    )
