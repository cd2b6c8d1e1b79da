"""Read the values of other writers: times, counts, and whatever no field of ours has."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from namel3ss_debug.traces.decoding import TIME_LIMIT
from namel3ss_debug.wire import lenient

_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""A number from the first on counts so many parts of a second: today is 1.8e18 ns, 1.8e15 µs, 1.8e12 ms, 1.8e9 s."""

_MOST_DOLLARS: Final = 1e12


def parse_time(value: object, per_second: float | None = None) -> float | None:
    """Return a time in seconds since 1970: of ISO 8601, or of a number in any unit, also as text; None for anything else.

    A time without a zone is UTC.

    Args:
        value: the time.
        per_second: the unit of a number, as how many of it a second has; without it, the size of the number decides.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _parse_iso(str(value))
    if not lenient.is_number(value) or not math.isfinite(value) or value <= 0:
        return None
    if per_second is None:
        per_second = next((parts for least, parts in _UNITS if value >= least), 1.0)
    seconds = value / per_second
    return seconds if seconds < TIME_LIMIT else None


def read_nanoseconds(value: object, per_second: float | None = None) -> int | None:
    """Return a whole number of nanoseconds since 1970, also one that is text; None for anything else.

    Without a known unit, a number of today's size counts.
    """
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return (
        int(text)
        if text.isascii() and text.isdecimal() and (len(text) == 19 or (per_second == 1e9 and len(text) < 19))
        else None
    )


def _parse_iso(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text)
        seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < TIME_LIMIT else None


def parse_count(value: object) -> int | None:
    """Return a count, also one that is text; None for anything else."""
    number = parse_number(value)
    return int(number) if number is not None and number.is_integer() and number < 1e15 else None


def parse_number(value: object) -> float | None:
    """Return a number from 0 on, also one that is text; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not lenient.is_number(value) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def parse_cost(value: object) -> float | None:
    """Return US dollars; None for what is no number, or no price."""
    number = parse_number(value)
    return number if number is not None and number < _MOST_DOLLARS else None


def read_usage(counts: Mapping[str, Any], names: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return token counts under our names.

    Args:
        counts: those of the source.
        names: our name of each count -> its names there, the first that is present counts.
    """
    found = {
        ours: next((count for name in theirs if (count := parse_count(counts.get(name))) is not None), None)
        for ours, theirs in names.items()
    }
    return lenient.drop_none(found)


def plain_counts(usage: object) -> Any:
    """Return the usage that a provider states with its counts as numbers, also where the writer made texts of them."""
    if isinstance(usage, dict):
        return {name: plain_counts(value) for name, value in usage.items()}
    return parse_count(usage) if isinstance(usage, str) else usage


def rest_of(fields: Mapping[str, Any], read: Collection[str]) -> dict[str, Any]:
    """Return the metadata of a span: under `source`, the fields of the source that none of ours has."""
    rest = lenient.drop_empty({name: value for name, value in fields.items() if name not in read})
    return {"source": rest} if rest else {}
