"""`search` and `rsearch`: to the next event that holds a text, forwards or backwards."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import compile_pattern
from namel3ss_debug.replay.recording.breakpoints import parse_place
from namel3ss_debug.replay.recording.texts import located, texts
from namel3ss_debug.replay.results import Found, Result
from namel3ss_debug.replay.walking.commands.arguments import shown
from namel3ss_debug.replay.walking.session import Session, Sought
from namel3ss_debug.traces.events import Event

_MOST_VALUES: Final = 20_000
_LONGEST: Final = 1000
_AROUND: Final = 200
"""How many characters are told before and behind what was found."""

_REGEX: Final = re.compile(r"/(.+)/", re.DOTALL)
_BACKWARDS: Final = re.compile(r"\?(.+)\?", re.DOTALL)


def search(session: Session, argument: str) -> Result:
    """To the next event that holds it; written between question marks, backwards, as in vi."""
    backwards = _BACKWARDS.fullmatch(argument)
    if backwards is not None:
        return _search(session, f"/{backwards[1]}/", forwards=False)
    return _search(session, argument, forwards=True)


def search_back(session: Session, argument: str) -> Result:
    """To the latest event before this one that holds it."""
    backwards = _BACKWARDS.fullmatch(argument)
    return _search(session, argument if backwards is None else f"/{backwards[1]}/", forwards=False)


def _search(session: Session, words: str, *, forwards: bool) -> Result:
    """Go to the next event that holds the words, or those of the last search."""
    if words:
        session.sought = _sought(words)
    sought = session.sought
    if sought is None:
        raise WrongUsageError("search needs a text or a /regex/; after that, search alone goes on")
    walk = session.walk
    found = walk.find(sought.test) if forwards else walk.find_back(sought.test)
    if not found:
        where = "after" if forwards else "before"
        raise WrongUsageError(f"no event {where} event {walk.position} holds {shown(sought.words)}")
    stopped = walk.go(found, "search")
    return replace(stopped, found=None if stopped.event is None else _where(stopped.event, sought))


def _sought(words: str) -> Sought:
    if len(words) > _LONGEST:
        raise WrongUsageError(f"the text has {len(words)} characters; at most {_LONGEST} are searched for")
    pattern = _REGEX.fullmatch(words)
    if pattern is not None:
        test = parse_place(words).covers
        return Sought(words, test, compile_pattern(pattern[1]).span)
    text = words.casefold()
    return Sought(
        words,
        lambda event: any(text in each.casefold() for each in texts(event, _MOST_VALUES)),
        lambda value: _span(value, text),
    )


def _span(value: str, text: str) -> tuple[int, int] | None:
    """Where a value holds a folded text; folding may lengthen what stands before it."""
    folded = value.casefold()
    begin = folded.find(text)
    if begin < 0:
        return None
    end = begin + len(text)
    if len(folded) == len(value):
        return begin, end
    ends = list(accumulate(len(character.casefold()) for character in value))
    return bisect_right(ends, begin), bisect_left(ends, end) + 1


def _where(event: Event, sought: Sought) -> Found | None:
    """The first place in an event that holds what was sought."""
    for path, value in located(event, _MOST_VALUES):
        span = sought.span(value)
        if span is not None:
            begin, end = span
            around = (value[max(begin - _AROUND, 0) : begin], value[begin : min(end, begin + _LONGEST)])
            return Found(path, *around, value[end : end + _AROUND])
    return None
