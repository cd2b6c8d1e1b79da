"""The commands that look at the current event, or at the span that `up` and `down` chose."""

from __future__ import annotations

import re
from typing import Any

from namel3ss_debug.errors import ExpressionError, WrongUsageError
from namel3ss_debug.expressions import NAMES, Expression, compile_expression, nearest
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.replay.results import Displays, Listing, Message, Result, Value
from namel3ss_debug.replay.walking.commands.arguments import count, event_number, nothing, number, shown
from namel3ss_debug.replay.walking.session import Session
from namel3ss_debug.traces.events import Event

LISTED = 11
MOST_LISTED = 1000
LONGLIST_EACH_WAY = 100
_SCANNED_EACH_WAY = 10_000

_LIST_USAGE = "list, list . or list N or list FIRST, LAST"
_NAME = re.compile(r"[^\W\d]\w{0,99}")
_FAILURE = ("status", "error", "error_type")


def where(session: Session, argument: str) -> Result:
    """The spans around the current event."""
    nothing(argument, "where")
    return session.stack()


def up(session: Session, argument: str) -> Result:
    """Choose a span further out."""
    spans, at = _chosen(session)
    outer = min(at + count(argument), len(spans) - 1)
    if outer <= at:
        raise WrongUsageError("this is the outermost; there is no span around it")
    session.selected = spans[outer]
    session.listed = 0
    return session.stack()


def down(session: Session, argument: str) -> Result:
    """Choose a span further in, at last the current event itself."""
    spans, at = _chosen(session)
    inner = at - count(argument)
    if at < 0:
        raise WrongUsageError("this is the innermost, the current event itself")
    session.selected = spans[inner] if inner >= 0 else 0
    session.listed = 0
    return session.stack()


def list_events(session: Session, argument: str) -> Result:
    """Some events around here, or going on from those listed before."""
    walk, words = session.walk, argument.replace(",", " ").split()
    if len(words) > 2:
        raise WrongUsageError(f"write {_LIST_USAGE}")
    if words == ["."] or not (words or session.listed):
        first = session.looked_at - LISTED // 2
    elif not words:
        first = session.listed + 1
    elif len(words) == 1:
        first = event_number(walk, words[0], _LIST_USAGE) - LISTED // 2
    else:
        first = number(words[0], _LIST_USAGE)
    first = max(first, 1)
    last = first + LISTED - 1
    if len(words) == 2:
        last = number(words[1], _LIST_USAGE)
        last = first + last if last < first else last  # as in pdb, a smaller number is how many
        last = min(last, first + MOST_LISTED - 1)
    if not words and first > walk.total > 0:
        raise WrongUsageError("the end of the recording is listed; 'list .' begins again around here")
    rows = walk.around(first, last)
    session.listed = rows[-1][0] if rows else session.listed
    return Listing(rows, session.looked_at)


def longlist(session: Session, argument: str) -> Result:
    """All that happened inside the current span; of a long one the part around here."""
    nothing(argument, "longlist")
    walk, outline = session.walk, session.walk.outline
    middle, span = session.looked_at, session.selected or walk.span()
    first, last = span or 1, (outline.end(span) if span else 0) or walk.total
    low, high = max(first, middle - _SCANNED_EACH_WAY), min(last, middle + _SCANNED_EACH_WAY)
    known = {0: not span, span: True}

    def belongs(place: int) -> bool:
        """Whether an event is inside the span; the spans between are remembered."""
        passed, around = [], place
        while around not in known:
            passed.append(around)
            around = outline.enclosing(around)
        known.update(dict.fromkeys(passed, known[around]))
        return known[around]

    before = [place for place in range(middle - 1, low - 1, -1) if belongs(place)]
    after = [place for place in range(max(middle, first), high + 1) if belongs(place)]
    shown_before, shown_after = before[:LONGLIST_EACH_WAY], after[: LONGLIST_EACH_WAY + 1]
    left_out = len(before) + len(after) - len(shown_before) - len(shown_after) + (low - first) + (last - high)
    places = [*reversed(shown_before), *shown_after]
    events = dict(walk.around(places[0], places[-1])) if places else {}
    return Listing(tuple((place, events[place]) for place in places), middle, left_out)


def arguments(session: Session, argument: str) -> Result:
    """The inputs of the event, or of the span it is in."""
    nothing(argument, "args")
    at, event = _event(session)
    own = own_span(session)
    if event.get("inputs") is None and own:
        at, event = own, session.walk.event_at(own)
    return Value("inputs", event.get("inputs"), pretty=True, number=at)


