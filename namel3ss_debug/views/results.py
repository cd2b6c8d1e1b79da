"""Draw the results of debugger commands as lines: one function for each kind of result, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rich.text import Text

from namel3ss_debug.replay.debugger import results
from namel3ss_debug.replay.debugger.results import CodeFrame, Frame, Result
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.source_files import SourceLines
from namel3ss_debug.views.cleaning import wrapped
from namel3ss_debug.views.conversations import change_lines, message_lines
from namel3ss_debug.views.events import event_line, is_mocked, recorded_lines, title
from namel3ss_debug.views.gists import gist
from namel3ss_debug.views.payloads import json_text
from namel3ss_debug.views.quantities import count, duration, money, tokens
from namel3ss_debug.views.source import source_lines
from namel3ss_debug.views.tables import Cell, name, number, pairs, prose, table
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    HEADING,
    WARNING,
    Piece,
    cells,
    clean,
    fitted,
    line,
    piece,
    shorten,
    wrapped_lines,
)
from namel3ss_debug.views.usage import spent, unpriced

MARK = "-> "
PRINTED_LINES, PRETTY_LINES = 40, 20_000
WAITING_LINES = 12
NARROW = 60
"""Below this width a table of calls has no time and no tokens."""

OTHER_NAMES_CELLS = 12
"""The theme of rich with the sixteen colours of the user's own terminal."""

_REASONS = {"end": "end of the trace", "interrupt": "interrupted"}
NAME_STYLE = COMPONENT_STYLES["llm"]


_OBJECT = frozenset({"$type", "fields"})

CostOf = Callable[[int], float | None]


def _unknown_cost(_number: int) -> None:
    return None


class DrawOptions(NamedTuple):
    """How results are drawn: the cells a line may take, the timestamp that times are counted from, and costs.

    `cost_of` gives the cost in US dollars of the call that ends with the event of a number.
    """

    width: int
    started_at: float | None = None
    cost_of: CostOf = _unknown_cost


def draw_result(
    result: Result, width: int, started_at: float | None = None, cost_of: CostOf = _unknown_cost
) -> Iterator[Text]:
    """Yield a result as lines of at most `width` cells; see `DrawOptions`."""
    return DRAWINGS[type(result)](result, DrawOptions(width, started_at, cost_of))


def draw_totals(totals: results.TotalsSoFar, options: DrawOptions) -> Iterator[Text]:
    """Yield the running totals."""
    rows: list[tuple[str, Cell]] = [
        ("event", f"{totals.number:,} of {totals.total:,}"),
        ("time", duration(totals.ms)),
        ("tokens", tokens(totals.tokens)),
        ("cost", spent(totals.cost, totals.calls_without_price)),
        ("failures", Piece(tokens(totals.errors), ERROR if totals.errors else "")),
    ]
    yield from pairs(rows, options.width)


def _stopped(stop: results.Stopped, options: DrawOptions) -> Iterator[Text]:
    if stop.changed is not None:
        yield from _draw_change(stop, stop.changed, options.width)
    elif stop.breakpoint is not None:
        yield fitted([piece(f"breakpoint {stop.breakpoint}, {stop.location}", WARNING)], options.width)
    if stop.event is None:
        nothing = (
            "there is no event yet" if stop.waiting else f"before the first of {count(stop.total, 'event')}"
        )
        yield line((nothing, DIM))
    else:
        if stop.waiting:
            yield line(("waiting before this call", WARNING))
        yield _draw_event(stop.number, stop.event, options, current=True)
        for recorded in recorded_lines(stop.event, options.width - len(MARK)):
            yield Text(" " * len(MARK), end="").append_text(recorded)
        if stop.found is not None:
            yield from _draw_match(stop.found, options.width)
        if stop.waiting:
            yield from _draw_pending_call(stop.number, stop.event, options)
        if stop.reason in _REASONS:
            yield line((_REASONS[stop.reason], DIM))
    yield from _displayed(stop.displayed, options)


