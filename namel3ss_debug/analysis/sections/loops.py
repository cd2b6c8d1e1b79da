"""Find loops: the same calls again and again with the same result; and repetitions that only look like loops.

A loop is one of these, each at one level, at least `LEAST_ROUNDS` times, each round after the one before had ended:

- `same call`: the same operation with the same arguments gave the same result;
- `oscillation`: two different calls take turns, each with the same arguments and result as before;
- `cycle`: the same with three to `LONGEST_CYCLE` calls;
- `growth`: a model gets ever more messages and answers the same.

Two repetitions are no loops. *Polling* is the same call, until its result changes or as long as the result asks to
wait. *Paging* is a call whose arguments differ only in one number, which counts up by one, or rises and is called
`offset` or the like, or only in a cursor, which comes from the result before. A call without recorded arguments or result is in no loop. The cost of a loop
is that of all calls after its first round, with the model calls that asked for them.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.sections.calls import (
    COMPLETED,
    FAILED,
    LLM,
    OPEN,
    UNKNOWN,
    PatternCall,
    argument_values,
    checksum,
    follows,
    operation_to_json,
    parse_json,
    pattern_to_json,
    repetition_confidence,
    sum_cost,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LEAST_ROUNDS = 3
LONGEST_CYCLE = 8
LEAST_PAGES = 3

_COUNTERS = frozenset({"from", "index", "offset", "page", "page_number", "position", "skip", "start"})
_EMPTY = frozenset({b"{}", b"[]", b"null"})
_NULL = checksum(None)
_number = attrgetter("number")


class _Level(NamedTuple):
    """The calls of one level: the model calls, and all others."""

    models: Sequence[PatternCall]
    actions: Sequence[PatternCall]

    def find_askers(self, repeated: Iterable[PatternCall]) -> list[PatternCall]:
        """Return the model calls right before each of some calls: those that asked for them."""
        askers = []
        for call in repeated:
            index = bisect_left(self.models, call.number, key=_number)
            before = bisect_left(self.actions, call.number, key=_number)
            if index and (not before or self.actions[before - 1].number < self.models[index - 1].number):
                askers.append(self.models[index - 1])
        return askers


def find_loops(calls: Sequence[PatternCall]) -> Iterator[dict[str, Any]]:
    """Yield the loops, the polling, the paging and the retries at one level.

    Args:
        calls: the calls of the level by number.
    """
    if len({call.operation for call in calls}) == len(calls):
        return
    models = [call for call in calls if call.kind == LLM]
    level = _Level(models, [call for call in calls if call.kind != LLM])
    covered: set[int] = set()
    for cycle, numbers in _find_cycles(level):
        covered |= numbers
        yield cycle
    looping = set(covered)
    for operation in _group_by_operation(calls):
        if len(operation) < 2:
            continue
        for repeat, run in _find_repeats(operation, level, covered):
            if repeat["kind"] == "loop":
                looping |= {call.number for call in run}
            yield repeat
        yield from _find_paging(operation, covered)
        if operation[0].kind == LLM:
            yield from _find_growth(operation, sorted(looping))


def _group_by_operation(calls: Sequence[PatternCall]) -> list[list[PatternCall]]:
    """Return the calls of each operation, those of models last."""
    groups: dict[tuple[str, str], list[PatternCall]] = {}
    for call in calls:
        groups.setdefault(call.operation, []).append(call)
    return sorted(groups.values(), key=lambda group: group[0].kind == LLM)


def _find_runs(
    calls: Sequence[PatternCall], continues: Callable[[PatternCall, PatternCall], bool]
) -> Iterator[list[PatternCall]]:
    """Yield the longest stretches of two or more calls in which each call continues the one before."""
    run = [calls[0]]
    for earlier, call in pairwise(calls):
        if continues(earlier, call):
            run.append(call)
            continue
        if len(run) > 1:
            yield run
        run = [call]
    if len(run) > 1:
        yield run


def _find_cycles(level: _Level) -> Iterator[tuple[dict[str, Any], set[int]]]:
    """Yield the oscillations and longer cycles among the actions, with the numbers of the calls in them."""
    actions = level.actions
    tokens = [
        (call.operation, call.request, call.answer) if _is_known(call) else call.number for call in actions
    ]
    if len(actions) < 2 * LEAST_ROUNDS or len(tokens) - len(set(tokens)) < 2 * (LEAST_ROUNDS - 1):
        return
    in_cycle = [False] * len(actions)
    for period in range(2, LONGEST_CYCLE + 1):
        first = None
        for index in range(period, len(actions) + 1):
            same = (
                index < len(actions)
                and tokens[index] == tokens[index - period]
                and not in_cycle[index]
                and follows(actions[index], actions[index - period])
            )
            if same and first is None:
                first = index - period
            elif not same and first is not None:
                rounds = (index - first) // period
                if rounds >= LEAST_ROUNDS and len(set(tokens[first : first + period])) > 1:
                    cycle = actions[first:index]
                    in_cycle[first:index] = [True] * len(cycle)
                    yield _cycle_to_json(cycle, period, rounds, level), {call.number for call in cycle}
                first = None


def _cycle_to_json(cycle: Sequence[PatternCall], period: int, rounds: int, level: _Level) -> dict[str, Any]:
    """Return a cycle as JSON; its cost is that of all rounds after the first."""
    again = cycle[period:]
    return pattern_to_json(
        "loop",
        cycle,
        repetition_confidence(rounds),
        sum_cost([*again, *level.find_askers(again)]),
        form="oscillation" if period == 2 else "cycle",
        rounds=rounds,
        between=[
            {**operation_to_json(call.operation), "arguments": parse_json(call.text)}
            for call in cycle[:period]
        ],
    )


def _is_known(call: PatternCall) -> bool:
    return UNKNOWN not in {call.request, call.answer} and call.outcome != OPEN


def _find_repeats(
    calls: Sequence[PatternCall], level: _Level, covered: set[int]
) -> Iterator[tuple[dict[str, Any], list[PatternCall]]]:
    """Yield the patterns in repetitions of the same request: retries, polling, or a loop."""
    for run in _find_runs(calls, _repeats):
        if any(call.outcome == FAILED for call in run):
            yield from _find_retries(run)
        elif len(run) < LEAST_ROUNDS or all(call.number in covered for call in run):
            continue
        else:
            repeat = _find_polling(run) or _find_same_call(run, level)
            if repeat is not None:
                yield repeat, run


def _repeats(earlier: PatternCall, call: PatternCall) -> bool:
    """Return whether a call has the same request as the one before, which had ended."""
    if not follows(call, earlier):
        return False
    return (call.request == earlier.request != UNKNOWN) or (call.retried and earlier.outcome == FAILED)


def _find_retries(run: list[PatternCall]) -> Iterator[tuple[dict[str, Any], list[PatternCall]]]:
    """Yield the attempts up to each one that succeeded."""
    attempts: list[PatternCall] = []
    for call in run:
        if not attempts and call.outcome != FAILED:
            continue
        attempts.append(call)
        if call.outcome != FAILED or call is run[-1]:
            if len(attempts) > 1:
                lost = [attempt for attempt in attempts if attempt.outcome == FAILED]
                retries = pattern_to_json(
                    "retries",
                    attempts,
                    1.0 if any(attempt.retried for attempt in attempts) else 0.8,
                    sum_cost(lost, _time_between(attempts)),
                    outcome=("completed", "failed", "open")[attempts[-1].outcome],
                    arguments=parse_json(call.text),
                )
                yield retries, attempts
            attempts = []


def _time_between(calls: Sequence[PatternCall]) -> int:
    """Return the nanoseconds between the end of each call and the beginning of the next."""
    return sum(map(_gap, calls, calls[1:]))


def _gap(earlier: PatternCall, call: PatternCall) -> int:
    """Return the nanoseconds between the end of a call and the beginning of the next; 0 where they are not known."""
    if earlier.began is None or call.began is None or earlier.duration_ns is None:
        return 0
    return max(call.began - earlier.began - earlier.duration_ns, 0)


def _find_polling(run: list[PatternCall]) -> dict[str, Any] | None:
    """Return the polling: the same request until the answer changed, or as long as the answer asked to wait."""
    results = [list(group) for _, group in groupby(run, key=attrgetter("answer"))]
    if any(call.answer == UNKNOWN for call in run[:-1]):
        return None
    waits_requested = sum(call.asks_to_wait for call in run)
    changed = len(results) > 1 and results[-1][0].answer != UNKNOWN
    until_changed = len(results) == 2 and len(results[0]) >= LEAST_ROUNDS - 1 and len(results[-1]) == 1
    if waits_requested >= LEAST_ROUNDS - 1:
        confidence = 0.95
    elif changed and until_changed:
        confidence = 0.7
    else:
        return None
    waited = _time_between(run)
    return pattern_to_json(
        "polling",
        run,
        confidence,
        sum_cost(run, waited),
        changed=changed,
        arguments=parse_json(run[0].text),
    )


def _find_same_call(run: list[PatternCall], level: _Level) -> dict[str, Any] | None:
    """Return a loop of one call: the longest stretch of equal results in the run."""
    stretches = [list(group) for _, group in groupby(run, key=attrgetter("answer"))]
    if stretches[-1][0].outcome == OPEN:
        stretches.pop()  # the trace ended in this round
    if len(stretches) != 1 or run[0].answer == UNKNOWN:
        return None
    again = run[1:]
    confidence = repetition_confidence(len(run))
    if run[0].kind != LLM:
        first = bisect_left(level.actions, run[0].number, key=_number)
        last = bisect_left(level.actions, run[-1].number, key=_number)
        if last - first + 1 > len(run):
            confidence *= 0.8  # the other actions in between may have been progress
        if run[0].text in _EMPTY or run[0].answer == _NULL:
            confidence *= 0.7  # a call without arguments or without a result is often made for its effect
    askers = level.find_askers(again) if run[0].kind != LLM else []
    return pattern_to_json(
        "loop",
        run,
        confidence,
        sum_cost([*again, *askers]),
        form="same call",
        rounds=len(run),
        arguments=parse_json(run[0].text),
    )


def _find_growth(calls: Sequence[PatternCall], looping: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the loops of a model that gets more messages each time and answers the same.

    A loop in between explains the growth, so the calls around it are not reported.

    Args:
        calls: the calls of one model.
        looping: the numbers of the calls that are in loops, in order.
    """
    for run in _find_runs(calls, _grows):
        if len(run) < LEAST_ROUNDS:
            continue
        index = bisect_left(looping, run[0].number)
        if index < len(looping) and looping[index] < run[-1].number:
            continue
        yield pattern_to_json(
            "loop",
            run,
            repetition_confidence(len(run)) * 0.9,
            sum_cost(run[1:]),
            form="growth",
            rounds=len(run),
            messages=[run[0].size, run[-1].size],
            tokens=[run[0].tokens, run[-1].tokens],
        )


