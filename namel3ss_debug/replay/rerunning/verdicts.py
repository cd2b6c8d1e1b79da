"""How a question of a re-run is answered, and what the user may give in place of a recorded answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from namel3ss_debug.replay.rerunning.boundaries import Question
from namel3ss_debug.replay.rerunning.divergences import Divergence
from namel3ss_debug.replay.rerunning.recorded import Boundary
from namel3ss_debug.traces.events import Event


class Given(Protocol):
    """An answer that the user gives in place of a recorded one."""

    def outputs(self, number: int, call: Event, recorded: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer as the `outputs` of the call that begins with this event, made of the recorded ones where it is a change.

        Raises:
            MockError: the call cannot be answered so.
        """


class Fault(Given, Protocol):
    """Something that the user lets go wrong at a call; of an error, the outputs are its `error_type` and `error`."""

    @property
    def replaces(self) -> bool:
        """Whether it is an error in place of the answer; else the answer is given late, or cut short."""


class Mocks(Protocol):
    """What the user gives."""

    def answer_for(self, number: int, start: Event) -> Given | None:
        """The answer to the call that begins with this event."""

    def fault_for(self, number: int, start: Event) -> Fault | None:
        """What goes wrong at the call that begins with this event."""


@dataclass(frozen=True)
class Answer:
    """The answer to a question is known.

    Attributes:
        question: what was asked.
        how: `exact`, `changed`, `expected` or `new`, as in `Match`; `new` only where the recording is not needed for
            it.
        recorded: the recorded boundary whose answer it is, or in whose place the user gives one. Of two requests to a
            model, one may ask for a stream and the other not; then the answer has to be written anew.
        mock: the answer that the user gives; None for the recorded one.
        fault: what goes wrong at it.
        runs: whether the tool is to be run for real.
        divergence: how the question differs from the recorded one.
        overtook: the first recorded boundary of its strand that comes before it and was not asked yet; with `--strict`,
            a divergence.
    """

    question: Question
    how: str
    recorded: Boundary | None = None
    mock: Given | None = None
    fault: Fault | None = None
    runs: bool = False
    divergence: Divergence | None = None
    overtook: Boundary | None = None

    @property
    def given(self) -> bool:
        """Whether the user has a hand in it."""
        return self.mock is not None or self.fault is not None

    @property
    def fails(self) -> bool:
        """Whether the user wants an error here, so that the recorded answer is left for another attempt."""
        return self.fault is not None and self.fault.replaces

    @property
    def replaced(self) -> bool:
        """Whether what the user gives stands in place of any answer; one that is only late or cut short is still needed."""
        return self.mock is not None or self.fails


@dataclass(frozen=True)
class New:
    """The recording holds no answer; the divergence names what it holds at this place.

    Attributes:
        question: what was asked.
        divergence: of kind `new`.
        held_back: recorded boundaries that came through the same functions and are reserved for their own questions.
    """

    question: Question
    divergence: Divergence
    held_back: tuple[Boundary, ...] = ()


@dataclass(frozen=True)
class Restart:
    """The recorded answer to this very question was given to another one before: a guess was wrong.

    The run cannot count any more. It may go on with `answer`, which is right for this question, because a pass that
    goes on to its end finds all that has to be reserved; then it starts over with `Matcher.reserved_next`.

    Attributes:
        answer: the answer to the question.
        taken_by: the divergence of the guess, marked as ambiguous.
    """

    answer: Answer
    taken_by: Divergence
