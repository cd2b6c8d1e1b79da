"""Events as a table, spans as a tree and as bars over time, and one event in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from namel3ss_debug.inspection import Context, Numbered
from namel3ss_debug.traces.events import FIELDS, Event
from namel3ss_debug.traces.spans import Forest, Node, Span
from namel3ss_debug.views.events import facts, offset, status_style, summary, title
from namel3ss_debug.views.payloads import json_text
from namel3ss_debug.views.quantities import count, duration, is_number, moment, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, pairs, prose, table
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    HEADING,
    STATUS_STYLES,
    WARNING,
    Piece,
    clean,
    line,
    piece,
    shorten,
    text,
)

NAME_LIMIT = 120
GUIDE_LEVELS = 10
"""How many levels of a tree are drawn; what is deeper moves no further to the right."""

BAR, BAR_START, BAR_END = "━", "╺", "╸"
SHORTEST_BARS = 16
FIELD_NAMES = frozenset(field.name for field in FIELDS)


def event_lines(events: Iterable[Numbered], width: int, started_at: float | None = None) -> Iterator[Text]:
    """One row for each event, as they come."""
    columns = (
        Column("n", align="right", style=DIM),
        Column("s", align="right", style=DIM),
        Column("event", least=16, cut="middle"),
        name("name", 12),
        number("took"),
        number("tokens"),
        number("cost"),
        prose("what", 10),
    )
    return table(columns, (_event_row(place, event, started_at) for place, event in events), width)


def _event_row(place: int, event: Event, started_at: float | None) -> tuple[Cell, ...]:
    component = str(event.get("component", ""))
    status = event.get("status")
    style = status_style(event)
    unusual = f"{status} " if status not in {None, "started", "completed", "failed"} else ""
    return (
        Piece(str(place), DIM),
        Piece(offset(event.get("timestamp"), started_at).removeprefix("+"), DIM),
        piece(event.get("event_type", ""), COMPONENT_STYLES.get(component, ""), 60),
        piece(event.get("component_name") or "", limit=NAME_LIMIT),
        Piece(duration(event.get("duration_ms"))),
        Piece(tokens(event.get("tokens_used"))),
        Piece(money(event.get("cost_estimate"))),
        piece(unusual + summary(event), style if style in {ERROR, WARNING} else DIM),
    )


def tree_lines(forest: Forest, width: int, limit: int | None = None) -> Iterator[Text]:
    """The spans inside one another, each with its number, and what it took on the right."""
    nodes = list(_drawn(forest, limit))
    columns = (
        Column("n", align="right", style=DIM),
        Column("span", least=20),
        number("took"),
        number("tokens"),
        number("cost"),
    )
    yield from table(columns, (_tree_row(guides, node) for guides, node in nodes), width)
    if limit is not None and len(nodes) == limit:
        yield line(("… there may be more; --limit N shows more", DIM))
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


def _drawn(forest: Forest, limit: int | None) -> Iterator[tuple[str, Node]]:
    """Every node with the guides before it, parents before children; any depth, no recursion."""
    stack = [("", "", node) for node in reversed(forest.roots)]
    drawn = 0
    while stack and (limit is None or drawn < limit):
        guides, below, node = stack.pop()
        yield guides, node
        drawn += 1
        last = len(node.children) - 1
        for i in range(last, -1, -1):
            own, inner = ("└─ ", "   ") if i == last else ("├─ ", "│  ")
            kept = below[-3 * GUIDE_LEVELS :]
            stack.append(
                (kept + own, below + inner if len(below) < 3 * GUIDE_LEVELS else kept, node.children[i])
            )


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


def _span_label(span: Span) -> Text:
    """What a span is, its name, and its status and error where it did not simply end."""
    label = Text(end="").append(clean(span.kind, 40), COMPONENT_STYLES.get(span.component, ""))
    if span.name:
        label.append(" ").append(clean(span.name, NAME_LIMIT), "bold")
    retries = span.event.get("retry_count")
    if is_number(retries) and retries > 0:
        label.append(f"  retry {tokens(retries)}", WARNING)
    if span.status != "completed":
        label.append("  ").append(clean(span.status, 20), STATUS_STYLES.get(span.status, ""))
    if span.failed and span.end is not None:
        label.append("  ").append(summary(span.end), ERROR)
    return label


def timeline_lines(forest: Forest, width: int, limit: int | None = None) -> Iterator[Text]:
    """The spans as bars over the time of the whole recording; an open span goes on to its end."""
    nodes = [(depth, node.span) for depth, node in _first(forest.walk(), limit)]
    known = [span for _, span in nodes if is_number(_began(span))]
    if not known:
        yield line(("no span here has a timestamp", DIM))
        return
    begin = min(_began(span) for span in known)
    end = max(max(_ended(span), _began(span)) for span in known)
    places = max(len(str(span.number)) for _, span in nodes)
    label_width = min(max((cell_len(_bar_label(*item).plain) for item in nodes), default=0), width * 2 // 5)
    took_width = max((len(_took(span)) for _, span in nodes), default=0)
    bars = max(width - places - label_width - took_width - 6, SHORTEST_BARS)
    header = f"{'n':>{places}}  {'span':<{label_width}}  "
    total = duration((end - begin) * 1000)
    yield line((header + "0" + total.rjust(bars - 1) + "  " + "took".rjust(took_width), DIM))
    for depth, span in nodes:
        row = Text(end="").append(f"{span.number:>{places}}  ", DIM)
        label = _bar_label(depth, span)
        label.truncate(label_width, overflow="ellipsis", pad=True)
        row.append_text(label).append("  ")
        row.append_text(_bar(span, begin, end, bars)).append("  ")
        row.append(_took(span).rjust(took_width), STATUS_STYLES.get(span.status, ""))
        row.rstrip()
        yield row


def _first(items: Iterable[tuple[int, Node]], limit: int | None) -> Iterator[tuple[int, Node]]:
    for place, item in enumerate(items):
        if limit is not None and place >= limit:
            return
        yield item


def _began(span: Span) -> float:
    """When a span began, in seconds; by its end where the start was never seen."""
    if span.started_at is not None:
        return span.started_at
    return span.ended_at - (span.duration_ms or 0) / 1000 if span.ended_at is not None else float("nan")


def _ended(span: Span) -> float:
    began = _began(span)
    return began + span.duration_ms / 1000 if span.duration_ms is not None else began


def _took(span: Span) -> str:
    return "open" if span.status == "open" else duration(span.duration_ms)


def _bar_label(depth: int, span: Span) -> Text:
    label = Text("  " * min(depth, GUIDE_LEVELS), end="")
    return label.append(clean(span.name or span.kind, NAME_LIMIT), COMPONENT_STYLES.get(span.component, ""))


def _bar(span: Span, begin: float, end: float, cells: int) -> Text:
    """A bar of half cells; at least one of them, so that nothing is lost."""
    if not is_number(_began(span)):
        return Text(" " * cells, end="")
    halves = 2 * cells
    scale = halves / (end - begin) if end > begin else 0
    first = min(int((_began(span) - begin) * scale), halves - 1)
    until = halves if span.status == "open" else int((_ended(span) - begin) * scale)
    last = min(max(until, first + 1), halves)
    drawn = []
    for cell in range(cells):
        left, right = first <= 2 * cell < last, first <= 2 * cell + 1 < last
        drawn.append(BAR if left and right else BAR_END if left else BAR_START if right else " ")
    style = ERROR if span.failed else COMPONENT_STYLES.get(span.component, "")
    return Text("".join(drawn), WARNING if span.status == "open" else style, end="")


def event_in_full(around: Context, width: int, started_at: float | None = None) -> Iterator[Text]:
    """Everything about one event: what and when, the spans around it, its neighbours, and its payloads."""
    place, event = around.number, around.event
    yield line((f"event {place}  ", DIM), title(event))
    yield from pairs(_envelope(around, started_at), width, indent="  ")
    yield from _error(event, width)
    if around.above:
        yield from _section("inside")
        for depth, (number_above, start) in enumerate(around.above):
            yield _one_line(number_above, start, width, depth)
    if around.before or around.after:
        yield from _section("beside")
        for beside, neighbour in around.before:
            yield _one_line(beside, neighbour, width)
        yield Text(end="").append(f"> {place:>5}  ", DIM).append("this event", HEADING)
        for beside, neighbour in around.after:
            yield _one_line(beside, neighbour, width)
    if around.inside:
        yield from _section(count(around.inside_total, "event") + " directly inside")
        for inner, inside in around.inside:
            yield _one_line(inner, inside, width)
        if around.inside_total > len(around.inside):
            yield line((f"  … {around.inside_total - len(around.inside):,} more", DIM))
    for label in ("inputs", "outputs", "metadata"):
        if event.get(label):
            yield from _section(label)
            yield from json_text(event[label], width, indent="  ")
    further = {key: value for key, value in event.items() if key not in FIELD_NAMES}
    if further:
        yield from _section("further fields")
        yield from json_text(further, width, indent="  ")
    if not around.complete:
        yield Text("", end="")
        yield line(("this recording is large: what stands far from this event was not looked at", DIM))


def _section(heading: str) -> Iterator[Text]:
    yield Text("", end="")
    yield Text(heading, HEADING, end="")


def _one_line(place: int, event: Event, width: int, depth: int = 0) -> Text:
    row = (
        Text(end="")
        .append(f"  {place:>5}  " + "  " * min(depth, GUIDE_LEVELS), DIM)
        .append_text(title(event))
    )
    for fact in facts(event):
        row.append("  ").append(fact)
    row.append("  ").append(summary(event), ERROR if status_style(event) == ERROR else DIM)
    row.rstrip()
    row.truncate(width, overflow="ellipsis")
    return row


def _envelope(around: Context, started_at: float | None) -> list[tuple[str, Text | str]]:
    event = around.event
    status = event.get("status")
    half = "its end" if str(event.get("event_type", "")).endswith("_start") else "its start"
    when = moment(event.get("timestamp"))
    since = offset(event.get("timestamp"), started_at)
    usage = event.get("usage")
    used = ", ".join(f"{clean(key, 40)} {tokens(amount)}" for key, amount in usage.items()) if usage else ""
    rows: list[tuple[str, Text | str]] = [
        ("status", text(status or "", STATUS_STYLES.get(str(status), ""))),
        ("when", f"{when} UTC  {since} s" if when and since else when),
        ("took", duration(event.get("duration_ms"))),
        ("tokens", f"{tokens(event.get('tokens_used'))}  {used}".strip()),
        ("cost", money(event.get("cost_estimate"))),
        ("memory", _with_unit(event.get("memory_usage_mb"), "MB")),
        ("CPU", duration(event.get("cpu_time_ms"))),
        ("retry", tokens(event.get("retry_count"))),
        ("call site", text(event.get("call_site") or "")),
        (half, f"event {around.other_half[0]}" if around.other_half else ""),
    ]
    plain = (
        "step_type",
        "thread",
        "task",
        "event_id",
        "parent_event_id",
        "seq",
        "execution_id",
        "session_id",
    )
    rows += [(key, text("" if event.get(key) is None else event[key], DIM, 200)) for key in plain]
    if event.get("depends_on"):
        rows.append(("depends_on", text(", ".join(map(str, event["depends_on"][:20])), DIM, 200)))
    return rows


def _with_unit(value: Any, unit: str) -> str:
    return f"{value:,.1f} {unit}" if is_number(value) else ""


def _error(event: Event, width: int) -> Iterator[Text]:
    """The failure and its traceback, with their own line ends."""
    if event.get("error") is None and not event.get("stack_trace"):
        return
    yield from _section("error")
    kind = event.get("error_type")
    message = clean(
        f"{kind}: {event.get('error', '')}" if kind else event.get("error", ""), 4000, multiline=True
    )
    for row in message.split("\n"):
        for start in range(0, max(len(row), 1), width - 2):
            yield Text("  " + row[start : start + width - 2], ERROR, end="")
    for row in clean(event.get("stack_trace") or "", 20_000, multiline=True).rstrip().split("\n"):
        if row:
            yield Text("  " + shorten(row, width - 2), DIM, end="")
