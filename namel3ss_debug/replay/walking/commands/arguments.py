"""How the words behind a command are read: numbers, events, nothing."""

from __future__ import annotations

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.walking.walk import Walk

_MOST_DIGITS = 15


def nothing(argument: str, name: str) -> None:
    """Refuse an argument where none is taken.

    Raises:
        WrongUsageError: there is one.
    """
    if argument:
        raise WrongUsageError(f"{name} takes no argument, not {shown(argument)}")


def count(argument: str) -> int:
    """How many times; once where nothing is said.

    Raises:
        WrongUsageError: it is no number from 1.
    """
    if not argument:
        return 1
    found = number(argument, "how many as a number from 1")
    if found < 1:
        raise WrongUsageError(f"{argument} times is not possible; write how many as a number from 1")
    return found


def number(word: str, usage: str) -> int:
    """A whole number from 0.

    Raises:
        WrongUsageError: it is none; the message says what to write.
    """
    if not (word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS):
        raise WrongUsageError(f"{shown(word)} is not a number; write {usage}" if word else f"write {usage}")
    return int(word)


def event_number(walk: Walk, word: str, usage: str) -> int:
    """The number of an event that the recording has: by number, `start`, `end`, or the name of a bookmark.

    Raises:
        WrongUsageError: there is no such event; where a program still runs, the message says how to come to it.
    """
    if not word:
        raise WrongUsageError(f"write {usage}")
    total = walk.total
    places = {"start": 0, "end": total} | walk.bookmarks
    if word in places:
        return places[word]
    if not (word.isascii() and word.isdecimal()):
        hint = nearest(word, list(places)) or f"; write {usage}"
        raise WrongUsageError(f"{shown(word)} is not a number or a bookmark{hint}")
    found = number(word, usage)
    if found <= total:
        return found
    if walk.live:
        raise WrongUsageError(
            f"event {found} has not happened yet; the program has come to event {total}, and until {found} lets it go on"
        )
    raise WrongUsageError(f"there is no event {found}; the recording has {total} events, numbered from 1")


def shown(word: str, most: int = 60) -> str:
    """A word of the user in quotes, cut where it is long."""
    return repr(word if len(word) <= most else f"{word[:most]}…")
