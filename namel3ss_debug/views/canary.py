"""Two versions beside each other, and whether the new one is promoted."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.analysis.canary import (
    BOUND,
    HOLD,
    MEASURES,
    OPEN,
    PROMOTE,
    ROLL_BACK,
    SHARE_BOUND,
    UNKNOWN,
    WORSE,
    CanaryReport,
    Compared,
)
from namel3ss_debug.views.blocks import Block, Heading, Note, Table
from namel3ss_debug.views.quantities import count, duration, megabytes, money, percent
from namel3ss_debug.views.tables import Cell, name, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, GOOD, WARNING, text

_STYLES = {PROMOTE: GOOD, HOLD: WARNING, ROLL_BACK: ERROR}
_FORMATS = {"": percent, "ms": duration, "dollars": money, "MB": megabytes}
_NAMES = {
    "error_rate": "runs that failed",
    "response_ms": "time of a run",
    "cost": "cost of a run",
    "memory_mb": "peak memory",
    "marked_bad": "marked bad",
}


def canary_blocks(report: CanaryReport) -> Iterator[Block]:
    """Yield the verdict, and a row for each measure that is known."""
    runs = f"{count(report.new_runs, 'new run')}, {report.old_runs:,} old"
    yield Heading(report.verdict.capitalize(), runs, _STYLES[report.verdict], level=1)
    columns = (name("measure", 8), number("old"), number("new"), number("compared"), prose("finding", 9), prose("so", 4))  # fmt: skip
    known = [each for each in report.measures if each.finding != UNKNOWN]
    yield Table(columns, [_row(each) for each in known])
    if any(each.finding == OPEN for each in known):
        yield Note(f"open: more runs are needed to show that there are less than {SHARE_BOUND:g} times the failures, and less than "
                   f"{BOUND:g} times the time, cost and memory")  # fmt: skip
    unknown = ", ".join(_NAMES[each.measure] for each in report.measures if each.finding == UNKNOWN)
    if unknown:
        yield Note(f"not known of both versions: {unknown}")


def _row(each: Compared) -> tuple[Cell, ...]:
    show = _FORMATS[MEASURES[each.measure].unit]
    style = ERROR if each.finding == WORSE else DIM if each.finding == OPEN else ""
    return (
        _NAMES[each.measure],
        show(each.old),
        show(each.new),
        f"{each.blocks:,}",
        text(each.finding, style),
        text(each.verdict, _STYLES[each.verdict]),
    )
