"""What a limit can limit: the calls, the time, the tokens and the cost of a run, an agent, a tool or a model.

A call belongs to the nearest agent it began inside, and to no other. An unknown value is null: the tokens where a call
has no usage, the cost where a call has no price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.traces.costs import lacks_price
from namel3ss_debug.traces.facts import total_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from namel3ss_debug.analysis.checks.subjects import SeenSpan

_NS_PER_MS = 1_000_000
_PICODOLLARS = 10**12
_PARTS = ("input_tokens", "output_tokens")

MEASURES: Final = {
    "calls": "calls of models and tools; by tool or model, its own",
    "llm_calls": "calls of models, with retries",
    "tool_calls": "calls of tools",
    "turns": "turns of the agents, else model calls without retries and embeddings",
    "answered": "whether the last model call, embeddings aside, answered without requesting a tool",
    "failures": "spans that failed",
    "retries": "attempts that followed a failed one",
    "duration_ms": "of a run from its first event to its last; else all spans of it together",
    "longest_ms": "the longest of them",
    "tokens": "all tokens",
    "input_tokens": "tokens read",
    "output_tokens": "tokens written",
    "cost": "US dollars",
    "memory_mb": "the highest memory of the process that was read",
    "context_tokens": "the most tokens that one model call read",
    "context_share": "the largest share of a model's context window that one call filled",
}
"""Measure -> its meaning."""

_OF_TOOLS = frozenset({"calls", "failures", "retries", "duration_ms", "longest_ms", "memory_mb"})
BY: Final[dict[str, frozenset[str]]] = {
    "run": frozenset(MEASURES),
    "agent": frozenset(MEASURES) - {"context_share"},
    "model": frozenset(MEASURES) - {"turns", "answered", "llm_calls", "tool_calls"},
    "tool": _OF_TOOLS,
}
"""The measures of each kind of subject."""


LIVE_MEASURES: Final = {
    "error_rate": "the share of the calls that failed",
    "timeouts": "calls that were not answered in time",
    "p50_ms": "the median duration of the latest calls",
    "p95_ms": "the duration that 95 % of the latest calls did not exceed",
    "p99_ms": "the same for 99 %",
    "calls_per_minute": "calls that ended within a minute, over the window",
    "slowdown": "the median duration of the last five calls, as a multiple of that of all",
    "cost_jump": "the same for what they cost",
    "outliers": "how many of the last five calls took far longer, more tokens or more money than usual",
    "loop_calls": "the calls of a loop that goes on",
    "open_seconds": "for how long an open span has waited with nothing running inside",
    "blocked_seconds": "the same without model calls, and without waits that are usual for the operation",
    "down_seconds": "since when a process is gone without having recorded its end",
    "cpu_share": "the processor time of the process, as a share of one processor, over the window",
    "busy_seconds": "for how long the process has computed without a pause",
    "memory_share": "the memory of the run as a share of the memory of the machine",
    "memory_mb_per_hour": "how fast the memory grows, once it has grown for half of the window and longer than a start takes",
    "context_turns": "in how many calls the context of a conversation will be 80 % full, as it has grown",
    "error_rate_ahead": "what the error rate will surely exceed half a window from now, as it rises",
    "mean_ms_ahead": "the same for the mean duration of the calls",
    "cost_per_call_ahead": "the same for the mean cost of the calls",
    "memory_mb_ahead": "the same for the memory of a process, while it grows",
}
"""Measure of a growing trace -> its meaning."""

_LIVE_OF_CALLS: Final = frozenset(
    {
        *("calls", "llm_calls", "tool_calls", "failures", "retries", "longest_ms"),
        *("tokens", "input_tokens", "output_tokens", "cost", "error_rate", "timeouts", "calls_per_minute"),
        *(
            "p50_ms",
            "p95_ms",
            "p99_ms",
            "slowdown",
            "cost_jump",
            "outliers",
            "context_share",
            "error_rate_ahead",
            "mean_ms_ahead",
            "cost_per_call_ahead",
        ),
    }
)
_LIVE_OF_SPANS: Final = _LIVE_OF_CALLS | {"open_seconds", "blocked_seconds"}
LIVE_BY: Final[dict[str, frozenset[str]]] = {
    "all": _LIVE_OF_CALLS,
    "run": _LIVE_OF_SPANS | {"duration_ms", "loop_calls", "down_seconds", "memory_mb", "memory_share"},
    "process": frozenset({"cpu_share", "busy_seconds", "memory_mb_per_hour", "memory_mb_ahead"}),
    "agent": _LIVE_OF_CALLS,
    "model": _LIVE_OF_SPANS | {"context_turns"},
    "tool": _LIVE_OF_SPANS,
    "operation": _LIVE_OF_SPANS,
}
"""The measures of a growing trace by kind of subject; an operation is a model, a tool or an agent."""


@dataclass(slots=True)
class Measured:
    """The measures of one subject, added up span by span; times are in nanoseconds, money in 1e-12 dollars."""

    calls: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    agent_turns: int = 0
    failures: int = 0
    retries: int = 0
    no_turns: int = 0
    duration_ns: int = 0
    longest_ns: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    priced: int = 0
    unpriced: int = 0
    uncounted: int = 0
    without_parts: int = 0
    context_tokens: int = 0
    memory_mb: float | None = None
    last_llm: tuple[int, bool] = (0, False)
    most: dict[str, tuple[float, int]] = field(default_factory=dict)
    call_site: str | None = None

    def add(self, span: SeenSpan, *, timed: bool) -> None:
        """Add a span. Its duration counts for the subject if it is `timed`."""
        self.call_site = self.call_site or span.call_site
        self.failures += span.failed
        self.retries += span.retried
        self.agent_turns += span.is_turn
        self.llm_calls += span.component == "llm"
        self.tool_calls += span.component == "tool"
        self.calls += span.component in {"llm", "tool"}
        for event in (span.start, span.end):
            memory = event.get("memory_usage_mb")
            if isinstance(memory, int | float):
                self.memory_mb = max(memory, self.memory_mb or 0.0)
                self._most("memory_mb", memory, span.number)
        if timed:
            self.duration_ns += span.duration_ns or 0
            self.longest_ns = max(self.longest_ns, span.duration_ns or 0)
            self._most("longest_ms", span.duration_ns or 0, span.number)
            self._most("duration_ms", span.duration_ns or 0, span.number)
        if span.component == "llm":
            self._add_call(span)
        elif span.component == "tool":
            self._most("tool_calls", 1, span.number)
        if span.failed:
            self._most("failures", 1, span.number)
        if span.retried:
            self._most("retries", 1, span.number)
        self._most("calls", 1, span.number)

    def _add_call(self, span: SeenSpan) -> None:
        """Add the tokens and the cost of a model call."""
        # An embedding is no answer: an agent that ends with one has answered before.
        if not span.embedded:
            self.last_llm = max(self.last_llm, (span.number, span.answered))
        usage = {name: value for name, value in span.usage.items() if type(value) is int and value >= 0}
        total = span.end.get("tokens_used")
        read, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
        tokens = total_tokens(span.end)
        self.tokens += tokens
        self.input_tokens += read
        self.output_tokens += written
        self.context_tokens = max(self.context_tokens, read)
        self.no_turns += span.retried or span.embedded
        self.uncounted += not span.failed and not usage and total is None
        self.without_parts += total is not None and not span.embedded and usage.keys().isdisjoint(_PARTS)
        cost = span.cost()
        if cost is not None:
            self.cost += cost.amount
            self.priced += 1
        else:
            self.unpriced += lacks_price(span.end)
        self._most("cost", cost.amount if cost else 0, span.number)
        for name, value in (("tokens", tokens), ("input_tokens", read), ("output_tokens", written)):
            self._most(name, value, span.number)
        self._most("context_tokens", read, span.number)
        self._most("llm_calls", 1, span.number)
        self._most("turns", 1, span.number)

    def _most(self, measure: str, value: float, number: int) -> None:
        """Note which span has the most of a measure; of equal ones the last."""
        most = self.most.get(measure)
        if most is None or (value, number) > most:
            self.most[measure] = (value, number)

    def values(self) -> dict[str, Any]:
        """Return the measures by their names; None where one is not known."""
        counted = self.llm_calls == 0 or self.uncounted == 0
        split_known = counted and self.without_parts == 0
        return {
            "calls": self.calls,
            "llm_calls": self.llm_calls,
            "tool_calls": self.tool_calls,
            "turns": self.agent_turns or self.llm_calls - self.no_turns,
            "answered": self.last_llm[1],
            "failures": self.failures,
            "retries": self.retries,
            "duration_ms": self.duration_ns / _NS_PER_MS,
            "longest_ms": self.longest_ns / _NS_PER_MS,
            "tokens": self.tokens if counted else None,
            "input_tokens": self.input_tokens if split_known else None,
            "output_tokens": self.output_tokens if split_known else None,
            "cost": None if self.unpriced else self.cost / _PICODOLLARS,
            "memory_mb": self.memory_mb,
            "context_tokens": self.context_tokens if split_known else None,
        }


@dataclass(frozen=True, slots=True)
class Baseline:
    """The figures and failures of earlier runs.

    Attributes:
        paths: their traces, in order.
        failures: the fingerprints of their failures.
        figures: by measure, its value in each run that has one.
    """

    paths: tuple[str, ...]
    failures: frozenset[str]
    figures: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run whose last event has been read.

    Attributes:
        document: the sections that the rules asked for, by their names.
        measured: the measures by kind of subject (`run`, `agent`, `tool`, `model`), then by its name.
        baseline: the figures of earlier runs, if there are any.
    """

    document: dict[str, Any]
    measured: dict[str, dict[str, Measured]]
    baseline: Baseline | None = None
