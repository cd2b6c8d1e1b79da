"""Which of many recordings belong together: those of the last so many days, of a day, of a version, of an agent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.traces.reader import open_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> float:
    """Return how long a span such as `30m`, `12h`, `7d` or `2w` is, in seconds.

    Raises:
        WrongUsageError: it is not such a span.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None or not float(found[1]):
        raise WrongUsageError(
            f"--last {text}: not a time; give a number with m, h, d or w, such as 12h or 7d"
        )
    return float(found[1]) * _SECONDS[found[2]]


def day(document: Mapping[str, Any]) -> str | None:
    """Return the day a recording began, in UTC: `2026-11-21`; None where that is not recorded."""
    started_at = document["execution_overview"].get("started_at")
    try:
        return None if started_at is None else f"{datetime.fromtimestamp(started_at, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return None


def version(document: Mapping[str, Any]) -> str | None:
    """Return the version of the agent that the recording names, else the commit of the program, in its first 12
    letters.
    """
    overview = document["execution_overview"]
    named, commit = overview.get("agent_version"), overview.get("git_commit")
    return str(named) if named else str(commit)[:12] if commit else None


def agent(document: Mapping[str, Any]) -> str | None:
    """Return the agent that ran longest, which as a rule is the outermost; None where there was none."""
    agents = [row for row in document["performance"]["operations"] if row["component"] == "agent"]
    longest = min(agents, key=lambda row: (-row["total_ms"], row["component_name"] or ""), default=None)
    return None if longest is None else longest["component_name"]


GROUPS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "day": day,
    "version": version,
    "agent": agent,
}
"""What recordings can be grouped by, and what reads it from the sections `execution_overview` and `performance`."""


def began(path: Path) -> float:
    """Return when a recording began, in seconds since the epoch; by its file's last change where that is not recorded.

    Raises:
        TraceNotFoundError: there is no such file.
    """
    trace = open_trace(path)
    first = next(iter(trace.events()), None)
    timestamp = None if first is None else first.get("timestamp")
    return path.stat().st_mtime if timestamp is None else timestamp
