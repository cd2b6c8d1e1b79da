"""The document of `analyze` as a report: what went wrong first, then what took long, then what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.quantities import (
    bytes_text,
    count,
    day_and_minute,
    duration,
    is_number,
    megabytes,
    milliseconds,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.recordings import short_name
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, WARNING, text

SHOWN = 10
"""Rows of a list in the report; the JSON document has more of them."""

_STATUS_STYLES = {"completed": "green", "failed": ERROR, "open": WARNING}

Section = Mapping[str, Any]


def report(document: Section) -> Iterator[Block]:
    """The report of one analysed trace, from the sections its document has."""
    trace = document.get("trace", {})
    overview = document.get("execution_overview")
    yield from _overview(trace, overview, document.get("resource_usage"))
    if "errors" in document:
        yield from _errors(document["errors"])
    if "performance" in document:
        yield from _performance(document["performance"])
    if "resource_usage" in document:
        yield from _resources(document["resource_usage"])
    if "component_breakdown" in document:
        yield from _components(document["component_breakdown"])
    if "event_type_breakdown" in document:
        yield from _event_types(document["event_type_breakdown"])


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
    rows = []
    for document in documents:
        overview = document.get("execution_overview", {})
        errors = overview.get("errors")
        status = str(overview.get("status", ""))
        rows.append(
            (
                text(short_name(Path(str(document["trace"]["path"]))), limit=120),
                text(day_and_minute(overview.get("started_at")), DIM),
                text("" if status == "completed" else status, _STATUS_STYLES.get(status, "")),
                duration(overview.get("duration_ms")),
                tokens((overview.get("llm_calls") or 0) + (overview.get("tool_calls") or 0)),
                tokens(overview.get("tokens")),
                money(overview.get("cost")),
                text(tokens(errors), ERROR if errors else ""),
            )
        )
    yield Heading(count(len(rows), "recording"))
    yield Table(columns, rows)


def _overview(trace: Section, overview: Section | None, resources: Section | None) -> Iterator[Block]:
    told = overview or {}
    program = (
        told.get("target") or " ".join(map(str, told.get("argv") or ())) or trace.get("path", "recording")
    )
    yield Heading(str(program))
    if overview is None:
        yield Facts(
            [("events", tokens(trace.get("events"))), ("recording", text(trace.get("path", ""), DIM))]
        )
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
            ("status", text(status, style).append(succeeded, DIM)),
            ("took", duration(overview.get("duration_ms"))),
            ("calls", calls),
            ("errors", text(", ".join(errors), ERROR if overview.get("errors") else "")),
            ("tokens", _tokens_line(overview, resources)),
            ("cost", _cost_line(overview)),
            ("events", _events_line(overview)),
            ("started", _started_line(overview)),
            ("recording", text(trace.get("path", ""), DIM)),
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
    if not unpriced:
        return known
    return f"{known or 'not known'}  ({count(unpriced, 'call')} without a price)"


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
    aside = f"{tokens(recovered)} more made good by another attempt" if recovered else ""
    categories = errors.get("error_categories") or {}
    if total or recovered:
        yield Heading(count(total, "error"), aside, ERROR if total else "bold")
    if total:
        yield Facts(
            [("categories", ", ".join(f"{kind} {tokens(number)}" for kind, number in categories.items()))]
        )
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
        yield from _more(total, len(failures[:SHOWN]))
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
                    text(span.get("call_site") or "", DIM),
                )
                for span in spans[:SHOWN]
            ],
        )
        yield from _more(number_open, len(spans[:SHOWN]))


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
                    text(row.get("call_site") or "", DIM),
                )
                for row in slow[:SHOWN]
            ],
        )
        yield from _more(total, len(slow[:SHOWN]))
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
    yield Heading("Models", "times of single attempts")
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
                _failed(row.get("errors")),
                *_times(row),
                milliseconds((row.get("time_to_first_token") or {}).get("p50_ms")),
                tokens(row.get("tokens")),
                milliseconds(row.get("tokens_per_second")),
            )
            for model, row in _longest(models.items())
        ],
    )
    yield from _more(len(models), min(len(models), SHOWN))


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
                _failed(row.get("errors")),
                milliseconds(row.get("total_ms")),
                *_times(row),
            )
            for label, row in _longest(items)
        ],
    )
    yield from _more(len(items), min(len(items), SHOWN))


def _longest(items: Iterable[tuple[Any, Section]]) -> list[tuple[Any, Section]]:
    """Those that took longest in all come first."""
    return sorted(items, key=lambda item: (-(item[1].get("total_ms") or 0), str(item[0])))[:SHOWN]


def _resources(resources: Section) -> Iterator[Block]:
    rows = list(_resource_facts(resources))
    used, cost = resources.get("tokens") or {}, resources.get("cost") or {}
    spenders = [
        (kind, label, parts, (cost.get(key) or {}).get(label))
        for kind, key in (("llm", "by_model"), ("agent", "by_agent"))
        for label, parts in (used.get(key) or {}).items()
    ]
    if not any(value for _, value in rows) and not spenders:
        return
    yield Heading("Resources")
    yield Facts(rows)
    if spenders:
        yield Table(
            (name("model, agent", 14), number("input"), number("cached"), number("output"), number("tokens"), number("cost")),
            [
                (
                    text(label, COMPONENT_STYLES[kind], 120),
                    _amount(parts.get("input_tokens")),
                    _amount(parts.get("cache_read_tokens")),
                    _amount(parts.get("output_tokens")),
                    _amount(parts.get("total")),
                    money(spent),
                )
                for kind, label, parts, spent in spenders[: 2 * SHOWN]
            ],
        )  # fmt: skip
        yield from _more(len(spenders), min(len(spenders), 2 * SHOWN))


def _resource_facts(resources: Section) -> Iterator[tuple[str, str]]:
    memory, http = resources.get("memory") or {}, resources.get("http") or {}
    peak = memory.get("peak_mb")
    if peak is not None:
        span = f"  (from {megabytes(memory.get('start_mb'))} to {megabytes(memory.get('end_mb'))})"
        yield "memory", f"{megabytes(peak)} MB at most, at event {memory.get('peak_number')}{span}"
    yield "CPU", duration(resources.get("cpu_ms"))
    if http.get("exchanges"):
        sizes = (
            f"{bytes_text(http.get('request_bytes'))} sent, {bytes_text(http.get('response_bytes'))} received"
        )
        failed = f", {count(http['errors'], 'error')}" if http.get("errors") else ""
        yield "HTTP", f"{count(http['exchanges'], 'exchange')}{failed}, {sizes}"
    tracing = resources.get("tracing") or {}
    if tracing:
        spent = duration((tracing.get("tracing_us") or 0) / 1000)
        dropped = f", {tokens(tracing['dropped'])} dropped" if tracing.get("dropped") else ""
        yield (
            "tracing",
            f"{count(tracing.get('events') or 0, 'event')}, {bytes_text(tracing.get('bytes'))}, {spent}{dropped}",
        )
        problems = tracing.get("problems") or {}
        yield (
            "problems",
            ", ".join(f"{words} ({tokens(times)})" for words, times in list(problems.items())[:SHOWN]),
        )


def _components(components: Mapping[str, Section]) -> Iterator[Block]:
    if not components:
        return
    yield Heading("Components", "total counts nested and parallel work more than once")
    yield Table(
        (
            name("component", 10),
            number("spans"),
            number("errors"),
            number("total ms"),
            number("of its own"),
            number("tokens"),
            number("cost"),
        ),
        [
            (
                text(component, COMPONENT_STYLES.get(component, ""), 60),
                tokens((row.get("count") or 0) + (row.get("open") or 0)),
                _failed(row.get("errors")),
                milliseconds(row.get("total_ms")),
                milliseconds(row.get("self_ms")),
                _amount(row.get("tokens")),
                money(row.get("cost")),
            )
            for component, row in components.items()
        ],
    )


def _event_types(types: Mapping[str, Any]) -> Iterator[Block]:
    if not types:
        return
    yield Heading("Events")
    yield Table(
        (name("type", 20), number("events")),
        [(text(kind, limit=60), tokens(amount)) for kind, amount in types.items()],
    )


def _where(row: Section) -> Cell:
    component, label = str(row.get("component") or ""), row.get("component_name")
    return text(f"{component} {label}" if label else component, COMPONENT_STYLES.get(component, ""), 120)


def _failed(number_failed: Any) -> Cell:
    return text(tokens(number_failed), ERROR) if number_failed else ""


def _amount(value: Any) -> str:
    return tokens(value) if value else ""


def _more(total: Any, shown: int) -> Iterator[Block]:
    if is_number(total) and total > shown:
        yield Note(f"… {total - shown:,.0f} more; --format json lists them")
