"""The commands that move: forwards as in pdb, backwards as in gdb and rr, and to the next match of a search."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import compile_pattern
from namel3ss_debug.replay.debugger.event_texts import event_texts, located_texts
from namel3ss_debug.replay.debugger.locations import parse_location
from namel3ss_debug.replay.debugger.results import Result, SearchMatch
from namel3ss_debug.replay.debugger.session import (
    DebugSession,
    Search,
    parse_count,
    parse_event_number,
    parse_number,
    quote,
    refuse_argument,
)
from namel3ss_debug.traces.events import Event

_MOST_VALUES: Final = 20_000
_LONGEST: Final = 1000
_AROUND: Final = 200
"""How many characters are shown before and after a match."""

_REGEX: Final = re.compile(r"/(.+)/", re.DOTALL)
_BACKWARDS: Final = re.compile(r"\?(.+)\?", re.DOTALL)


def step(session: DebugSession, argument: str) -> Result:
    """Move to the next event, into spans."""
    return session.stepper.step(parse_count(argument))


def step_over(session: DebugSession, argument: str) -> Result:
    """Move to the next event at this level, past what happens inside spans."""
    return session.stepper.next(parse_count(argument), session.selected)


def finish(session: DebugSession, argument: str) -> Result:
    """Move to the end of the current span."""
    refuse_argument(argument, "return")
    return session.stepper.finish(session.selected)


def until(session: DebugSession, argument: str) -> Result:
    """Move forwards to an event, or to the next one that is not deeper inside."""
    stepper = session.stepper
    if not argument:
        return stepper.until(selected=session.selected)
    if session.find_event is not None:
        find, session.find_event = session.find_event, None
        return stepper.run_until(find)
    named = argument in stepper.bookmarks or argument in ("start", "end") or not stepper.live
    usage = "until, until N or until BOOKMARK"
    target = parse_event_number(stepper, argument, usage) if named else parse_number(argument, usage)
    if target <= stepper.position:
        raise WrongUsageError(
            f"event {target} is not after event {stepper.position}; goto {target} moves back to it"
        )
    return stepper.until(target)


def run_on(session: DebugSession, argument: str) -> Result:
    """Move forwards to the next breakpoint, or to the end."""
    refuse_argument(argument, "continue")
    return session.stepper.run()


def goto(session: DebugSession, argument: str) -> Result:
    """Move to an event without stopping on the way."""
    return session.stepper.go(parse_event_number(session.stepper, argument, "goto N, goto start or goto end"))


def restart(session: DebugSession, argument: str) -> Result:
    """Move before the first event."""
    refuse_argument(argument, "restart")
    return session.stepper.go(0)


def step_back(session: DebugSession, argument: str) -> Result:
    """Move to the event before, into spans."""
    return session.stepper.step(-parse_count(argument))


def step_back_over(session: DebugSession, argument: str) -> Result:
    """Move to the event before at this level, past what happened inside spans."""
    return session.stepper.next(-parse_count(argument), session.selected)


def finish_back(session: DebugSession, argument: str) -> Result:
    """Move to the start of the current span."""
    refuse_argument(argument, "reverse-finish")
    return session.stepper.finish_back(session.selected)


def run_back(session: DebugSession, argument: str) -> Result:
    """Move backwards to the breakpoint before, or to the start."""
    refuse_argument(argument, "reverse-continue")
    return session.stepper.run_back()


def search(session: DebugSession, argument: str) -> Result:
    """Move to the next event that holds a text; between question marks, to the one before, as in vi."""
    backwards = _BACKWARDS.fullmatch(argument)
    if backwards is not None:
        return _search(session, f"/{backwards[1]}/", back=True)
    return _search(session, argument, back=False)


def search_back(session: DebugSession, argument: str) -> Result:
    """Move to the latest event before this one that holds a text."""
    backwards = _BACKWARDS.fullmatch(argument)
    return _search(session, argument if backwards is None else f"/{backwards[1]}/", back=True)


def _search(session: DebugSession, text: str, *, back: bool) -> Result:
    """Move to the next event that holds the text, or that of the last search."""
    if text:
        session.search = _parse_search(text)
    wanted = session.search
    if wanted is None:
        raise WrongUsageError("search needs a text or a /regex/; after that, search alone goes on")
    stepper = session.stepper
    number = stepper.find(wanted.test, back=back)
    if not number:
        where = "before" if back else "after"
        raise WrongUsageError(f"no event {where} event {stepper.position} holds {quote(wanted.text)}")
    stopped = stepper.go(number, "search")
    return replace(stopped, found=None if stopped.event is None else _find_match(stopped.event, wanted))


def _parse_search(text: str) -> Search:
    if len(text) > _LONGEST:
        raise WrongUsageError(f"the text has {len(text)} characters; at most {_LONGEST} are searched for")
    pattern = _REGEX.fullmatch(text)
    if pattern is not None:
        return Search(text, parse_location(text).covers, compile_pattern(pattern[1]).span)
    folded = text.casefold()
    return Search(
        text,
        lambda event: any(folded in each.casefold() for each in event_texts(event, _MOST_VALUES)),
        lambda value: _find_folded(value, folded),
    )


def _find_folded(value: str, folded_text: str) -> tuple[int, int] | None:
    """Return where a value holds a casefolded text. Folding may lengthen what is before it: `ß` becomes `ss`."""
    folded = value.casefold()
    begin = folded.find(folded_text)
    if begin < 0:
        return None
    end = begin + len(folded_text)
    if len(folded) == len(value):
        return begin, end
    ends = list(accumulate(len(character.casefold()) for character in value))
    return bisect_right(ends, begin), bisect_left(ends, end) + 1


def _find_match(event: Event, wanted: Search) -> SearchMatch | None:
    """Return the first match in an event."""
    for path, value in located_texts(event, _MOST_VALUES):
        span = wanted.span(value)
        if span is not None:
            begin, end = span
            around = (value[max(begin - _AROUND, 0) : begin], value[begin : min(end, begin + _LONGEST)])
            return SearchMatch(path, *around, value[end : end + _AROUND])
    return None
