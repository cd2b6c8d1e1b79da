"""Many traces at a glance: their totals, how figures rise and fall, and a row for each or for each group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note
from namel3ss_debug.views.paths import short_name
from namel3ss_debug.views.quantities import (
    count,
    day_and_minute,
    duration,
    is_number,
    megabytes,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.terminal import ERROR, text
from namel3ss_debug.views.usage import Section, spent

SHOWN_RECORDINGS = 20

_FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "response_time_ms": ("response time", duration),
    "throughput": ("calls a second", lambda value: f"{value:.3g}" if is_number(value) else ""),
    "error_rate": ("error rate", percent),
    "memory_mb": ("memory, MB", megabytes),
    "tokens": ("tokens", tokens),
    "cost": ("cost", money),
}
"""Figure -> its label and the format of its values."""

_MOVES = frozenset({"rising", "falling"})
_WORSE_WHEN_RISING = frozenset({"response_time_ms", "error_rate", "memory_mb", "tokens", "cost"})

_AMOUNTS = (
    ColumnSpec("took", "duration_ms", "duration"),
    ColumnSpec("calls", "llm_calls+tool_calls", "count"),
    ColumnSpec("tokens", "tokens", "count"),
    ColumnSpec("cost", "cost", "money"),
    ColumnSpec("errors", "errors", "failed"),
)


def overview(totals: Section | None, recordings: int, marked: Mapping[str, int]) -> Iterator[Block]:
    """Yield the totals of the traces.

    Args:
        totals: the overview of all of them.
        recordings: how many there are.
        marked: how many are marked good, and how many bad.
    """
    yield Heading(count(recordings, "trace"))
    if totals is None:
        return
    statuses = totals.get("statuses") or {}
    began, ended = day_and_minute(totals.get("started_at")), day_and_minute(totals.get("ended_at"))
    yield Facts(
        [
            ("from", f"{began} to {ended} UTC" if began and ended else ""),
            ("status", ", ".join(f"{status} {tokens(amount)}" for status, amount in statuses.items())),
            ("marked", _marked(marked, recordings)),
            ("took", f"{duration(totals.get('duration_ms'))} together" if totals.get("duration_ms") else ""),
            (
                "calls",
                ", ".join(
                    f"{tokens(totals.get(key))} {noun}"
                    for key, noun in (("agent_executions", "agent"), ("llm_calls", "LLM"), ("tool_calls", "tool"))
                    if totals.get(key)
                ),
            ),
            ("errors", text(tokens(totals["errors"]), ERROR) if totals.get("errors") else ""),
            ("tokens", tokens(totals.get("tokens")) if totals.get("tokens") else ""),
            ("cost", spent(totals.get("cost"), int(totals.get("calls_without_price") or 0))),
        ]
    )  # fmt: skip


def _marked(marked: Mapping[str, int], recordings: int) -> str:
    """Return how many traces the user has judged: `good 3, bad 1, not judged 6`; empty without a mark."""
    judged = {judgement: amount for judgement, amount in marked.items() if amount}
    left = recordings - sum(judged.values())
    shown = judged | ({"not judged": left} if left else {})
    return ", ".join(f"{judgement} {tokens(amount)}" for judgement, amount in shown.items()) if judged else ""


def trends(section: Section, *, whole: bool = True) -> Iterator[Block]:
    """Yield the trend of each figure, or only of those that rise or fall; nothing where there are too few points."""
    figures = section.get("figures") or {}
    short = all(trend.get("slope_per_day") is None for trend in figures.values())
    known = {
        figure: trend
        for figure, trend in figures.items()
        if figure in _FIGURES
        and (trend.get("direction") in _MOVES or (whole and trend.get("direction") != "unknown"))
    }
    points = {trend.get("points") for trend in known.values()}
    apart = len(points) > 1
    of = f" of {text(section.get('target') or 'no named program', limit=30)}" if (section.get("targets") or 0) > 1 else ""  # fmt: skip
    over = (
        f"{section.get('over')}" if apart or not points else f"{tokens(points.pop())} {section.get('over')}"
    )
    columns = (
        ColumnSpec("figure", "label", "name", 14),
        *((ColumnSpec("points", "points", "count"),) if apart else ()),
        *(ColumnSpec(key, key, "figure") for key in ("first", "median", "last")),
        ColumnSpec("trend", "direction", "trend", 8),
        ColumnSpec("change a run" if short else "change a day", "change", "figure"),
        ColumnSpec("certain", "confidence", "share"),
    )
    rows = [describe_trend(figure, trend, short=short) for figure, trend in known.items()]
    aside = f"over {over}{of}; Mann-Kendall at 0.05, Theil-Sen slope"
    yield from listing({"rows": rows}, TableSpec("Trends", "rows", columns, aside))


def describe_figure(figure: str, value: object) -> str:
    """Return a value of a figure as text."""
    return _FIGURES[figure][1](value)


def describe_trend(figure: str, trend: Section, *, short: bool = False) -> dict[str, Any]:
    """Return the trend of a figure in words.

    Args:
        figure: its name.
        trend: the result of `compute_trend`.
        short: whether it is known that the change is one from run to run.
    """
    label, shown = _FIGURES[figure]
    direction = trend.get("direction")
    moves = direction in _MOVES
    slope, unit = trend.get("slope_per_day"), ""
    if slope is None:  # of runs on one day
        slope, unit = trend.get("slope_per_run"), "" if short else " a run"
    sign = ("+" if slope > 0 else "-" if slope < 0 else "") if is_number(slope) else ""
    return {
        "label": label,
        "points": trend.get("points"),
        **{key: shown(trend.get(key)) for key in ("first", "median", "last")},
        "direction": direction if moves else None,
        "is_worse": moves and (direction == "rising") == (figure in _WORSE_WHEN_RISING),
        "change": f"{sign}{shown(abs(slope) if is_number(slope) else slope)}{unit}" if moves else "",
        "confidence": trend.get("confidence") if moves else None,
    }


def recordings(rows: Sequence[Section], *, whole: bool = True) -> Iterator[Block]:
    """Yield one row for each trace, the latest `SHOWN_RECORDINGS`, with its scores in a report with tables."""
    shown = rows[-SHOWN_RECORDINGS:]
    scores = sorted({name for row in shown for name, score in row["scores"].items() if whole and score < 1})
    amounts: tuple[ColumnSpec, ...] = _AMOUNTS
    if (
        "health" in scores
    ):  # which includes the others, and there is no room for all; the calls make room for it
        scores, amounts = ["health"], (*_AMOUNTS[:1], *_AMOUNTS[2:])
    columns = (
        ColumnSpec("id", "id", "name", 12),
        ColumnSpec("began (UTC)", "began", "dim"),
        ColumnSpec("status", "status", "status", 6),
        *amounts,
        *(ColumnSpec(section, f"scores.{section}", "share") for section in scores),
    )
    found = [
        {
            **row["execution_overview"],
            "id": short_name(behind(Path(str(row["trace"]["path"])))),
            "began": day_and_minute(row["execution_overview"].get("started_at"), year=False),
            "scores": row["scores"],
        }
        for row in shown
    ]
    aside = f"the last {len(shown)} of {len(rows):,}" if len(shown) < len(rows) else ""
    yield from listing({"rows": found}, TableSpec("Traces", "rows", columns, aside, most=None))
    if aside:
        yield Note("--format json has them all")


def groups(rows: Sequence[Section], by: str) -> Iterator[Block]:
    """Yield one row for each group."""
    columns = (
        ColumnSpec(by, "group", "group", 8),
        ColumnSpec("traces", "traces", "count"),
        *_AMOUNTS,
    )
    yield from listing({"rows": list(rows)}, TableSpec(f"By {by}", "rows", columns, most=None))


def behind(path: Path) -> Path:
    """Return the trace that a link such as `trace_latest.jsonl` points to."""
    return path.resolve() if path.is_symlink() else path
