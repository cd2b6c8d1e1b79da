"""The rules of the section `triggers`: what each looks at, and when it fires.

Windows are evaluated at the end, over compact series, so that the result does not depend on how the trace was
read. A rate or a baseline needs a least number of calls to mean something; with fewer, the rule is `unknown`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import NS_PER_MS, percentile
from namel3ss_debug.analysis.nesting import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from namel3ss_debug.analysis.resources.memory import Lane
    from namel3ss_debug.analysis.totals import Totals

LEAST_CALLS = 20
"""A rate or a baseline of fewer calls has no meaning."""

RECENT = 5
"""So many calls in a row, of which more than half have to be slow."""

FLOOR_NS = 10 * NS_PER_MS
"""A baseline below this is taken as this: a call that is twice as slow and still quick is no problem."""

MOST_NUMBERS = 20
_SAME_STRETCH_NS = NS_PER_SECOND


class Timeout(NamedTuple):
    """A call that was not answered in time."""

    number: int
    at: int | None
    component: str
    name: str


class Blocked(NamedTuple):
    """A stretch of a span in which nothing ran inside; of one that never ended, `ns` follows from the end of the run."""

    ns: int
    number: int
    since: int | None
    component: str
    name: str
    ended: bool


@dataclass(slots=True)
class Gathered:
    """The data that the rules evaluate.

    Attributes:
        durations: for each operation number, begin and duration of its spans, one after the other.
        calls: how many calls of models and tools ended in each second.
        failed: second and number of those that failed.
        busy: for each process the spans in which it computed nearly all the time, as begin, end, number.
        samples: for each process number, time and processor time of its samples.
        cpu_told: whether processor time was recorded.
        timeouts: the first of them; `timeout_count` is how many there were.
        blocked: stretches that are long enough.
        waiting: innermost spans that never ended.
    """

    durations: dict[tuple[str, str], array[int]] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    failed: list[tuple[int, int]] = field(default_factory=list)
    busy: dict[Lane, list[tuple[int, int, int]]] = field(default_factory=dict)
    samples: dict[Lane, list[tuple[int, int, int]]] = field(default_factory=dict)
    cpu_told: bool = False
    timeouts: list[Timeout] = field(default_factory=list)
    timeout_count: int = 0
    blocked: list[Blocked] = field(default_factory=list)
    waiting: list[Blocked] = field(default_factory=list)

    def merge(self, later: Gathered) -> None:
        """Add what a later part has gathered."""
        for operation, facts in later.durations.items():
            self.durations.setdefault(operation, array("q")).extend(facts)
        for second, calls in later.calls.items():
            self.calls[second] = self.calls.get(second, 0) + calls
        self.failed += later.failed
        for mine, theirs in ((self.busy, later.busy), (self.samples, later.samples)):
            for lane, rows in theirs.items():
                mine.setdefault(lane, []).extend(rows)
        self.cpu_told |= later.cpu_told
        self.timeouts += later.timeouts
        self.timeout_count += later.timeout_count
        self.blocked += later.blocked
        self.waiting += later.waiting

    def began(self, number: int) -> int | None:
        """Return when the call of that number began, nanoseconds since the epoch; None where it is not known."""
        for facts in self.durations.values():
            numbers = facts[::3]
            if number in numbers:
                at = facts[3 * numbers.index(number) + 1]
                return None if at < 0 else at
        return None


class Asked(NamedTuple):
    """What a rule is given: its threshold, all thresholds, the gathered data, and the totals."""

    limit: float
    thresholds: Mapping[str, float | None]
    got: Gathered
    totals: Totals


class Rule(NamedTuple):
    """One rule: its name, the name of its threshold, the unit of both, and the function that evaluates it."""

    name: str
    threshold: str
    unit: str
    decide: Callable[[Asked], tuple[list[dict[str, Any]], str | None]]


def evaluate(
    rule: Rule, thresholds: Mapping[str, float | None], got: Gathered, totals: Totals
) -> tuple[list[dict[str, Any]], str, str | None]:
    """Return the findings of a rule, its state, and the reason of that where there is one."""
    limit = thresholds.get(rule.threshold)
    if limit is None:
        return [], "off", None
    found, reason = rule.decide(Asked(limit, thresholds, got, totals))
    rows = [{"rule": rule.name, "threshold": limit, "unit": rule.unit, **row} for row in found]
    return rows, "fired" if rows else "quiet" if reason is None else "unknown", None if rows else reason


def _row(
    what: str,
    value: float,
    numbers: list[int],
    *,
    times: int = 1,
    at: int | None = None,
    who: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    return {
        "value": round(value, 6),
        "times": times,
        "timestamp": None if at is None else round(at / NS_PER_SECOND, 6),
        "numbers": numbers[:MOST_NUMBERS],
        "component": who[0] or None,
        "component_name": who[1] or None,
        "what": what,
    }


def _response_time(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """Return the calls of a model, a tool or an agent take longer than so many times their baseline.

    The baseline is the median of all calls of the operation in the run, which slow ones do not move while they
    are the fewer, and at least `FLOOR_NS`. It fires where more than half of `RECENT` calls in a row, in the order in
    which they began, took longer, so that one slow call does not. From `LEAST_CALLS` calls on.
    """
    rows = []
    known = False
    for operation, facts in sorted(asked.got.durations.items()):
        if len(facts) < 3 * LEAST_CALLS:
            continue
        known = True
        baseline = max(percentile(sorted(facts[2::3]), 50), FLOOR_NS)
        limit = asked.limit * baseline
        if max(facts[2::3]) <= limit:
            continue
        calls = sorted(zip(facts[::3], facts[1::3], facts[2::3], strict=True))
        slow = [place for place, (_, _, lasted) in enumerate(calls) if lasted > limit]
        row = _slow_stretches(calls, slow, baseline)
        if row is not None:
            words = f"usually {baseline / NS_PER_MS:.4g} ms"
            rows.append(
                row | {"what": words, "component": operation[0], "component_name": operation[1] or None}
            )
    rows.sort(key=lambda row: -row["value"])
    return rows, None if known else f"fewer than {LEAST_CALLS} calls of any operation"


def _slow_stretches(
    calls: list[tuple[int, int, int]], slow: list[int], baseline: float
) -> dict[str, Any] | None:
    """Return the stretches in which more than half of the calls in a row are slow ones; None where there is none."""
    more = RECENT // 2
    numbers: list[int] = []
    times, worst, first, until = 0, 0.0, -1, -1
    for place, last in zip(slow, slow[more:], strict=False):
        if last - place >= RECENT:
            continue
        begin = max(last - RECENT + 1, 0)
        lasted = sorted(each for _, _, each in calls[begin : begin + RECENT])
        worst = max(worst, lasted[more] / baseline)
        if first < 0:
            first = place
        times += place > until
        until = last + RECENT
        numbers += [calls[each][0] for each in (place, last)]
    if not times:
        return None
    at = calls[first][1]
    return _row("", worst, sorted(set(numbers)), times=times, at=None if at < 0 else at)


def _error_rate(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """More than a share of the calls of models and tools failed, including attempts that another attempt recovered.

    In any window of `error_window_seconds`, taken second by second by when the calls ended, with at least
    `LEAST_CALLS` calls in it.
    """
    got, window = asked.got, int(asked.thresholds.get("error_window_seconds") or 300)
    failures: dict[int, list[int]] = {}
    for second, number in sorted(got.failed):
        failures.setdefault(second, []).append(number)
    seconds = sorted(got.calls)
    begin = calls = failed = times = most = 0
    worst, first, numbers = 0.0, None, list[int]()
    before = False
    for second in seconds:
        calls += got.calls[second]
        failed += len(failures.get(second, ()))
        while seconds[begin] <= second - window:
            calls -= got.calls[seconds[begin]]
            failed -= len(failures.get(seconds[begin], ()))
            begin += 1
        most = max(most, calls)
        fires = calls >= LEAST_CALLS and failed > asked.limit * calls
        if fires:
            worst = max(worst, failed / calls)
            times += not before
            if first is None:
                first = second
                since = seconds[begin]
                numbers = [each for at, told in failures.items() if since <= at <= second for each in told]
        before = fires
    if first is None:
        return [], None if most >= LEAST_CALLS else f"never {LEAST_CALLS} calls in {window} s"
    what = f"calls failed within {window} s"
    return [_row(what, worst, sorted(numbers), times=times, at=first * NS_PER_SECOND)], None


def _memory(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """Return the memory of a process grows faster, and `resource_usage` is sure that it grows."""
    processes = asked.totals.sections.get("resource_usage", {}).get("memory", {}).get("processes", [])
    rows = []
    reasons = [row["leak"]["reason"] for row in processes]
    for row in processes:
        leak = row["leak"]
        if leak["verdict"] == "grows" and leak["mb_per_hour"] > asked.limit:
            ended = row["ended_at"]
            at = None if ended is None else round(ended * NS_PER_SECOND)
            what = f"the memory of process {row['process']} grows"
            rows.append(_row(what, leak["mb_per_hour"], [row["first_number"], row["last_number"]], at=at))
    if not processes:
        return rows, "the recording does not tell memory"
    return rows, reasons[0] if None not in reasons else None


def _loops(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """There are more loops among the patterns."""
    patterns = asked.totals.sections.get("patterns")
    if patterns is None:
        return [], "loops were not looked for"
    loops = [row for row in patterns.get("found", ()) if row.get("kind") == "loop"]
    count = patterns.get("counts", {}).get("loop") or 0
    if count <= asked.limit or not loops:
        return [], None
    worst = loops[0]
    numbers = worst.get("numbers") or []
    who = (worst.get("component") or "", worst.get("component_name") or "")
    at = asked.got.began(numbers[0]) if numbers else None
    return [_row("the same again and again", count, numbers, times=count, at=at, who=who)], None


def _cpu(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """Return a process computes longer, without a pause of a second, for more than `cpu_share` of the time.

    By its samples, and by spans with recorded processor time.
    """
    resources = asked.totals.sections.get("resource_usage", {})
    if not asked.got.cpu_told and resources.get("cpu_ms") is None:
        return [], "the recording does not tell CPU time"
    least, share = asked.limit * NS_PER_SECOND, asked.thresholds.get("cpu_share")
    if share is None:
        return [], "cpu_share is switched off"
    stretches: list[tuple[int, int, list[int]]] = []
    for lane in sorted({*asked.got.busy, *asked.got.samples}):
        busy = list(asked.got.busy.get(lane, ()))
        for (number, at, cpu), (_, later, more) in pairwise(sorted(asked.got.samples.get(lane, ()))):
            if later > at and more - cpu > share * (later - at):
                busy.append((at, later, number))
        stretches += [each for each in _joined(sorted(busy)) if each[1] - each[0] >= max(least, 1)]
    if not stretches:
        return [], None
    longest = max(stretches, key=lambda each: (each[1] - each[0], -each[0]))
    seconds = (longest[1] - longest[0]) / NS_PER_SECOND
    what = "computed without a pause"
    first = min(begin for begin, _, _ in stretches)
    return [_row(what, seconds, sorted(longest[2]), times=len(stretches), at=first)], None


def _joined(busy: list[tuple[int, int, int]]) -> list[tuple[int, int, list[int]]]:
    """Stretches from times that follow each other within `_SAME_STRETCH_NS`."""
    found: list[tuple[int, int, list[int]]] = []
    for begin, end, number in busy:
        if found and begin - found[-1][1] <= _SAME_STRETCH_NS:
            before, until, numbers = found[-1]
            found[-1] = (before, max(until, end), [*numbers[:MOST_NUMBERS], number])
        else:
            found.append((begin, end, [number]))
    return found


def _timeouts(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """More calls of models, tools, memory or HTTP were not answered in time; one passed on counts once."""
    count = asked.got.timeout_count
    if count <= asked.limit:
        return [], None
    timeouts = sorted(asked.got.timeouts)
    names = sorted({each.name or each.component for each in timeouts})
    words = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    at = timeouts[min(int(asked.limit), len(timeouts) - 1)].at
    numbers = [each.number for each in timeouts]
    return [_row(f"timeouts of {words}", count, numbers, times=count, at=at)], None


def _context(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """Return a call was given more than a share of the context window of its model."""
    models = asked.totals.sections.get("resource_usage", {}).get("context", {}).get("by_model", {})
    rows = []
    for name, row in models.items():
        if row["calls_over"]:
            what = "input by context window"
            numbers = sorted({row["first_over_number"], row["max_number"]})
            at = asked.got.began(row["first_over_number"])
            rows.append(
                _row(what, row["max_share"], numbers, times=row["calls_over"], at=at, who=("llm", name))
            )
    known = any(row["window"] for row in models.values())
    return rows, None if known else "no model's window is known" if models else "no call tells its tokens"


def _blocked(asked: Asked) -> tuple[list[dict[str, Any]], str | None]:
    """Return a span waits without a span running inside it.

    The calls of models are left out, which wait for their answer; and spans in which the process computed for half of
    the time. A span that never ended waits until the recording ends, a model's call as well.
    """
    last, limit = asked.totals.last_at, asked.limit * NS_PER_SECOND
    found = [
        *asked.got.blocked,
        *(
            span._replace(ns=last - span.since)
            for span in asked.got.waiting
            if last is not None and span.since is not None and last - span.since > limit
        ),
    ]
    if not found:
        return [], None
    found.sort(key=lambda each: (-each.ns, each.number))
    worst = found[0]
    what = "nothing ran inside" if worst.ended else "never ended, and nothing ran inside"
    first = min((each.since for each in found if each.since is not None), default=None)
    numbers = [each.number for each in found]
    row = _row(
        what,
        worst.ns / NS_PER_SECOND,
        numbers,
        times=len(found),
        at=first,
        who=(worst.component, worst.name),
    )
    return [row], None


RULES: tuple[Rule, ...] = (
    Rule("error_rate", "error_rate", "share", _error_rate),
    Rule("timeouts", "timeouts", "calls", _timeouts),
    Rule("blocked", "blocked_seconds", "s", _blocked),
    Rule("context", "context_share", "share", _context),
    Rule("loop", "loops", "loops", _loops),
    Rule("cpu", "cpu_seconds", "s", _cpu),
    Rule("memory_growth", "memory_mb_per_hour", "MB an hour", _memory),
    Rule("response_time", "response_time", "times", _response_time),
)
"""Every rule, the most urgent first."""
