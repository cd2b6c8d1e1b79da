"""Where two runs diverge, as a report: the first lasting difference, what the model read, whether they reconverge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.analysis.diff.differences import (
    ADDED,
    KINDS,
    MISSING,
    MODEL,
    ORDER,
    PATH,
    RETRY,
    Part,
    RunDifference,
)
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.conversations import message_sides
from namel3ss_debug.views.gists import gist, summary
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import bytes_text, count, duration, is_number, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    GOOD,
    WARNING,
    Piece,
    clean,
    console,
    piece,
)

if TYPE_CHECKING:
    from namel3ss_debug.analysis.diff.baselines import BaselineDiff
    from namel3ss_debug.analysis.diff.comparison import Diff, ModelReading, Side
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.wire.conversations import MessageChange
    from namel3ss_debug.wire.value_changes import PathChange

MOST_ROWS = 20
_MOST_PATHS = 8
_MOST_MESSAGES = 12
_MOST_LINES = 8
_LONGEST_LINE = 120
_DIGITS = re.compile(r"\d+")
_MEASURED = frozenset({"time", "memory"})
"""Figures that differ between any two runs by chance."""
_SIGNS = {"added": ("+", GOOD), "dropped": ("-", ERROR)}


def report(found: Diff, *, width: int | None = None, limit: int = MOST_ROWS) -> Iterator[Block]:
    """Yield the comparison of two runs.

    Args:
        found: what differs.
        width: the cells of a line, to which the messages of both sides are wrapped; None: they are not wrapped.
        limit: how many differences have a row.
    """
    kinds = ", ".join(f"{number} {kind}" for kind, number in found.kinds.items())
    if found.same:
        yield Heading("The runs are the same run", style=GOOD)
    else:
        yield Heading("The runs diverge", kinds, WARNING)
    yield _sides([("a", found.a), ("b", found.b)])
    if not found.payloads:
        yield Note("One holds no arguments and results: names, order and status are compared.")
    if found.reordered:
        yield Note(
            f"{count(found.reordered, 'call')} in another order, as they ran side by side: no difference."
        )
    yield from _problems((found.a, found.b))
    if found.first is not None:
        yield from _first(found.first, (found.read, found.read_next), width)
        yield _met(found)
        yield from _listed(found.differences, sum(found.kinds.values()), limit)
    yield from _taken([("a", found.a), ("b", found.b)])


def brief_report(found: Diff, *, limit: int = MOST_ROWS) -> Iterator[Block]:
    """Yield the first difference and a row for each, for a reader who knows the two runs; arguments as for `report`."""
    if found.first is not None:
        sides = ("trace", "now")
        yield from _first(found.first, (None, None), None, sides)
        yield from _listed(found.differences, sum(found.kinds.values()), limit, sides, "diff shows all.")


def describe_outcome(found: Diff) -> str:
    """Return what the program of the second run prints and how it ends, against the first, as a clause."""
    then, now = found.a.exit_status, found.b.exit_status
    ended = "it did not end" if now is None else f"it ends with status {now}"
    was = "" if then == now else f" (was {'open' if then is None else then})"
    lines = [each for each in found.differences if (each.component, each.event_type) == ("app", "output")]
    changes = [change for each in lines if each.detail for change in each.detail.paths]
    if not changes:
        return f"{ended}{was}, and prints the same"
    changes = [each for each in changes if each.path.startswith("$.stdout")] or changes
    # What a program prints last is its outcome, but a time or a duration there is none.
    worded = [each for each in changes if _DIGITS.sub("", str(each.old)) != _DIGITS.sub("", str(each.new))]
    change, more = (worded or changes[:1])[-1], len(changes) - 1
    old, new = (
        None if text is None else f'"{clean(str(text), _LONGEST_LINE)}"' for text in (change.old, change.new)
    )
    printed = f"prints {new}" + (f" (was {old})" if old else "") if new else f"no longer prints {old}"
    return f"{ended}{was}, and {printed}" + (f", and {count(more, 'other line')}" if more else "")


def baseline_report(
    found: BaselineDiff, *, width: int | None = None, limit: int = MOST_ROWS
) -> Iterator[Block]:
    """Yield the comparison of a failing run with passing ones; the arguments are those of `report`."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in found.kinds.items())
    if found.same:
        yield Heading("Nothing sets the failing run apart", style=GOOD)
    else:
        yield Heading("What sets the failing run apart", kinds, WARNING)
    yield _sides([*(("passing", side) for side in found.passing), ("failing", found.failing)])
    yield from _problems((*found.passing, found.failing))
    if found.first is not None:
        yield from _first(found.first, (found.read, found.read_next), width, ("passing", "failing"))
        yield from _listed(found.differences, sum(found.kinds.values()), limit, ("passing", "failing"))


