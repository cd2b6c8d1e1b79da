"""Events as a table, and spans as a tree or as bars over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.text import Text

from namel3ss_debug.inspection import ChosenSpans, EventLine
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND
from namel3ss_debug.traces.span_table import AT_TOP
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
    rows = list(_tree_rows(chosen))
    depths = [depth for depth, _ in rows]
    columns = (
        Column("n", align="right", style=DIM, room=NUMBER_ROOM),
        Column("span", least=20),
        number("took"),
        number("tokens"),
        number("cost"),
    )
    yield Table(columns, [cells for _, cells in rows], depths=depths, label=1)
    yield from more_spans(chosen.total - sum(1 for _ in chosen.walk()))
    if lost := chosen.lost_parents:
        names = "span names" if lost == 1 else "spans name"
        yield Note(f"{lost:,} {names} a parent that is not there", WARNING, is_line=True)


def more_spans(left_out: int) -> Iterator[Note]:
    """Yield a note on the spans that the limit left out."""
    if left_out > 0:
        yield _more(count(left_out, "more span"))


def _more(what: str) -> Note:
    return Note(f"… {what}; --limit 0 shows all, --llm, --tool and --where choose", is_line=True)


class _Task(NamedTuple):
    """The spans of one of several tasks that ran side by side in a span."""

    path: str
    rows: list[int]


def _tree_rows(chosen: ChosenSpans) -> Iterator[tuple[int, tuple[Cell, ...]]]:
    """Yield the depth and the cells of each row; a trace may be nested so deep that this cannot be recursive."""
    stack: list[tuple[int, int | _Task]] = [(0, item) for item in reversed(_group_by_task(chosen, AT_TOP))]
    while stack:
        depth, item = stack.pop()
        if isinstance(item, _Task):
            yield depth, _task_row(chosen, item)
            stack += [(depth + 1, row) for row in reversed(item.rows)]
        else:
            yield depth, _tree_row(chosen, item)
            stack += [(depth + 1, child) for child in reversed(_group_by_task(chosen, item))]


def _group_by_task(chosen: ChosenSpans, parent: int) -> list[int | _Task]:
    """Return the children of a span, or the roots, with those of each task together if several tasks ran there.

    A task with a single span here needs no row of its own.
    """
    children = chosen.children.get(parent, [])
    paths = [chosen.look(child).task_path for child in children]
    by_path: dict[str, list[int]] = {}
    for child, path in zip(children, paths, strict=True):
        by_path.setdefault(path, []).append(child)
    own = "" if parent == AT_TOP else chosen.look(parent).task_path
    others = [path for path in by_path if path not in {own, ""}]
    # The roots are also what a program does one after the other: tasks whose spans do not alternate stay as they are.
    if len(others) < 2 or (parent == AT_TOP and not _alternate(paths)):
        return list(children)
    arranged: list[int | _Task] = []
    for child, path in zip(children, paths, strict=True):
        rows = by_path[path]
        if path not in others or len(rows) == 1:
            arranged.append(child)
        elif child == rows[0]:
            arranged.append(_Task(path, rows))
    return arranged


def _alternate(paths: Sequence[str]) -> bool:
    """Return whether a task has spans before and after a span of another task."""
    tasks = [path for path, _ in groupby(paths) if path]
    return len(tasks) > len(set(tasks))


def _task_row(chosen: ChosenSpans, task: _Task) -> tuple[Cell, ...]:
    """Return the row of a task: the time from its first start to its last end."""
    starts = [began for row in task.rows if (began := chosen.began(row)) is not None]
    ends = [ended for row in task.rows if (ended := chosen.ended(row)) is not None]
    all_known = len(starts) == len(ends) == len(task.rows)
    took = duration((max(ends) - min(starts)) / NS_PER_MS) if all_known else ""
    label = Text(end="").append("task ", DIM).append(clean(task.path, NAME_LIMIT))
    return Piece(""), label, Piece(took, DIM), Piece(""), Piece("")


def _tree_row(chosen: ChosenSpans, row: int) -> tuple[Cell, ...]:
    spans = chosen.spans
    cost = spans.cost_of(row)
    return (
        Piece(str(spans.number[row]), DIM),
        _span_label(chosen, row),
        Piece(duration(chosen.took_ms(row))),
        Piece(tokens(spans.tokens[row]) if spans.counted[row] else ""),
        Piece(money(cost and cost.dollars)),
    )


def _span_label(chosen: ChosenSpans, row: int) -> Text:
    """Return the type and the name of a span, and its status and error unless it completed."""
    spans, look = chosen.spans, chosen.look(row)
    label = Text(end="").append(clean(look.kind, 40), COMPONENT_STYLES.get(spans.component(row), ""))
    if name := spans.name(row):
        room = TREE_NAME_CELLS if look.status == "completed" else TROUBLED_NAME_CELLS
        label.append(" ").append(shorten(clean(name, NAME_LIMIT), room, middle=True), "bold")
    method, url = look.request
    if method is not None:
        label.append(f"  {request_text(method, url)}", DIM)
    if look.origin is not None:
        trace, event = look.origin
        where = f"{clean(trace[:8], 8)}, event {clean(event, 20)}" if event else clean(trace, 32)
        label.append(f"  from trace {where}", DIM)
    if is_number(look.retries) and look.retries > 0:
        label.append(f"  retry {tokens(look.retries)}", WARNING)
    if look.status != "completed":
        label.append("  ").append(clean(look.status, 20), STATUS_STYLES.get(look.status, ""))
    if spans.failed[row]:
        label.append("  ").append(summary({"error": look.error, "error_type": look.error_type}), ERROR)
    if chunks := chosen.chunks[row]:
        label.append("  ").append(chunk_words(chunks, chosen.first_token_ms(row)), DIM)
    return label


def timeline_blocks(chosen: ChosenSpans) -> Iterator[Block]:
    """Yield the spans as bars; an open span goes on to the end, and a streamed answer is thin until it begins."""
    bars = [_bar(chosen, depth, row) for depth, row in chosen.walk()]
    yield Timeline(bars)
    yield from more_spans(chosen.total - len(bars))


def _bar(chosen: ChosenSpans, depth: int, row: int) -> Bar:
    spans, look, began = chosen.spans, chosen.look(row), chosen.began(row)
    start = None if began is None else began / NS_PER_SECOND
    took, waited = chosen.took_ms(row), chosen.first_token_ms(row)
    is_open = look.status == "open"
    component_style = COMPONENT_STYLES.get(spans.component(row), "")
    return Bar(
        number=spans.number[row],
        label=clean(spans.name(row) or look.kind, NAME_LIMIT),
        depth=depth,
        start=start,
        end=None if is_open or start is None else start + (took or 0) / 1000,
        waited_until=None if waited is None or start is None else start + waited / 1000,
        took="open" if is_open else duration(took),
        style=WARNING if is_open else ERROR if spans.failed[row] else component_style,
        label_style=component_style,
        took_style=STATUS_STYLES.get(look.status, ""),
    )
