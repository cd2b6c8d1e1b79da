"""`info`: what is set, what is open, and what the recording has come to at the current event."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.results import (
    BookmarkRow,
    Bookmarks,
    Breakpoints,
    Calls,
    Displays,
    Failures,
    Message,
    MocksInForce,
    OpenSpans,
    Result,
    TotalsSoFar,
)
from namel3ss_debug.replay.walking.commands.arguments import nothing, shown
from namel3ss_debug.replay.walking.commands.conversation import messages
from namel3ss_debug.replay.walking.session import Session

MOST_SPANS: Final = 1000
MOST_FAILURES: Final = 20
_ELSEWHERE: Final = {"args": "args", "locals": "args", "frame": "where", "stack": "where", "source": "source"}
"""What gdb tells by `info`, and by which command it is told here."""


def info(session: Session, argument: str) -> Result:
    """One of the topics, by its name or the beginning of it."""
    word, _, rest = argument.partition(" ")
    topic = next((name for name in TOPICS if word and name.startswith(word)), word)
    if topic not in TOPICS:
        usage = f"write info {'|'.join(TOPICS)}"
        if not topic:
            raise WrongUsageError(usage)
        meant = f"; did you mean {shown(_ELSEWHERE[topic])}?" if topic in _ELSEWHERE else ""
        hint = meant or nearest(topic, list(TOPICS)) or f"; {usage}"
        raise WrongUsageError(f"there is no info {shown(topic)}{hint}")
    if topic == "messages":
        return messages(session, rest.strip())
    nothing(rest.strip(), f"info {topic}")
    return TOPICS[topic](session)


def when(session: Session, argument: str) -> Result:
    """The number of the current event."""
    nothing(argument, "when")
    return Message(f"event {session.walk.position} of {session.walk.total}")


def bookmarks(session: Session) -> Result:
    """The events that have names."""
    walk = session.walk
    rows = sorted(walk.bookmarks.items(), key=lambda item: (item[1], item[0]))
    return Bookmarks(
        tuple(BookmarkRow(name, number, walk.event_at(number) if number else None) for name, number in rows)
    )


def _breakpoints(session: Session) -> Result:
    return Breakpoints(session.walk.rows())


def _spans(session: Session) -> Result:
    walk = session.walk
    starts = walk.outline.open_at(walk.position)
    frames = tuple(map(walk.history.frame, starts[-MOST_SPANS:]))
    return OpenSpans(frames, max(len(starts) - MOST_SPANS, 0))


def _messages(session: Session) -> Result:
    return messages(session, "")


def _tools(session: Session) -> Result:
    return Calls("tools", tuple(session.walk.history.calls_at(session.walk.position, "tool")))


def _cost(session: Session) -> Result:
    return Calls("cost", tuple(session.walk.history.calls_at(session.walk.position, "llm")))


def _errors(session: Session) -> Result:
    walk = session.walk
    failures = walk.outline.failures
    so_far = bisect_right(failures, walk.position)
    shown_ones = failures[max(so_far - MOST_FAILURES, 0) : so_far]
    rows = tuple((number, walk.event_at(number)) for number in shown_ones)
    return Failures(rows, so_far - len(rows))


def _totals(session: Session) -> Result:
    walk = session.walk
    totals = walk.state.totals
    return TotalsSoFar(
        walk.position, walk.total, totals.cost, totals.tokens, totals.errors, totals.ms, totals.unpriced
    )


def _display(session: Session) -> Result:
    return Displays(session.displayed())


def _mocks(session: Session) -> Result:
    return MocksInForce(session.walk.mocks.rows())


TOPICS: Final[dict[str, Callable[[Session], Result]]] = {
    "breakpoints": _breakpoints,
    "spans": _spans,
    "messages": _messages,
    "tools": _tools,
    "cost": _cost,
    "errors": _errors,
    "totals": _totals,
    "display": _display,
    "bookmarks": bookmarks,
    "mocks": _mocks,
}
"""What can be asked for."""
