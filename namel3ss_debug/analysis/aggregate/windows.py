"""Which of many traces belong together: those of the last days, of one day, of a version, of an agent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from namel3ss_debug.config import values
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.importers.opening import open_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def parse_seconds(text: str, option: str = "--last") -> float:
    """Return the length of a time such as `30m`, `12h`, `7d` or `2w` in seconds.

    Raises:
        WrongUsageError: the text is not such a time.
    """
    try:
        return values.period(text)
    except ValueError:
        raise WrongUsageError(
            f"{option} {text}: not a time; give a number with m, h, d or w, such as 12h or 7d"
        ) from None


def day_of(document: Mapping[str, Any]) -> str | None:
    """Return the day a trace began, in UTC: `2026-11-21`; None where that is not recorded."""
    started_at = document["execution_overview"].get("started_at")
    try:
        return None if started_at is None else f"{datetime.fromtimestamp(started_at, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return None


def version_of(document: Mapping[str, Any]) -> str | None:
    """Return the recorded version of the agent, else the first 12 letters of the program's commit."""
    overview = document["execution_overview"]
    version, commit = overview.get("agent_version"), overview.get("git_commit")
    return str(version) if version else str(commit)[:12] if commit else None


def agent_of(document: Mapping[str, Any]) -> str | None:
    """Return the agent that ran longest, usually the outermost; None where there was none."""
    agents = [row for row in document["performance"]["operations"] if row["component"] == "agent"]
    longest = min(agents, key=lambda row: (-row["total_ms"], row["component_name"] or ""), default=None)
    return None if longest is None else longest["component_name"]


GROUPS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "day": day_of,
    "version": version_of,
    "agent": agent_of,
}
"""What traces can be grouped by -> the function that reads it from `execution_overview` and `performance`."""


def find_began(path: Path) -> float:
    """Return when a trace began, in seconds since the epoch; the last change of its file where that is not recorded.

    Raises:
        TraceNotFoundError: there is no such file.
    """
    trace = open_trace(path)
    first = next(iter(trace.events()), None)
    timestamp = None if first is None else first.get("timestamp")
    return path.stat().st_mtime if timestamp is None else timestamp
