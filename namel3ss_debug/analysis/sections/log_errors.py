"""Find log records of any level whose message reports an error: programs often log one as information and go on.

The section, one row for each message apart from its numbers, the most frequent first:

    {"count": 12, "messages": [{"number": 31, "level": "info", "component_name": "app.db", "indicator": "failure",
                                "message": "could not save order 17: failed", "times": 12, "numbers": [31, 40]}]}

Records of level error and above report one by their level, and the indicator is `level`; the section `errors` and the
handled exceptions are about exceptions. The setting `error_indicators` adds patterns.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.findings import make_finding
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.traces.span_table import SpanWatcher
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

COLUMNS = (
    TableSpec(
        "Errors in the log",
        "messages",
        (
            ColumnSpec("n", "number", "event"),
            ColumnSpec("level", "level", "name"),
            ColumnSpec("logger", "component_name", "name"),
            ColumnSpec("times", "times", "count"),
            ColumnSpec("message", "message", "prose", 20),
        ),
        "records of any level that report an error",
    ),
)

INDICATORS: dict[str, str] = {
    "failure": r"\b(errors?|exceptions?|failures?|failed|crash(ed|es)?)\b|\b(?-i:[A-Za-z]+(?:Error|Exception))\b",
    "blocked": r"\b(timed out|timeout|deadlock|race condition)\b",
    "memory": r"\bmemory\b.{0,40}\bleak|\bout of memory\b",
    "access": r"\b(permission|access) denied\b",
    "network": r"\bconnection\b.{0,40}\bfailed\b|\bnetwork\b.{0,40}\berror\b",
}
"""Name of an indicator -> its pattern. These are the indicators that monitors of agents commonly use."""

_COUNT = r"errors?|exceptions?|failures?|failed|timeouts?|crash(?:es|ed)?"
_ORDINARY = re.compile(
    rf"\b(?:no|0|zero|without|never|any)\s+(?:\w+\s+){{0,2}}(?:{_COUNT})\b"  # no errors, 0 failed
    rf"|\b(?:{_COUNT})\s*[=:]\s*(?:0|none|null|false|\[\]|\{{\}}|['\"]{{2}})(?![\w.]\w)"  # errors=0
    rf"|\b(?:{_COUNT})=no\b"
    r"|\btimeout\s*[=:(]\s*\w|\b(?:connect|read|write|pool|request|with|a|the|of|set|default)[ _]timeout\b"
    rf"|[/\\._-](?:{_COUNT})\b|\b(?:{_COUNT})[/\\._?-]\w"  # /errors, errors.log, error_rate, error-handler
    rf"|\b(?:{_COUNT})\s+(?:handl\w+|rates?(?! limit)|budget|codes?|pages?|messages?|logs?|int|tables?)\b"
    rf"|\b(?:into|from|table|column|select|where)\s+['\"`]?(?:{_COUNT})\b"
    r"|\[non-fatal\].*"  # the exporter of openai-agents, without its server
    r"|\b(?:handl|catch|rais|retr)\w*\s+(?:on\s+)?(?:errors?|exceptions?|failures?)\b",
    re.IGNORECASE,
)
"""Where the words of an indicator mean no error: none of them, a limit, a name, a path."""

_NUMBERS = re.compile(r"\d+")
_MOST_MESSAGES = 2_000
_LONGEST = 300
_WEIGHT = 0.1


class LogErrors(SpanWatcher):
    """The messages that report an error, by their text without numbers."""

    events = frozenset({"log_record"})

    def __init__(self, options: Options) -> None:
        self._patterns = tuple({**INDICATORS, **options.error_indicators}.items())
        self._rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._records = self._count = 0

    def event(self, number: int, event: Event) -> None:
        """Take a log record."""
        self._records += 1
        metadata = lenient.mapping(event.get("metadata"))
        message, level = str(metadata.get("message", ""))[:_LONGEST], str(metadata.get("level", ""))
        is_error = LOG_LEVELS.get(level, 0) >= LOG_LEVELS["error"]
        indicator = "level" if is_error else find_indicator(message, self._patterns)
        if indicator is None:
            return
        self._count += 1
        name = str(event.get("component_name") or "")
        key = level, name, _NUMBERS.sub("#", message)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= _MOST_MESSAGES:
                return
            row = self._rows[key] = {
                "number": number,
                "level": level,
                "component_name": name or None,
                "indicator": indicator,
                "message": message,
                "times": 0,
                "numbers": [],
            }
        row["times"] += 1
        if len(row["numbers"]) < LISTED:
            row["numbers"].append(number)

    def result(self, _spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        rows = sorted(self._rows.values(), key=lambda row: (-row["times"], row["number"]))
        return {"records": self._records, "count": self._count, "messages": rows}


def find_indicator(
    message: str, patterns: tuple[tuple[str, str], ...] = tuple(INDICATORS.items())
) -> str | None:
    """Return the name of the first indicator that a message matches; None for an ordinary message."""
    for name, pattern in patterns:
        if _compile(pattern).search(message):
            # An indicator of the user decides alone: its words are the user's.
            remaining = message if name not in INDICATORS else _ORDINARY.sub(" ", message)
            if remaining is message or _compile(pattern).search(remaining):
                return name
    return None


@lru_cache(maxsize=64)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield one finding for all records below the level error that report one."""
    rows = [row for row in section["messages"] if row["indicator"] != "level"]
    if rows:
        times = sum(row["times"] for row in rows)
        evidence = f"{times:,} log records below level error report one, such as: {rows[0]['message'][:80]}"
        numbers = [row["number"] for row in rows]
        yield make_finding(
            "error_in_log",
            "quality",
            "log_errors",
            _WEIGHT,
            evidence,
            numbers,
            f"inspect --event {numbers[0]}",
        )


def has_records(section: Row) -> bool:
    """Return whether there was a log to look at."""
    return bool(section["records"])