def describe_difference(found: RunDifference) -> str:
    """Return what differs in a few words, without its kind."""
    differs = _differs(found)
    return differs if isinstance(differs, str) else differs.plain


def _sides(sides: Sequence[tuple[str, Side]]) -> Table:
    return Table(
        (Column(""), name("trace", 20), number("events"), name("program", 12)),
        [
            (label, piece(side.path, "", 400), tokens(side.events), piece(side.target or "", "", 200))
            for label, side in sides
        ],
    )


def _problems(sides: Iterable[Side]) -> Iterator[Block]:
    for side in sides:
        if side.problems:
            all_paths = count(side.problems, "place")
            yield Note(
                f"{side.path}: {all_paths} cannot be read, so something may be missing in the comparison."
            )


def _first(
    first: RunDifference,
    readings: tuple[ModelReading | None, ModelReading | None],
    width: int | None,
    sides: tuple[str, str] = ("a", "b"),
) -> Iterator[Block]:
    """Yield the first lasting difference, with both sides and the messages that the model had read."""
    title = "First lasting difference" if first.lasting else "First difference"
    yield Heading(title, "" if first.lasting else "the runs agree again after each")
    rows: list[tuple[str, Cell]] = [
        (first.kind, Piece(KINDS[first.kind], WARNING)),
        ("changed", ", ".join(part.name for part in first.detail.parts) if first.detail is not None else ""),
        ("inside", piece(" > ".join(first.where), "", 200)),
        ("attempts", _differs(first) if first.kind == RETRY else ""),
    ]
    events = first.detail.events if first.detail is not None else (None, None)
    for side, number_of, named, event in zip(
        sides, (first.number_a, first.number_b), (first.name_a, first.name_b), events, strict=True
    ):
        rows.append((side, _event(first, number_of, named, event)))
    yield Facts(rows)
    if first.detail is not None and first.detail.all_paths:
        yield _paths(first.detail.all_paths, sides)
    before = "What the model read" if first.component == "llm" else "What the model had read"
    for title, read in zip((before, "What the model read next"), readings, strict=True):
        if read is not None:
            yield from _reading(title, read, width, sides)


def _event(first: RunDifference, number_of: int | None, named: str | None, event: Event | None) -> Cell:
    """Return one side of a difference in a line: the event, where it was called, and its gist."""
    if number_of is None:
        return Piece("nothing", DIM)
    site = f", {short_site(event['call_site'])}" if event and event.get("call_site") else ""
    gist_of_event = summary(event) if event is not None else ""
    who = f"{first.component} {named}" if named else first.component or first.event_type
    return piece(f"event {number_of}, {who}{site}{': ' if gist_of_event else ''}{gist_of_event}", "", 400)


def _paths(changes: Sequence[PathChange], sides: tuple[str, str]) -> Table:
    rows: list[tuple[Cell, Cell, Cell, Cell]] = []
    for change in changes[:_MOST_PATHS]:
        sign, style = _SIGNS.get(change.kind, ("~", WARNING))
        old = "" if change.kind == "added" else gist(change.old)
        new = "" if change.kind == "dropped" else gist(change.new)
        rows.append(
            (Piece(sign, style), piece(change.path.removeprefix("$."), "", 200), Piece(old), Piece(new))
        )
    more = len(changes) - _MOST_PATHS
    if more > 0:
        rows.append((Piece(""), Piece(f"… {more} more", DIM), Piece(""), Piece("")))
    return Table((Column(""), name("where", 12), prose(sides[0], 16), prose(sides[1], 16)), rows)


