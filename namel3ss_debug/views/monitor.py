"""What `monitor` shows: the figures of all traces together, a row for each trace, and the alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from namel3ss_debug.monitoring.alert import FIRING, PENDING, Alert
from namel3ss_debug.monitoring.monitor import Snapshot, TraceFigures
from namel3ss_debug.views import tables
from namel3ss_debug.views.blocks import Block, Heading, Lines
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.quantities import (
    count,
    duration,
    megabytes,
    milliseconds,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.tables import Cell
from namel3ss_debug.views.terminal import DIM, HEADING, Piece, clean, fitted, line, wrapped_lines

_STATES: Final = {"running": "green", "killed": "red", "finished": DIM}
_SEVERITIES: Final = {"error": "red", "warning": "yellow", "note": "cyan"}
_MOST_RESOLVED: Final = 5

_COLUMNS: Final = (
    tables.Column("state"),
    tables.name("program", 12),
    tables.number("time"),
    tables.number("calls"),
    tables.number("failed"),
    tables.number("tokens"),
    tables.number("cost"),
    tables.number("/min"),
    tables.number("p50 ms"),
    tables.number("p95 ms"),
    tables.number("MB"),
    tables.number("cpu"),
    tables.number("open"),
    tables.name("waits in", 8),
)

ORDERS: Final[dict[str, Callable[[TraceFigures], Any]]] = {
    "N": lambda row: (row.state != "running", row.seconds),
    "T": lambda row: -row.seconds,
    "M": lambda row: -(row.memory_mb or 0),
    "P": lambda row: -(row.cpu_share or 0),
    "C": lambda row: -row.cost,
    "E": lambda row: -row.failures,
}
"""Key of the screen -> the order of the traces: newest, longest, most memory, processor, cost, failed calls."""

KEYS: Final = (
    "q quit   j k space b g G move   p pause   r running only   "
    "order: N newest  T time  M memory  P processor  C cost  E failures"
)


def summary_line(snapshot: Snapshot) -> str:
    """Return the figures of all traces together on one line."""
    rows = snapshot.traces
    running = sum(row.state == "running" for row in rows)
    calls, failures = sum(row.calls for row in rows), sum(row.failures for row in rows)
    rates = [
        row.calls_per_minute for row in rows if row.state == "running" and row.calls_per_minute is not None
    ]
    parts = [
        f"{count(len(rows), 'run')}, {running} running",
        count(sum(row.requests for row in rows), "request"),
        f"{count(calls, 'call')}, {failures:,} failed"
        + (f" ({percent(failures / calls)})" if failures else ""),
        count(sum(row.errors for row in rows), "error"),
        f"{tokens(sum(row.tokens for row in rows))} tokens",
        _cost(sum(row.cost for row in rows), sum(row.unpriced for row in rows)),
        *([f"{sum(rates):,.0f} calls/min"] if rates else []),
    ]
    return "  ".join(parts)


def _cost(cost: float, unpriced: int) -> str:
    return money(cost) + (f" + {count(unpriced, 'call')} of unknown cost" if unpriced else "")


def _row(row: TraceFigures) -> Sequence[Cell]:
    return (
        Piece(row.state, _STATES[row.state]),
        clean(shorter_path(Path(row.title or row.trace))),
        duration(row.seconds * 1000),
        tokens(row.calls),
        Piece(tokens(row.failures) if row.failures else "", "red"),
        tokens(row.tokens),
        money(row.cost) if row.cost else "",
        "" if row.calls_per_minute is None or row.state != "running" else f"{row.calls_per_minute:,.0f}",
        milliseconds(row.p50_ms),
        milliseconds(row.p95_ms),
        megabytes(row.memory_mb),
        "" if row.cpu_share is None or row.state != "running" else percent(row.cpu_share),
        tokens(row.open_spans) if row.open_spans else "",
        clean(f"{row.longest_open} {duration(row.longest_open_seconds * 1000)}") if row.longest_open else "",
    )


def trace_lines(snapshot: Snapshot, width: int) -> Iterator[Text]:
    """Yield the table of the traces. On a narrow screen columns that say least are left out."""
    wanted = range(len(_COLUMNS)) if width >= 110 else (0, 1, 2, 3, 4, 6, 9, 10, 13)
    rows = [[cells[index] for index in wanted] for cells in map(_row, snapshot.traces)]
    yield from tables.table([_COLUMNS[index] for index in wanted], rows, width)


def alert_lines(alerts: Sequence[Alert], width: int, at: float) -> Iterator[Text]:
    """Yield the alerts, each with its text and the command that goes there."""
    resolved = 0
    for alert in alerts:
        resolved += alert.state not in (FIRING, PENDING)
        if resolved > _MOST_RESOLVED:
            return
        yield from describe_alert(alert, width, at)


def describe_alert(alert: Alert, width: int, at: float | None = None) -> Iterator[Text]:
    """Yield the lines of one alert."""
    style = _SEVERITIES[alert.severity] if alert.state == FIRING else DIM
    until = alert.ended or at
    program = clean("  " + dict(alert.labels).get("program", ""))
    took = "" if until is None else f" {duration((until - (alert.fired or alert.began)) * 1000)}"
    head = (
        Piece(f"{alert.state} {alert.severity} ", style),
        Piece(clean(alert.rule), HEADING),
        Piece(took + program, DIM),
    )
    yield fitted(head, width)
    yield from wrapped_lines(clean(alert.text), width, first="  ", further="  ")
    yield Text("  " + clean(alert.command), DIM, end="")


def screen_lines(snapshot: Snapshot, width: int) -> list[Text]:
    """Return all lines below the head of the screen."""
    lines = [*wrapped_lines(summary_line(snapshot), width), Text("")]
    lines += trace_lines(snapshot, width) if snapshot.traces else [Text("no trace yet", DIM)]
    if snapshot.alerts:
        lines += [Text(""), line(("Alerts", HEADING)), *alert_lines(snapshot.alerts, width, snapshot.at)]
    # A command that does not fit goes on in the next line; what the screen cut could not be typed.
    return [rest for each in lines for rest in each.divide(range(width, len(each.plain), width))]


def monitor_blocks(snapshot: Snapshot) -> Iterator[Block]:
    """Yield the report of one look."""
    yield Heading("Monitor", moment(snapshot.at)[:19] + " UTC")
    yield Lines(lambda width: wrapped_lines(summary_line(snapshot), width))
    yield Lines(lambda width: trace_lines(snapshot, width))
    if snapshot.alerts:
        yield Heading("Alerts")
        yield Lines(lambda width: alert_lines(snapshot.alerts, width, snapshot.at))
