"""How numbers read: durations, times, money, tokens, bytes and shares, each in one way everywhere.

A value that is not known is an empty text, never a zero. A value that is no finite number is shown unchanged.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TypeGuard

from namel3ss_debug.views.cleaning import clean


def duration(milliseconds: object) -> str:
    """Format a duration: `0.04 ms`, `12.3 ms`, `1.24 s`, `2 m 05 s`, `1 h 02 m`."""
    if not is_number(milliseconds):
        return other(milliseconds)
    value = abs(milliseconds)
    sign = "-" if milliseconds < 0 else ""
    if value < 0.005:
        return "0 ms"
    if value < 9.995:
        return f"{sign}{value:.2f} ms"
    if value < 999.5:
        return f"{sign}{value:.1f} ms" if value < 99.95 else f"{sign}{value:.0f} ms"
    seconds = value / 1000
    if seconds < 59.995:
        return f"{sign}{seconds:.2f} s" if seconds < 9.995 else f"{sign}{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{sign}{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours} h {minutes:02d} m" if hours < 1e6 else f"{sign}{hours:.3g} h"


def milliseconds(value: object) -> str:
    """Format milliseconds for a column whose header names the unit: `0.04`, `12.3`, `1,240`."""
    if not is_number(value):
        return other(value)
    if abs(value) < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}"


def money(dollars: object) -> str:
    """Format US dollars, with as many digits as a small amount needs: `$0.00042`, `$0.0123`, `$12.34`."""
    if not is_number(dollars):
        return other(dollars)
    if not dollars:
        return "$0"
    sign = "-" if dollars < 0 else ""
    value = abs(dollars)
    if value >= 1:
        return f"{sign}${value:,.2f}"
    digits = min(max(1 - math.floor(math.log10(value)), 4), 9)
    return f"{sign}${value:.{digits}f}"


def tokens(number: object) -> str:
    """Format a number of tokens, or of anything counted: `1,234`."""
    return f"{number:,.0f}" if is_number(number) else other(number)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Format a number with its noun: `1 event`, `2,000 events`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def bytes_text(number: object) -> str:
    """Format a size in units of 1024: `512 B`, `1.2 KB`, `3.4 MB`."""
    if not is_number(number):
        return other(number)
    value = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(value) < 1023.95:
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TB"


def megabytes(number: object) -> str:
    """Format a size in megabytes, for a column whose header names the unit."""
    return f"{number:,.1f}" if is_number(number) else other(number)


def percent(share: object) -> str:
    """Format a share from 0 to 1; `100 %` and `0 %` only where they are exact."""
    if not is_number(share):
        return other(share)
    shown = f"{share * 100:.1f}"
    if shown in {"100.0", "0.0"} and share not in {0, 1}:
        return "> 99.9 %" if share > 0.5 else "< 0.1 %"
    return shown.removesuffix(".0") + " %"


def moment(timestamp: object) -> str:
    """Format a time in seconds since the epoch as `2026-11-21 12:24:07.123` in UTC."""
    when = _datetime(timestamp)
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}" if when else other(timestamp)


def day_and_minute(timestamp: object, *, year: bool = True) -> str:
    """Format a time in seconds since the epoch as `2026-11-21 12:24` in UTC, without `year` as `11-21 12:24`."""
    when = _datetime(timestamp)
    return f"{when:{'%Y-' if year else ''}%m-%d %H:%M}" if when else other(timestamp)


def other(value: object) -> str:
    """Return a value that is no number: empty for `None`, else its cleaned text."""
    return "" if value is None else clean(value, 24)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether the value is a finite number and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _datetime(timestamp: object) -> datetime | None:
    if not is_number(timestamp):
        return None
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (ValueError, OverflowError, OSError):
        return None
