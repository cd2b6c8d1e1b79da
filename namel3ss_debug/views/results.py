"""The results of debugger commands, drawn as lines: one function for each kind of result, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rich.text import Text

from namel3ss_debug.replay import results
from namel3ss_debug.replay.results import Frame, Result
from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.cleaning import wrapped
from namel3ss_debug.views.conversations import change_lines, message_lines
from namel3ss_debug.views.events import event_line, is_mocked, recorded_lines, title
from namel3ss_debug.views.gists import gist
from namel3ss_debug.views.payloads import json_text
from namel3ss_debug.views.quantities import count, duration, money, tokens
from namel3ss_debug.views.sources import source_lines
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
)
from namel3ss_debug.views.usage import spent, unpriced

MARK = "-> "
PRINTED_LINES, PRETTY_LINES = 40, 20_000
WAITING_LINES = 12
NARROW = 60
"""Below this width a table of calls has no time and no tokens."""

OTHER_NAMES_CELLS = 12
_REASONS = {"end": "end of the recording", "interrupt": "interrupted"}
NAME_STYLE = COMPONENT_STYLES["llm"]


CostOf = Callable[[int], float | None]


def _not_known(_number: int) -> None:
    return None


class Look(NamedTuple):
    """The frame of a drawing: the cells a line may take, the timestamp that times are counted from, and costs.

    `cost_of` gives the cost in US dollars of the call that ends with the event of a number.
    """

    width: int
    started_at: float | None = None
    cost_of: CostOf = _not_known


def drawn(
    result: Result, width: int, started_at: float | None = None, cost_of: CostOf = _not_known
) -> Iterator[Text]:
    """A result as lines of at most `width` cells; see `Look`."""
    return DRAWINGS[type(result)](result, Look(width, started_at, cost_of))


def totals_lines(totals: results.TotalsSoFar, look: Look) -> Iterator[Text]:
    """The totals of the recording so far."""
    rows: list[tuple[str, Cell]] = [
        ("event", f"{totals.number:,} of {totals.total:,}"),
        ("time", duration(totals.ms)),
        ("tokens", tokens(totals.tokens)),
        ("cost", spent(totals.cost, totals.calls_without_price)),
        ("failures", Piece(tokens(totals.errors), ERROR if totals.errors else "")),
    ]
    yield from pairs(rows, look.width)


def _stopped(stop: results.Stopped, look: Look) -> Iterator[Text]:
    if stop.changed is not None:
        yield from _changed(stop, stop.changed, look.width)
    elif stop.breakpoint is not None:
        yield fitted([piece(f"breakpoint {stop.breakpoint}, {stop.place}", WARNING)], look.width)
    if stop.event is None:
        nothing = (
            "there is no event yet" if stop.waiting else f"before the first of {count(stop.total, 'event')}"
        )
        yield line((nothing, DIM))
    else:
        if stop.waiting:
            yield line(("waiting before this call", WARNING))
        yield _marked(stop.number, stop.event, look, current=True)
        for recorded in recorded_lines(stop.event, look.width - len(MARK)):
            yield Text(" " * len(MARK), end="").append_text(recorded)
        if stop.found is not None:
            yield from _found(stop.found, look.width)
        if stop.waiting:
            yield from _about_to_be_sent(stop.number, stop.event, look)
        if stop.reason in _REASONS:
            yield line((_REASONS[stop.reason], DIM))
    yield from _displayed(stop.displayed, look)


def _changed(stop: results.Stopped, changed: results.Changed, width: int) -> Iterator[Text]:
    """Which watch stopped the walk, and its values: on one line where they fit, else on one each."""
    head = f"watch {stop.breakpoint}, {clean(stop.place or '', 200)}"
    old, new = gist(changed.old), gist(changed.new)
    if cells(head) + cells(old) + cells(new) + 6 <= width:
        yield line((head, WARNING), f": {old} -> ", (new, HEADING))
        return
    yield fitted([Piece(head, WARNING)], width)
    yield fitted([Piece("  old  ", DIM), Piece(old)], width)
    yield fitted([Piece("  new  ", DIM), Piece(new, HEADING)], width)


def _found(found: results.Found, width: int) -> Iterator[Text]:
    """Where an event holds what was searched for: the path, and what was found with as much around it as fits."""
    indent, path = " " * len(MARK), clean(found.path)
    beside = cells(path) + 2 if cells(path) < width // 2 else 0
    room = width - len(MARK) - beside
    held = shorten(clean(found.text), room)
    before, after = clean(found.before), clean(found.after)
    left = room - cells(held)
    lead = max(left // 2, left - cells(after))  # room that one side does not need is for the other
    before = shorten(before, lead, tail=max(lead - 1, 0))
    around = [Piece(before), Piece(held, HEADING), Piece(shorten(after, left - cells(before)))]
    if not beside:
        yield from _words(path, width, indent)
    yield fitted([Piece(f"{indent}{path}  " if beside else indent, DIM), *around], width)


def _about_to_be_sent(number: int, event: Event, look: Look) -> Iterator[Text]:
    """What a call that has not been made yet is going to send."""
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
        yield from pairs(rows, look.width, indent="   ")
        yield from message_lines(messages, number, look.width, last=2, most=4, indent="   ")
    elif inputs:
        rows_of = json_text(inputs.get("arguments", inputs), look.width, indent="   ")
        yield from _cut(rows_of, WAITING_LINES, "   … cut here; pp inputs shows all of it", look.width)


def _displayed(rows: Iterable[results.Displayed], look: Look) -> Iterator[Text]:
    for row in rows:
        value = Piece(f"({clean(row.problem)})", DIM) if row.problem else Piece(gist(row.value))
        head = Piece(f"   {row.number}: {clean(row.expression, 200)} = ", DIM)
        yield fitted([head, value], look.width)


def _displays(found: results.Displays, look: Look) -> Iterator[Text]:
    if not found.rows:
        yield from _words("nothing is displayed; display EXPRESSION shows it at every stop", look.width)
    yield from _displayed(found.rows, look)


def _listing(listing: results.Listing, look: Look) -> Iterator[Text]:
    for place, event in listing.rows:
        yield _marked(place, event, look, current=place == listing.current)
    yield from _further(listing.left_out, "more", "more")
    if not listing.rows:
        yield line(("there are no events", DIM))


def _marked(place: int, event: Event, look: Look, *, current: bool) -> Text:
    note = "mocked" if is_mocked(event) else ""
    mark = Text(MARK if current else " " * len(MARK), HEADING, end="")
    row = event_line(
        place,
        event,
        width=look.width - len(MARK),
        started_at=look.started_at,
        note=note,
        cost=look.cost_of(place),
    )
    return Text(end="").append_text(mark).append_text(row)


def _stack(stack: results.Stack, look: Look) -> Iterator[Text]:
    own = bool(stack.frames) and stack.frames[-1].number == stack.current
    yield from _further(stack.left_out, "span further out", "spans further out")
    yield from _frames(stack.frames[:-1] if own else stack.frames, look.width, selected=stack.selected)
    if stack.event is not None:
        yield _marked(stack.current, stack.event, look, current=True)
    elif not stack.frames:
        yield line(("before the first event; no span is open", DIM))


def _further(number: int, noun: str, plural: str) -> Iterator[Text]:
    """A note on items that are not shown, if there are any."""
    if number:
        yield line((f"   … {count(number, noun, plural)}", DIM))


def _frames(
    frames: Iterable[Frame], width: int, *, nested: bool = True, selected: int | None = None
) -> Iterator[Text]:
    """Open spans, each further to the right than the one around it where they are nested."""
    for depth, frame in enumerate(frames):
        label = title(
            {"event_type": frame.event_type, "component": frame.component, "component_name": frame.name}
        )
        whole = Text(end="").append(">  " if depth == selected else "   ", HEADING)
        whole.append(f"{frame.number:>5}  " + "  " * min(depth, 10) * nested, DIM).append_text(label)
        whole.truncate(width, overflow="ellipsis")
        yield whole


def _open_spans(found: results.OpenSpans, look: Look) -> Iterator[Text]:
    if not found.frames:
        yield line(("no span is open here", DIM))
    yield from _further(found.left_out, "earlier span", "earlier spans")
    yield from _frames(found.frames, look.width, nested=False)


def _value(found: results.Value, look: Look) -> Iterator[Text]:
    most = PRETTY_LINES if found.pretty else PRINTED_LINES
    more = "" if found.pretty else f"; pp {clean(found.expression, 200)} shows all of it"
    yield from _cut(json_text(found.value, look.width), most, f"… cut here{more}", look.width)


def _cut(rows: Iterable[Text], most: int, told: str, width: int) -> Iterator[Text]:
    """The first lines, and a note on the others if there are any."""
    iterator = iter(rows)
    yield from islice(iterator, most)
    if next(iterator, None) is not None:
        yield fitted([Piece(told, DIM)], width)


def _breakpoints(found: results.Breakpoints, look: Look) -> Iterator[Text]:
    if not found.rows:
        yield from _words("no breakpoints; break PLACE sets one", look.width)
        return
    columns = (
        number("n"),
        prose("kind", 5),
        name("place", 34),
        prose("", 4),
        number("hits"),
        prose("does", 8),
    )
    rows = []
    for row in found.rows:
        notes = (
            "once" if row.temporary else "",
            "" if row.enabled else "off",
            f"passes {row.ignore:,} more" if row.ignore else "",
        )
        style = "" if row.enabled else DIM
        rows.append(
            (
                str(row.number),
                row.kind,
                piece(row.place, style, 400),
                piece(", ".join(filter(None, notes)), DIM),
                f"{row.hits:,}",
                piece(" ;; ".join(row.commands), DIM, 400),
            )
        )
    yield from table(columns, rows, look.width)


def _calls(found: results.Calls, look: Look) -> Iterator[Text]:
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
    narrow = look.width < NARROW
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
    yield from table(columns, rows, look.width)
    if of_models:
        lacking = {row.name: row.calls_without_price for row in found.rows if row.calls_without_price}
        for note in unpriced(sum(row.tokens for row in found.rows), lacking):
            yield from (
                Text(part, DIM, end="") for part in wrapped(clean(note.words), look.width, look.width)
            )


def _failures(found: results.Failures, look: Look) -> Iterator[Text]:
    if not found.rows:
        yield line(("nothing failed up to here", DIM))
    yield from _further(found.earlier, "earlier failure", "earlier failures")
    for place, event in found.rows:
        yield _marked(place, event, look, current=False)


def _bookmarks(found: results.Bookmarks, look: Look) -> Iterator[Text]:
    if not found.rows:
        yield from _words("no bookmarks; bookmark NAME sets one here", look.width)
        return
    columns = (name("name"), number("event"), prose("", 20))
    rows = [(row.name, str(row.number), title(row.event) if row.event else "") for row in found.rows]
    yield from table(columns, rows, look.width)


def _mocks(found: results.MocksInForce, look: Look) -> Iterator[Text]:
    if not found.rows:
        yield from _words("no mocks; mock NAME:JSON gives one", look.width)
        return
    columns = (name("name"), prose("call", 5), prose("answer", 20))
    rows = [
        (row.name, "all" if row.nth is None else f"{row.nth:,}", Piece(gist(row.answer)))
        for row in found.rows
    ]
    yield from table(columns, rows, look.width)


def _help(found: results.Help, look: Look) -> Iterator[Text]:
    if len(found.rows) == 1:
        yield from _help_on(found.rows[0], look.width)
        return
    first = max(cells(row.name) for row in found.rows) + 2
    second = max(cells(_short(row.aliases)) for row in found.rows) + 2
    if look.width < first + second + 24:  # the other names are the first to go on a narrow screen
        second = 0
    room = max(look.width - 2 - first - second, 12)
    group = ""
    for row in found.rows:
        if row.group != group:
            group = row.group
            yield Text(clean(group), HEADING, end="")
        others = _short(row.aliases) if second else ""
        words = wrapped(clean(row.help), room, room)
        yield line(
            "  ",
            (f"{row.name:<{first}}", NAME_STYLE),
            (f"{others:<{second}}" if second else "", DIM),
            words[0],
        )
        yield from (line(" " * (2 + first + second) + more) for more in words[1:])
    yield from _words("help COMMAND tells more; a blank line repeats; ;; joins commands", look.width)


def _words(told: str, width: int, indent: str = "") -> Iterator[Text]:
    """Dim words over as many lines as they need."""
    room = width - len(indent)
    return (Text(indent + row.rstrip(), DIM, end="") for row in wrapped(clean(told), room, room))


def _short(names: Sequence[str]) -> str:
    """The first other names of a command, as many as have room in the table."""
    shown = list(names)
    while len(shown) > 1 and cells(", ".join(shown)) > OTHER_NAMES_CELLS:
        shown.pop()
    return ", ".join(shown)


def _help_on(row: results.HelpRow, width: int) -> Iterator[Text]:
    for place, usage in enumerate(wrapped(clean(row.usage), width, width)):
        yield Text(usage if not place else f"    {usage}", HEADING, end="")
    for paragraph in (row.help, *row.more.splitlines()):
        yield from (
            line(f"  {words.rstrip()}")
            for words in wrapped(clean(paragraph, multiline=True), width - 2, width - 2)
        )
    if row.aliases:
        yield from _words(f"also: {', '.join(row.aliases)}", width, "  ")


def _source(found: results.Source, look: Look) -> Iterator[Text]:
    return source_lines(found, look.width)


def _messages(found: results.Messages, look: Look) -> Iterator[Text]:
    head = count(len(found.messages), "message")
    model = f" to {clean(found.model, 80)}" if found.model else ""
    yield fitted([Piece(head + model, HEADING), Piece(f", event {found.number}", DIM)], look.width)
    yield from message_lines(found.messages, found.number, look.width)
    if found.tools:
        offered = shorten(clean(", ".join(found.tools), 2000), look.width - 7)
        yield line(("tools  ", DIM), offered)


def _message_changes(found: results.MessageChanges, look: Look) -> Iterator[Text]:
    against = f"against the call at event {found.before}" if found.before is not None else "the first call"
    yield line((f"event {found.number}", HEADING), (f", {against}", DIM))
    yield from change_lines(found.changes, found.number, look.width)


def _message(found: results.Message, look: Look) -> Iterator[Text]:
    return (Text(row, end="") for row in wrapped(clean(found.text), look.width, look.width))


def _mistake(found: results.Mistake, look: Look) -> Iterator[Text]:
    del look  # one line, however long, so that it can be searched for and copied
    yield Text(clean(found.text), ERROR, end="")


def _detached(found: results.Detached, look: Look) -> Iterator[Text]:
    del found, look
    yield line("the program goes on by itself")


def _nothing(found: results.Save | results.Rerun | results.Quit, look: Look) -> Iterator[Text]:
    del found, look
    yield from ()


DRAWINGS: dict[type, Callable[[Any, Look], Iterator[Text]]] = {
    results.Stopped: _stopped,
    results.Listing: _listing,
    results.Stack: _stack,
    results.OpenSpans: _open_spans,
    results.Value: _value,
    results.Displays: _displays,
    results.Source: _source,
    results.Messages: _messages,
    results.MessageChanges: _message_changes,
    results.Calls: _calls,
    results.Failures: _failures,
    results.Bookmarks: _bookmarks,
    results.MocksInForce: _mocks,
    results.Breakpoints: _breakpoints,
    results.TotalsSoFar: totals_lines,
    results.Help: _help,
    results.Message: _message,
    results.Mistake: _mistake,
    results.Save: _nothing,
    results.Rerun: _nothing,
    results.Quit: _nothing,
    results.Detached: _detached,
}
"""Every kind of result and the function that draws it; a test holds it together with `results.Result`."""