def _draw_change(stop: results.Stopped, changed: results.ValueChange, width: int) -> Iterator[Text]:
    """Yield the watch that stopped, and its values: on one line if they fit, else on one each."""
    head = f"watch {stop.breakpoint}, {clean(stop.location or '', 200)}"
    old, new = gist(changed.old), gist(changed.new)
    if cells(head) + cells(old) + cells(new) + 6 <= width:
        yield line((head, WARNING), f": {old} -> ", (new, HEADING))
        return
    yield fitted([Piece(head, WARNING)], width)
    yield fitted([Piece("  old  ", DIM), Piece(old)], width)
    yield fitted([Piece("  new  ", DIM), Piece(new, HEADING)], width)


def _draw_match(found: results.SearchMatch, width: int) -> Iterator[Text]:
    """Yield the path of a match, and the match with as much text around it as fits."""
    indent, path = " " * len(MARK), clean(found.path)
    beside = cells(path) + 2 if cells(path) < width // 2 else 0
    room = width - len(MARK) - beside
    match = shorten(clean(found.text), room)
    before, after = clean(found.before), clean(found.after)
    left = room - cells(match)
    lead = max(left // 2, left - cells(after))  # a side gets the room that the other does not need
    before = shorten(before, lead, tail=max(lead - 1, 0))
    around = [Piece(before), Piece(match, HEADING), Piece(shorten(after, left - cells(before)))]
    if not beside:
        yield from _dim_lines(path, width, indent)
    yield fitted([Piece(f"{indent}{path}  " if beside else indent, DIM), *around], width)


def _draw_pending_call(event_number: int, event: Event, options: DrawOptions) -> Iterator[Text]:
    """Yield what a waiting call is going to send."""
    inputs = event.get("inputs")
    if not isinstance(inputs, dict):
        return
    messages = inputs.get("messages")
    if isinstance(messages, list):
        tools = inputs.get("tools")
        rows: list[tuple[str, Cell]] = [
            ("model", clean(inputs.get("model") or "", 100)),
            ("tools", count(len(tools), "tool") if isinstance(tools, list) and tools else ""),
            ("params", gist(inputs["params"]) if inputs.get("params") else ""),
        ]
        yield from pairs(rows, options.width, indent="   ")
        yield from message_lines(messages, event_number, options.width, last=2, most=4, indent="   ")
    elif inputs:
        rows_of = json_text(inputs.get("arguments", inputs), options.width, indent="   ")
        yield from _cut(rows_of, WAITING_LINES, "   … cut here; pp inputs shows all of it", options.width)


def _displayed(rows: Iterable[results.Displayed], options: DrawOptions) -> Iterator[Text]:
    for row in rows:
        value = Piece(f"({clean(row.problem)})", DIM) if row.problem else Piece(gist(row.value))
        head = Piece(f"   {row.number}: {clean(row.expression, 200)} = ", DIM)
        yield fitted([head, value], options.width)


def _displays(found: results.Displays, options: DrawOptions) -> Iterator[Text]:
    if not found.rows:
        yield from _dim_lines(
            "nothing is displayed; display EXPRESSION shows it at every stop", options.width
        )
    yield from _displayed(found.rows, options)


def _listing(listing: results.Listing, options: DrawOptions) -> Iterator[Text]:
    for event_number, event in listing.rows:
        yield _draw_event(event_number, event, options, current=event_number == listing.current)
    yield from _further(listing.left_out, "more", "more")
    if not listing.rows:
        yield line(("there are no events", DIM))


def _draw_event(event_number: int, event: Event, options: DrawOptions, *, current: bool) -> Text:
    note = "mocked" if is_mocked(event) else ""
    mark = Text(MARK if current else " " * len(MARK), HEADING, end="")
    row = event_line(
        event_number,
        event,
        width=options.width - len(MARK),
        started_at=options.started_at,
        note=note,
        cost=options.cost_of(event_number),
    )
    return Text(end="").append_text(mark).append_text(row)


def _stack(stack: results.Stack, options: DrawOptions) -> Iterator[Text]:
    own = bool(stack.frames) and stack.frames[-1].number == stack.current
    yield from _further(stack.left_out, "span further out", "spans further out")
    yield from _frames(stack.frames[:-1] if own else stack.frames, options.width, selected=stack.selected)
    if stack.event is not None:
        yield _draw_event(stack.current, stack.event, options, current=True)
    elif not stack.frames:
        yield line(("before the first event; no span is open", DIM))
    yield from _code_frames(stack.code, options.width)


def _code_frames(frames: Sequence[CodeFrame], width: int) -> Iterator[Text]:
    """Yield the Python stack below the spans, innermost last, each with the text of its line if that fits."""
    if not frames:
        return
    yield line(("   your code", HEADING))
    places = [shorten(clean(frame.at, 200), width // 3) for frame in frames]
    functions = [shorten(clean(frame.function, 200), width // 3) for frame in frames]
    left, middle = max(map(cells, places)) + 2, max(map(cells, functions)) + 2
    for frame, place, function in zip(frames, places, functions, strict=True):
        pieces = [
            Piece("   " + (MARK if frame is frames[-1] else " " * len(MARK)), HEADING),
            Piece(place + " " * (left - cells(place)), DIM),
            Piece(function + " " * (middle - cells(function)) * bool(frame.text)),
            Piece(clean(frame.text, 400), DIM),
        ]
        yield fitted(pieces, width)


def _further(left_out: int, noun: str, plural: str) -> Iterator[Text]:
    """Yield a note on items that are not shown, if there are any."""
    if left_out:
        yield line((f"   … {count(left_out, noun, plural)}", DIM))


def _frames(
    frames: Iterable[Frame], width: int, *, nested: bool = True, selected: int | None = None
) -> Iterator[Text]:
    """Yield open spans; nested ones are indented."""
    for depth, frame in enumerate(frames):
        label = title(
            {"event_type": frame.event_type, "component": frame.component, "component_name": frame.name}
        )
        whole = Text(end="").append(">  " if depth == selected else "   ", HEADING)
        whole.append(f"{frame.number:>5}  " + "  " * min(depth, 10) * nested, DIM).append_text(label)
        whole.truncate(width, overflow="ellipsis")
        yield whole


def _open_spans(found: results.OpenSpans, options: DrawOptions) -> Iterator[Text]:
    if not found.frames:
        yield line(("no span is open here", DIM))
    yield from _further(found.left_out, "earlier span", "earlier spans")
    yield from _frames(found.frames, options.width, nested=False)


def _value(found: results.Value, options: DrawOptions) -> Iterator[Text]:
    most = PRETTY_LINES if found.pretty else PRINTED_LINES
    more = "" if found.pretty else f"; pp {clean(found.expression, 200)} shows all of it"
    if found.frame is not None:
        yield fitted(
            [Piece(f"in {clean(found.frame.at)}, {clean(found.frame.function, 200)}", DIM)], options.width
        )
    yield from _cut(json_text(found.value, options.width), most, f"… cut here{more}", options.width)


def _locals(found: results.Locals, options: DrawOptions) -> Iterator[Text]:
    scope = f"{clean(found.scope, 200)} at event {found.number}" if found.scope else "variables"
    parts = [(Piece(scope, HEADING), found.values)]
    if found.module is not None:
        since = "" if found.module_number == found.number else ", not compared since"
        parts.append((Piece(f"its module at event {found.module_number}{since}", HEADING), found.module))
    for heading, values in parts:
        yield fitted([heading], options.width)
        yield from _cut(json_text(values, options.width), PRETTY_LINES, "… cut here", options.width)
    for note in found.notes:
        yield from _dim_lines(clean(note), options.width)


def _variables(found: results.FrameVariables, options: DrawOptions) -> Iterator[Text]:
    """Yield the variables of each frame, a line for each, innermost frame first as the callers follow."""
    for frame in found.frames:
        yield fitted(
            [Piece(clean(frame.at, 200), DIM), Piece(f"  {clean(frame.function, 200)}", HEADING)],
            options.width,
        )
        if not frame.values:
            yield line(("   no variables", DIM))
        for variable, value in (frame.values or {}).items():
            opened = variable == "self" and isinstance(value, dict) and value.keys() == _OBJECT
            fields = value["fields"] if opened else None
            if isinstance(fields, dict):
                yield fitted(
                    [Piece(f"   {clean(variable)} = "), Piece(clean(value["$type"]), DIM)], options.width
                )
                for attribute, item in fields.items():
                    yield _assignment(f"      .{clean(attribute)}", item, options.width)
            else:
                yield _assignment(f"   {clean(variable)}", value, options.width)


def _assignment(variable: str, value: Any, width: int) -> Text:
    return fitted([Piece(f"{variable} = "), Piece(gist(value))], width)


def _cut(rows: Iterable[Text], most: int, note: str, width: int) -> Iterator[Text]:
    """Yield the first lines, and a note on the others if there are any."""
    iterator = iter(rows)
    yield from islice(iterator, most)
    if next(iterator, None) is not None:
        yield fitted([Piece(note, DIM)], width)


def _breakpoints(found: results.Breakpoints, options: DrawOptions) -> Iterator[Text]:
    if not found.rows:
        yield from _dim_lines("no breakpoints; break LOCATION sets one", options.width)
        return
    columns = (
        number("n"),
        prose("kind", 5),
        name("location", 34),
        prose("", 4),
        number("hits"),
        prose("does", 8),
    )
    rows = []
    for row in found.rows:
        notes = (
            "once" if row.temporary else "",
            "" if row.enabled else "off",
            f"ignores {row.ignore:,} more" if row.ignore else "",
        )
        style = "" if row.enabled else DIM
        rows.append(
            (
                str(row.number),
                row.kind,
                piece(row.location, style, 400),
                piece(", ".join(filter(None, notes)), DIM),
                f"{row.hits:,}",
                piece(" ;; ".join(row.commands), DIM, 400),
            )
        )
    yield from table(columns, rows, options.width)


def _calls(found: results.CallTable, options: DrawOptions) -> Iterator[Text]:
    of_models = found.kind == "cost"
    if not found.rows:
        yield line((f"no {'model' if of_models else 'tool'} was called up to here", DIM))
        return
    columns = (
        name("model" if of_models else "tool"),
        number("calls"),
        number("failed"),
        number("time"),
        number("tokens"),
        number("cost"),
        number("latest"),
    )
    narrow = options.width < NARROW
    rows = [
        (
            row.name,
            f"{row.calls:,}",
            Piece(f"{row.failed:,}" if row.failed else "", ERROR),
            duration(row.total_ms) if row.total_ms and not narrow else "",
            tokens(row.tokens) if row.tokens and not narrow else "",
            money(row.cost),
            Piece(str(row.latest), DIM),
        )
        for row in found.rows
    ]
    yield from table(columns, rows, options.width)
    if of_models:
        lacking = {row.name: row.calls_without_price for row in found.rows if row.calls_without_price}
        for note in unpriced(sum(row.tokens for row in found.rows), lacking):
            yield from _dim_lines(note.words, options.width)


def _failures(found: results.Failures, options: DrawOptions) -> Iterator[Text]:
    if not found.rows:
        yield line(("nothing failed up to here", DIM))
    yield from _further(found.earlier, "earlier failure", "earlier failures")
    for event_number, event in found.rows:
        yield _draw_event(event_number, event, options, current=False)


def _bookmarks(found: results.Bookmarks, options: DrawOptions) -> Iterator[Text]:
    if not found.rows:
        yield from _dim_lines("no bookmarks; bookmark NAME sets one here", options.width)
        return
    columns = (name("name"), number("event"), prose("", 20))
    rows = [(row.name, str(row.number), title(row.event) if row.event else "") for row in found.rows]
    yield from table(columns, rows, options.width)


def _mocks(found: results.MocksInForce, options: DrawOptions) -> Iterator[Text]:
    if not found.rows:
        yield from _dim_lines("no mocks; mock NAME:JSON sets one", options.width)
        return
    columns = (name("name"), prose("call", 5), prose("answer", 20))
    rows = [
        (row.name, "all" if row.nth is None else f"{row.nth:,}", Piece(gist(row.answer)))
        for row in found.rows
    ]
    yield from table(columns, rows, options.width)


def _help(found: results.Help, options: DrawOptions) -> Iterator[Text]:
    if len(found.rows) == 1:
        yield from _help_on(found.rows[0], options.width)
        return
    first = max(cells(row.name) for row in found.rows) + 2
    second = max(cells(_short(row.aliases)) for row in found.rows) + 2
    if options.width < first + second + 24:  # a narrow screen has no room for the aliases
        second = 0
    room = max(options.width - 2 - first - second, 12)
    group = ""
    for row in found.rows:
        if row.group != group:
            group = row.group
            yield Text(clean(group), HEADING, end="")
        others = _short(row.aliases) if second else ""
        head = line(
            "  ", (f"{row.name:<{first}}", NAME_STYLE), (f"{others:<{second}}" if second else "", DIM)
        )
        for words in wrapped(clean(row.help), room, room):
            yield head.append(words)
            head = Text(" " * (2 + first + second), end="")
    yield from _dim_lines(
        "help COMMAND shows more; a blank line repeats; ;; separates commands", options.width
    )


def _dim_lines(message: str, width: int, indent: str = "") -> Iterator[Text]:
    """Yield a message as dim lines."""
    return wrapped_lines(clean(message), width, DIM, first=indent, further=indent)


def _short(names: Sequence[str]) -> str:
    """Return the first aliases of a command, as many as fit in the table."""
    shown = list(names)
    while len(shown) > 1 and cells(", ".join(shown)) > OTHER_NAMES_CELLS:
        shown.pop()
    return ", ".join(shown)


def _help_on(row: results.HelpRow, width: int) -> Iterator[Text]:
    yield from wrapped_lines(clean(row.usage), width, HEADING, further="    ")
    for paragraph in (row.help, *row.more.splitlines()):
        yield from wrapped_lines(clean(paragraph), width, first="  ", further="  ")
    if row.aliases:
        yield from _dim_lines(f"also: {', '.join(row.aliases)}", width, "  ")


def _source(source: SourceLines, options: DrawOptions) -> Iterator[Text]:
    return source_lines(source, options.width)


def _messages(found: results.Messages, options: DrawOptions) -> Iterator[Text]:
    head = count(len(found.messages), "message")
    model = f" to {clean(found.model, 80)}" if found.model else ""
    yield fitted([Piece(head + model, HEADING), Piece(f", event {found.number}", DIM)], options.width)
    yield from message_lines(found.messages, found.number, options.width)
    if found.tools:
        offered = shorten(clean(", ".join(found.tools), 2000), options.width - 7)
        yield line(("tools  ", DIM), offered)


def _message_changes(found: results.MessageChanges, options: DrawOptions) -> Iterator[Text]:
    against = f"against the call at event {found.before}" if found.before is not None else "the first call"
    yield line((f"event {found.number}", HEADING), (f", {against}", DIM))
    yield from change_lines(found.changes, found.number, options.width)


def _message(found: results.Message, options: DrawOptions) -> Iterator[Text]:
    return wrapped_lines(clean(found.text), options.width)


def _mistake(found: results.Mistake, options: DrawOptions) -> Iterator[Text]:
    del options  # one line, however long, so that it can be searched for and copied
    yield Text(clean(found.text), ERROR, end="")


def _detached(found: results.Detached, options: DrawOptions) -> Iterator[Text]:
    del found, options
    yield line("the program runs on by itself")


def _nothing(found: results.Save | results.Rerun | results.Quit, options: DrawOptions) -> Iterator[Text]:
    del found, options
    yield from ()


DRAWINGS: dict[type, Callable[[Any, DrawOptions], Iterator[Text]]] = {
    results.Stopped: _stopped,
    results.Listing: _listing,
    results.Stack: _stack,
    results.OpenSpans: _open_spans,
    results.Value: _value,
    results.Locals: _locals,
    results.FrameVariables: _variables,
    results.Displays: _displays,
    SourceLines: _source,
    results.Messages: _messages,
    results.MessageChanges: _message_changes,
    results.CallTable: _calls,
    results.Failures: _failures,
    results.Bookmarks: _bookmarks,
    results.MocksInForce: _mocks,
    results.Breakpoints: _breakpoints,
    results.TotalsSoFar: draw_totals,
    results.Help: _help,
    results.Message: _message,
    results.Mistake: _mistake,
    results.Save: _nothing,
    results.Rerun: _nothing,
    results.Quit: _nothing,
    results.Detached: _detached,
}
"""Kind of result -> the function that draws it; a test compares it with `results.Result`."""
