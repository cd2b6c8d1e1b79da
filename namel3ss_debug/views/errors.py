"""Failures as a report: each with its origin, then spans that never ended, and weaker signs of failure separately."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import count, duration, moment, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, prose
from namel3ss_debug.views.terminal import DIM, ERROR, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section, more, operation_cell

_NUMBER = Column("n", align="right", style=DIM)


def errors(section: Section) -> Iterator[Block]:
    """Failures and their origins, failed attempts, spans that never ended, and weaker signs of failure."""
    total = section.get("total_errors") or 0
    recovered = section.get("recovered_errors") or 0
    if recovered and not total:
        yield Heading(count(recovered, "failed attempt"), "recovered by another", WARNING)
        yield Facts([("retries", _retries(section))])
    if total:
        aside = f"{tokens(recovered)} more recovered by another attempt" if recovered else ""
        yield Heading(count(total, "error"), aside, ERROR)
        yield from _facts(section)
        failures = section.get("failures") or []
        yield Table(
            (_NUMBER, name("where", 14), Column("category"), prose("error", 20)),
            [row for failure in failures[:SHOWN] for row in _failure_rows(failure)],
        )
        yield from more(total, len(failures[:SHOWN]))
        yield from _helps(failures, str(section.get("reference") or ""))
    yield from _open_spans(section)
    yield from _weak(section)


def _facts(section: Section) -> Iterator[Block]:
    categories = section.get("error_categories") or {}
    ordered = sorted(categories.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{kind} {tokens(amount)}" for kind, amount in ordered)
    first = section.get("first_failure_ms")
    yield Facts(
        [
            ("categories", kinds if len(categories) > 1 else ""),  # a single one is in the table below
            ("first", f"{duration(first)} into the run" if first is not None else ""),
            ("retries", _retries(section)),
        ]
    )


def _retries(section: Section) -> str:
    """Return how many calls were repeated, and the cost of that."""
    cost = section.get("retry_cost") or {}
    spans = cost.get("spans")
    if not spans:
        return ""
    spent = [duration(cost.get("duration_ms"))]
    spent += [count(cost["tokens"], "token")] if cost.get("tokens") else []
    spent += [money(cost["cost"])] if cost.get("cost") else []
    return f"{count(spans, 'call')} made again, {', '.join(spent)}"


def _failure_rows(failure: Section) -> Iterator[tuple[Cell, ...]]:
    """Yield a failure, and below it its origin, if that is another event."""
    kind, message = failure.get("error_type"), failure.get("error")
    words = ": ".join(str(part) for part in (kind, message) if part) or str(failure.get("status") or "")
    attempts = len(failure.get("attempts") or ())
    yield (
        text(failure.get("number"), DIM),
        operation_cell(failure),
        text(failure.get("category") or "", limit=40),
        text(words + (f" ({attempts} attempts)" if attempts > 1 else ""), ERROR, 400),
    )
    origin = next(iter(failure.get("origins") or ()), None)
    if origin is not None and origin.get("number") != failure.get("number"):
        yield (
            text(origin.get("number"), DIM),
            operation_cell(origin),
            text("began here", DIM),
            text(origin.get("reason") or "", limit=400),
        )


def _helps(failures: list[Section], reference: str) -> Iterator[Block]:
    """Yield the command that explains the first failure; with several traces, its number names the trace."""
    first = failures[0] if failures else {}
    if first.get("number"):
        *recording, number = str(first["number"]).rsplit(":", 1)
        words = " ".join(("namel3ss debug explain", number, *(recording or filter(None, [reference]))))
        yield Note(f"how it came to the first of them: {words}")


def _open_spans(section: Section) -> Iterator[Block]:
    spans = section.get("open_spans") or []
    if not spans:
        return
    number_open = section.get("open_span_count") or len(spans)
    title = count(number_open, "span") + " never ended"
    yield Heading(title, "the program was here when the trace ended", WARNING)
    yield Table(
        (_NUMBER, name("where", 14), Column("started (UTC)"), name("call site", 16)),
        [
            (
                text(span.get("number"), DIM),
                operation_cell(span),
                moment(span.get("started_at")),
                text(short_site(span.get("call_site") or ""), DIM),
            )
            for span in spans[:SHOWN]
        ],
    )
    yield from more(number_open, len(spans[:SHOWN]))


def _weak(section: Section) -> Iterator[Block]:
    """Outputs and log records that report an error where no span failed."""
    total = section.get("weak_errors") or 0
    rows = section.get("weak_failures") or []
    if not total:
        return
    title = count(total, "weaker sign") + " of failure"
    yield Heading(title, "in an output or a log record; no span failed", WARNING)
    yield Table(
        (_NUMBER, name("where", 14), prose("what it says", 20)),
        [row for weak in rows[:SHOWN] for row in _weak_rows(weak)],
    )
    yield from more(total, len(rows[:SHOWN]))


def _weak_rows(weak: Section) -> Iterator[tuple[Cell, ...]]:
    words = ": ".join(str(part) for part in (weak.get("error_type"), weak.get("error")) if part)
    yield (
        text(weak.get("number"), DIM),
        operation_cell(weak),
        text(words, WARNING, 400),
    )
    origin = next(iter(weak.get("origins") or ()), None)
    if origin is not None and origin.get("number") != weak.get("number"):
        began = f"began here: {origin.get('reason') or ''}"
        yield text(origin.get("number"), DIM), operation_cell(origin), text(began, limit=400)
