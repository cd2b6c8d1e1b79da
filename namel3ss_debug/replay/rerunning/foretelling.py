"""Which answers can be sent ahead to a run: the next ones, as long as it does what was recorded.

Only what cannot come otherwise is foretold: a question in the recorded words, asked the recorded way, would get this
very answer from the `Matcher`. The run says which answer it has taken, and the matcher is asked all the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

from namel3ss_debug.replay.rerunning.boundaries import HTTP, MODEL, TOOL
from namel3ss_debug.replay.rerunning.deliveries import recorded_word
from namel3ss_debug.replay.rerunning.matching import Matcher
from namel3ss_debug.replay.rerunning.own_servers import loopback_port
from namel3ss_debug.replay.rerunning.recorded import Recorded
from namel3ss_debug.replay.words import Ahead

_KINDS = (MODEL, HTTP, TOOL)


class Foretelling:
    """What was told ahead and not taken yet.

    Args:
        recorded: the recording.
        matcher: what answers the questions.
        strict: whether the run ends where anything recorded was left out.
        realtime: whether answers take the time that they took.
    """

    def __init__(self, recorded: Recorded, matcher: Matcher, *, strict: bool, realtime: bool) -> None:
        self._recorded, self._matcher = recorded, matcher
        self._strict, self._realtime = strict, realtime
        self._numbers = list(recorded.boundaries)
        self._place = 0  # in `_numbers`, of what may be told next
        self._told: deque[int] = deque()
        self._kept: Ahead | None = None
        self._gone: set[int] = set()  # told, or inside of a tool of which the answer was told

    def next(self) -> Ahead | None:
        """The answer after all that were told; None where it is not known before the question is."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        while self._place < len(self._numbers):
            number = self._numbers[self._place]
            if number not in self._gone and not self._matcher.is_used(number):
                break
            self._place += 1
        else:
            return None
        boundary = self._recorded.boundaries[number]
        # a server of the program may listen there by then
        is_near = loopback_port(boundary.question) is not None
        if (
            boundary.question.kind not in _KINDS
            or is_near
            or not (boundary.end and boundary.asked)
            or self._recorded.findings_of(number)
            or not self._matcher.comes_next(boundary, self._gone, in_turn=self._strict)
        ):
            return None
        word = recorded_word(self._recorded, boundary, boundary.question, realtime=self._realtime)
        if "given_up" in word.get("http", word):
            return None
        self._told.append(number)
        self._gone.update((number, *self._recorded.within(number)))
        self._place += 1
        return Ahead(number, boundary.asked, word)

    def put_back(self, ahead: Ahead) -> None:
        """The answer that was given out last is not told; it comes again."""
        self._kept = ahead

    def taken(self, number: int) -> None:
        """An answer that was told was taken, those before it were not or never will be."""
        while self._told and self._told.popleft() != number:
            pass

    def void(self, behind: int = 0) -> None:
        """Nothing that was told counts any more.

        Args:
            behind: the number of the boundary that was asked for last, behind which the run goes on; 0 where it was
                none.
        """
        if behind:
            self._place = bisect_right(self._numbers, behind)
        elif self._told:
            self._place = bisect_left(self._numbers, self._told[0])
        self._told.clear()
        self._gone.clear()
        self._kept = None
