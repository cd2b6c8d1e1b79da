"""Loops: the same calls again and again with the same result, and repetitions that only look like loops.

A loop is one of these, each at one level, at least `LEAST_ROUNDS` times, each round after the one before had ended:

- `same call`: the same operation with the same arguments gave the same result;
- `oscillation`: two different calls take turns, each with the same arguments and result as before;
- `cycle`: the same with three to `LONGEST_CYCLE` calls;
- `growth`: a model is given ever more messages and answers the same.

No loops are *polling*: the same call, until its result changes or as long as the result says to wait; and *paging*:
arguments that are the same but for one number that counts up by one, or rises and is called `offset` or the like, or
for a cursor that the result before gave. A call without recorded arguments or result is in no loop. The cost of a loop
is that of all calls after its first round, with the model calls that asked for them.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.patterns.calls import (
    COMPLETED,
    FAILED,
    LLM,
    OPEN,
    UNKNOWN,
    Call,
    argument_values,
    checksum,
    follows,
)
from namel3ss_debug.analysis.patterns.found import cost_of, pattern, repeated_so_often, told, value_of

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
    """The calls of one level, and separately the model calls and all others."""

    models: Sequence[Call]
    deeds: Sequence[Call]

    def asking(self, repeated: Iterable[Call]) -> list[Call]:
        """The model calls right before each of some calls: those that asked for them."""
        found = []
        for call in repeated:
            place = bisect_left(self.models, call.number, key=_number)
            before = bisect_left(self.deeds, call.number, key=_number)
            if place and (not before or self.deeds[before - 1].number < self.models[place - 1].number):
                found.append(self.models[place - 1])
        return found


def loops(calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """The loops, the polling, the paging and the retries at one level.

    Args:
        calls: the calls of the level by number.
    """
    if len({call.operation for call in calls}) == len(calls):
        return
    models = [call for call in calls if call.kind == LLM]
    level = _Level(models, [call for call in calls if call.kind != LLM])
    covered: set[int] = set()
    for found, numbers in _cycles(level):
        covered |= numbers
        yield found
    looping = set(covered)
    for operation in _by_operation(calls):
        if len(operation) < 2:
            continue
        for found, run in _repeats(operation, level, covered):
            if found["kind"] == "loop":
                looping |= {call.number for call in run}
            yield found
        yield from _paging(operation, covered)
        if operation[0].kind == LLM:
            yield from _growth(operation, sorted(looping))


def _by_operation(calls: Sequence[Call]) -> list[list[Call]]:
    """The calls of each operation, those that are no model's first."""
    found: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        found.setdefault(call.operation, []).append(call)
    return sorted(found.values(), key=lambda group: group[0].kind == LLM)


def _runs(calls: Sequence[Call], goes_on: Callable[[Call, Call], bool]) -> Iterator[list[Call]]:
    """The longest stretches of two or more calls in which each goes on with the one before."""
    run = [calls[0]]
    for earlier, call in pairwise(calls):
        if goes_on(earlier, call):
            run.append(call)
            continue
        if len(run) > 1:
            yield run
        run = [call]
    if len(run) > 1:
        yield run


def _cycles(level: _Level) -> Iterator[tuple[dict[str, Any], set[int]]]:
    """Oscillations and longer cycles in what was done, with the numbers of the calls in them."""
    deeds = level.deeds
    tokens = [
        (call.operation, call.asked, call.answered) if _is_known(call) else call.number for call in deeds
    ]
    if len(deeds) < 2 * LEAST_ROUNDS or len(tokens) - len(set(tokens)) < 2 * (LEAST_ROUNDS - 1):
        return
    taken = [False] * len(deeds)
    for period in range(2, LONGEST_CYCLE + 1):
        first = None
        for place in range(period, len(deeds) + 1):
            same = (
                place < len(deeds)
                and tokens[place] == tokens[place - period]
                and not taken[place]
                and follows(deeds[place], deeds[place - period])
            )
            if same and first is None:
                first = place - period
            elif not same and first is not None:
                rounds = (place - first) // period
                if rounds >= LEAST_ROUNDS and len(set(tokens[first : first + period])) > 1:
                    cycle = deeds[first:place]
                    taken[first:place] = [True] * len(cycle)
                    yield _cycle(cycle, period, rounds, level), {call.number for call in cycle}
                first = None


def _cycle(cycle: Sequence[Call], period: int, rounds: int, level: _Level) -> dict[str, Any]:
    again = cycle[period:]
    return pattern(
        "loop",
        cycle,
        repeated_so_often(rounds),
        cost_of([*again, *level.asking(again)]),
        form="oscillation" if period == 2 else "cycle",
        rounds=rounds,
        between=[{**told(call.operation), "arguments": value_of(call.text)} for call in cycle[:period]],
    )


def _is_known(call: Call) -> bool:
    return UNKNOWN not in {call.asked, call.answered} and call.outcome != OPEN


def _repeats(
    calls: Sequence[Call], level: _Level, covered: set[int]
) -> Iterator[tuple[dict[str, Any], list[Call]]]:
    """The patterns in repetitions of the same question: retries, polling, or a loop."""
    for run in _runs(calls, _again):
        if any(call.outcome == FAILED for call in run):
            yield from _retries(run)
        elif len(run) < LEAST_ROUNDS or all(call.number in covered for call in run):
            continue
        else:
            found = _polling(run) or _same_call(run, level)
            if found is not None:
                yield found, run


