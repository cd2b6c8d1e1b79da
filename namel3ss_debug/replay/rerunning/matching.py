"""Which recorded answer a question of the program that runs again gets.

First comes what the user gives. Then the same question by its keys, the earliest of several, of these one that came
through the same functions before others. Then, as a guess, the earliest question left that came through the same
functions of the user's: the code was edited, and the difference is told. Else the recording holds no answer.

A guess may take the answer of a question that is asked later in its own words, as when a call was added at the front of
a loop. Then the run has to start over, with such answers reserved for their own questions; every policy without this
gives wrong answers to some edits. Two or three passes are enough for one edit; `plans.MOST_PASSES` bounds them.

Nothing here waits, sends or reads a clock. Of several threads, one at a time may use a `Matcher`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.rerunning.boundaries import VALUED, Question, Strand
from namel3ss_debug.replay.rerunning.divergences import (
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
    told_of,
)
from namel3ss_debug.replay.rerunning.expectations import Expectations, Replaced
from namel3ss_debug.replay.rerunning.recorded import Boundary, Recorded
from namel3ss_debug.replay.rerunning.recorded_answers import outputs_of
from namel3ss_debug.replay.rerunning.verdicts import Answer, Mocks, New, Restart
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

_NO_EVENT: Final[Event] = {"event_type": ""}
_LAST = 1 << 62


class _Guess(NamedTuple):
    """A recorded answer that was given by a guess.

    Attributes:
        kin: what it was found by.
        divergence: what differs.
        harmless: whether it was not given after all, because the user answered in its place.
    """

    kin: Hashable
    divergence: Divergence
    harmless: bool


class Matcher:
    """One pass of a program over the answers of a recording.

    Args:
        recorded: the recording.
        mocks: the answers that the user gives, and what goes wrong.
        reserved: numbers of recorded boundaries that are only given to their own questions.
        runs: whether the tool that is asked is to be run for real; without it, none is.

    Attributes:
        matches: what became of each question, in the order in which they were asked.
    """

    def __init__(
        self,
        recorded: Recorded,
        mocks: Mocks | None = None,
        reserved: Iterable[int] = (),
        runs: Callable[[Question], bool] | None = None,
    ) -> None:
        self.recorded = recorded
        self.reserved = frozenset(reserved)
        self.matches: list[Match] = []
        self._mocks, self._runs = mocks, runs
        self._used: dict[int, int] = {}  # by which question; 0: inside of a tool that was answered
        # numbers of boundaries, the earliest last; most lists have one, for which a deque would take ten times the room
        self._keys: dict[Hashable, list[int]] = {}
        self._kins: dict[Hashable, list[int]] = {}
        self._strands: dict[Strand, list[int]] = {}
        for number, boundary in reversed([*recorded.boundaries.items()]):
            self._enter(number, boundary.question)
        self._guessed: dict[str, dict[int, _Guess]] = {}
        # kin -> boundaries of it that were asked for in their own words
        self._exact: dict[Hashable, set[int]] = {}
        self._wrong: set[Hashable] = set()  # kins by which a guess was wrong
        self._expectations = Expectations()
        self._divergences: list[Divergence] = []
        self._lines: dict[tuple[Strand, Strand], _Line] = {}
        self._excused: list[Boundary] = []

    def _enter(self, number: int, question: Question) -> None:
        for key in question.keys:
            for place in _places(key, question):
                self._keys.setdefault(place, []).append(number)
        for kin in question.kins if number not in self.reserved else ():
            for place in (kin, question.strand), (kin,):
                self._kins.setdefault(place, []).append(number)
        self._strands.setdefault(question.strand, []).append(number)

    def likely(self, question: Question) -> tuple[Boundary | None, bool]:
        """The recorded boundary that a question would stand for now, and whether it is the same question."""
        found = self._same(question)
        if found is None:
            stolen = next(filter(None, map(self._guessed.get, question.keys)), None)
            found = self.recorded.boundaries[next(iter(stolen))] if stolen else None
        return (found, True) if found is not None else (self._like(question)[0], False)

    def comes_next(self, boundary: Boundary, before: Container[int], *, in_turn: bool) -> bool:
        """Whether the same question, asked the same way, would get the answer of this boundary, which was not used yet.

        Args:
            boundary: the recorded boundary.
            before: numbers of boundaries that will have been used by then.
            in_turn: whether it also has to be what its strand was to ask first.
        """
        question = boundary.question
        if not question.keys:
            return False
        waiting = [self._keys[question.keys[0], question.chain, question.strand]]
        waiting += [self._strands[question.strand]] if in_turn else []
        left = (
            (number for number in reversed(each) if self._free(number) and number not in before)
            for each in waiting
        )
        return all(next(each, 0) == boundary.number for each in left)

    def is_used(self, number: int) -> bool:
        """Whether a recorded boundary cannot be asked for any more."""
        return not self._free(number)

    def answer(self, question: Question, *, guesses: bool = True) -> Answer | New | Restart:
        """What becomes of a question of the program.

        Args:
            question: the question, with its event.
            guesses: whether it may get the answer of another question that it may have become one of.
        """
        asked = self.given_now(Answer(question, EXACT))
        found = self._same(question)
        if found is not None:
            return self._with(asked, found, None)
        stolen = next(filter(None, map(self._guessed.get, question.keys)), None)
        if stolen:
            return self._take_back(asked, stolen)
        found, kin = self._like(question) if guesses else (None, None)
        return self._without(asked) if found is None else self._with(asked, found, kin)

    def given_now(self, answer: Answer) -> Answer:
        """An answer with what the user gives by now; a tool that would be run is run unless that stands in its place."""
        question = answer.question
        event = question.event or _NO_EVENT
        mock = None if self._mocks is None else self._mocks.answer_for(question.number, event)
        fault = None if self._mocks is None else self._mocks.fault_for(question.number, event)
        now = replace(answer, mock=mock, fault=fault)
        may_run = question.kind in VALUED and not now.replaced
        return replace(now, runs=may_run and self._runs is not None and self._runs(question))

    def answered_later(self, answer: Answer) -> None:
        """A question was answered of which was written down already that it could not be, or otherwise."""
        number = answer.question.number
        self.matches = [
            match._replace(given=answer.given, real=answer.runs) if match.number == number else match
            for match in self.matches
        ]
        if answer.given:
            self._expect(answer)
        found = answer.recorded
        if answer.replaced and answer.how != EXACT and found is not None:  # it was only guessed, for nothing
            for guesses in filter(None, map(self._guessed.get, found.question.keys)):
                if found.number in guesses:
                    guesses[found.number] = guesses[found.number]._replace(harmless=True)
            self._lines[answer.question.strand, found.question.strand].take_back(found)

    def replaced(self, question: Question, recorded: Boundary | None, outputs: dict[str, Any]) -> None:
        """A question was answered otherwise than recorded, as by a tool that was run for real: later ones may differ by it.

        Args:
            question: the question.
            recorded: the recorded boundary it stands for.
            outputs: what the program got, as the `outputs` of an end event.
        """
        old = {} if recorded is None else outputs_of(self.recorded.end(recorded.number))
        if lenient.dump(old, ordered=True) != lenient.dump(outputs, ordered=True):
            self._expectations.add(Replaced(_told(question), old, outputs))

    @property
    def reserved_next(self) -> frozenset[int]:
        """What the next pass has to reserve: what was asked for in its own words, of that which wrong guesses could have taken."""
        return self.reserved.union(*(self._exact.get(kin, set()) for kin in self._wrong))

    def divergences(self, *, ended: bool = True) -> tuple[Divergence, ...]:
        """Where the code and the recording parted so far, in the order of the run.

        Args:
            ended: whether the program has ended by itself, so that what was not asked is missing.
        """
        missing = self._missing() if ended else ()
        out_of_order = (found for line in self._lines.values() for found in line.out_of_order(self.recorded))
        return in_order([*self._divergences, *out_of_order, *missing])

    @property
    def is_exhausted(self) -> bool:
        """Whether all that was recorded has been asked."""
        return not any(map(self._free, self.recorded.boundaries))

    def _free(self, number: int) -> bool:
        return number not in self._used

    def _same(self, question: Question) -> Boundary | None:
        """The recorded boundary with the same question."""
        for key in question.keys:
            for place in _places(key, question):
                number = self._first(self._keys.get(place))
                if number is not None:
                    return self.recorded.boundaries[number]
        return None

    def _like(self, question: Question) -> tuple[Boundary | None, Hashable]:
        """A recorded boundary that this question may have become one of, and by what it was found."""
        for kin in question.kins:
            for place in ((kin, question.strand), (kin,)):
                number = self._first(self._kins.get(place))
                if number is not None:
                    return self.recorded.boundaries[number], kin
        return None, None

    def _first(self, waiting: list[int] | None) -> int | None:
        """The first that is free; those in front of it will never be."""
        while waiting and not self._free(waiting[-1]):
            waiting.pop()
        return waiting[-1] if waiting else None

    def _take_back(self, asked: Answer, stolen: dict[int, _Guess]) -> Answer | Restart:
        """The same question is recorded, but a guess has taken it; nothing is wrong where the user answered in its place."""
        number, guess = next(iter(stolen.items()))
        for guesses in self._guessed.values():
            guesses.pop(number, None)
        answer = self._with(asked, self.recorded.boundaries[number], None)
        if guess.harmless:
            self._forget(guess.divergence)
            return answer
        self._wrong.add(guess.kin)
        return Restart(answer, replace(guess.divergence, ambiguous=True))

    def _forget(self, guessed: Divergence) -> None:
        """A question that the user answered was not the recorded one that it was taken for, but a new one."""
        self._divergences = [found for found in self._divergences if found is not guessed]
        self.matches = [
            Match(match.number, 0, NEW, match.given, match.real) if match.number == guessed.number else match
            for match in self.matches
        ]

    def _with(self, asked: Answer, found: Boundary, kin: Hashable) -> Answer:
        """The recording holds the question, or one that it may have been, found by a kin."""
        question = asked.question
        divergence = None if kin is None else self._changed(question, found)
        how = EXACT if kin is None else CHANGED if divergence is not None else EXPECTED
        answer = replace(
            asked,
            how=how,
            recorded=found,
            divergence=divergence,
            overtook=self._overtook(question, found),
        )
        if asked.fails:
            self._excused.append(found)
        else:
            self._use(answer, found, kin)
        if divergence is not None:
            self._divergences.append(divergence)
        self._take_notice(answer)
        return answer

    def _without(self, asked: Answer) -> Answer | New:
        """The recording holds no answer: the user may give one, or the tool."""
        question, answer = asked.question, replace(asked, how=NEW)
        if asked.mock is None and not asked.fails:
            divergence = self._new(question)
            self._divergences.append(divergence)
            if not asked.runs:
                self.matches.append(Match(question.number, 0, NEW))
                return New(question, divergence, tuple(self._held_back(question)))
            answer = replace(answer, divergence=divergence)
        self._take_notice(answer)
        return answer

    def _held_back(self, question: Question) -> Iterator[Boundary]:
        for number in sorted(self.reserved):
            boundary = self.recorded.boundaries[number]
            if self._free(number) and not set(question.kins).isdisjoint(boundary.question.kins):
                yield boundary

    def _new(self, question: Question) -> Divergence:
        """The divergence of a question that the recording does not hold, beside what it holds at this place."""
        there = self.expected_next(question)
        difference = None
        if there is not None and there.question.kind == question.kind:
            difference = self._difference(question, there)
        numbers = self._expectations.numbers
        return Divergence(NEW, question.number, question, there, difference, mocked=numbers)

    def _changed(self, question: Question, found: Boundary) -> Divergence | None:
        """The divergence of a question from the one that it was once; None where it differs by the user's answers only."""
        difference = self._difference(question, found)
        if self._expectations.explain(question, difference):
            return None
        return Divergence(
            CHANGED, question.number, _told(question), found, difference, mocked=self._expectations.numbers
        )

    def _difference(self, question: Question, found: Boundary) -> Difference:
        then, now = self.recorded.start(found.number), question.event or {}
        return difference_of(question.kind, told_of(then), told_of(now))

    def _use(self, answer: Answer, found: Boundary, kin: Hashable) -> None:
        """The recorded boundary is used up, and what is inside of a tool that is not run."""
        question = answer.question
        self._used[found.number] = question.number
        if found.question.kind in VALUED and not answer.runs:
            self._used.update(
                (number, 0) for number in self.recorded.within(found.number) if self._free(number)
            )
        if kin is None:
            for one in found.question.kins:
                self._exact.setdefault(one, set()).add(found.number)
        else:
            divergence = answer.divergence or Divergence(CHANGED, question.number, question, found)
            for key in found.question.keys:
                self._guessed.setdefault(key, {})[found.number] = _Guess(
                    kin, divergence, answer.mock is not None
                )
        if kin is None or answer.mock is None:
            line = self._lines.setdefault((question.strand, found.question.strand), _Line())
            line.add(_told(question) if kin is None else question, found)

    def _take_notice(self, answer: Answer) -> None:
        """Write down what became of a question, and what of it later ones may differ by."""
        question = answer.question
        number = 0 if answer.recorded is None else answer.recorded.number
        self.matches.append(Match(question.number, number, answer.how, answer.given, answer.runs))
        if answer.given:
            self._expect(answer)

    def _expect(self, answer: Answer) -> None:
        """Later questions may differ by what the user gives."""
        question = answer.question
        then = {} if answer.recorded is None else self.recorded.end(answer.recorded.number)
        outputs, event = lenient.mapping(then.get("outputs")), question.event or _NO_EVENT
        try:
            for each in (answer.mock, answer.fault):
                outputs = outputs if each is None else each.outputs(question.number, event, outputs)
        except MockError:  # whoever gives the answer meets it again
            return
        self.replaced(question, answer.recorded, outputs)

    def _overtook(self, question: Question, found: Boundary) -> Boundary | None:
        """What the same strand was to ask first."""
        first = (
            self._first(self._strands.get(question.strand))
            if question.strand == found.question.strand
            else None
        )
        return self.recorded.boundaries[first] if first is not None and first < found.number else None

    def expected_next(self, question: Question) -> Boundary | None:
        """What the recording holds where a question was asked: the next of its strand behind the last one that was asked there."""
        last = max(
            (line.last for (asked, _), line in self._lines.items() if asked == question.strand), default=0
        )
        free = [
            boundary
            for number, boundary in self.recorded.boundaries.items()
            if number > last and self._free(number)
        ]
        same_strand = (boundary for boundary in free if boundary.question.strand == question.strand)
        same_kind = (boundary for boundary in free if boundary.question.kind == question.kind)
        return next(same_strand, None) or next(same_kind, None)

    def _missing(self) -> Iterator[Divergence]:
        """What the recording holds and the code did not ask."""
        excused = Counter(boundary.question.keys[:1] for boundary in self._excused)
        gone: set[int] = set()
        asked = sorted((number, now) for number, now in self._used.items() if now)
        following = [*accumulate((now for _, now in reversed(asked)), min)][::-1]
        numbers = self._expectations.numbers
        for number, boundary in self.recorded.boundaries.items():
            if not self._free(number) or number in gone:
                continue
            key = boundary.question.keys[:1]
            if excused[key]:
                excused[key] -= 1
                gone.update(self.recorded.within(number))
                continue
            place = bisect_right(asked, (number, _LAST))
            before = following[place] if place < len(following) else 0
            mocked = tuple(mock for mock in numbers if not before or mock < before)
            yield Divergence(MISSING, before, None, boundary, mocked=mocked)


