"""List the signs of trouble near an event that are no failures: exceptions that the program handled, and logged warnings."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from namel3ss_debug.errors import short
from namel3ss_debug.traces.events import LOG_LEVELS, Event
from namel3ss_debug.traces.span_table import AT_TOP
from namel3ss_debug.wire import lenient

MOST_SIGNS: Final = 5
_LONGEST_ERROR = 160
_LONGEST_VALUE = 80


SIGNS: Final = frozenset({"exception_handled", "log_record"})
"""The types of the events that may be signs."""

Sign = tuple[int, int, Event]
"""The number of a sign, the row of the span around it, and the event."""


def is_sign(event: Event) -> bool:
    """Return whether an event is a handled exception, or a log record of level warning or above."""
    if event["event_type"] != "log_record":
        return bool(event["event_type"] == "exception_handled")
    level = lenient.mapping(event.get("metadata")).get("level")
    return LOG_LEVELS.get(str(level), 0) >= LOG_LEVELS["warning"]


def list_signs(signs: Iterable[Sign], inside: Collection[int], but: int) -> list[dict[str, Any]]:
    """Return the latest signs outside of all spans and inside some of them, as JSON, in their order.

    Args:
        signs: the signs, in order.
        inside: the rows of the spans.
        but: the number of an event that is left out.
    """
    near = [
        (number, event)
        for number, around, event in signs
        if number != but and (around == AT_TOP or around in inside)
    ]
    return [
        {
            "number": number,
            "event_type": event["event_type"],
            "what": describe_sign(event),
            "call_site": lenient.string(event.get("call_site")),
        }
        for number, event in near[-MOST_SIGNS:]
    ]


def describe_sign(event: Event) -> str:
    """Return what happened: `convert handled ValueError: ... and returned {'eur': 0}`, or `logged a warning: ...`."""
    metadata = lenient.mapping(event.get("metadata"))
    if event["event_type"] == "log_record":
        return f"logged {metadata.get('level')}: {short(str(metadata.get('message', '')), _LONGEST_ERROR)}"
    error = ": ".join(str(event[key]) for key in ("error_type", "error") if event.get(key))
    outputs = lenient.mapping(event.get("outputs"))
    returned = ""
    if metadata.get("exit") == "return":
        returned = f" and returned {short(repr(outputs.get('result')), _LONGEST_VALUE, '...')}"
    return f"{metadata.get('function') or 'the program'} handled {short(error, _LONGEST_ERROR)}{returned}"
