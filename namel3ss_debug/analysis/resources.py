"""What a run used: tokens and money by model and agent, memory, CPU, HTTP, and what tracing itself cost.

Each LLM attempt is a span of its own and states its own tokens and cost; these are added up. Spans of agents and
chains may state the sum of their calls once more, so only one component counts for the totals: the first of
`SOURCES` that states anything. A call belongs to the nearest agent it ran inside that was still running when the
call ended. A cost is what the trace says, else what the tokens of a model call cost by its price (`traces.costs`);
calls whose price is not known are counted beside it, never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import NS_PER_MS, milliseconds
from namel3ss_debug.analysis.nesting import add_up, whole_ns
from namel3ss_debug.analysis.usage import (
    NO_PARTS,
    PARTS,
    dollars,
    span_cost,
    token_parts,
    whole,
)
from namel3ss_debug.traces.costs import RECORDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.analysis.nesting import Below, MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

SOURCES = ("llm", "prompt", "tool", "chain", "agent", "app")
"""The components that may speak for the totals, the first that states tokens or cost wins; others come after."""

_NS_PER_US = 1000
_CALLS, _TOKENS, _PARTS, _COST, _PRICED, _UNPRICED, _UNCOUNTED, _WIDTH = 0, 1, 2, 7, 8, 9, 10, 11
_SUMS = "usage"


Reading = tuple[float, int]
"""A reading of a process's memory: megabytes, and the number of the event."""

_NO_READING: Reading = (-1.0, -1)


