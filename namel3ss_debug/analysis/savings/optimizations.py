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

from namel3ss_debug.analysis.distributions import NS_PER_MS
from namel3ss_debug.analysis.resources.usage import ModelKey, model_key, parse_count, span_cost, total_tokens
from namel3ss_debug.analysis.savings.prompts import answer_key, arguments_key, parse_prompt, value_key
from namel3ss_debug.analysis.savings.savings import LEAST_PREFIX, CountedCalls, FailedSpan, Key, Savings

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

MOST_FAILED_RUNS = 10_000
_INSIDE = "calls inside"
_new = tuple.__new__


class Optimizations:
    """Keeps keys of the request and the answer of each call, its time and its cost. Savings are found at the end."""

    events: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ("dependencies",)

    def __init__(self, options: Options) -> None:
        self._slow_ns = round(options.slow_ms * NS_PER_MS)
        self._calls: dict[Key, CountedCalls] = {}
        self._failed_spans: list[FailedSpan] = []

    def span(self, span: MeasuredSpan) -> None:
        """Keep a call that ended, or a failed span with calls inside."""
        below, above, component = span.below, span.above, span.component
        inside = below.sums[_INSIDE][0] if below is not None and _INSIDE in below.sums else 0
        calls = inside
        if component == "llm" or component == "tool":  # noqa: PLR1714  (this is done for every span)
            self._add_call(span, leaf=not inside)
            calls += 1
        if calls and above is not None:
            known = above.sums.get(_INSIDE)
            if known is None:
                above.sums[_INSIDE] = [calls]
            else:
                known[0] += calls
        if inside and span.failed:
            self._failed_spans.append(
                FailedSpan(span.number, span.end_number, _failure_key(span.end), inside)
            )
            if len(self._failed_spans) > 2 * MOST_FAILED_RUNS:
                self._failed_spans = sorted(self._failed_spans)[:MOST_FAILED_RUNS]

    def open_span(self, span: MeasuredSpan) -> None:
        """Ignore a span that never ended: it shows neither its cost nor whether it failed."""

    def event(self, number: int, event: Event) -> None:
        """Ignore a point event: it costs nothing."""

    def _add_call(self, span: MeasuredSpan, *, leaf: bool) -> None:
        """Add a call to its operation, with keys of its request and its answer."""
        start, end = span.start, span.end
        model = span.component == "llm"
        operation = (
            span.component,
            model_key(span) if model else _new(ModelKey, (span.name, None, None, None, ())),
        )
        calls = self._calls.get(operation)
        if calls is None:
            calls = self._calls[operation] = CountedCalls()
        # A tool with calls inside may hold the sum of their tokens and costs.
        cost = span_cost(span) if model or (leaf and "cost_estimate" in end) else None
        comparable = leaf and not span.failed and not span.retried
        prompt = parse_prompt(start) if model and not span.failed else None
        request = -1
        if comparable:
            request = arguments_key(start) if prompt is None else prompt.key
        calls.add(
            span,
            total_tokens(end) if leaf or model else 0,
            -1 if cost is None else cost.amount,
            request,
            answer_key(end) if request >= 0 else -1,
        )
        if span.failed:
            calls.failed[span.number] = _failure_key(end)
        elif prompt is not None and prompt.size:
            usage = end.get("usage")
            if (
                type(usage) is dict
                and (input_tokens := parse_count(usage.get("input_tokens"))) >= LEAST_PREFIX
            ):
                calls.prompts.add(span, prompt, input_tokens, parse_count(usage.get("cache_read_tokens")))

    def merge(self, later: Optimizations) -> None:
        """Merge the fold of a later part of the trace into this one."""
        for operation, calls in later._calls.items():
            mine = self._calls.get(operation)
            if mine is None:
                self._calls[operation] = calls
            else:
                mine.merge(calls)
        self._failed_spans = sorted(self._failed_spans + later._failed_spans)[:MOST_FAILED_RUNS]

    def result(self, totals: Totals) -> dict[str, Any]:
        """Return the section."""
        failed_spans = sorted(self._failed_spans)[:MOST_FAILED_RUNS]
        savings = Savings(self._calls, self._slow_ns)
        savings.find_work_after_failures(failed_spans)
        savings.find_repeated()
        savings.find_resent()
        savings.find_slow_tools()
        dependencies = totals.sections.get("dependencies") or {}
        savings.find_parallel(dependencies.get("parallel") or {})
        return savings.result()


def _failure_key(end: Event) -> int:
    """Return a key for the type and text of a failure, equal where one span passes on the failure of another."""
    return value_key([end.get("error_type"), end.get("error")])