def returned(session: Session, argument: str) -> Result:
    """The outputs of the event, or of the span it is in; of one that failed, how."""
    nothing(argument, "retval")
    at, event = _event(session)
    ended = event["event_type"][-4:] == "_end"
    if not ended and (session.selected or event.get("outputs") is None):
        own = own_span(session)
        end = session.walk.outline.end(own) if own else 0
        if not end:
            raise WrongUsageError(
                f"the span of event {own} has not ended in this recording" if own else "no span is open here"
            )
        at, event = end, session.walk.event_at(end)
    if event.get("outputs") is None and "error" in event:
        return Value(
            "error", {name: event[name] for name in _FAILURE if name in event}, pretty=True, number=at
        )
    return Value("outputs", event.get("outputs"), pretty=True, number=at)


def print_value(session: Session, argument: str) -> Result:
    """The value of an expression."""
    expression = _expression(argument, "print")
    return Value(argument, session.value(expression), number=session.looked_at)


def print_pretty(session: Session, argument: str) -> Result:
    """The value of an expression over several lines."""
    expression = _expression(argument, "pp")
    return Value(argument, session.value(expression), pretty=True, number=session.looked_at)


def inspect(session: Session, argument: str) -> Result:
    """The value of a recorded variable or of an expression, over several lines."""
    walk = session.walk
    if argument not in NAMES and argument in walk.state.changed:
        value = walk.variables(walk.state.changed)[argument]
        return Value(f"state.{argument}", value, pretty=True, number=walk.state.changed[argument])
    try:
        expression = _expression(argument, "inspect")
    except ExpressionError:
        if not _NAME.fullmatch(argument):
            raise
        told = list(walk.state.changed)
        there = f"; there are {in_line(', '.join(told))}" if told else ""
        hint = nearest(argument, [*told, *NAMES]) or there
        raise ExpressionError(f"{argument}: no variable of this name is recorded up to here{hint}") from None
    return Value(argument, session.value(expression), pretty=True, number=session.looked_at)


def whatis(session: Session, argument: str) -> Result:
    """What kind of value an expression has."""
    return Message(kind_of(session.value(_expression(argument, "whatis"))))


def display(session: Session, argument: str) -> Result:
    """Show an expression at every stop; without one, those that are shown."""
    if not argument:
        return Displays(session.displayed())
    key = session.display(_expression(argument, "display"))
    return Displays(tuple(row for row in session.displayed() if row.number == key))


def undisplay(session: Session, argument: str) -> Result:
    """No longer show an expression: by number, by its text, or all."""
    if not session.displays:
        raise WrongUsageError("nothing is displayed; 'display EXPRESSION' shows a value at every stop")
    chosen = [key for key, expression in session.displays.items() if expression.text == argument]
    if not chosen:
        words = argument.split()
        keys = {str(key): key for key in session.displays}
        if not all(word in keys for word in words):
            there = ", ".join(f"{key} {expression.text}" for key, expression in session.displays.items())
            raise WrongUsageError(
                f"nothing is displayed as {shown(argument)}; those displayed: {there[:200]}"
            )
        chosen = [keys[word] for word in dict.fromkeys(words)] if words else list(session.displays)
    for key in chosen:
        del session.displays[key]
    return Displays(session.displayed())


def own_span(session: Session) -> int:
    """The span that is looked at: the chosen one, or the one the current event is in; 0 where there is none."""
    return session.selected or session.walk.span()


def kind_of(value: Any) -> str:
    """The kind of a JSON value in words."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, int | float):
        return "whole number" if isinstance(value, int) else "number"
    size = f"{len(value):,}"
    one = len(value) == 1
    if isinstance(value, str):
        return f"text of {size} character{'s' * (not one)}"
    if isinstance(value, list):
        return f"list of {size} item{'s' * (not one)}"
    return f"object of {size} name{'s' * (not one)}"


def _event(session: Session) -> tuple[int, Event]:
    """The event that is looked at."""
    at = session.looked_at
    if not at:
        raise WrongUsageError("the walk stands before the first event; step goes to it")
    return at, session.walk.event_at(at)


def _chosen(session: Session) -> tuple[list[int], int]:
    """The spans around the current event, the innermost first, and the place of the chosen one; -1 for the event."""
    spans = session.outer_spans()
    return spans, spans.index(session.selected) if session.selected in spans else -1


def _expression(argument: str, command: str) -> Expression:
    if not argument:
        raise ExpressionError(f"{command} needs an expression, such as {command} outputs.text")
    return compile_expression(argument)
