"""Describe what a run did again and again, at once, too often or not at all: one sentence for each kind of pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from namel3ss_debug.views.gists import call, gist
from namel3ss_debug.views.quantities import count, duration, is_number, tokens
from namel3ss_debug.views.usage import Section, event_numbers, operation

_MOST_EVENTS = 5
_PLURALS = {"retries": ("retried call",), "one way": ("one-way decision",),
            "polling": ("polling", "pollings"), "paging": ("paging", "pagings"), "parallel": ("parallel group",)}  # fmt: skip


def describe_counts(counts: Section) -> str:
    """Return how many there are of each kind: `2 loops, 1 retried call`."""
    return ", ".join(count(int(number), *_PLURALS.get(kind, (kind,))) for kind, number in counts.items())


def describe_pattern(found: Section) -> str:
    """Describe a pattern in a sentence."""
    return _DESCRIPTIONS.get(str(found.get("kind")), operation)(found)


def describe_events(found: Section) -> str:
    """Return the numbers of the first events of a pattern."""
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


_DESCRIPTIONS: Final[dict[str, Callable[[Section], str]]] = {
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
