"""The order in which answers are delivered: that of the recording, so that work that runs in parallel completes as it did.

The beginning of a call, the head of its answer, each chunk and the end are steps. A step waits until all recorded
before it have been taken. What can no longer come is not waited for: calls that were left out, and calls that the
waiting strand itself would have had to make first. For what does not come for other reasons a step waits only so long,
and then goes out of order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from namel3ss_debug.replay.rerunning.boundaries import Strand
from namel3ss_debug.replay.rerunning.recorded import END, START, Step

PATIENCE_SECONDS: Final = 0.3
"""How long a step waits for steps that do not come. Time for which the program kept the waiting strand from looking does not count."""


_GONE, _LEFT_OUT = 1, 2
_NOWHERE: Final = array("Q")


class Overtaken(NamedTuple):
    """A step that went, and the one before it in the recording for which it had waited in vain."""

    went: Step
    waited_for: Step


class Order:
    """Which of several waiting deliveries may go now. Of several threads, one at a time may use it.

    Args:
        steps: all steps in the order of the recording.
        strands: the strand of each boundary, by its number, where what it does comes one after the other.
        patience: how many seconds a step waits for others that do not come.

    Attributes:
        overtaken: the steps that lost patience.
    """

    def __init__(
        self, steps: Sequence[Step], strands: Mapping[int, Strand], patience: float = PATIENCE_SECONDS
    ) -> None:
        self._steps = steps
        self._strands = strands
        self._patience = patience
        self._over = bytearray(len(steps))
        self._next = 0
        self._places: dict[int, array[int]] = {}
        for place, step in enumerate(steps):
            self._places.setdefault(step.boundary, array("Q")).append(place)
        self.overtaken: list[Overtaken] = []

    def began(self, boundary: int) -> None:
        """The call that this boundary answers has begun."""
        place = self._place(Step(boundary, START))
        if place is not None:
            self._over[place] = _GONE

    def take(self, step: Step, waited: float = 0.0) -> bool:
        """Whether a step may go now; where it may, it has gone.

        Args:
            step: the step. One that the recording does not hold may always go; those of the same boundary before it
                have gone.
            waited: for how many seconds it has asked already.
        """
        place = self._place(step)
        if place is None:
            return True
        self._imply(step.boundary, place)
        blocker = self._blocker(place, self._strands.get(step.boundary))
        if blocker is not None:
            if waited < self._patience:
                return False
            self.overtaken.append(Overtaken(step, blocker))
            waited_for = (earlier for earlier in range(self._next, place) if not self._over[earlier])
            self.leave_out(self._steps[earlier].boundary for earlier in waited_for)
        self._over[place] = _GONE
        return True

    def leave_out(self, boundaries: Iterable[int]) -> None:
        """Nothing more will come of these boundaries: they are inside of a tool that was answered, or were given up."""
        for boundary in boundaries:
            for place in self._places.get(boundary, ()):
                self._over[place] = self._over[place] or _LEFT_OUT

    def out_of_order(self) -> tuple[Overtaken, ...]:
        """Those of `overtaken` in which the step that was waited for has come after all."""
        return tuple(
            found for found in self.overtaken if self._over[self._place(found.waited_for) or 0] == _GONE
        )

    def _place(self, step: Step) -> int | None:
        """Where the step stands."""
        places = self._places.get(step.boundary, _NOWHERE)
        if step.part == END:
            near = places[-1:]
        else:  # behind the start, and the head of an answer that has one
            near = places[:2] if step.part < 0 else places[step.part + 1 : step.part + 3]
        return next((place for place in near if self._steps[place].part == step.part), None)

    def _imply(self, boundary: int, place: int) -> None:
        """The steps of a boundary before one of its own are over."""
        own = self._places[boundary]
        for earlier in reversed(own[: bisect_left(own, place)]):
            if self._over[earlier]:
                break
            self._over[earlier] = _GONE

    def _blocker(self, place: int, strand: Strand | None) -> Step | None:
        """The first step before this one that may still come."""
        over = self._over
        while self._next < len(over) and over[self._next]:
            self._next += 1
        for earlier in range(self._next, place):
            if over[earlier]:
                continue
            step = self._steps[earlier]
            begun = over[self._places[step.boundary][0]]
            if begun or strand is None or strand != self._strands.get(step.boundary):
                return step
            self.leave_out([step.boundary])  # the strand that waits would have had to begin it before
        return None