def _places(key: str, question: Question) -> tuple[Hashable, ...]:
    """Where a recorded question is looked for: one that came the same way before others."""
    return ((key, question.chain, question.strand), (key, question.chain), (key,))


def _told(question: Question) -> Question:
    """A question as it is kept: what it asks, which may be a whole conversation, is known by now."""
    return replace(question, event=None)


class _Line:
    """The questions of one strand that stand for recorded ones of one strand: whether they keep the recorded order."""

    def __init__(self) -> None:
        self.last = 0
        self._leaders: list[tuple[Question, Boundary]] = []  # each recorded later than all asked before it
        self._late: dict[int, list[Boundary]] = {}  # place among the leaders -> what it overtook

    def add(self, question: Question, found: Boundary) -> None:
        """A question was asked that stands for this boundary."""
        if found.number >= self.last:  # the same again, where a guess had taken it
            self.last = found.number
            self._leaders.append((question, found))
            return
        low, high = 0, len(self._leaders) - 1
        while low < high:  # the first leader that is recorded later
            middle = (low + high) // 2
            if self._leaders[middle][1].number > found.number:
                high = middle
            else:
                low = middle + 1
        self._late.setdefault(low, []).append(found)

    def take_back(self, found: Boundary) -> None:
        """The question that was added last does not stand for this boundary."""
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

    def out_of_order(self, recorded: Recorded) -> Iterator[Divergence]:
        """One divergence for each question that was asked too early; without its event, it was the recorded one."""
        for place, late in self._late.items():
            question, found = self._leaders[place]
            if question.event is None:
                question = replace(question, event=recorded.start(found.number))
            ordered = tuple(sorted(late, key=lambda boundary: boundary.number))
            yield Divergence(ORDER, question.number, question, ordered[0], late=ordered)
