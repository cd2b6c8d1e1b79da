"""The commands of the session itself: bookmarks, answers in place of recorded ones, the transcript, and its end."""

from __future__ import annotations

import re
from typing import Final

from namel3ss_debug.errors import MockError, WrongUsageError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.replay.given.faults import parse_fault, write_fault
from namel3ss_debug.replay.given.mocks import parse_mock
from namel3ss_debug.replay.results import Detached, Message, MocksInForce, Quit, Rerun, Result, Save
from namel3ss_debug.replay.walking.commands.arguments import event_number, nothing, shown
from namel3ss_debug.replay.walking.commands.told import bookmarks
from namel3ss_debug.replay.walking.session import Session

MOST_BOOKMARKS: Final = 1000
_NAME: Final = re.compile(r"[^\W\d][\w.-]{0,59}")
_USAGE: Final = "bookmark NAME [N]"


def bookmark(session: Session, argument: str) -> Result:
    """Give an event a name; without one, the bookmarks."""
    walk, words = session.walk, argument.split()
    if not words:
        return bookmarks(session)
    name = words[0]
    if len(words) > 2:
        raise WrongUsageError(f"write {_USAGE}")
    if not _NAME.fullmatch(name) or name in ("start", "end"):
        raise WrongUsageError(
            f"{shown(name)} is no name for a bookmark; write a word of letters and digits, not start or end"
        )
    if name not in walk.bookmarks and len(walk.bookmarks) >= MOST_BOOKMARKS:
        raise WrongUsageError(f"{MOST_BOOKMARKS} bookmarks are set, which is the most")
    number = event_number(walk, words[1], _USAGE) if len(words) == 2 else walk.position
    walk.bookmarks[name] = number
    return Message(f"bookmark {name} at event {number}")


def mock(session: Session, argument: str) -> Result:
    """Give an answer in place of recorded ones; without one, those that are given."""
    mocks = session.walk.mocks
    if not argument:
        return MocksInForce(mocks.rows())
    given = parse_mock(argument)
    mocks.add(given)
    call = "" if given.nth is None else f", call {given.nth}"
    return Message(f"mock for {in_line(given.name)}{call}")


def fault(session: Session, argument: str) -> Result:
    """Let calls go wrong; without an argument, the answers and faults that are given."""
    mocks = session.walk.mocks
    if not argument:
        return MocksInForce(mocks.rows())
    given = parse_fault(argument)
    mocks.add(given)
    return Message(f"fault {in_line(write_fault(given))}")


def rerun(session: Session, argument: str) -> Result:
    """Run the program of the recording again, up to where the walk stands, with the answers and faults of the walk."""
    nothing(argument, "rerun")
    if session.walk.program is not None:
        raise WrongUsageError("rerun is for the walk through a recording; here a program runs already")
    if session.prepare is not None:
        session.prepared = session.prepare(session.walk.mocks.given)
    session.rerun = Rerun(max(session.walk.position, 1))
    return session.rerun


def unmock(session: Session, argument: str) -> Result:
    """Let the recorded answers stand again: those of a name, or all."""
    mocks = session.walk.mocks
    names = [row.name for row in mocks.rows()]
    removed = mocks.remove(argument)
    if not removed:
        there = f"; there are {', '.join(names)[:200]}" if names else "; 'mock NAME:JSON' gives one"
        name = f" for {in_line(argument)}" if argument else ""
        raise MockError(f"there is no mock{name}{nearest(argument, names) or there}")
    return Message(f"{removed} mock{'s' * (removed > 1)} taken back")


def save(session: Session, argument: str) -> Result:
    """Write down what the session has shown."""
    del session
    if not argument or "\0" in argument:
        raise WrongUsageError("save needs the name of a file, such as save session.txt")
    return Save(argument)


def detach(session: Session, argument: str) -> Result:
    """Let a live program run on by itself, and end the session."""
    nothing(argument, "detach")
    if not session.walk.live:
        ended = "a recording has none" if session.walk.program is None else "it has ended"
        raise WrongUsageError(f"detach lets a running program go, and {ended}; quit leaves")
    return Detached()


def leave(session: Session, argument: str) -> Result:
    """End the session."""
    del session
    nothing(argument, "quit")
    return Quit()
