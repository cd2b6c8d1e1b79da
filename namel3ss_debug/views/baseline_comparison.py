"""Show which operations are slower or faster than in baseline traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from namel3ss_debug.views.blocks import Block, Heading, Note, Table
from namel3ss_debug.views.quantities import count, duration
from namel3ss_debug.views.tables import name, number
from namel3ss_debug.views.terminal import DIM, ERROR, GOOD, text

_SHOWN = 20
_STYLES = {"slower": ERROR, "faster": GOOD}


def describe_comparison(comparison: Mapping[str, Any], *, brief: bool) -> Iterator[Block]:
    """Yield the comparison; a brief report leaves out what did not change."""
    rows = comparison["operations"]
    baselines = count(len(comparison["baselines"]), "baseline trace")
    confidence = f"{comparison['confidence'] * 100:.0f} %"
    yield Heading(
        "Against the baseline",
        f"{baselines}; difference of a call, and the range it lies in with {confidence}",
    )
    shown = [row for row in rows if row["verdict"] in _STYLES] if brief else rows
    if not shown:
        unknown = sum(row["verdict"] == "unknown" for row in rows)
        few = f"; {count(unknown, 'operation')} had too few calls to tell" if unknown else ""
        yield Note(f"No operation became slower or faster{few}.")
        return
    columns = (
        name("operation"),
        number("before"),
        number("now"),
        number("difference"),
        number("range"),
        name("verdict", 7),
    )
    yield Table(columns, [_row(row) for row in shown[:_SHOWN]])
    if len(shown) > _SHOWN:
        yield Note(f"… {len(shown) - _SHOWN:,} more in --format json")


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    low, high = row["low_ms"], row["high_ms"]
    return (
        f"{row['component']} {row['component_name'] or ''}".strip(),
        duration(row["baseline_median_ms"]),
        duration(row["median_ms"]),
        duration(row["difference_ms"]),
        text("" if low is None else f"{duration(low)} to {duration(high)}", DIM),
        text(row["verdict"], _STYLES.get(row["verdict"], DIM)),
    )
