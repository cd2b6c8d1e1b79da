"""What a run did again and again, at once, too often or not at all, as a report: problems first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from namel3ss_debug.views.blocks import Block, Heading, Note, Table
from namel3ss_debug.views.gists import call, gist
from namel3ss_debug.views.quantities import count, duration, is_number, milliseconds, money, tokens
from namel3ss_debug.views.tables import Cell, Column, number, prose
from namel3ss_debug.views.terminal import DIM, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section, event_numbers, more, operation

_TROUBLE = frozenset({"loop", "retries", "stall", "one way"})
_MOST_EVENTS = 5
_MOST_OF_KIND = 3


def troubles(section: Section) -> Iterator[Block]:
    """Yield the patterns whose cost brought nothing."""
    found, counts = _of(section, trouble=True)
    if found:
        yield Heading(_counted(counts), style=WARNING)
        yield _table(found)
        yield from more(sum(counts.values()), len(found[:SHOWN]))


def patterns(section: Section, *, alone: bool = False) -> Iterator[Block]:
    """Yield the patterns that cost nothing.

    Args:
        section: the section of the document.
        alone: whether the report is about patterns only, so that it says if none were found.
    """
    found, counts = _of(section, trouble=False)
    if found:
        shown = _mixed(found)
        yield Heading("Patterns", _counted(counts))
        yield _table(shown)
        yield from more(sum(counts.values()), len(shown))
    elif alone and not section.get("found"):
        yield Heading("Patterns", "none were found")
    if section.get("spans_left_out") and (section.get("found") or alone):
        looked_at, left_out = tokens(section.get("spans")), tokens(section["spans_left_out"])
        yield Note(f"patterns: only the first {looked_at} spans were looked at, {left_out} were not")


def _of(section: Section, *, trouble: bool) -> tuple[list[Section], dict[str, int]]:
    """Return the patterns of one sort, and the number of each kind."""
    found = [each for each in section.get("found") or [] if (each.get("kind") in _TROUBLE) == trouble]
    counts = section.get("counts") or {}
    return found, {kind: int(number) for kind, number in counts.items() if (kind in _TROUBLE) == trouble}


_PLURALS = {"retries": ("retried call",), "one way": ("one-way decision",),
            "polling": ("polling", "pollings"), "paging": ("paging", "pagings"), "parallel": ("parallel group",)}  # fmt: skip


def _counted(counts: Section) -> str:
    """Return how many there are of each kind: `2 loops, 1 retried call`."""
    return ", ".join(count(int(number), *_PLURALS.get(kind, (kind,))) for kind, number in counts.items())


def _mixed(found: Sequence[Section]) -> list[Section]:
    """Return the first of each kind, then the second of each, until there are enough, in the order of the kinds."""
    seen: dict[str, int] = {}
    ranked = []
    for place, each in enumerate(found):
        kind = str(each.get("kind"))
        ranked.append((seen.get(kind, 0), place))
        seen[kind] = seen.get(kind, 0) + 1
    first = [place for before, place in sorted(ranked) if before < _MOST_OF_KIND]
    return [found[place] for place in sorted(first[:SHOWN])]


def _table(found: Sequence[Section]) -> Table:
    rows = []
    for each in found[:SHOWN]:
        cost = each.get("cost") or {}
        described = _WORDS.get(str(each.get("kind")), operation)(each)
        rows.append(
            (
                text(described, limit=200),
                milliseconds(cost.get("ms")) if cost.get("ms") else "",
                tokens(cost.get("tokens")) if cost.get("tokens") else "",
                money(cost.get("usd")),
                text(_events(each), DIM, 60),
            )
        )
    columns = (
        prose("what", 24),
        number("ms"),
        number("tokens"),
        number("cost"),
        Column("events", least=8),
    )
    return Table(columns, rows)


def _events(found: Section) -> str:
    if found.get("kind") == "stall":
        return f"{found.get('after')} {found.get('until')}"
    return event_numbers(found.get("numbers"), _MOST_EVENTS)


def _called(found: Section) -> str:
    """Return a call as `search(query="x")`, an operation without arguments by its component and name."""
    arguments = found.get("arguments")
    if found.get("component") == "tool" and isinstance(arguments, dict):
        return call(found.get("component_name"), arguments, 60)
    return operation(found)


def _loop(found: Section) -> str:
    rounds, form = found.get("rounds"), found.get("form")
    if form == "growth":
        low, high = found.get("messages") or ("", "")
        return f"{operation(found)} said the same {rounds} times, given {low} to {high} messages"
    if form == "same call":
        answer = "answer" if found.get("component") == "llm" else "result"
        return f"{_called(found)} {rounds} times with the same {answer}"
    turns = found.get("between") or []
    return f"{rounds} rounds of {' and '.join(map(_called, turns[:3]))}"


def _retries(found: Section) -> str:
    ended = {"completed": "until it worked", "failed": "all failed"}.get(
        str(found.get("outcome")), "one open"
    )
    return f"{_called(found)} {tokens(found.get('count'))} attempts, {ended}"


def _stall(found: Section) -> str:
    where = "waiting for" if found.get("running") else "nothing happened inside"
    return f"{where} {operation(found)}"


def _one_way(found: Section) -> str:
    chosen = gist(found.get("chosen"), 40) if found.get("chosen") is not None else "the same"
    return f"{found.get('component_name') or operation(found)} chose {chosen} all {tokens(found.get('count'))} times"


def _polling(found: Section) -> str:
    until = "until its result changed" if found.get("changed") else "and was instructed to wait"
    return f"{_called(found)} asked {tokens(found.get('count'))} times {until}"


def _paging(found: Section) -> str:
    return f"{_called(found)}, {tokens(found.get('count'))} pages by {found.get('by')}"


def _burst(found: Section) -> str:
    rate = found.get("per_second")
    against = f", {rate:,.4g} a second against {found.get('per_second_of_run')}" if is_number(rate) else ""
    return f"{tokens(found.get('count'))} calls in {duration(found.get('lasted_ms'))}{against}"


def _parallel(found: Section) -> str:
    made = found.get("operations") or []
    of = ", ".join(f"{operation(each)}" for each in made[:3])
    groups = found.get("groups") or 1
    times = f", {tokens(groups)} times" if is_number(groups) and groups > 1 else ""
    made, most = found.get("count"), found.get("at_once")
    fewer = is_number(most) and most != made
    what = f"{tokens(made)} of {of}, {tokens(most)} at once" if fewer else f"{tokens(made)} at once of {of}"
    return f"{what}{times}, saved {duration(found.get('saved_ms'))}"


def _sequence(found: Section) -> str:
    steps = ", ".join(map(operation, found.get("operations") or []))
    return f"{steps}: {tokens(found.get('count'))} times"


_WORDS: dict[str, Callable[[Section], Cell | str]] = {
    "loop": _loop,
    "retries": _retries,
    "stall": _stall,
    "one way": _one_way,
    "polling": _polling,
    "burst": _burst,
    "paging": _paging,
    "parallel": _parallel,
    "sequence": _sequence,
}