def _grows(earlier: PatternCall, call: PatternCall) -> bool:
    """Return whether a model call has more messages than the one before, and the same answer."""
    return (
        follows(call, earlier)
        and call.answer == earlier.answer != UNKNOWN
        and call.outcome == earlier.outcome == COMPLETED
        and call.request != earlier.request
        and call.size > earlier.size
    )


def _find_paging(calls: Sequence[PatternCall], covered: set[int]) -> Iterator[dict[str, Any]]:
    """Yield runs of calls with a number that counts up, or with the cursor from the answer before.

    A cycle that is `covered` begins from the first page again and again, so it is not paging.
    """
    if calls[0].kind == LLM:
        return
    for run in _find_runs(calls, _turns_the_page):
        if len(run) < LEAST_PAGES or run[0].number in covered:
            continue
        by_cursor = all(call.cursor_in == earlier.cursor_out for earlier, call in pairwise(run))
        yield pattern_to_json(
            "paging",
            run,
            0.95 if by_cursor and run[1].cursor_in else 0.8,
            by="cursor" if by_cursor and run[1].cursor_in else "number",
            arguments=parse_json(run[0].text),
        )


def _turns_the_page(earlier: PatternCall, call: PatternCall) -> bool:
    """Return whether a call asks for the page after an earlier one: by its cursor or the next number."""
    if call.request == earlier.request or not follows(call, earlier):
        return False
    if call.cursor_in and call.cursor_in == earlier.cursor_out:
        return True
    before, after = argument_values(earlier), argument_values(call)
    if before is None or after is None or before.keys() != after.keys():
        return False
    changed = [name for name in after if after[name] != before[name]]
    if len(changed) != 1:
        return False
    low, high = before[changed[0]], after[changed[0]]
    if type(low) is not int or type(high) is not int:
        return False
    return high == low + 1 or (high > low and changed[0] in _COUNTERS)
