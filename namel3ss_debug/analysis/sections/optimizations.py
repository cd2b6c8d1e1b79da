"""Find what a run could have saved: repeated calls, context sent again, work after a failure, slow tools, waiting.

The section:

    {"saves": {"ms": 5200.0, "tokens": 41000, "cost": 0.12},      all kinds together; `cost` null where none is known
     "kinds": [{"kind": "repeated_calls", "what": "...", "count": 3, "saves": {...}, "reason": null}],
     "listed": [{"kind": "repeated_calls", "component": "tool", "component_name": "search", "count": 2,
                 "numbers": [14, 31], "first_number": 9, "saves": {...}}],
     "undecided_runs": 0}

No saving is counted twice. Each call belongs to the first kind in the order of `savings.KINDS` that applies to it. Of
the time that could be saved by running spans at the same time, only the part counts that exceeds the time already
counted inside. `ms` is the time of the calls themselves; where they ran beside others, the run would be shorter by less. How
each kind is found is described in `savings`. `undecided_runs` counts failed spans whose inner calls are not known,
because other calls ran at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.findings import HALF, WORTH_MS, format_time, make_finding
from namel3ss_debug.analysis.sections.prompts import answer_key, arguments_key, parse_prompt, value_key
from namel3ss_debug.analysis.sections.savings import LEAST_PREFIX, CountedCalls, FailedSpan, Key, Savings
from namel3ss_debug.analysis.sections.usage import ModelKey, model_key
from namel3ss_debug.traces.facts import NS_PER_MS, parse_count
from namel3ss_debug.traces.span_table import SpanWatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable


def _worthwhile(section: Mapping[str, Any]) -> list[Row]:
    return [
        row
        for row in section.get("listed") or ()
        if row["saves"].get("tokens") or row["saves"].get("cost") or (row["saves"].get("ms") or 0) >= WORTH_MS
    ]


COLUMNS = (
    "savings",
    TableSpec(
        "",
        "listed",
        (
            ColumnSpec("what", "kind", "saving"),
            ColumnSpec("where", "", "operation of the run", 14),
            ColumnSpec("calls", "count", "count"),
            ColumnSpec("time", "saves.ms", "time taken"),
            ColumnSpec("tokens", "saves.tokens", "amount"),
            ColumnSpec("cost", "saves.cost", "money"),
            ColumnSpec("n", "numbers", "few numbers"),
        ),
        rows=_worthwhile,
    ),
    "savings left out",
)

MOST_FAILED_RUNS = 10_000
_new = tuple.__new__


class Optimizations(SpanWatcher):
    """Keeps keys of the request and the answer of each call, its time and its cost. Savings are found at the end."""

    def __init__(self, options: Options) -> None:
        self._slow_ns = round(options.slow_ms * NS_PER_MS)
        self._calls: dict[Key, CountedCalls] = {}
        self._failed_spans: list[FailedSpan] = []
        self._inside: dict[int, int] = {}  # row -> how many calls ended in it so far

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Keep a call that ended, or a failed span with calls inside."""
        if not end:
            return
        inside = calls = self._inside.pop(row, 0)
        if spans.component(row) in ("llm", "tool"):
            self._add_call(spans, row, start, end, leaf=not inside)
            calls += 1
        around = spans.around[row]
        if calls and around >= 0:
            self._inside[around] = self._inside.get(around, 0) + calls
        if inside and spans.failed[row]:
            self._failed_spans.append(
                FailedSpan(spans.number[row], spans.end[row], _failure_key(end), inside)
            )
            if len(self._failed_spans) > 2 * MOST_FAILED_RUNS:
                self._failed_spans = sorted(self._failed_spans)[:MOST_FAILED_RUNS]

    def _add_call(self, spans: SpanTable, row: int, start: Event, end: Event, *, leaf: bool) -> None:
        """Add a call to its operation, with keys of its request and its answer."""
        component, name = spans.operations[spans.operation[row]]
        failed, model = spans.failed[row], component == "llm"
        operation = (
            component,
            model_key(start, end) if model else _new(ModelKey, (name, None, None, None, ())),
        )
        calls = self._calls.get(operation)
        if calls is None:
            calls = self._calls[operation] = CountedCalls()
        # A tool with calls inside may hold the sum of their tokens and costs.
        cost = spans.cost[row] if model or (leaf and "cost_estimate" in end) else -1
        comparable = leaf and not failed and not spans.retried[row]
        prompt = parse_prompt(start) if model and not failed else None
        request = -1
        if comparable:
            request = arguments_key(start) if prompt is None else prompt.key
        calls.add(
            spans,
            row,
            spans.tokens[row] if leaf or model else 0,
            cost,
            request,
            answer_key(end) if request >= 0 else -1,
        )
        if failed:
            calls.failed[spans.number[row]] = _failure_key(end)
        elif prompt is not None and prompt.size:
            usage = end.get("usage")
            if (
                type(usage) is dict
                and (input_tokens := parse_count(usage.get("input_tokens"))) >= LEAST_PREFIX
            ):
                cached = parse_count(usage.get("cache_read_tokens"))
                calls.prompts.add(spans, row, end, prompt, input_tokens, cached)

    def result(self, _spans: SpanTable, sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        failed_spans = sorted(self._failed_spans)[:MOST_FAILED_RUNS]
        savings = Savings(self._calls, self._slow_ns)
        savings.find_work_after_failures(failed_spans)
        savings.find_repeated()
        savings.find_resent()
        savings.find_slow_tools()
        dependencies = sections["dependencies"]
        savings.find_parallel(dependencies.get("parallel") or {})
        return savings.result()


def _failure_key(end: Event) -> int:
    """Return a key for the type and text of a failure, equal where one span passes on the failure of another."""
    return value_key([end.get("error_type"), end.get("error")])


_SAVINGS = {
    "work_after_failure": ("resources", "calls after the failure that ended their parent span"),
    "repeated_calls": ("resources", "calls repeated a request and got the same answer"),
    "resent_context": ("resources", "prompts began as an earlier one and were not read from a cache"),
    "slow_tools": ("performance", "calls of tools took longer than the setting slow_ms"),
}
"""Kind of saving -> the part it lowers, and its description; other sections report the other kinds."""


def has_savings(section: Row) -> bool:
    """Return whether anything could be saved."""
    return any(row["count"] for row in section["kinds"])


def find_findings(section: Row, _sections: Mapping[str, Any], run: RunAmounts) -> Iterator[Finding]:
    """Yield savings: half the share of the run's time, tokens or money that could be saved."""
    for row in section["kinds"]:
        kind, saves = row["kind"], row["saves"]
        if kind not in _SAVINGS or not row["count"]:
            continue
        part, description = _SAVINGS[kind]
        ms = saves["ms"] if (saves["ms"] or 0) >= WORTH_MS else None
        amounts = [format_time(ms)] if ms else []
        amounts += [f"{saves['tokens']:,} tokens"] if saves["tokens"] else []
        listed = [each for each in section["listed"] if each["kind"] == kind]
        events = [number for each in listed for number in each["numbers"] if number]
        evidence = f"{row['count']:,} {description}: {' and '.join(amounts) or 'little'}"
        look = f"inspect --event {events[0]}" if events else "analyze --optimizations"
        share = run.share(ms, saves["tokens"], saves["cost"])
        yield make_finding(kind, part, "optimizations", HALF * share, evidence, events, look)
