"""Many traces at a glance: their totals, how figures rise and fall, and a row for each or for each group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
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
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, WARNING, line, text
from namel3ss_debug.views.usage import SHOWN, Section, failed, more, spent

SHOWN_RECORDINGS = 20
STATUS_STYLES = {"failed": ERROR, "open": WARNING, "killed": ERROR, "interrupted": WARNING}

_FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "response_time_ms": ("response time", duration),
    "throughput": ("calls a second", lambda value: f"{value:.3g}" if is_number(value) else ""),
    "error_rate": ("error rate", percent),
    "memory_mb": ("memory, MB", megabytes),
    "tokens": ("tokens", tokens),
    "cost": ("cost", money),
}
"""Figure -> its label and the format of its values."""

_WORSE_WHEN_RISING = frozenset({"response_time_ms", "error_rate", "memory_mb", "tokens", "cost"})


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
    rate = totals.get("success_rate")
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
            (
                "errors",
                line(
                    (tokens(totals["errors"]), ERROR),
                    (f"  {percent(rate)} of the spans did their work" if is_number(rate) else "", DIM),
                )
                if totals.get("errors")
                else "",
            ),
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


def trends(section: Section) -> Iterator[Block]:
    """Yield the trend of each figure and its confidence; nothing where there are too few points for any of them."""
    figures = section.get("figures") or {}
    short = all(trend.get("slope_per_day") is None for trend in figures.values())
    known = {
        figure: trend
        for figure, trend in figures.items()
        if figure in _FIGURES and trend.get("direction") != "unknown"
    }
    if not known:
        return
    points = {trend.get("points") for trend in known.values()}
    apart = len(points) > 1
    rows = [
        _trend_row(figure, *_FIGURES[figure], trend, short=short, apart=apart)
        for figure, trend in known.items()
    ]
    several = (section.get("targets") or 0) > 1
    of = f" of {text(section.get('target') or 'no named program', limit=30)}" if several else ""
    over = f"{section.get('over')}" if apart else f"{tokens(points.pop())} {section.get('over')}"
    yield Heading("Trends", f"over {over}{of}; Mann-Kendall at 0.05, Theil-Sen slope")
    yield Table(
        (
            name("figure", 14),
            *((number("points"),) if apart else ()),
            number("first"),
            number("median"),
            number("last"),
            prose("trend", 8),
            number("change a run" if short else "change a day"),
            number("certain"),
        ),
        rows,
    )


def _trend_row(
    figure: str, label: str, shown: Callable[[Any], str], trend: Section, *, short: bool, apart: bool
) -> tuple[Cell, ...]:
    direction = trend.get("direction")
    moves = direction in {"rising", "falling"}
    worse = moves and (direction == "rising") == (figure in _WORSE_WHEN_RISING)
    slope = trend.get("slope_per_day")
    unit = ""
    if slope is None:  # of runs on one day
        slope, unit = trend.get("slope_per_run"), "" if short else " a run"
    sign = "+" if is_number(slope) and slope > 0 else ""
    return (
        label,
        *((tokens(trend.get("points")),) if apart else ()),
        shown(trend.get("first")),
        shown(trend.get("median")),
        shown(trend.get("last")),
        text(direction if moves else "no trend", (WARNING if worse else "") if moves else DIM),
        f"{sign}{_signed(shown, slope)}{unit}" if moves else "",
        percent(trend.get("confidence")) if moves else "",
    )


def _signed(shown: Callable[[Any], str], value: Any) -> str:
    """Return a change in the unit of its figure."""
    if not is_number(value) or not value:
        return shown(value)
    return ("-" if value < 0 else "") + shown(abs(value))


def recordings(rows: Sequence[Section]) -> Iterator[Block]:
    """Yield one row for each trace, the latest `SHOWN_RECORDINGS` of those that there are."""
    shown = rows[-SHOWN_RECORDINGS:]
    scores = sorted({section for row in shown for section, score in row["scores"].items() if score < 1})
    if "health" in scores:  # which includes the others, and there is no room for all
        scores = ["health"]
    columns = (
        name("id", 12),
        Column("began (UTC)"),
        prose("status", 6),
        *_COLUMNS[:1],
        *(_COLUMNS[2:] if scores == ["health"] else _COLUMNS[1:]),  # the calls make room for it
        *(Column(section, "right") for section in scores),
    )
    yield Heading("Traces", f"the last {len(shown)} of {len(rows):,}" if len(shown) < len(rows) else "")
    yield Table(columns, [_recording(row, scores) for row in shown])
    if len(shown) < len(rows):
        yield Note("--format json has them all")


_COLUMNS = (number("took"), number("calls"), number("tokens"), number("cost"), number("errors"))


def _recording(row: Section, scores: Sequence[str]) -> tuple[Cell, ...]:
    overview = row["execution_overview"]
    status = str(overview.get("status", ""))
    took, calls, *amounts = _amounts(overview)
    return (
        text(short_name(behind(Path(str(row["trace"]["path"])))), limit=120),
        text(day_and_minute(overview.get("started_at"), year=False), DIM),
        text("" if status == "completed" else status, STATUS_STYLES.get(status, "")),
        took,
        *(() if scores == ["health"] else (calls,)),
        *amounts,
        *(percent(row["scores"].get(section)) for section in scores),
    )


def _amounts(overview: Section) -> tuple[Cell, ...]:
    return (
        duration(overview.get("duration_ms")),
        tokens((overview.get("llm_calls") or 0) + (overview.get("tool_calls") or 0)),
        tokens(overview.get("tokens")),
        money(overview.get("cost")),
        failed(overview.get("errors")),
    )


def groups(rows: Iterable[Section], by: str) -> Iterator[Block]:
    """Yield one row for each group."""
    yield Heading(f"By {by}")
    yield Table(
        (name(by, 8), number("traces"), *_COLUMNS, number("failed spans")),
        [
            (
                text(row["group"], limit=120) if row["group"] is not None else text("not recorded", DIM),
                tokens(row["traces"]),
                *_amounts(row),
                _failed_share(row.get("success_rate")),
            )
            for row in rows
        ],
    )


def _failed_share(rate: Any) -> str:
    return percent(round(1 - rate, 12)) if is_number(rate) and rate < 1 else ""


def recurring(errors: Section) -> Iterator[Block]:
    """Yield the failures that occurred more than once, those in most traces first."""
    rows = errors.get("recurring") or []
    if not rows:
        return
    yield Heading("Recurring failures", "n: the first of them", ERROR)
    yield Table(
        (
            number("times"),
            number("traces"),
            name("where", 14),
            prose("error", 16),
            Column("n", "right", style=DIM),
        ),
        [
            (
                tokens(row.get("count")),
                tokens(row.get("traces")),
                text(row.get("component_name") or row.get("component") or "", limit=80),
                text(
                    ": ".join(filter(None, map(_word, (row.get("error_type"), row.get("error"))))), ERROR, 400
                ),
                text(row.get("number"), DIM),
            )
            for row in rows[:SHOWN]
        ],
    )
    yield from more(len(rows), len(rows[:SHOWN]))


def _word(value: Any) -> str:
    return "" if value is None else str(value)


def behind(path: Path) -> Path:
    """Return the trace that a link such as `trace_latest.jsonl` points to."""
    return path.resolve() if path.is_symlink() else path
