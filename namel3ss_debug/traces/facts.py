"""What is known of a span, read from its start and end event: times, tokens, failure and retry; `costs` has the cost.

Everything that shows, adds up or judges spans asks here, so that the figures agree wherever they are shown. The
table of spans (`span_table`) holds them, computed once for each span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from namel3ss_debug.traces.events import SPAN_FAILURES, is_unseen
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

NS_PER_SECOND: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
LONGEST_NS: Final = 1 << 62
"""Durations are cut to this, some 146 years, so that they fit where they are kept."""

PARTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
"""The parts of `usage`. Input includes the tokens read from and written to the cache, output includes the reasoning."""

NO_PARTS: Final = (0,) * len(PARTS)
"""The result of `token_parts` for an event without `usage`."""

_MUST_HAVE_NAMES = frozenset({"llm", "tool"})


def has_failed(end: Event) -> bool:
    """Return whether an end event reports that the span failed."""
    status = end.get("status")
    return end.get("error") is not None if status is None else status in SPAN_FAILURES


def span_status(end: Event) -> str:
    """Return the status of a span by its end event, which is empty for an open span."""
    if not end:
        return "open"
    return str(end.get("status") or ("completed" if end.get("error") is None else "failed"))


def is_retry(start: Event, end: Event) -> bool:
    """Return whether a span is an attempt that follows a failed one."""
    return bool(end.get("retry_count") or start.get("retry_count"))


def duration_ns(start: Event, end: Event) -> int | None:
    """Return how long a span took: its recorded duration, else the time between its events; None where not known."""
    recorded = end.get("duration_ms")
    if recorded is not None:
        return whole_ns(recorded, NS_PER_MS)
    # Both events of a span that nobody saw were written after it, so the time between them means nothing.
    return None if is_unseen(start) else time_between(start.get("timestamp"), end.get("timestamp"))


def time_between(began: float | None, ended: float | None) -> int | None:
    """Return the nanoseconds between two timestamps; 0 where the clock went back, None where a timestamp is missing."""
    return None if began is None or ended is None else whole_ns(ended - began, NS_PER_SECOND)


def whole_ns(value: object, per_unit: int) -> int:
    """Return a time of an event or its metadata in whole nanoseconds.

    A value that is no time, or negative, gives 0; a time too long to be kept gives `LONGEST_NS`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return 0
    return int(value * per_unit + 0.5) if value < LONGEST_NS / per_unit else LONGEST_NS


def since_epoch(timestamp: float) -> int:
    """Return a timestamp in nanoseconds, to the microsecond, which is what a float of this size can hold."""
    return int(timestamp * 1e6 + 0.5) * 1000


def instant(timestamp: float | None) -> int | None:
    """Return `since_epoch` of a timestamp; None where there is none."""
    return None if timestamp is None else since_epoch(timestamp)


def name_without_start(start: Event, end: Event) -> str:
    """Return the name of a span whose start has none: that of its end, a model's from the payload, or none.

    The names of models and tools are keys of the document, so theirs is `unknown` and not empty.
    """
    name: str | None = end.get("component_name")
    if name is not None:
        return name
    component = (start or end)["component"]
    if component == "llm":
        for payload, key in ((start.get("inputs"), "model"), (end.get("outputs"), "response_model")):
            if payload is not None and isinstance(payload.get(key), str):
                return str(payload[key])
    return "unknown" if component in _MUST_HAVE_NAMES else ""


BACKGROUND_THREAD = "thread"
"""The `metadata.background` of a command in a library's own thread. Its words may be those of the program."""


def is_background(start: Event) -> bool:
    """Return whether a start is of a command that a library runs for its own purposes; no report counts it."""
    background = lenient.mapping(start.get("metadata")).get("background")
    return start.get("component") == "command" and background in (True, BACKGROUND_THREAD)


def is_fixed(start: Event) -> bool:
    """Return whether a start is of a command in the background whose words no program can choose."""
    return is_background(start) and lenient.mapping(start.get("metadata")).get("background") is True


def states_amounts(event: Event) -> bool:
    """Return whether an event states tokens or a cost."""
    return "tokens_used" in event or "usage" in event or "cost_estimate" in event


def parse_count(value: object) -> int:
    """Return a count in an event; 0 for a value that is not a count."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(value, 0)
    if isinstance(value, float) and 0 <= value < float(1 << 53):
        return int(value)
    return 0


def token_parts(event: Event) -> tuple[int, ...]:
    """Return the parts of `usage` in the order of `PARTS`."""
    usage = event.get("usage")
    if usage is None:
        return NO_PARTS
    get = usage.get
    read, written = get("cache_read_tokens", 0), get("cache_write_tokens", 0)
    parts = (get("input_tokens", 0), get("output_tokens", 0), read, written, get("reasoning_tokens", 0))
    try:
        if parts[0] | parts[1] | read | written | parts[4] >= 0:  # whole numbers, none below zero
            return parts
    except TypeError:
        pass
    return tuple(parse_count(usage.get(part)) for part in PARTS)


def total_tokens(event: Event) -> int:
    """Return all tokens of a call: `tokens_used`, else input and output together."""
    tokens = event.get("tokens_used")
    if type(tokens) is int:
        return max(tokens, 0)
    if type(event.get("usage")) is not dict:
        return 0
    parts = token_parts(event)
    return parts[0] + parts[1]
