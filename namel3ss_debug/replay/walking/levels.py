"""Where moves over spans lead, worked out of the outline of a recording: over a span, out of it, beside it.

Events are told by their numbers; 0 is the beginning, and as an answer it means that there is no such event.
"""

from __future__ import annotations

from namel3ss_debug.replay.recording.outline import Outline


def over(outline: Outline, number: int) -> int:
    """From a start that has ended to its end, else to the next event at the same level, else to the next one outside."""
    if not number:
        return 1 if outline.count else 0
    return outline.end(number) or beside(outline, number)


def beside(outline: Outline, number: int) -> int:
    """The next event at the same level or, where nothing more happens there, the next one further out."""
    if not number:
        return 1 if outline.count else 0
    return outline.following(number) or _outside(outline, number)


def back_over(outline: Outline, number: int) -> int:
    """From an end to its start, else to the event before at the same level, else to the start around it."""
    return own_start(outline, number) or outline.preceding(number)


def own_start(outline: Outline, number: int) -> int:
    """The start that an end belongs to; 0 of what is no end, and of an end without a start."""
    around = outline.enclosing(number)
    return around if around and outline.end(around) == number else 0


def level(outline: Outline, number: int) -> int:
    """The start in whose level an event is: the one around it, of an end the one around its span."""
    begun = own_start(outline, number)
    return _open_at(outline, outline.enclosing(begun), number) if begun else outline.enclosing(number)


def _open_at(outline: Outline, start: int, number: int) -> int:
    """The start itself, or the nearest around it whose span has not ended before an event."""
    while start and 0 < outline.end(start) < number:
        start = outline.enclosing(start)
    return start


def _outside(outline: Outline, number: int) -> int:
    """The next event of the levels further out; needed only where a span around an event never ended."""
    found = []
    for start in outline.stack(number):
        if start in (number, own_start(outline, number)):
            continue
        later = outline.following(start)
        while 0 < later <= number:
            later = outline.following(later)
        found.append(later)
    return min(filter(None, found), default=0)
