"""Match the live calls of a re-run to the recorded ones.

The user's overrides come first. Then the same request by its keys: the earliest of several, and one that was made by
the same functions before others. Then, as a guess, the earliest unmatched call that was made by the same functions: the
code was edited, and the difference is reported. Otherwise the call is unmatched.

A guess may use the answer of a call that is made later with its recorded request, for example if a call was added at
the front of a loop. That request gets its answer all the same, and the guess is marked as ambiguous. The program is
never run twice: whatever it writes, it writes once.

A request that changed after an override is no divergence: it may have changed because of the override. Which of its
words come from there cannot be known, because a program computes one from the other.

Nothing here waits, sends or reads a clock. Only one thread at a time may use a `Matcher`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Final

from namel3ss_debug.replay.rerun.decoded_failures import read_failure
from namel3ss_debug.replay.rerun.divergences import (
    AFTER_OVERRIDE,
    AMBIGUOUS,
    CHANGED,
    EXACT,
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
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCall, RecordedCalls
from namel3ss_debug.replay.rerun.requests import MODEL, VALUED, Request, TaskKey, wordings
from namel3ss_debug.traces.events import Event
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
        how: `exact`, `changed`, `after_override` or `new`, as in `Match`; `new` only if no recorded answer is needed.
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

    @property
    def changes(self) -> bool:
        """Whether the program gets another answer than the recorded one; a delayed answer is the recorded one."""
        return self.mock is not None or (self.fault is not None and self.fault.kind != "latency")


@dataclass(frozen=True)
class Unmatched:
    """A live request that the trace holds no answer for."""

    request: Request
    divergence: Divergence


_NO_EVENT: Final[Event] = {"event_type": ""}
_LAST = 1 << 62  # greater than any event number


@dataclass
class _Guess:
    """A recorded answer that a request got as a guess.

    Attributes:
        divergence: how the two requests differ.
        after_override: whether the request changed after an override, so that it is no divergence.
        is_replaced: whether the answer was not delivered after all, because an override took its place.
        is_wanted: whether the recorded request was made later.
    """

    divergence: Divergence
    after_override: bool
    is_replaced: bool
    is_wanted: bool = False

    def reported(self) -> Divergence | None:
        """Return the divergence to report; None if there is none."""
        if self.is_wanted:
            return None if self.is_replaced else replace(self.divergence, kind=AMBIGUOUS)
        return None if self.after_override else self.divergence


class Matcher:
    """Match the calls of one attempt.

    Args:
        recorded: the recorded calls.
        overrides: the user's overrides.
        runs: tells whether a tool is to be run for real; if left out, none is.

    Attributes:
        matches: how each request was matched, in the order in which they were made.
    """

    def __init__(
        self,
        recorded: RecordedCalls,
        overrides: Overrides | None = None,
        runs: Callable[[Request], bool] | None = None,
    ) -> None:
        self.recorded = recorded
        self.matches: list[Match] = []
        self._overrides, self._runs = overrides, runs
        self._used: dict[int, int] = {}  # by which request; 0: inside an answered tool
        # Numbers of calls, the earliest last. Most lists hold one number, for which a deque takes ten times the memory.
        self._by_key: dict[Hashable, list[int]] = {}
        self._by_similar_key: dict[Hashable, list[int]] = {}
        self._by_task: dict[TaskKey, list[int]] = {}
        for number, recorded_call in reversed([*recorded.calls.items()]):
            self._enter(number, recorded_call.request)
        self._guesses: dict[int, _Guess] = {}  # by the number of the recorded call
        self._guessed: dict[
            str, list[int]
        ] = {}  # key of a request -> the recorded calls that guesses have used
        # Requests that got another answer than the recorded one: overridden ones, and tools that were run.
        self._replaced: list[int] = []
        self._divergences: list[Divergence] = []
        self._latest: dict[TaskKey, int] = {}  # live task -> the last recorded call that it has matched
        # Recorded call that was not made when its task made a later one -> the request for the later one.
        self._overtaken: dict[int, tuple[Request, RecordedCall]] = {}
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
        found = self._same(request) or self._guessed_call(request)
        return (found, True) if found is not None else (self._like(request)[0], False)

    def answer(self, request: Request, *, guesses: bool = True) -> MatchedAnswer | Unmatched:
        """Match a live request.

        Args:
            request: the request, with its event.
            guesses: whether it may match a recorded request that it may be an edited form of.
        """
        answer = self.with_overrides(MatchedAnswer(request, EXACT))
        found = self._failed_before(request) or self._same(request) or self._want_back(request)
        similar_key: Hashable = None
        if found is None and guesses:
            found, similar_key = self._like(request)
        return self._without(answer) if found is None else self._with(answer, found, similar_key)

    def with_overrides(self, answer: MatchedAnswer) -> MatchedAnswer:
        """Return an answer with the overrides in force now; a tool that would be run is run unless one replaces it."""
        request = answer.request
        event = request.event or _NO_EVENT
        mock = None if self._overrides is None else self._overrides.mock_for(request.number, event)
        fault = None if self._overrides is None else self._overrides.fault_for(request.number, event)
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
        if answer.changes:
            self.note_replaced(number)
        guess = None if answer.recorded is None else self._guesses.get(answer.recorded.number)
        if answer.replaced and guess is not None and guess.divergence.number == number:
            guess.is_replaced = True

    def note_replaced(self, number: int) -> None:
        """Note that a request got another answer than the recorded one, so that later requests may differ by it."""
        self._replaced.append(number)

    def divergences(self, *, ended: bool = True) -> tuple[Divergence, ...]:
        """Return the divergences so far, in the order of the run.

        Args:
            ended: whether the program has ended by itself, so that calls it did not make are missing.
        """
        guesses = list(filter(None, (guess.reported() for guess in self._guesses.values())))
        # A guess that was wrong, or not needed, is no recorded call, so it is not ahead of one either.
        added = {guess.divergence.number for guess in self._guesses.values() if guess.is_wanted}
        others = [found for found in self._divergences if found.kind != ORDER or found.number not in added]
        return in_order([*others, *guesses, *(self._missing() if ended else ())])

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

    def _guessed_call(self, request: Request) -> RecordedCall | None:
        """Return the recorded call with the same request whose answer a guess has used."""
        used = (number for key in request.keys for number in self._guessed.get(key, ()))
        number = next(used, None)
        return None if number is None else self.recorded.calls[number]

    def _want_back(self, request: Request) -> RecordedCall | None:
        """Return the recorded call with the same request whose answer a guess has used, which was wrong."""
        found = self._guessed_call(request)
        if found is None:
            return None
        for key in found.request.keys:
            self._guessed[key].remove(found.number)
        guess = self._guesses[found.number]
        guess.is_wanted = True
        how, recorded = (NEW, 0) if guess.is_replaced else (AMBIGUOUS, found.number)
        self.matches = [
            match._replace(how=how, recorded=recorded) if match.number == guess.divergence.number else match
            for match in self.matches
        ]
        return found

    def _failed_before(self, request: Request) -> RecordedCall | None:
        """Return the recorded call that failed, of which a request is another attempt.

        A trace of another tool holds one span for all attempts that an SDK makes, and one for each that a program makes.
        """
        metadata = lenient.mapping((request.event or _NO_EVENT).get("metadata"))
        if not self.recorded.source or request.kind != MODEL or "retry_of" not in metadata:
            return None
        if self._first(self._by_key.get((request.keys[0],))) is not None:
            return None
        used = (self.recorded.calls[number] for number in self._used)
        same = (each for each in used if each.request.keys == request.keys)
        return next((each for each in same if read_failure(self.recorded.end(each.number))), None)

    def _with(self, answer: MatchedAnswer, found: RecordedCall, similar_key: Hashable) -> MatchedAnswer:
        """Answer a request by a recorded call, which a similar key may have found."""
        request, divergence, how = answer.request, None, EXACT
        if similar_key is not None:
            difference = self._difference(request, found)
            mocked = tuple(self._replaced)
            guess = Divergence(
                CHANGED, request.number, _without_event(request), found, difference, mocked=mocked
            )
            divergence, how = (None, AFTER_OVERRIDE) if mocked else (guess, CHANGED)
            if not answer.fails:
                self._guesses[found.number] = _Guess(guess, bool(mocked), answer.replaced)
                for key in found.request.keys:
                    self._guessed.setdefault(key, []).append(found.number)
            elif divergence is not None:
                self._divergences.append(divergence)
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
            self._use(answer, found)
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
        return Divergence(NEW, request.number, request, there, difference, mocked=tuple(self._replaced))

    def _difference(self, request: Request, found: RecordedCall) -> Difference:
        then, now = self.recorded.start(found.number), request.event or {}
        if self.recorded.source and request.kind == MODEL:  # matched by the messages alone
            old, new = (
                {"messages": lenient.mapping(each.get("inputs")).get("messages")} for each in (then, now)
            )
            return difference_of(request.kind, old, new)
        return difference_of(request.kind, request_inputs(then), request_inputs(now))

    def _use(self, answer: MatchedAnswer, found: RecordedCall) -> None:
        """Mark a recorded call as matched, and the calls inside a tool that is not run."""
        request, is_used_again = answer.request, found.number in self._used
        self._used[found.number] = request.number
        # An answered tool does not run, so the calls inside it are never made.
        if found.request.kind in VALUED and not (answer.runs or answer.is_started_again):
            self._used.update(
                (number, 0) for number in self.recorded.within(found.number) if self._free(number)
            )
        self._latest[request.task_key] = max(self._latest.get(request.task_key, 0), found.number)
        if not is_used_again:
            self._compare_order(answer, found)

    def _compare_order(self, answer: MatchedAnswer, found: RecordedCall) -> None:
        """Report that a request was made too early, once its task makes the recorded call that it overtook."""
        request = answer.request
        if request.task_key == found.request.task_key and found.number in self._overtaken:
            early, before = self._overtaken.pop(found.number)
            if early.event is None:
                early = replace(early, event=self.recorded.start(before.number))
            self._divergences.append(Divergence(ORDER, early.number, early, found))
        if answer.overtook is not None:
            early = _without_event(request) if answer.how == EXACT else request
            self._overtaken.setdefault(answer.overtook.number, (early, found))

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
                is_body_unknown=recorded is not None and recorded.request.is_body_unknown,
            )
        )
        if answer.changes:
            self.note_replaced(request.number)

    def _overtook(self, request: Request, found: RecordedCall) -> RecordedCall | None:
        """Return the recorded call that the same task had to make first."""
        task_key = request.task_key
        # Tasks that share a key, as those of Trio do, make their calls in any order.
        if task_key != found.request.task_key or task_key in self.recorded.concurrent_tasks:
            return None
        first = self._first(self._by_task.get(task_key))
        return self.recorded.calls[first] if first is not None and first < found.number else None

    def expected_next(self, request: Request) -> RecordedCall | None:
        """Return the recorded call at the place of a request: the next of its task behind the last matched one."""
        if self.recorded.source and request.kind == MODEL:
            return self._nearest(request)
        last = self._latest.get(request.task_key, 0)
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

    def _nearest(self, request: Request) -> RecordedCall | None:
        """Return the unmatched call of a model whose conversation begins with the most of the same messages."""
        now = wordings(lenient.mapping((request.event or _NO_EVENT).get("inputs")))

        def distance(recorded_call: RecordedCall) -> tuple[int, int]:
            then = wordings(lenient.mapping(self.recorded.start(recorded_call.number).get("inputs")))
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(now, then, strict=False)))
            return -same, abs(len(now) - len(then))

        free = (
            each
            for number, each in self.recorded.calls.items()
            if each.request.kind == MODEL and self._free(number)
        )
        return min(free, key=distance, default=None)

    def _missing(self) -> Iterator[Divergence]:
        """Yield the recorded calls that the code did not make."""
        excused = Counter(recorded_call.request.keys[:1] for recorded_call in self._excused)
        gone: set[int] = set()
        answer = sorted((number, now) for number, now in self._used.items() if now)
        following = [*accumulate((now for _, now in reversed(answer)), min)][::-1]
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
            mocked = tuple(mock for mock in self._replaced if not before or mock < before)
            yield Divergence(MISSING, before, None, recorded_call, mocked=mocked)


def _places(key: str, request: Request) -> tuple[Hashable, ...]:
    """Return the keys under which a recorded call is looked up: one made the same way before others."""
    return ((key, request.chain, request.task_key), (key, request.chain), (key,))


def _without_event(request: Request) -> Request:
    """Return a request without its event, which may hold a whole conversation."""
    return replace(request, event=None)
