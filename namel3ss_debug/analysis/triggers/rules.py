"""The rules of the section `triggers`: what each evaluates, and when it triggers.

Windows are evaluated at the end, over compact series, so the result does not depend on how the trace was read. A rate
or a baseline needs a minimum number of calls to mean something; with fewer, the rule is `unknown`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import percentile
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from namel3ss_debug.analysis.sections.memory import ProcessKey

LEAST_CALLS = 20
"""A rate or a baseline of fewer calls has no meaning."""

RECENT = 5
"""More than half of this many calls in a row have to be slow."""

FLOOR_NS = 10 * NS_PER_MS
"""The lowest baseline: a call that is twice as slow and still quick is no problem."""

MOST_NUMBERS = 20
_SAME_STRETCH_NS = NS_PER_SECOND


class Timeout(NamedTuple):
    """A call that was not answered in time."""

    number: int
    at: int | None
    component: str
    name: str


class Blocked(NamedTuple):
    """A stretch of a span in which nothing ran inside. Of a span without an end, `ns` is set at the end of the run."""

    ns: int
    number: int
    since: int | None
    component: str
    name: str
    ended: bool


@dataclass(slots=True)
class TriggerData:
    """The data that the rules evaluate.

    Attributes:
        durations: for each operation number, begin and duration of its spans, one after the other.
        calls: how many calls of models and tools ended in each second.
        failed: second and number of those that failed.
        busy: for each process the spans in which it computed nearly all the time, as begin, end, number.
        samples: for each process number, time and processor time of its samples.
        cpu_recorded: whether processor time was recorded.
        timeouts: the first of them; `timeout_count` is how many there were.
        blocked: stretches that are long enough.
        waiting: innermost spans that never ended.
    """

    durations: dict[tuple[str, str], array[int]] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    failed: list[tuple[int, int]] = field(default_factory=list)
    busy: dict[ProcessKey, list[tuple[int, int, int]]] = field(default_factory=dict)
    samples: dict[ProcessKey, list[tuple[int, int, int]]] = field(default_factory=dict)
    cpu_recorded: bool = False
    timeouts: list[Timeout] = field(default_factory=list)
    timeout_count: int = 0
    blocked: list[Blocked] = field(default_factory=list)
    waiting: list[Blocked] = field(default_factory=list)

    def began(self, number: int) -> int | None:
        """Return when the call of that number began, nanoseconds since the epoch; None where it is not known."""
        for facts in self.durations.values():
            numbers = facts[::3]
            if number in numbers:
                at = facts[3 * numbers.index(number) + 1]
                return None if at < 0 else at
        return None


class RuleInput(NamedTuple):
    """The input of a rule: its threshold, all thresholds, the data, the other sections, the last timestamp."""

    limit: float
    thresholds: Mapping[str, float | None]
    data: TriggerData
    sections: Mapping[str, Any]
    last_at: int | None


class TriggerRule(NamedTuple):
    """One rule: its name, the name of its threshold, the unit of both, and the function that evaluates it."""

    name: str
    threshold: str
    unit: str
    decide: Callable[[RuleInput], tuple[list[dict[str, Any]], str | None]]


def evaluate(
    rule: TriggerRule,
    thresholds: Mapping[str, float | None],
    data: TriggerData,
    sections: Mapping[str, Any],
    last_at: int | None,
) -> tuple[list[dict[str, Any]], str, str | None]:
    """Return the findings of a rule, its state, and the reason of the state where there is one."""
    limit = thresholds.get(rule.threshold)
    if limit is None:
        return [], "off", None
    findings, reason = rule.decide(RuleInput(limit, thresholds, data, sections, last_at))
    rows = [{"rule": rule.name, "threshold": limit, "unit": rule.unit, **row} for row in findings]
    return rows, "triggered" if rows else "ok" if reason is None else "unknown", None if rows else reason


def _row(
    what: str,
    value: float,
    numbers: list[int],
    *,
    times: int = 1,
    at: int | None = None,
    operation: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """Return a finding of a rule as JSON, without the fields that are the same for every rule."""
    return {
        "value": round(value, 6),
        "times": times,
        "timestamp": None if at is None else round(at / NS_PER_SECOND, 6),
        "numbers": numbers[:MOST_NUMBERS],
        "component": operation[0] or None,
        "component_name": operation[1] or None,
        "what": what,
    }


def _response_time(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find calls of a model, a tool or an agent that take longer than a multiple of their baseline.

    The baseline is the median of all calls of the operation in the run, and at least `FLOOR_NS`; slow calls do not move
    it while they are the fewer. The rule triggers where more than half of `RECENT` calls in a row, in the order in
    which they began, took longer, so one slow call does not trigger it. The operation needs at least `LEAST_CALLS`
    calls.
    """
    rows = []
    known = False
    for operation, facts in sorted(inputs.data.durations.items()):
        if len(facts) < 3 * LEAST_CALLS:
            continue
        known = True
        baseline = max(percentile(sorted(facts[2::3]), 50), FLOOR_NS)
        limit = inputs.limit * baseline
        if max(facts[2::3]) <= limit:
            continue
        calls = sorted(zip(facts[::3], facts[1::3], facts[2::3], strict=True))
        slow = [index for index, (_, _, duration) in enumerate(calls) if duration > limit]
        row = _slow_stretches(calls, slow, baseline)
        if row is not None:
            what = f"usually {baseline / NS_PER_MS:.4g} ms"
            rows.append(
                row | {"what": what, "component": operation[0], "component_name": operation[1] or None}
            )
    rows.sort(key=lambda row: -row["value"])
    return rows, None if known else f"fewer than {LEAST_CALLS} calls of any operation"