def _again(earlier: Call, call: Call) -> bool:
    """Whether a call asks what the one before had asked, after that had ended."""
    if not follows(call, earlier):
        return False
    return (call.asked == earlier.asked != UNKNOWN) or (call.retried and earlier.outcome == FAILED)


def _retries(run: list[Call]) -> Iterator[tuple[dict[str, Any], list[Call]]]:
    """The attempts up to each that did its work."""
    attempts: list[Call] = []
    for call in run:
        if not attempts and call.outcome != FAILED:
            continue
        attempts.append(call)
        if call.outcome != FAILED or call is run[-1]:
            if len(attempts) > 1:
                lost = [attempt for attempt in attempts if attempt.outcome == FAILED]
                found = pattern(
                    "retries",
                    attempts,
                    1.0 if any(attempt.retried for attempt in attempts) else 0.8,
                    cost_of(lost, _between(attempts)),
                    outcome=("completed", "failed", "open")[attempts[-1].outcome],
                    arguments=value_of(call.text),
                )
                yield found, attempts
            attempts = []


def _between(calls: Sequence[Call]) -> int:
    """The nanoseconds that passed between the end of each call and the beginning of the next."""
    return sum(map(_wait, calls, calls[1:]))


def _wait(earlier: Call, call: Call) -> int:
    if earlier.began is None or call.began is None or earlier.lasted is None:
        return 0
    return max(call.began - earlier.began - earlier.lasted, 0)


def _polling(run: list[Call]) -> dict[str, Any] | None:
    """The same question until the answer changed, or as long as the answer said to wait."""
    results = [list(group) for _, group in groupby(run, key=attrgetter("answered"))]
    if any(call.answered == UNKNOWN for call in run[:-1]):
        return None
    told_to_wait = sum(call.waiting for call in run)
    changed = len(results) > 1 and results[-1][0].answered != UNKNOWN
    until_changed = len(results) == 2 and len(results[0]) >= LEAST_ROUNDS - 1 and len(results[-1]) == 1
    if told_to_wait >= LEAST_ROUNDS - 1:
        confidence = 0.95
    elif changed and until_changed:
        confidence = 0.7
    else:
        return None
    waited = _between(run)
    return pattern(
        "polling",
        run,
        confidence,
        cost_of(run, waited),
        changed=changed,
        arguments=value_of(run[0].text),
    )


def _same_call(run: list[Call], level: _Level) -> dict[str, Any] | None:
    """A loop of one call, the longest stretch of equal results in the run."""
    stretches = [list(group) for _, group in groupby(run, key=attrgetter("answered"))]
    if stretches[-1][0].outcome == OPEN:
        stretches.pop()  # the round in which the recording ended
    if len(stretches) != 1 or run[0].answered == UNKNOWN:
        return None
    again = run[1:]
    confidence = repeated_so_often(len(run))
    if run[0].kind != LLM:
        first = bisect_left(level.deeds, run[0].number, key=_number)
        last = bisect_left(level.deeds, run[-1].number, key=_number)
        if last - first + 1 > len(run):
            confidence *= 0.8  # other things were done in between, which may have been progress
        if run[0].text in _EMPTY or run[0].answered == _NULL:
            confidence *= 0.7  # a call without arguments or without a result is often made for its effect
    asking = level.asking(again) if run[0].kind != LLM else []
    return pattern(
        "loop",
        run,
        confidence,
        cost_of([*again, *asking]),
        form="same call",
        rounds=len(run),
        arguments=value_of(run[0].text),
    )


def _growth(calls: Sequence[Call], looping: Sequence[int]) -> Iterator[dict[str, Any]]:
    """A model that is given more messages each time and answers the same; with a loop in between, it is part of it.

    Args:
        calls: the calls of one model.
        looping: the numbers of the calls that are in loops, in order.
    """
    for run in _runs(calls, _grows):
        if len(run) < LEAST_ROUNDS:
            continue
        place = bisect_left(looping, run[0].number)
        if place < len(looping) and looping[place] < run[-1].number:
            continue
        yield pattern(
            "loop",
            run,
            repeated_so_often(len(run)) * 0.9,
            cost_of(run[1:]),
            form="growth",
            rounds=len(run),
            messages=[run[0].size, run[-1].size],
            tokens=[run[0].tokens, run[-1].tokens],
        )


def _grows(earlier: Call, call: Call) -> bool:
    return (
        follows(call, earlier)
        and call.answered == earlier.answered != UNKNOWN
        and call.outcome == earlier.outcome == COMPLETED
        and call.asked != earlier.asked
        and call.size > earlier.size
    )


def _paging(calls: Sequence[Call], covered: set[int]) -> Iterator[dict[str, Any]]:
    """One call after the other with a number that counts up, or with the cursor that the one before gave.

    What is `covered` by a cycle begins from the first page again and again.
    """
    if calls[0].kind == LLM:
        return
    for run in _runs(calls, _turns_the_page):
        if len(run) < LEAST_PAGES or run[0].number in covered:
            continue
        by_cursor = all(call.took == earlier.gave for earlier, call in pairwise(run))
        yield pattern(
            "paging",
            run,
            0.95 if by_cursor and run[1].took else 0.8,
            by="cursor" if by_cursor and run[1].took else "number",
            arguments=value_of(run[0].text),
        )


def _turns_the_page(earlier: Call, call: Call) -> bool:
    """Whether a call asks for what follows an earlier one: the cursor that it gave, or the next number."""
    if call.asked == earlier.asked or not follows(call, earlier):
        return False
    if call.took and call.took == earlier.gave:
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