class ResourceUsage:
    """Tokens, cost, memory, CPU, HTTP and the cost of tracing."""

    events: frozenset[str] = frozenset({"resource_sample", "trace_end"})
    needs: tuple[str, ...] = ()

    def __init__(self, _options: Options) -> None:
        self._by_component: dict[str, list[int]] = {}
        self._by_model: dict[str, list[int]] = {}
        self._by_agent: dict[str, list[int]] = {}
        self._priced_by: dict[str, int] = {}
        self._samples = 0
        self._first = self._last = self._peak = _NO_READING
        self._cpu_ns = 0
        self._cpu_told = False
        self._http = [0, 0, 0, 0]
        self._tracing = [0, 0, 0, 0, 0]
        self._problems: dict[str, int] = {}

    def span(self, span: MeasuredSpan) -> None:
        """Take what one span that ended tells."""
        end, start, component, below = span.end, span.start, span.component, span.below
        if "memory_usage_mb" in end:
            self._remember(span.end_number, end["memory_usage_mb"])
        if "memory_usage_mb" in start:
            self._remember(span.number, start["memory_usage_mb"])
        if "parent_event_id" not in start and "cpu_time_ms" in end:
            self._cpu_ns += whole_ns(end["cpu_time_ms"], NS_PER_MS)
            self._cpu_told = True
        if component == "llm" or "tokens_used" in end or "cost_estimate" in end or "usage" in end:
            self._use(span)
        if component == "http":
            self._exchange(span)
        if below is not None and _SUMS in below.sums:
            self._pass_up(span)

    def open_span(self, span: MeasuredSpan) -> None:
        """Take what the children of a span that never ended have left, and its memory at the start."""
        if "memory_usage_mb" in span.start:
            self._remember(span.number, span.start["memory_usage_mb"])
        if span.below is not None and _SUMS in span.below.sums:
            self._pass_up(span)

    def event(self, number: int, event: Event) -> None:
        """Take a sample of memory, or what a process says that tracing cost."""
        metadata = event.get("metadata", {})
        if "memory_usage_mb" in event:
            self._remember(number, event["memory_usage_mb"])
        if event["event_type"] == "trace_end":
            told = (whole(metadata.get(name)) for name in ("events", "bytes", "dropped"))
            spent = whole_ns(metadata.get("tracing_us"), _NS_PER_US)
            add_up(self._tracing, (1, *told, spent))
            problems = metadata.get("problems")
            for text, count in problems.items() if isinstance(problems, dict) else ():
                self._problems[text] = self._problems.get(text, 0) + whole(count)

    def _remember(self, number: int, mb: float) -> None:
        self._samples += 1
        highest, at = self._peak
        if mb > highest or (mb == highest and number < at):
            self._peak = (mb, number)
        if number > self._last[1]:
            self._last = (mb, number)
        if number < self._first[1] or self._samples == 1:
            self._first = (mb, number)

    def _exchange(self, span: MeasuredSpan) -> None:
        self._http[0] += 1
        if span.failed:
            self._http[1] += 1
        if "metadata" not in span.start and "metadata" not in span.end:
            return
        sent = received = 0
        for event in (span.start, span.end):
            exchange = event.get("metadata", {}).get("exchange")
            if isinstance(exchange, dict):
                sent = max(sent, whole(exchange.get("request_bytes")))
                received = max(received, whole(exchange.get("response_bytes")))
        self._http[2] += sent
        self._http[3] += received

    def _use(self, span: MeasuredSpan) -> None:
        """Add what one span states to its model, its component and, through its parent, its agent."""
        end = span.end
        parts = token_parts(end)
        tokens = end.get("tokens_used")  # as `total_tokens`
        cost = span_cost(span)
        priced = cost is not None
        stated = "tokens_used" in end or parts is not NO_PARTS
        # a call that was refused costs nothing, so it is not one whose price is unknown
        unpriced = not priced and (stated or not span.failed)
        uncounted = not stated and not span.failed
        amount = 0 if cost is None else cost.amount
        total = parts[0] + parts[1] if tokens is None else tokens
        row = (1, total, *parts, amount, priced, unpriced, uncounted)
        if span.component == "llm":
            if cost is not None:
                self._priced_by[cost.source] = self._priced_by.get(cost.source, 0) + 1
            add_up(_row(self._by_model, span.name), row)
            if span.above is not None:
                _leave(span.above, row)
        else:
            add_up(_row(self._by_component, span.component), row)

    def _pass_up(self, span: MeasuredSpan) -> None:
        """Credit an agent with the calls that ran inside it, or hand them on to the span around."""
        assert span.below is not None
        row = span.below.sums[_SUMS]
        if span.component == "agent" and not span.start.get("event_type", "").startswith("agent_turn"):
            add_up(_row(self._by_agent, span.name), row)
        elif span.above is not None:
            _leave(span.above, row)

    def merge(self, later: ResourceUsage) -> None:
        """Take in what a later part of the trace, or another trace, has found."""
        for mine, theirs in (
            (self._by_component, later._by_component),
            (self._by_model, later._by_model),
            (self._by_agent, later._by_agent),
        ):
            for name, row in theirs.items():
                add_up(_row(mine, name), row)
        for source, count in later._priced_by.items():
            self._priced_by[source] = self._priced_by.get(source, 0) + count
        self._samples += later._samples
        readings = [reading for reading in (self._first, later._first) if reading != _NO_READING]
        self._first = min(readings, key=lambda reading: reading[1], default=_NO_READING)
        self._last = max(self._last, later._last, key=lambda reading: reading[1])
        self._peak = _higher(self._peak, later._peak)
        self._cpu_ns += later._cpu_ns
        self._cpu_told |= later._cpu_told
        add_up(self._http, later._http)
        add_up(self._tracing, later._tracing)
        for text, count in later._problems.items():
            self._problems[text] = self._problems.get(text, 0) + count

    def result(self, totals: Totals) -> dict[str, Any]:
        """Tokens, cost, memory, cpu_ms, http and tracing; None where the trace does not tell."""
        source, total = self._source()
        names = ("exchanges", "errors", "request_bytes", "response_bytes")
        return {
            "tokens": {
                **_tokens(total),
                "source": source,
                "calls": total[_CALLS],
                "calls_without_usage": total[_UNCOUNTED],
                "by_model": {name: _tokens(row) for name, row in sorted(self._by_model.items())},
                "by_agent": {name: _tokens(row) for name, row in sorted(self._by_agent.items())},
            },
            "cost": {
                "total": _cost(total),
                "calls_with_price": total[_PRICED],
                "calls_without_price": total[_UNPRICED],
                "priced_by": self._sources(source, total),
                "without_price_by_model": {
                    name: row[_UNPRICED] for name, row in sorted(self._by_model.items()) if row[_UNPRICED]
                },
                "by_model": {name: _cost(row) for name, row in sorted(self._by_model.items())},
                "by_agent": {name: _cost(row) for name, row in sorted(self._by_agent.items())},
            },
            "memory": {
                "samples": self._samples,
                "start_mb": self._first[0] if self._samples else None,
                "end_mb": self._last[0] if self._samples else None,
                "peak_mb": self._peak[0] if self._samples else None,
                "peak_number": self._peak[1] if self._samples else None,
            },
            "cpu_ms": milliseconds(self._cpu_ns) if self._cpu_told else None,
            "http": dict(zip(names, self._http, strict=True)),
            "tracing": self._tracing_result(totals),
        }

    def _source(self) -> tuple[str | None, list[int]]:
        """The component that speaks for the totals, and its sums."""
        rows = dict(sorted(self._by_component.items()))
        if self._by_model:
            rows["llm"] = [sum(column) for column in zip(*self._by_model.values(), strict=True)]
        present = sorted(rows, key=lambda name: SOURCES.index(name) if name in SOURCES else len(SOURCES))
        telling = [name for name in present if rows[name][_TOKENS] or rows[name][_PRICED]]
        name = next(iter(telling or present), None)
        return name, [0] * _WIDTH if name is None else rows[name]

    def _sources(self, component: str | None, total: list[int]) -> dict[str, int]:
        """Who says what the calls cost: how many calls by `recorded`, `settings`, `genai-prices` with its version."""
        if component == "llm":
            return dict(sorted(self._priced_by.items()))
        return {RECORDED: total[_PRICED]} if total[_PRICED] else {}

    def _tracing_result(self, totals: Totals) -> dict[str, Any] | None:
        processes, events, size, dropped, spent = self._tracing
        if not processes:
            return None
        wall = totals.wall_ns
        return {
            "processes": processes,
            "events": events,
            "bytes": size,
            "dropped": dropped,
            "tracing_us": spent / _NS_PER_US,
            "share_of_wall": round(spent / wall, 9) if wall else None,
            "problems": dict(sorted(self._problems.items())),
        }


def _leave(above: Below, row: Sequence[int]) -> None:
    """Add a row to those that other children of the same span have left."""
    found = above.sums.get(_SUMS)
    if found is None:
        above.sums[_SUMS] = list(row)
    else:
        add_up(found, row)


def _row(rows: dict[str, list[int]], name: str) -> list[int]:
    row = rows.get(name)
    if row is None:
        row = rows[name] = [0] * _WIDTH
    return row


def _tokens(row: list[int]) -> dict[str, int]:
    """The tokens of a row; the names are those of `usage`."""
    return {"total": row[_TOKENS], **dict(zip(PARTS, row[_PARTS:_COST], strict=True))}


def _cost(row: list[int]) -> float | None:
    return dollars(row[_COST]) if row[_PRICED] else None


def _higher(peak: Reading, reading: Reading) -> Reading:
    """The higher reading; of equal ones the earlier."""
    return max(peak, reading, key=lambda told: (told[0], -told[1]))
