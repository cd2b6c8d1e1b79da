"""The document of `analyze` as a report: what went wrong first, then what took long, then what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from namel3ss_debug.prices import extra_installed
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.bottlenecks import bottlenecks, outliers
from namel3ss_debug.views.dependencies import dependencies
from namel3ss_debug.views.integrity import integrity
from namel3ss_debug.views.quantities import (
    count,
    day_and_minute,
    duration,
    is_number,
    milliseconds,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.recordings import short_name, short_site, shorter_path
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, WARNING, line, text
from namel3ss_debug.views.usage import (
    SHOWN,
    Section,
    components,
    event_types,
    failed,
    more,
    price_hint,
    price_source,
    resources,
)

_STATUS_STYLES = {"completed": "green", "failed": ERROR, "open": WARNING}


def report(document: Section) -> Iterator[Block]:
    """The report of one analysed trace, from the sections its document has."""
    trace = document.get("trace", {})
    overview = document.get("execution_overview")
    yield from _overview(trace, overview, document.get("resource_usage"))
    if "errors" in document:
        yield from _errors(document["errors"])
    checked = document.get("integrity")
    if checked is not None and (checked.get("lowered_by") or "performance" not in document):
        yield from integrity(checked)
    if "performance" in document:
        yield from _performance(document["performance"])
    if "dependencies" in document:
        yield from dependencies(document["dependencies"])
    if "resource_usage" in document:
        yield from resources(document["resource_usage"])
    elif overview is not None:
        yield from _price_hint([overview])
    if "component_breakdown" in document:
        yield from components(document["component_breakdown"])
    if "event_type_breakdown" in document:
        yield from event_types(document["event_type_breakdown"])


def several(documents: Iterable[Section]) -> Iterator[Block]:
    """One row for each of several analysed traces."""
    columns = (
        name("id", 8),
        Column("started (UTC)"),
        prose("status", 6),
        number("took"),
        number("calls"),
        number("tokens"),
        number("cost"),
        number("errors"),
    )
    rows, overviews = [], []
    for document in documents:
        overview = document.get("execution_overview", {})
        overviews.append(overview)
        errors = overview.get("errors")
        status = str(overview.get("status", ""))
        rows.append(
            (
                text(short_name(_behind(Path(str(document["trace"]["path"])))), limit=120),
                text(day_and_minute(overview.get("started_at")), DIM),
                text("" if status == "completed" else status, _STATUS_STYLES.get(status, "")),
                duration(overview.get("duration_ms")),
                tokens((overview.get("llm_calls") or 0) + (overview.get("tool_calls") or 0)),
                tokens(overview.get("tokens")),
                money(overview.get("cost")),
                failed(errors),
            )
        )
    yield Heading(count(len(rows), "recording"))
    yield Table(columns, rows)
    yield from _price_hint(overviews)


def _behind(path: Path) -> Path:
    """The recording that a link such as `trace_latest.jsonl` stands for."""
    return path.resolve() if path.is_symlink() else path


def _overview(trace: Section, overview: Section | None, resources: Section | None) -> Iterator[Block]:
    told = overview or {}
    where = shorter_path(Path(str(trace.get("path", "recording"))))
    program = told.get("target") or " ".join(map(str, told.get("argv") or ())) or where
    yield Heading(short_site(program))
    if overview is None:
        yield Facts([("events", tokens(trace.get("events")))])
        return
    status = str(overview.get("status", ""))
    rate = overview.get("success_rate")
    calls = ", ".join(
        f"{tokens(overview.get(key))} {noun}"
        for key, noun in (("agent_executions", "agent"), ("llm_calls", "LLM"), ("tool_calls", "tool"))
        if overview.get(key)
    )
    errors = [
        count(int(overview.get(key) or 0), *noun)
        for key, noun in (("errors", ("error",)), ("retries", ("retry", "retries")))
        if overview.get(key)
    ]
    succeeded = f"  {percent(rate)} of the spans did their work" if is_number(rate) and rate < 1 else ""
    style = _STATUS_STYLES.get(status, "")
    yield Facts(
        [
            ("status", line((status, style), (succeeded, DIM))),
            ("took", duration(overview.get("duration_ms"))),
            ("calls", calls),
            ("errors", text(", ".join(errors), ERROR if overview.get("errors") else "")),
            ("tokens", _tokens_line(overview, resources)),
            ("cost", _cost_line(overview)),
            ("events", _events_line(overview)),
            ("started", _started_line(overview)),
            ("recording", text(where, DIM)),
        ]
    )


def _tokens_line(overview: Section, resources: Section | None) -> str:
    total = overview.get("tokens")
    if not total:
        return ""
    parts = (resources or {}).get("tokens", {})
    known = (("input", "input_tokens"), ("cached", "cache_read_tokens"), ("output", "output_tokens"))
    told = ", ".join(f"{tokens(parts[key])} {label}" for label, key in known if parts.get(key))
    return f"{tokens(total)}" + (f"  ({told})" if told else "")


def _cost_line(overview: Section) -> str:
    unpriced = overview.get("calls_without_price") or 0
    known = money(overview.get("cost"))
    asides = list(filter(None, map(price_source, overview.get("priced_by") or ())))
    if unpriced:
        asides.append(f"{count(unpriced, 'call')} without a price")
    if not asides:
        return known
    return f"{known or 'not known'}  ({', '.join(asides)})"


def _price_hint(overviews: Iterable[Section]) -> Iterator[Block]:
    """Once for a report: what brings the published prices, where calls have none because they are not installed."""
    lacking = any(told.get("calls_without_price") and told.get("tokens") for told in overviews)
    if lacking and not extra_installed():
        yield Note(price_hint())


def _events_line(overview: Section) -> str:
    parts = [f"{tokens(overview.get('events'))} in {count(int(overview.get('spans') or 0), 'span')}"]
    processes = int(overview.get("processes") or 0)
    if processes > 1:
        parts.append(count(processes, "process", "processes"))
    tracing = overview.get("tracing")
    if isinstance(tracing, Mapping):
        share = percent(tracing.get("share_of_wall"))
        spent = duration((tracing.get("tracing_us") or 0) / 1000)
        parts.append(f"tracing took {spent}" + (f" ({share})" if share else ""))
    return ", ".join(parts)


def _started_line(overview: Section) -> str:
    python, commit = overview.get("python"), overview.get("git_commit")
    started = moment(overview.get("started_at"))
    parts = [f"{started} UTC" if started else "", f"Python {python}" if python else ""]
    parts.append(f"commit {str(commit)[:12]}" if commit else "")
    return ", ".join(filter(None, parts))


def _errors(errors: Section) -> Iterator[Block]:
    total = errors.get("total_errors") or 0
    recovered = errors.get("recovered_errors") or 0
    aside = f"{tokens(recovered)} more made good by another attempt" if recovered and total else ""
    categories = errors.get("error_categories") or {}
    if recovered and not total:
        yield Heading(count(recovered, "failed attempt"), "made good by another", WARNING)
    if total:
        yield Heading(count(total, "error"), aside, ERROR)
        if len(categories) > 1:  # of one category, the table below says it
            kinds = ", ".join(f"{kind} {tokens(number)}" for kind, number in categories.items())
            yield Facts([("categories", kinds)])
        failures = errors.get("failures") or []
        yield Table(
            (
                Column("n", align="right", style=DIM),
                name("where", 14),
                Column("category"),
                prose("error", 20),
            ),
            [_failure_row(failure) for failure in failures[:SHOWN]],
        )
        yield from more(total, len(failures[:SHOWN]))
    spans = errors.get("open_spans") or []
    if spans:
        number_open = errors.get("open_span_count") or len(spans)
        title = count(number_open, "span") + " never ended"
        yield Heading(title, "the program was here when the recording ended", WARNING)
        yield Table(
            (
                Column("n", align="right", style=DIM),
                name("where", 14),
                Column("started (UTC)"),
                name("call site", 16),
            ),
            [
                (
                    text(span.get("number"), DIM),
                    _where(span),
                    moment(span.get("started_at")),
                    text(short_site(span.get("call_site") or ""), DIM),
                )
                for span in spans[:SHOWN]
            ],
        )
        yield from more(number_open, len(spans[:SHOWN]))


def _failure_row(failure: Section) -> tuple[Cell, ...]:
    kind, message = failure.get("error_type"), failure.get("error")
    words = ": ".join(str(part) for part in (kind, message) if part) or str(failure.get("status") or "")
    attempts = len(failure.get("attempts") or ())
    return (
        text(failure.get("number"), DIM),
        _where(failure),
        text(failure.get("category") or "", limit=40),
        text(words + (f" ({attempts} attempts)" if attempts > 1 else ""), ERROR, 400),
    )


def _performance(performance: Section) -> Iterator[Block]:
    yield from bottlenecks(performance)
    slow = performance.get("slow_operations") or []
    if slow:
        total = performance.get("slow_operation_count") or len(slow)
        yield Heading(count(total, "slow operation"), f"over {duration(performance.get('slow_ms'))}")
        yield Table(
            (
                Column("n", align="right", style=DIM),
                name("operation", 16),
                number("ms"),
                number("of its own"),
                name("call site", 16),
            ),
            [
                (
                    text(row.get("number"), DIM),
                    _where(row),
                    milliseconds(row.get("duration_ms")),
                    milliseconds(row.get("self_ms")),
                    text(short_site(row.get("call_site") or ""), DIM),
                )
                for row in slow[:SHOWN]
            ],
        )
        yield from more(total, len(slow[:SHOWN]))
    yield from outliers(performance)
    yield from _models(performance.get("llm_performance") or {})
    yield from _operations("Tools", "tool", (performance.get("tool_performance") or {}).items())
    others = [
        (row.get("component_name") or row.get("component"), row)
        for row in performance.get("operations") or []
        if row.get("component") not in {"llm", "tool"}
    ]
    yield from _operations("Other operations", "operation", others)


_TIMES = (number("p50 ms"), number("p95 ms"), number("max ms"))


def _times(row: Section) -> tuple[str, ...]:
    return tuple(milliseconds(row.get(key)) for key in ("p50_ms", "p95_ms", "max_ms"))


def _models(models: Mapping[str, Section]) -> Iterator[Block]:
    if not models:
        return
    told = [
        "single attempts",
        "first: until the first token" if any(map(_first_token, models.values())) else "",
        "out/s: tokens a second" if any(row.get("tokens_per_second") for row in models.values()) else "",
    ]
    yield Heading("Models", "; ".join(filter(None, told)))
    yield Table(
        (
            name("model", 12),
            number("calls"),
            number("errors"),
            *_TIMES,
            number("first ms"),
            number("tokens"),
            number("out/s"),
        ),
        [
            (
                text(model, COMPONENT_STYLES["llm"], 120),
                tokens(row.get("count")),
                failed(row.get("errors")),
                *_times(row),
                milliseconds(_first_token(row)),
                tokens(row.get("tokens")),
                milliseconds(row.get("tokens_per_second")),
            )
            for model, row in _longest(models.items())
        ],
    )
    yield from more(len(models), min(len(models), SHOWN))


def _first_token(row: Section) -> Any:
    return (row.get("time_to_first_token") or {}).get("p50_ms")


def _operations(title: str, header: str, rows: Iterable[tuple[Any, Section]]) -> Iterator[Block]:
    items = list(rows)
    if not items:
        return
    yield Heading(title)
    yield Table(
        (name(header, 14), number("calls"), number("errors"), number("total ms"), *_TIMES),
        [
            (
                text(label, COMPONENT_STYLES.get(str(row.get("component", header)), ""), 120),
                tokens(row.get("count")),
                failed(row.get("errors")),
                milliseconds(row.get("total_ms")),
                *_times(row),
            )
            for label, row in _longest(items)
        ],
    )
    yield from more(len(items), min(len(items), SHOWN))


def _longest(items: Iterable[tuple[Any, Section]]) -> list[tuple[Any, Section]]:
    """Those that took longest in all come first."""
    return sorted(items, key=lambda item: (-(item[1].get("total_ms") or 0), str(item[0])))[:SHOWN]


def _where(row: Section) -> Cell:
    component, label = str(row.get("component") or ""), row.get("component_name")
    return text(f"{component} {label}" if label else component, COMPONENT_STYLES.get(component, ""), 120)
