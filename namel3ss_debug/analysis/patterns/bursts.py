"""Bursts: many calls in a short time, compared with the run's own rate; stalls: long times in which nothing happened.

Bursts are found as in Kleinberg, "Bursty and Hierarchical Structure in Streams" (KDD 2002), with two states: in one,
calls come at the mean rate of the run, in the other `FASTER` times as fast; changing to the faster one costs
`TRANSITION` times the logarithm of the number of calls. The cheapest sequence of states for the times between the calls
shows when the run was in which state.

A stall is a time between two events, of at least `slow_ms`, that is far out among these times by the modified z-score
(see `anomalies`), while a span was open that does not explain it: one with nothing running inside it, or a call that
took far longer than others of its kind.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp, log
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import NS_PER_MS, milliseconds
from namel3ss_debug.analysis.patterns.anomalies import LEAST_VALUES, Spread
from namel3ss_debug.analysis.patterns.calls import LLM, OPEN, OTHER, TOOL, Call
from namel3ss_debug.analysis.patterns.found import cost_of, pattern, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FASTER = 3.0
TRANSITION = 1.0
LEAST_CALLS = 10
MOST_CANDIDATES = 100

_NS_PER_SECOND = 1_000_000_000
_LEAST_ALIKE = 5


def bursts(calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """The stretches in which calls of models and tools came much faster than in the run as a whole.

    Args:
        calls: by number.
    """
    timed = sorted(
        (
            (call.began, call.number, call)
            for call in calls
            if call.began is not None and call.kind in {LLM, TOOL}
        ),
        key=lambda item: item[:2],
    )
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(timed)]
    wall = sum(gaps)
    if not wall or len(timed) < 2 * LEAST_CALLS:
        return
    mean = wall / len(gaps)
    for first, last, weight in _fast([gap / mean for gap in gaps]):
        members = [item[2] for item in timed[first : last + 2]]
        lasted = timed[last + 1][0] - timed[first][0]
        if len(members) < LEAST_CALLS or not lasted:
            continue  # calls at the very same instant may be due to a clock with whole seconds only
        yield pattern(
            "burst",
            members,
            1 - exp(-max(weight - TRANSITION * log(len(gaps)), 0.0)),
            cost_of(members),
            operations=_operations(members),
            lasted_ms=milliseconds(lasted),
            per_second=round((len(members) - 1) * _NS_PER_SECOND / lasted, 3),
            per_second_of_run=round(len(gaps) * _NS_PER_SECOND / wall, 3),
        )


def _operations(calls: Sequence[Call]) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str], int] = {}
    for call in calls:
        counts[call.operation] = counts.get(call.operation, 0) + 1
    ordered = sorted(counts, key=lambda operation: (-counts[operation], operation))
    return [{**told(operation), "calls": counts[operation]} for operation in ordered[:10]]


def _fast(gaps: list[float]) -> Iterator[tuple[int, int, float]]:
    """(first, last, weight) of the stretches of gaps in the faster state; the gaps in units of their mean.

    The weight is how much cheaper the faster state is there, Kleinberg's weight of a burst.
    """
    up, bonus = TRANSITION * log(len(gaps)), log(FASTER)
    slow, fast = 0.0, up
    came_from_slow: list[bool] = []
    came_from_fast: list[bool] = []
    for gap in gaps:
        stays_slow, goes_up = slow <= fast, slow + up < fast
        came_from_fast.append(not stays_slow)
        came_from_slow.append(goes_up)
        slow, fast = (
            (slow if stays_slow else fast) + gap,
            (slow + up if goes_up else fast) + FASTER * gap - bonus,
        )
    in_fast = fast < slow
    last = -1
    weight = 0.0
    for place in range(len(gaps) - 1, -1, -1):
        if in_fast:
            last = place if last < 0 else last
            weight += bonus - (FASTER - 1) * gaps[place]
            in_fast = not came_from_slow[place]
            if not in_fast or place == 0:
                yield place, last, weight
                last, weight = -1, 0.0
        else:
            in_fast = came_from_fast[place]


class _Pause(NamedTuple):
    """A time without an event, from one event to another."""

    lasted: int
    after: int
    until: int


def stalls(calls: Sequence[Call], slow_ns: int, last_number: int | None) -> Iterator[dict[str, Any]]:
    """The long times in which nothing began or ended though something was open.

    Args:
        calls: all spans by number.
        slow_ns: the least time of a stall, in nanoseconds.
        last_number: the number of the last event that is known; None where all are known.
    """
    moments = sorted(
        (number, at)
        for call in calls
        for number, at in ((call.number, call.began), (call.end_number, _ended(call)))
        if number and at is not None and (last_number is None or number <= last_number)
    )
    pauses = [
        _Pause(later[1] - earlier[1], earlier[0], later[0])
        for earlier, later in pairwise(moments)
        if later[1] > earlier[1]
    ]
    if len(pauses) < LEAST_VALUES:
        return
    spread = Spread.of([float(pause.lasted) for pause in pauses])
    long = [
        pause
        for pause in pauses
        if pause.lasted >= slow_ns and spread is not None and spread.is_far_out(pause.lasted)
    ]
    long.sort(key=lambda pause: (-pause.lasted, pause.after))
    if long:
        usual = _usual(calls)
        for pause, running in _running(calls, sorted(long[:MOST_CANDIDATES], key=lambda pause: pause.after)):
            found = _stall(pause, running, usual)
            if found is not None:
                yield found


def _ended(call: Call) -> int | None:
    return None if call.began is None or call.lasted is None else call.began + call.lasted


def _usual(calls: Sequence[Call]) -> dict[tuple[str, str], int]:
    """The median duration of each operation of which there are a few."""
    lasted: dict[tuple[str, str], list[int]] = {}
    for call in calls:
        if call.lasted is not None:
            lasted.setdefault(call.operation, []).append(call.lasted)
    return {
        operation: sorted(values)[len(values) // 2]
        for operation, values in lasted.items()
        if len(values) >= _LEAST_ALIKE
    }


def _running(calls: Sequence[Call], pauses: list[_Pause]) -> Iterator[tuple[_Pause, list[Call]]]:
    """Each pause with the innermost spans that were open in it; the pauses by number."""
    open_now: dict[int, Call] = {}
    place = 0
    for pause in pauses:
        while place < len(calls) and calls[place].number <= pause.after:
            open_now[calls[place].number] = calls[place]
            place += 1
        over = [
            number for number, call in open_now.items() if call.end_number and call.end_number <= pause.after
        ]
        for number in over:
            del open_now[number]
        outer = {call.parent for call in open_now.values()}
        yield pause, [call for call in open_now.values() if call.id not in outer]


def _stall(pause: _Pause, running: list[Call], usual: dict[tuple[str, str], int]) -> dict[str, Any] | None:
    """The stall of a pause; None where a call that took no longer than usual explains the pause."""
    if not running:
        return None
    blocked = [call for call in running if call.kind in {LLM, TOOL} or call.operation[0] == "http"]
    for call in blocked:
        median = usual.get(call.operation)
        longer = call.lasted is None or (median is not None and call.lasted > 10 * median)
        if not longer and call.outcome != OPEN:
            return None
    inner = blocked or [call for call in running if call.kind != OTHER] or running
    return pattern(
        "stall",
        inner[:1],
        0.7 if blocked else 0.9,
        {"ms": milliseconds(pause.lasted), "tokens": 0, "usd": None},
        after=pause.after,
        until=pause.until,
        running=bool(blocked),
    )


def at_least_ns(slow_ms: float) -> int:
    """The setting `slow_ms` in nanoseconds, at least one."""
    return max(int(min(slow_ms, 1e12) * NS_PER_MS), 1)