def _slow_stretches(
    calls: list[tuple[int, int, int]], slow: list[int], baseline: float
) -> dict[str, Any] | None:
    """Return the stretches in which more than half of the calls in a row are slow; None where there is none."""
    more = RECENT // 2
    numbers: list[int] = []
    times, worst, first, until = 0, 0.0, -1, -1
    # Two slow calls with `more - 1` slow ones between them, in `RECENT` calls, are more than half of these.
    for index, last in zip(slow, slow[more:], strict=False):
        if last - index >= RECENT:
            continue
        begin = max(last - RECENT + 1, 0)
        recent = sorted(duration for _, _, duration in calls[begin : begin + RECENT])
        worst = max(worst, recent[more] / baseline)
        if first < 0:
            first = index
        times += index > until
        until = last + RECENT
        numbers += [calls[index][0], calls[last][0]]
    if not times:
        return None
    at = calls[first][1]
    return _row("", worst, sorted(set(numbers)), times=times, at=None if at < 0 else at)


def _error_rate(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find out whether more than a share of the calls of models and tools failed, recovered attempts included.

    It looks at every window of `error_window_seconds`, second by second by when the calls ended, with at least
    `LEAST_CALLS` calls in it.
    """
    data, window = inputs.data, int(inputs.thresholds.get("error_window_seconds") or 300)
    failures: dict[int, list[int]] = {}
    for second, number in sorted(data.failed):
        failures.setdefault(second, []).append(number)
    seconds = sorted(data.calls)
    begin = calls = failed = times = most = 0
    worst, first, numbers = 0.0, None, list[int]()
    before = False
    for second in seconds:
        calls += data.calls[second]
        failed += len(failures.get(second, ()))
        while seconds[begin] <= second - window:
            calls -= data.calls[seconds[begin]]
            failed -= len(failures.get(seconds[begin], ()))
            begin += 1
        most = max(most, calls)
        fires = calls >= LEAST_CALLS and failed > inputs.limit * calls
        if fires:
            worst = max(worst, failed / calls)
            times += not before
            if first is None:
                first = second
                since = seconds[begin]
                numbers = [
                    number for at, listed in failures.items() if since <= at <= second for number in listed
                ]
        before = fires
    if first is None:
        return [], None if most >= LEAST_CALLS else f"never {LEAST_CALLS} calls in {window} s"
    what = f"calls failed within {window} s"
    return [_row(what, worst, sorted(numbers), times=times, at=first * NS_PER_SECOND)], None


def _memory(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find processes whose memory grows faster than the limit, where `resource_usage` is sure that it grows."""
    processes = inputs.sections.get("resource_usage", {}).get("memory", {}).get("processes", [])
    rows = []
    reasons = [row["leak"]["reason"] for row in processes]
    for row in processes:
        leak = row["leak"]
        if leak["verdict"] == "grows" and leak["mb_per_hour"] > inputs.limit:
            ended = row["ended_at"]
            at = None if ended is None else round(ended * NS_PER_SECOND)
            what = f"the memory of process {row['process']} grows"
            rows.append(_row(what, leak["mb_per_hour"], [row["first_number"], row["last_number"]], at=at))
    if not processes:
        return rows, "the trace holds no memory readings"
    return rows, reasons[0] if None not in reasons else None


def _loops(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find out whether there are more loops among the patterns than the limit."""
    patterns = inputs.sections.get("patterns")
    if patterns is None:
        return [], "loops were not looked for"
    loops = [row for row in patterns.get("found", ()) if row.get("kind") == "loop"]
    count = patterns.get("counts", {}).get("loop") or 0
    if count <= inputs.limit or not loops:
        return [], None
    worst = loops[0]
    numbers = worst.get("numbers") or []
    operation = (worst.get("component") or "", worst.get("component_name") or "")
    at = inputs.data.began(numbers[0]) if numbers else None
    return [_row("the same again and again", count, numbers, times=count, at=at, operation=operation)], None


def _cpu(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find a process that computes, without a pause of a second, for longer than the limit.

    It computes where it uses more than `cpu_share` of the time. Its samples and spans with recorded CPU time show this.
    """
    resources = inputs.sections.get("resource_usage", {})
    if not inputs.data.cpu_recorded and resources.get("cpu_ms") is None:
        return [], "the trace holds no CPU time"
    least, share = inputs.limit * NS_PER_SECOND, inputs.thresholds.get("cpu_share")
    if share is None:
        return [], "cpu_share is switched off"
    stretches: list[tuple[int, int, list[int]]] = []
    for process in sorted({*inputs.data.busy, *inputs.data.samples}):
        busy = list(inputs.data.busy.get(process, ()))
        for (number, at, cpu), (_, later, more) in pairwise(sorted(inputs.data.samples.get(process, ()))):
            if later > at and more - cpu > share * (later - at):
                busy.append((at, later, number))
        stretches += [
            stretch for stretch in _join_stretches(sorted(busy)) if stretch[1] - stretch[0] >= max(least, 1)
        ]
    if not stretches:
        return [], None
    longest = max(stretches, key=lambda stretch: (stretch[1] - stretch[0], -stretch[0]))
    seconds = (longest[1] - longest[0]) / NS_PER_SECOND
    what = "computed without a pause"
    first = min(begin for begin, _, _ in stretches)
    return [_row(what, seconds, sorted(longest[2]), times=len(stretches), at=first)], None


def _join_stretches(busy: list[tuple[int, int, int]]) -> list[tuple[int, int, list[int]]]:
    """Return stretches made of the times that follow each other within `_SAME_STRETCH_NS`."""
    stretches: list[tuple[int, int, list[int]]] = []
    for begin, end, number in busy:
        if stretches and begin - stretches[-1][1] <= _SAME_STRETCH_NS:
            before, until, numbers = stretches[-1]
            stretches[-1] = (before, max(until, end), [*numbers[:MOST_NUMBERS], number])
        else:
            stretches.append((begin, end, [number]))
    return stretches


def _timeouts(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find out whether more calls of models, tools, memory or HTTP timed out than the limit.

    A timeout that a span passes on counts once.
    """
    count = inputs.data.timeout_count
    if count <= inputs.limit:
        return [], None
    timeouts = sorted(inputs.data.timeouts)
    names = sorted({timeout.name or timeout.component for timeout in timeouts})
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    at = timeouts[min(int(inputs.limit), len(timeouts) - 1)].at
    numbers = [timeout.number for timeout in timeouts]
    return [_row(f"timeouts of {listed}", count, numbers, times=count, at=at)], None


def _context(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find calls that filled more than a share of the context window of their model."""
    models = inputs.sections.get("resource_usage", {}).get("context", {}).get("by_model", {})
    rows = []
    for name, row in models.items():
        if row["calls_over"]:
            what = "input by context window"
            numbers = sorted({row["first_over_number"], row["max_number"]})
            at = inputs.data.began(row["first_over_number"])
            rows.append(
                _row(what, row["max_share"], numbers, times=row["calls_over"], at=at, operation=("llm", name))
            )
    known = any(row["window"] for row in models.values())
    return (
        rows,
        None if known else "no model's window is known" if models else "no call has its tokens recorded",
    )


def _blocked(inputs: RuleInput) -> tuple[list[dict[str, Any]], str | None]:
    """Find spans that wait without a span running inside them.

    Calls of models are left out, because they wait for their answer; so are spans in which the process computed for
    half of the time. A span that never ended, a model call as well, waits until the trace ends.
    """
    last, limit = inputs.last_at, inputs.limit * NS_PER_SECOND
    blocked = [
        *inputs.data.blocked,
        *(
            span._replace(ns=last - span.since)
            for span in inputs.data.waiting
            if last is not None and span.since is not None and last - span.since > limit
        ),
    ]
    if not blocked:
        return [], None
    blocked.sort(key=lambda span: (-span.ns, span.number))
    worst = blocked[0]
    what = "nothing ran inside" if worst.ended else "never ended, and nothing ran inside"
    first = min((span.since for span in blocked if span.since is not None), default=None)
    numbers = [span.number for span in blocked]
    row = _row(
        what,
        worst.ns / NS_PER_SECOND,
        numbers,
        times=len(blocked),
        at=first,
        operation=(worst.component, worst.name),
    )
    return [row], None


RULES: tuple[TriggerRule, ...] = (
    TriggerRule("error_rate", "error_rate", "share", _error_rate),
    TriggerRule("timeouts", "timeouts", "calls", _timeouts),
    TriggerRule("blocked", "blocked_seconds", "s", _blocked),
    TriggerRule("context", "context_share", "share", _context),
    TriggerRule("loop", "loops", "loops", _loops),
    TriggerRule("cpu", "cpu_seconds", "s", _cpu),
    TriggerRule("memory_growth", "memory_mb_per_hour", "MB per hour", _memory),
    TriggerRule("response_time", "response_time", "times", _response_time),
)
"""Every rule, the most urgent first."""
