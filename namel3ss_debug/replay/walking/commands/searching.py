"""`search` and `rsearch`: to the next event that holds a text, forwards or backwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.replay.recording.breakpoints import parse_place
from namel3ss_debug.replay.recording.texts import texts
from namel3ss_debug.replay.results import Result
from namel3ss_debug.replay.walking.commands.arguments import shown
from namel3ss_debug.replay.walking.session import Session, Sought
from namel3ss_debug.traces.events import Event

_MOST_VALUES: Final = 20_000
_LONGEST: Final = 1000
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
        session.sought = Sought(words, _test(words))
    sought = session.sought
    if sought is None:
        raise WrongUsageError("search needs a text or a /regex/; after that, search alone goes on")
    walk = session.walk
    found = walk.find(sought.test) if forwards else walk.find_back(sought.test)
    if not found:
        where = "after" if forwards else "before"
        raise WrongUsageError(f"no event {where} event {walk.position} holds {shown(sought.words)}")
    return walk.go(found, "search")


def _test(words: str) -> Callable[[Event], bool]:
    if len(words) > _LONGEST:
        raise WrongUsageError(f"the text has {len(words)} characters; at most {_LONGEST} are searched for")
    if _REGEX.fullmatch(words):
        return parse_place(words).covers
    text = words.casefold()
    return lambda event: any(text in each.casefold() for each in texts(event, _MOST_VALUES))
