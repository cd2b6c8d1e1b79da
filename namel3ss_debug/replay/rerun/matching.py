"""Match the live calls of a re-run to the recorded ones.

The user's overrides come first. Then the same request by its keys: the earliest of several, and one that was made by
the same functions before others. Then, as a guess, the earliest unmatched call that was made by the same functions: the
code was edited, and the difference is reported. Otherwise the call is unmatched.

A guess may use the answer of a call that is made later with its recorded request, for example if a call was added at
the front of a loop. That request gets its answer all the same, and the guess is marked as ambiguous. The program is
never run twice: whatever it writes, it writes once.

Nothing here waits, sends or reads a clock. Only one thread at a time may use a `Matcher`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.rerun.divergences import (
    CHANGED,
    EXACT,
    EXPECTED,
    MISSING,
    NEW,
    ORDER,
    Difference,
    Divergence,
    Match,
    difference_of,
    in_order,
    request_inputs,
)
from namel3ss_debug.replay.rerun.override_effects import OverrideEffects, ReplacedAnswer
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCall, RecordedCalls, outputs_of
from namel3ss_debug.replay.rerun.requests import VALUED, Request, TaskKey
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import is_background
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # imported only if there are overrides
    from namel3ss_debug.replay.overrides.active import Overrides
    from namel3ss_debug.replay.overrides.faults import Fault
    from namel3ss_debug.replay.overrides.mocks import Mock


@dataclass(frozen=True)
class MatchedAnswer:
    """A live request with its answer.

    Attributes:
        request: the live request.
        how: `exact`, `changed`, `expected` or `new`, as in `Match`; `new` only if no recorded answer is needed.
        recorded: the matched recorded call. If only one of two requests to a model wants a stream, the answer is
            encoded anew.
        mock: the user's answer; None for the recorded one.
        fault: the user's fault; None for none.
        runs: whether the tool is run for real.
        divergence: how the request differs from the recorded one.
        overtook: the first recorded call of the same task that comes before it and was not made yet; with `--strict`, a
            divergence.
        is_started_again: whether it is a command whose process is a part of the trace.
    """

    request: Request
    how: str
    recorded: RecordedCall | None = None
    mock: Mock | None = None
    fault: Fault | None = None
    runs: bool = False
    divergence: Divergence | None = None
    overtook: RecordedCall | None = None
    is_started_again: bool = False

    @property
    def overridden(self) -> bool:
        """Whether an override changes the answer."""
        return self.mock is not None or self.fault is not None

    @property
    def fails(self) -> bool:
        """Whether the user wants an error here; then the recorded answer is left for another attempt of the call."""
        return self.fault is not None and self.fault.replaces

    @property
    def replaced(self) -> bool:
        """Whether an override stands in place of the answer; an answer that is only delayed or cut is still needed."""
        return self.mock is not None or self.fails


@dataclass(frozen=True)
class Unmatched:
    """A live request that the trace holds no answer for."""

    request: Request
    divergence: Divergence


_NO_EVENT: Final[Event] = {"event_type": ""}
_LAST = 1 << 62  # greater than any event number


class _Guess(NamedTuple):
    """A recorded answer that was used by a guess.

    Attributes:
        divergence: how the two requests differ.
        harmless: whether it was not delivered after all, because an override took its place.
    """

    divergence: Divergence
    harmless: bool


class Matcher:
    """Match the calls of one attempt.

    Args:
        recorded: the recorded calls.
        mocks: the user's overrides.
        runs: tells whether a tool is to be run for real; if left out, none is.

    Attributes:
        matches: how each request was matched, in the order in which they were made.
    """

    def __init__(
        self,
        recorded: RecordedCalls,
        mocks: Overrides | None = None,
        runs: Callable[[Request], bool] | None = None,
    ) -> None:
        self.recorded = recorded
        self.matches: list[Match] = []
        self._mocks, self._runs = mocks, runs
        self._used: dict[int, int] = {}  # by which request; 0: inside an answered tool
        # Numbers of calls, the earliest last. Most lists hold one number, for which a deque takes ten times the memory.
        self._by_key: dict[Hashable, list[int]] = {}
        self._by_similar_key: dict[Hashable, list[int]] = {}
        self._by_task: dict[TaskKey, list[int]] = {}
        for number, recorded_call in reversed([*recorded.calls.items()]):
            self._enter(number, recorded_call.request)
        self._guessed: dict[str, dict[int, _Guess]] = {}
        self._override_effects = OverrideEffects()
        self._divergences: list[Divergence] = []
        self._lines: dict[tuple[TaskKey, TaskKey], _Line] = {}
        self._excused: list[RecordedCall] = []

    def _enter(self, number: int, request: Request) -> None:
        for key in request.keys:
            for place in _places(key, request):
                self._by_key.setdefault(place, []).append(number)
        for similar_key in request.similar_keys:
            for place in (similar_key, request.task_key), (similar_key,):
                self._by_similar_key.setdefault(place, []).append(number)
        self._by_task.setdefault(request.task_key, []).append(number)

    def likely(self, request: Request) -> tuple[RecordedCall | None, bool]:
        """Return the recorded call that a request would match now, and whether it is the same request."""
        found = self._same(request)
        if found is None:
            guessed = next(filter(None, map(self._guessed.get, request.keys)), None)
            found = self.recorded.calls[next(iter(guessed))] if guessed else None
        return (found, True) if found is not None else (self._like(request)[0], False)

    def answer(self, request: Request, *, guesses: bool = True) -> MatchedAnswer | Unmatched:
        """Match a live request.

        Args:
            request: the request, with its event.
            guesses: whether it may match a recorded request that it may be an edited form of.
        """
        answer = self.with_overrides(MatchedAnswer(request, EXACT))
        found = self._same(request)
        if found is not None:
            return self._with(answer, found, None)
        guessed = next(filter(None, map(self._guessed.get, request.keys)), None)
        if guessed:
            return self._take_back(answer, guessed)
        found, similar_key = self._like(request) if guesses else (None, None)
        return self._without(answer) if found is None else self._with(answer, found, similar_key)

    def with_overrides(self, answer: MatchedAnswer) -> MatchedAnswer:
        """Return an answer with the overrides in force now; a tool that would be run is run unless one replaces it."""
        request = answer.request
        event = request.event or _NO_EVENT
        mock = None if self._mocks is None else self._mocks.mock_for(request.number, event)
        fault = None if self._mocks is None else self._mocks.fault_for(request.number, event)
        now = replace(answer, mock=mock, fault=fault)
        may_run = request.kind in VALUED and not now.replaced
        return replace(now, runs=may_run and self._runs is not None and self._runs(request))

    def update_answer(self, answer: MatchedAnswer) -> None:
        """Update the match of a request that was blocked before and is answered now."""
        number = answer.request.number
        self.matches = [
            match._replace(overridden=answer.overridden, real=answer.runs)
            if match.number == number
            else match
            for match in self.matches
        ]
        if answer.overridden:
            self._expect(answer)
        found = answer.recorded
        if answer.replaced and answer.how != EXACT and found is not None:  # the guess was not needed
            for guesses in filter(None, map(self._guessed.get, found.request.keys)):
                if found.number in guesses:
                    guesses[found.number] = guesses[found.number]._replace(harmless=True)
            self._lines[answer.request.task_key, found.request.task_key].take_back(found)

    def add_replacement(
        self, request: Request, recorded: RecordedCall | None, outputs: dict[str, Any]
    ) -> None:
        """Note that a request did not get its recorded answer, so that later requests may differ by it.

        Args:
            request: the request.
            recorded: the matched recorded call.
            outputs: what the program got, as the `outputs` of an end event.
        """
        old = {} if recorded is None else outputs_of(self.recorded.end(recorded.number))
        if lenient.dump(old, ordered=True) != lenient.dump(outputs, ordered=True):
            self._override_effects.add(ReplacedAnswer(_without_event(request), old, outputs))

    def divergences(self, *, ended: bool = True) -> tuple[Divergence, ...]:
        """Return the divergences so far, in the order of the run.

        Args:
            ended: whether the program has ended by itself, so that calls it did not make are missing.
        """
        missing = self._missing() if ended else ()
        out_of_order = (found for line in self._lines.values() for found in line.out_of_order(self.recorded))
        return in_order([*self._divergences, *out_of_order, *missing])

    @property
    def is_exhausted(self) -> bool:
        """Whether every recorded call was matched."""
        return not any(map(self._free, self.recorded.calls))

    def _free(self, number: int) -> bool:
        return number not in self._used

    def _same(self, request: Request) -> RecordedCall | None:
        """Return the recorded call with the same request."""
        for key in request.keys:
            for place in _places(key, request):
                number = self._first(self._by_key.get(place))
                if number is not None:
                    return self.recorded.calls[number]
        return None

    def _like(self, request: Request) -> tuple[RecordedCall | None, Hashable]:
        """Return a recorded call that this request may be an edited form of, and the key that found it."""
        for similar_key in request.similar_keys:
            for place in ((similar_key, request.task_key), (similar_key,)):
                number = self._first(self._by_similar_key.get(place))
                if number is not None:
                    return self.recorded.calls[number], similar_key
        return None, None

    def _first(self, waiting: list[int] | None) -> int | None:
        """Return the first unmatched call of a list; those before it are matched for good."""
        while waiting and not self._free(waiting[-1]):
            waiting.pop()
        return waiting[-1] if waiting else None

    def _take_back(self, answer: MatchedAnswer, guessed: dict[int, _Guess]) -> MatchedAnswer:
        """Match a request whose recorded answer was used by a guess; the guess is ambiguous unless an override replaced it."""
        number, guess = next(iter(guessed.items()))
        for guesses in self._guessed.values():
            guesses.pop(number, None)
        answer = self._with(answer, self.recorded.calls[number], None)
        if guess.harmless:
            self._forget(guess.divergence)
        else:
            self._divergences = [
                replace(found, ambiguous=True) if found is guess.divergence else found
                for found in self._divergences
            ]
        return answer

    def _forget(self, guessed: Divergence) -> None:
        """Turn a guess into an unmatched request, because an override answered it."""
        self._divergences = [found for found in self._divergences if found is not guessed]
        self.matches = [
            Match(match.number, 0, NEW, match.overridden, match.real)
            if match.number == guessed.number
            else match
            for match in self.matches
        ]

    def _with(self, answer: MatchedAnswer, found: RecordedCall, similar_key: Hashable) -> MatchedAnswer:
        """Answer a request by a recorded call, which a similar key may have found."""
        request = answer.request
        divergence = None if similar_key is None else self._changed(request, found)
        how = EXACT if similar_key is None else CHANGED if divergence is not None else EXPECTED
        answer = replace(
            answer,
            how=how,
            recorded=found,
            divergence=divergence,
            overtook=self._overtook(request, found),
            is_started_again=not (answer.replaced or answer.runs)
            and self.recorded.records_itself(found.number),
        )
        if answer.fails:
            self._excused.append(found)
        else:
            self._use(answer, found, similar_key)
        if divergence is not None:
            self._divergences.append(divergence)
        self._take_notice(answer)
        return answer

    def _without(self, answer: MatchedAnswer) -> MatchedAnswer | Unmatched:
        """Answer a request without a recorded call: by an override, or by running the tool."""
        request, answer = answer.request, replace(answer, how=NEW)
        if answer.mock is None and not answer.fails:
            divergence = self._new(request)
            self._divergences.append(divergence)
            if not answer.runs:
                self.matches.append(Match(request.number, 0, NEW))
                return Unmatched(request, divergence)
            answer = replace(answer, divergence=divergence)
        self._take_notice(answer)
        return answer

    def _new(self, request: Request) -> Divergence:
        """Return the divergence of an unmatched request, with the recorded call at its place."""
        there = self.expected_next(request)
        difference = None
        if there is not None and there.request.kind == request.kind:
            difference = self._difference(request, there)
        numbers = self._override_effects.numbers
        return Divergence(NEW, request.number, request, there, difference, mocked=numbers)

    def _changed(self, request: Request, found: RecordedCall) -> Divergence | None:
        """Return the divergence of an edited request; None if it differs only because of overrides."""
        difference = self._difference(request, found)
        if self._override_effects.explain(request, difference):
            return None
        return Divergence(
            CHANGED,
            request.number,
            _without_event(request),
            found,
            difference,
            mocked=self._override_effects.numbers,
        )

    def _difference(self, request: Request, found: RecordedCall) -> Difference:
        then, now = self.recorded.start(found.number), request.event or {}
        return difference_of(request.kind, request_inputs(then), request_inputs(now))

    def _use(self, answer: MatchedAnswer, found: RecordedCall, similar_key: Hashable) -> None:
        """Mark a recorded call as matched, and the calls inside a tool that is not run."""
        request, is_taken_back = answer.request, found.number in self._used
        self._used[found.number] = request.number
        # An answered tool does not run, so the calls inside it are never made.
        if found.request.kind in VALUED and not (answer.runs or answer.is_started_again):
            self._used.update(
                (number, 0) for number in self.recorded.within(found.number) if self._free(number)
            )
        if similar_key is not None:
            divergence = answer.divergence or Divergence(CHANGED, request.number, request, found)
            for key in found.request.keys:
                self._guessed.setdefault(key, {})[found.number] = _Guess(divergence, answer.mock is not None)
        if not is_taken_back and (similar_key is None or answer.mock is None):
            line = self._lines.setdefault((request.task_key, found.request.task_key), _Line())
            line.add(_without_event(request) if similar_key is None else request, found)

    def _take_notice(self, answer: MatchedAnswer) -> None:
        """Record how a request was matched, and what later ones may differ by."""
        request = answer.request
        recorded = answer.recorded
        number = 0 if recorded is None else recorded.number
        self.matches.append(
            Match(
                request.number,
                number,
                answer.how,
                answer.overridden,
                answer.runs,
                is_background=is_background(request.event or {}),
                is_body_unknown=recorded is not None and recorded.request.is_body_unknown,
            )
        )
        if answer.overridden:
            self._expect(answer)

    def _expect(self, answer: MatchedAnswer) -> None:
        """Note that later requests may differ because of an override."""
        request = answer.request
        then = {} if answer.recorded is None else self.recorded.end(answer.recorded.number)
        outputs, event = lenient.mapping(then.get("outputs")), request.event or _NO_EVENT
        try:
            for each in (answer.mock, answer.fault):
                outputs = outputs if each is None else each.outputs(request.number, event, outputs)
        except MockError:  # `reply` raises it again
            return
        self.add_replacement(request, answer.recorded, outputs)

    def _overtook(self, request: Request, found: RecordedCall) -> RecordedCall | None:
        """Return the recorded call that the same task had to make first."""
        first = (
            self._first(self._by_task.get(request.task_key))
            if request.task_key == found.request.task_key
            else None
        )
        return self.recorded.calls[first] if first is not None and first < found.number else None

    def expected_next(self, request: Request) -> RecordedCall | None:
        """Return the recorded call at the place of a request: the next of its task behind the last matched one."""
        last = max(
            (line.last for (answer, _), line in self._lines.items() if answer == request.task_key), default=0
        )
        free = [
            recorded_call
            for number, recorded_call in self.recorded.calls.items()
            if number > last and self._free(number)
        ]
        same_task = (
            recorded_call for recorded_call in free if recorded_call.request.task_key == request.task_key
        )
        same_kind = (recorded_call for recorded_call in free if recorded_call.request.kind == request.kind)
        return next(same_task, None) or next(same_kind, None)

    def _missing(self) -> Iterator[Divergence]:
        """Yield the recorded calls that the code did not make."""
        excused = Counter(recorded_call.request.keys[:1] for recorded_call in self._excused)
        gone: set[int] = set()
        answer = sorted((number, now) for number, now in self._used.items() if now)
        following = [*accumulate((now for _, now in reversed(answer)), min)][::-1]
        numbers = self._override_effects.numbers
        for number, recorded_call in self.recorded.calls.items():
            if not self._free(number) or number in gone:
                continue
            key = recorded_call.request.keys[:1]
            # A fault has left the recorded answer for a retry, which the program need not make.
            if excused[key]:
                excused[key] -= 1
                gone.update(self.recorded.within(number))
                continue
            place = bisect_right(answer, (number, _LAST))
            before = following[place] if place < len(following) else 0
            mocked = tuple(mock for mock in numbers if not before or mock < before)
            yield Divergence(MISSING, before, None, recorded_call, mocked=mocked)


def _places(key: str, request: Request) -> tuple[Hashable, ...]:
    """Return the keys under which a recorded call is looked up: one made the same way before others."""
    return ((key, request.chain, request.task_key), (key, request.chain), (key,))


def _without_event(request: Request) -> Request:
    """Return a request without its event, which may hold a whole conversation."""
    return replace(request, event=None)


class _Line:
    """The recorded calls that one live task matched in one recorded task, to find whether they keep their order."""

    def __init__(self) -> None:
        self.last = 0
        self._leaders: list[tuple[Request, RecordedCall]] = []  # each recorded later than all before it
        self._late: dict[int, list[RecordedCall]] = {}  # index of a leader -> what it overtook

    def add(self, request: Request, found: RecordedCall) -> None:
        """Add a request that matched this call."""
        if found.number >= self.last:  # equal if a guess was taken back
            self.last = found.number
            self._leaders.append((request, found))
            return
        low, high = 0, len(self._leaders) - 1
        while low < high:  # find the first leader that is recorded later
            middle = (low + high) // 2
            if self._leaders[middle][1].number > found.number:
                high = middle
            else:
                low = middle + 1
        self._late.setdefault(low, []).append(found)

    def take_back(self, found: RecordedCall) -> None:
        """Remove the match that was added last."""
        if self._leaders and self._leaders[-1][1] is found:
            self._leaders.pop()
            self.last = self._leaders[-1][1].number if self._leaders else 0
            return
        for place, late in self._late.items():
            if late[-1] is found:
                late.pop()
                if not late:
                    del self._late[place]
                return

    def out_of_order(self, recorded: RecordedCalls) -> Iterator[Divergence]:
        """Yield one divergence for each request that was made too early; a request without its event was the recorded one."""
        for place, late in self._late.items():
            request, found = self._leaders[place]
            if request.event is None:
                request = replace(request, event=recorded.start(found.number))
            ordered = tuple(sorted(late, key=lambda recorded_call: recorded_call.number))
            yield Divergence(ORDER, request.number, request, ordered[0], late=ordered)