def _reading(title: str, read: ModelReading, width: int | None, sides: tuple[str, str]) -> Iterator[Block]:
    where = f"event {read.number_a} in {sides[0]}, event {read.number_b} in {sides[1]}"
    yield Heading(title, where)
    if read.same:
        yield Note(f"The same {count(len(read.messages), 'message')} in both.")
        return
    yield Table((Column(""), Column(sides[0]), Column(sides[1])), list(_messages(read.messages, width)))


def _messages(changes: Sequence[MessageChange], width: int | None) -> Iterator[tuple[Cell, Cell, Cell]]:
    """Yield the messages of both sides in rows side by side; equal messages are one row."""
    room = None if width is None else max((width - 8) // 2, 16)
    shown = 0
    for same, run in groupby(changes, lambda change: change.kind == "same"):
        listed = list(run)
        if same:
            words = Piece(f"{count(len(listed), 'message')} the same", DIM)
            yield Piece(""), words, words
            continue
        for change in listed:
            shown += 1
            if shown > _MOST_MESSAGES:
                continue
            sign, style = _SIGNS.get(change.kind, ("~", WARNING))
            old, new = message_sides(change)
            for place, (left, right) in enumerate(zip_longest(_rows(old, room), _rows(new, room))):
                yield Piece("" if place else sign, style), left or Piece(""), right or Piece("")
    if shown > _MOST_MESSAGES:
        yield Piece(""), Piece(f"… {shown - _MOST_MESSAGES} more messages differ", DIM), Piece("")


def _rows(whole: Text, room: int | None) -> list[Text | Piece]:
    """Return a text in lines of so many cells; the last one says how much is left out."""
    if not whole.plain:
        return []
    if room is None:
        return [Piece(clean(whole.plain, 400))]
    rows = list(whole[: room * (_MOST_LINES + 1)].wrap(console(width=room), room, overflow="fold"))
    for row in rows:
        row.rstrip()
    kept: list[Text | Piece] = [*rows[:_MOST_LINES]]
    if len(rows) > _MOST_LINES:
        left = len(whole.plain) - sum(len(row.plain) for row in kept)
        kept.append(Piece(f"… {left:,} more characters", DIM))
    return kept


def _met(found: Diff) -> Heading:
    met = found.reconvergence
    if met is None:
        return Heading("They do not reconverge")
    place = f"event {met.number_a} in a, event {met.number_b} in b"
    to_the_end = ", to the end" if met.to_the_end else ""
    return Heading("They reconverge", f"{place}, for {count(met.in_a_row, 'step')}{to_the_end}")


def _listed(
    differences: Sequence[RunDifference],
    total: int,
    limit: int,
    sides: tuple[str, str] = ("a", "b"),
    more: str = "--limit N shows the first N.",
) -> Iterator[Block]:
    """Yield one row for each difference, and how many more there are, with the words that show them."""
    if total < 2:
        return
    passing = any(not each.lasting for each in differences[:limit])
    yield Heading(
        "Differences", "by event" + ("; the runs agree again after those in brackets" if passing else "")
    )
    yield Table(
        (number(sides[0]), number(sides[1]), Column("kind"), name("what", 12), prose("differs", 20)),
        [_row(each) for each in differences[:limit]],
    )
    if total > limit:
        yield Note(f"{total - limit:,} more; {more}")


def _row(found: RunDifference) -> tuple[Cell, ...]:
    """Return a difference as a row; in brackets where the runs agree again after it."""
    kind = found.kind if found.lasting else f"({found.kind})"
    style = COMPONENT_STYLES.get(found.component, "")
    return (
        "" if found.number_a is None else str(found.number_a),
        "" if found.number_b is None else str(found.number_b),
        Piece(kind, WARNING if found.lasting else DIM),
        piece(
            f"{found.component} {found.name}" if found.name else found.component or found.event_type,
            style,
            60,
        ),
        _differs(found),
    )


def _differs(found: RunDifference) -> Cell:
    """Describe the difference in a few words."""
    if found.kind == RETRY and found.attempts is not None:
        end = "recovered" if found.recovered else "did not recover"
        return f"{found.attempts[0]} -> {count(found.attempts[1], 'attempt')}, {end}"
    if found.kind == PATH and found.name_a != found.name_b:
        return _names(found)
    if found.carried_from is not None:
        return Piece(f"what differs since event {found.carried_from}", DIM)
    detail = found.detail
    if detail is None:
        return _names(found) if found.kind == MODEL and found.name_a != found.name_b else ""
    if found.kind in {ADDED, MISSING, ORDER}:
        event = detail.events[found.kind != MISSING]
        return "" if event is None else summary(event)
    if detail.parts:
        return "; ".join(_part_words(part, found) for part in detail.parts)
    return _path_words(detail.paths)


def _names(found: RunDifference) -> str:
    """Return the names that were called in the two runs."""
    return f"{found.name_a or 'nothing'} -> {found.name_b or 'nothing'}"


def _part_words(part: Part, found: RunDifference) -> str:
    """Describe the difference in one part of a request to a model."""
    if part.name == "model":
        return _names(found)
    if not part.messages:
        changes = [
            change._replace(path=change.path.removeprefix("$.params.").removeprefix("$.tools"))
            for change in part.paths
        ]
        return f"{part.name}: {_path_words(changes)}"
    kinds = ("changed", "truncated", "added", "dropped")
    numbers = {kind: sum(change.kind == kind for change in part.messages) for kind in kinds}
    counted = [f"{number} {kind}" for kind, number in numbers.items() if number]
    return f"{part.name}: {', '.join(counted)} of {len(part.messages)}"


def _path_words(changes: Sequence[PathChange]) -> str:
    if not changes:
        return ""
    first = changes[0]
    path = clean(first.path.removeprefix("$."), 60)
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    if first.kind == "changed":
        return f"{path} {gist(first.old, 40)} -> {gist(first.new, 40)}{more}"
    sign = _SIGNS[first.kind][0]
    return f"{sign} {path} {gist(first.new if first.kind == 'added' else first.old, 40)}{more}"


def _taken(sides: Sequence[tuple[str, Side]]) -> Iterator[Block]:
    """Yield the duration, tokens and cost of each run, and by how much the second differs."""
    yield Heading("What they took")
    (_, one), (_, other) = sides
    yield Table((Column(""), number("a"), number("b"), number("b - a")), compare_amounts(one, other))
    unpriced = [label for label, side in sides if side.unpriced]
    if unpriced:
        yield Note(f"Without the model calls of {' and '.join(unpriced)} whose price is not known.")


def compare_amounts(one: Side, other: Side) -> list[tuple[str, str, str, str]]:
    """Return what two runs took: each amount with its name, and by how much the second differs."""
    rows = [
        ("time", duration, one.duration_ms, other.duration_ms),
        ("tokens", tokens, one.tokens, other.tokens),
        ("cost", money, one.cost, other.cost),
        (
            "memory",
            lambda value: bytes_text(value * 1024 * 1024) if is_number(value) else "",
            one.memory_mb,
            other.memory_mb,
        ),
        ("model calls", tokens, one.model_calls, other.model_calls),
        ("tool calls", tokens, one.tool_calls, other.tool_calls),
        ("failed events", tokens, one.errors, other.errors),
        ("exit status", tokens, one.exit_status, other.exit_status),
    ]
    return [
        (label, shown(then), shown(now), _change(label, shown, then, now))
        for label, shown, then, now in rows
        if then is not None or now is not None
    ]


def _change(label: str, shown: Any, then: object, now: object) -> str:
    if label == "exit status" or not is_number(then) or not is_number(now):
        return ""
    if then == now and label not in _MEASURED:
        return ""
    change = now - then
    return f"{'+' if change > 0 else ''}{shown(change)}"
