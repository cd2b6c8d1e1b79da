"""Events as a table, and spans as a tree or as bars over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import inf
from typing import Any, Final, NamedTuple

from rich.text import Text

from namel3ss_debug.inspection import ChosenSpans, EventLine, SpanHalves
from namel3ss_debug.traces.events import Event, span_prefix
from namel3ss_debug.traces.facts import NS_PER_SECOND
from namel3ss_debug.traces.span_table import AT_TOP, SpanTable
from namel3ss_debug.views.blocks import Bar, Block, ForWidth, Note, Table, Timeline
from namel3ss_debug.views.events import WIDE, chunk_words, offset, status_style, streamed_words
from namel3ss_debug.views.gists import GIST_LIMIT, call, gist, request_text, summary
from namel3ss_debug.views.quantities import count, duration, is_number, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    STATUS_STYLES,
    WARNING,
    Piece,
    cells,
    clean,
    piece,
    shorten,
)
from namel3ss_debug.wire import lenient

NAME_LIMIT = 120
NUMBER_ROOM = 5
NARROW, VERY_NARROW = 64, 56
"""With fewer cells a row has only the event, its figures and its gist; with fewer still, no gist."""

TREE_NAME_CELLS = 48
TROUBLED_NAME_CELLS = 24
"""How wide a name is in the tree; narrower where a status and an error come behind it."""

TOOK_CELLS, TOKEN_CELLS, COST_CELLS = 15, 8, 11
"""About how many cells the numbers beside a span take: its own number with the duration, the tokens, the cost."""

ROOM_FOR_BOTH = 40
"""With fewer cells, only the output of a span is shown; the arguments of a tool always are."""

UNLIMITED = 240
"""The width of output that has none."""

BESIDE = "║"


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


def tree_blocks(chosen: ChosenSpans, halves: Iterable[SpanHalves]) -> Iterator[Block]:
    """Yield the tree of spans in time order, each with its number, what went in and out, and its figures on the right.

    Args:
        chosen: the spans.
        halves: their events, in any order.
    """
    texts = {each.row: _SpanTexts.of(each) for each in halves}
    rows = list(chosen.walk())
    branches = _number_branches(chosen)
    spans = chosen.spans
    figures = (
        TOOK_CELLS
        + TOKEN_CELLS * any(spans.counted[row] for _, row in rows)
        + COST_CELLS * any(spans.cost_of(row) is not None for _, row in rows)
    )

    def build(width: int | None) -> Iterator[Block]:
        columns = (
            Column("n", align="right", style=DIM, room=NUMBER_ROOM),
            Column("", style=WARNING),
            Column("span", least=20),
            number("took"),
            number("tokens"),
            number("cost"),
        )
        room = (width or UNLIMITED) - figures - 4 * bool(branches)
        cells = [_tree_row(chosen, row, branches, texts, room - 3 * depth) for depth, row in rows]
        yield Table(columns, cells, depths=[depth for depth, _ in rows], label=2)

    yield ForWidth(build)
    if branches:
        yield Note(f"{BESIDE}1, {BESIDE}2, ...: tasks that ran side by side", is_line=True)
    yield from more_spans(chosen.total - len(rows))
    if lost := chosen.lost_parents:
        names = "span names" if lost == 1 else "spans name"
        yield Note(f"{lost:,} {names} a parent that is not there", WARNING, is_line=True)


def more_spans(left_out: int) -> Iterator[Note]:
    """Yield a note on the spans that the limit left out."""
    if left_out > 0:
        yield _more(count(left_out, "more span"))


def _more(what: str) -> Note:
    return Note(f"… {what}; --limit 0 shows all, --llm, --tool and --where choose", is_line=True)


class _SpanTexts(NamedTuple):
    """What went into a span and came out of it: the arguments of a tool, or the gist of another input, and of the output."""

    arguments: Any = None
    inputs: str = ""
    outputs: str = ""

    @classmethod
    def of(cls, halves: SpanHalves) -> _SpanTexts:
        """Return the texts of a span; of one that failed no output, because its error is shown."""
        start, end = halves.start, halves.end
        component = start.get("component")
        outputs = "" if end.get("error") is not None else summary(end)
        if component == "tool":
            return cls(_limit(lenient.mapping(start.get("inputs")).get("arguments")), "", outputs)
        return cls(None, "" if component == "http" else summary(start), outputs)


def _limit(arguments: Any) -> Any:
    """Return the arguments of a call with long texts cut, because those of each span of a tree are kept."""
    if not isinstance(arguments, dict):
        return None if arguments is None else gist(arguments)
    return {key: value[:GIST_LIMIT] if isinstance(value, str) else value for key, value in arguments.items()}


_NO_TEXTS: Final = _SpanTexts()


def _number_branches(chosen: ChosenSpans) -> dict[int, int]:
    """Return row -> the number of its task, for the spans of tasks that ran side by side in the same span."""
    found: dict[int, int] = {}
    for parent, children in chosen.children.items():
        paths = [chosen.look(child).task_path for child in children]
        own = "" if parent == AT_TOP else chosen.look(parent).task_path
        # The roots are also what a program does one after the other: tasks whose spans do not alternate stay as they are.
        if parent == AT_TOP and not _alternate(paths):
            continue
        rows: dict[str, list[int]] = {}
        for child, path in zip(children, paths, strict=True):
            if path not in {own, ""}:
                rows.setdefault(path, []).append(child)
        for place, path in enumerate(_find_overlapping(chosen.spans, rows), 1):
            found |= dict.fromkeys(rows[path], place)
    return found


def _find_overlapping(spans: SpanTable, rows: Mapping[str, Sequence[int]]) -> list[str]:
    """Return the tasks that ran at the same time as another one, by their rows in the order of their first starts."""
    until, latest, overlapping = 0.0, "", dict[str, None]()
    for path, own in rows.items():
        if spans.number[own[0]] < until:
            overlapping |= dict.fromkeys((latest, path))
        end = max(spans.end[row] or inf for row in own)
        if end > until:
            until, latest = end, path
    return [path for path in rows if path in overlapping]


def _alternate(paths: Sequence[str]) -> bool:
    """Return whether a task has spans before and after a span of another task."""
    tasks = [path for path, _ in groupby(paths) if path]
    return len(tasks) > len(set(tasks))


def _tree_row(
    chosen: ChosenSpans,
    row: int,
    branches: Mapping[int, int],
    texts: Mapping[int, _SpanTexts],
    room: int,
) -> tuple[Cell, ...]:
    """Return the cells of a span; `room` is about how many cells its label may take."""
    spans = chosen.spans
    cost = spans.cost_of(row)
    label = _span_label(chosen, row, texts.get(row, _NO_TEXTS), room)
    return (
        Piece(str(spans.number[row]), DIM),
        Piece(f"{BESIDE}{branches[row]}" if row in branches else ""),
        label,
        Piece(duration(chosen.took_ms(row))),
        Piece(tokens(spans.tokens[row]) if spans.counted[row] else ""),
        Piece(money(cost and cost.dollars)),
    )


def _span_label(chosen: ChosenSpans, row: int, texts: _SpanTexts, room: int) -> Text:
    """Return the kind and the name of a span, what went in and out, and its status and error unless it completed."""
    spans, look = chosen.spans, chosen.look(row)
    component = spans.component(row)
    kind = component if look.kind == span_prefix(component) else look.kind
    label = Text(end="").append(clean(kind, 40), COMPONENT_STYLES.get(component, ""))
    if name := spans.name(row):
        cells_of_name = TREE_NAME_CELLS if look.status == "completed" else TROUBLED_NAME_CELLS
        label.append(" ").append(shorten(clean(name, NAME_LIMIT), cells_of_name, middle=True), "bold")
    if texts.arguments:
        behind = f"  → {texts.outputs}" if texts.outputs else ""
        left = room - cells(label.plain)
        share = left // 3 if spans.failed[row] else max(left // 2, left - cells(behind) - 1)
        label.append(call("", texts.arguments, max(share, 12)))
    method, url = look.request
    if method is not None:
        label.append(f"  {request_text(method, url)}", DIM)
    if look.origin is not None:
        trace, event = look.origin
        where = f"{clean(trace[:8], 8)}, event {clean(event, 20)}" if event else clean(trace, 32)
        label.append(f"  from trace {where}", DIM)
    if is_number(look.retries) and look.retries > 0:
        label.append(f"  retry {tokens(look.retries)}", WARNING)
    if look.status != "completed" and (look.status != "failed" or look.error is None):
        label.append("  ").append(clean(look.status, 20), STATUS_STYLES.get(look.status, ""))
    if spans.failed[row]:
        label.append("  ").append(summary({"error": look.error, "error_type": look.error_type}), ERROR)
    room -= cells(label.plain)
    # The input gives way, because the output of the span before often shows it.
    if texts.inputs and (room >= ROOM_FOR_BOTH or not texts.outputs):
        label.append("  ").append(shorten(texts.inputs, max(room // 2, room - cells(texts.outputs) - 6)))
    if texts.outputs:
        label.append("  → ", DIM).append(texts.outputs)
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
