"""What a run could have saved: repeated calls, context sent again, work after a failure, slow tools, waiting.

The section:

    {"saves": {"ms": 5200.0, "tokens": 41000, "cost": 0.12},      all kinds together; `cost` null where none is known
     "kinds": [{"kind": "repeated_calls", "what": "...", "count": 3, "saves": {...}, "reason": null}],
     "listed": [{"kind": "repeated_calls", "component": "tool", "component_name": "search", "count": 2,
                 "numbers": [14, 31], "first_number": 9, "saves": {...}}],
     "undecided_runs": 0}

No saving is counted twice: each call belongs to the first kind in the order of `savings.KINDS` that applies to it,
and of waiting that could be saved by running things at the same time, only what exceeds the time already counted
inside. `ms` is the time of the calls themselves; where they ran beside others, the run would be shorter by less. How
each kind is found is described in `savings`. `undecided_runs` counts failed spans whose inner calls are not known,
because other calls ran at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import NS_PER_MS
from namel3ss_debug.analysis.resources.usage import Asked, asked_by, span_cost, total_tokens, whole
from namel3ss_debug.analysis.savings.prompts import answer_key, key_of, prompt_of, question_key
from namel3ss_debug.analysis.savings.savings import LEAST_PREFIX, Calls, FailedRun, Key, Savings

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

MOST_FAILED_RUNS = 10_000
_INSIDE = "calls inside"
_new = tuple.__new__


class Optimizations:
    """Keeps what each call of a model or a tool was asked, answered and took; savings are found at the end."""

    events: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ("dependencies",)

    def __init__(self, options: Options) -> None:
        self._slow_ns = round(options.slow_ms * NS_PER_MS)
        self._calls: dict[Key, Calls] = {}
        self._runs: list[FailedRun] = []

    def span(self, span: MeasuredSpan) -> None:
        """Take a call that ended, or a failed span with calls inside."""
        below, above, component = span.below, span.above, span.component
        inside = below.sums[_INSIDE][0] if below is not None and _INSIDE in below.sums else 0
        calls = inside
        if component == "llm" or component == "tool":  # noqa: PLR1714  (this is done for every span)
            self._take(span, leaf=not inside)
            calls += 1
        if calls and above is not None:
            told = above.sums.get(_INSIDE)
            if told is None:
                above.sums[_INSIDE] = [calls]
            else:
                told[0] += calls
        if inside and span.failed:
            self._runs.append(FailedRun(span.number, span.end_number, _words(span.end), inside))
            if len(self._runs) > 2 * MOST_FAILED_RUNS:
                self._runs = sorted(self._runs)[:MOST_FAILED_RUNS]

    def open_span(self, span: MeasuredSpan) -> None:
        """Ignore it: a span that never ended shows neither its cost nor whether it failed."""

    def event(self, number: int, event: Event) -> None:
        """Ignore it: point events cost nothing."""

    def _take(self, span: MeasuredSpan, *, leaf: bool) -> None:
        """Count a call under its operation, with keys of its question and its answer."""
        start, end = span.start, span.end
        model = span.component == "llm"
        operation = (
            span.component,
            asked_by(span) if model else _new(Asked, (span.name, None, None, None, ())),
        )
        calls = self._calls.get(operation)
        if calls is None:
            calls = self._calls[operation] = Calls()
        # a tool with calls inside may state their tokens and their cost once more
        cost = span_cost(span) if model or (leaf and "cost_estimate" in end) else None
        answered = leaf and not span.failed and not span.retried
        prompt = prompt_of(start) if model and not span.failed else None
        question = -1
        if answered:
            question = question_key(start) if prompt is None else prompt.key
        calls.take(
            span,
            total_tokens(end) if leaf or model else 0,
            -1 if cost is None else cost.amount,
            question,
            answer_key(end) if question >= 0 else -1,
        )
        if span.failed:
            calls.failed[span.number] = _words(end)
        elif prompt is not None and prompt.size:
            usage = end.get("usage")
            if type(usage) is dict and (given := whole(usage.get("input_tokens"))) >= LEAST_PREFIX:
                calls.prompts.add(span, prompt, given, whole(usage.get("cache_read_tokens")))

    def merge(self, later: Optimizations) -> None:
        """Add what a later part of the trace has found."""
        for operation, calls in later._calls.items():
            mine = self._calls.get(operation)
            if mine is None:
                self._calls[operation] = calls
            else:
                mine.merge(calls)
        self._runs = sorted(self._runs + later._runs)[:MOST_FAILED_RUNS]

    def result(self, totals: Totals) -> dict[str, Any]:
        """Return the section."""
        runs = sorted(self._runs)[:MOST_FAILED_RUNS]
        savings = Savings(self._calls, self._slow_ns)
        savings.after_failures(runs)
        savings.repeated()
        savings.resent()
        savings.slow_tools()
        dependencies = totals.sections.get("dependencies") or {}
        savings.parallel(dependencies.get("parallel") or {})
        return savings.result()


def _words(end: Event) -> int:
    """Return a key for the type and text of a failure, equal where one span passes on the failure of another."""
    return key_of([end.get("error_type"), end.get("error")])
