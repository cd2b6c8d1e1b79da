"""What a waiting process is sent: how the call that begins with its event is answered.

The words are JSON, as `capture.gate` reads them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # imported where somebody gives answers
    from namel3ss_debug.replay.given.answers import Mocks

CALL_STARTS = frozenset({"llm_call_start", "tool_call_start", "http_exchange_start", "mcp_start"})
"""The events at which a running program waits before a call that has not been made yet."""


class Ahead(NamedTuple):
    """An answer that is known before it is asked for: its number, what tells its question from others, and the word for it."""

    number: int
    asked: str
    word: dict[str, Any]


class Answering(Protocol):
    """What answers the calls of a program, where that is not the user alone.

    Attributes:
        listens: tells whether the program waits for connections on a port; to be set where it has a server.
    """

    listens: Callable[[int], bool] | None

    def heard(self, number: int, event: Event) -> None:
        """An event has come, as the one with this number."""

    def word(self, number: int, event: Event) -> dict[str, Any]:
        """What a process is told that waits at an event: how the call is answered that begins with it.

        Raises:
            DebugError: the process cannot go on; it still waits.
        """

    def foretell(self) -> Ahead | None:
        """What will be the word for a call that begins as the recorded one did, after all that was foretold; None: not known."""

    def put_back(self, ahead: Ahead) -> None:
        """What was foretold last is not told, but comes again."""

    def taken(self, number: int, event: Event, ahead: int) -> None:
        """The call that begins with this event has taken the word that was foretold by this number."""

    def void(self) -> None:
        """What was foretold and is not taken yet will not be taken."""

    def may(self, asked: dict[str, Any]) -> bool:
        """Whether a step of an answer's delivery may go now: `at` is the id of the call's start, `step` and `index` tell which."""

    def longest_silence(self) -> float:
        """For how many seconds nothing happened in the recording, at most."""

    def never_answered(self) -> Exception | None:
        """Why nothing will come any more, if that is so: the program waits for an answer that never came."""


def given_word(
    mocks: Mocks | None, number: int, event: Event, recorded: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer and the fault that the user gives to the call which begins with an event, as its process is told.

    Args:
        mocks: what the user gives; None for nothing.
        number: the number of the event.
        event: the event.
        recorded: the recorded `outputs` of the call, where there are any.

    Raises:
        MockError: the call cannot be answered so.
    """
    if mocks is None or lenient.mapping(event.get("metadata")).get("seen") is False:
        return {}
    mock, fault = mocks.answer_for(number, event), mocks.fault_for(number, event)
    word: dict[str, Any] = {} if fault is None else {"fault": fault.effect.to_json()}
    if mock is None or (fault is not None and fault.replaces):
        return word
    outputs = mock.outputs(number, event, recorded)
    whole = outputs.get("result", outputs) if mock.changes else mock.answer
    return word | {"answer": whole, "outputs": outputs}


def how_ended(status: int) -> str:
    """How a program has ended, from its exit status or the negative number of a signal."""
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}" if -status in set(signal.Signals) else f"by signal {-status}"


def tool_name(mocked: str) -> str | None:
    """The name of the function that a mock may mean; None where it means something else."""
    from namel3ss_debug.replay.recording.breakpoints import COMPONENTS  # noqa: PLC0415  (only here is it needed)

    component, colon, rest = mocked.partition(":")
    name = (rest if component == "tool" else "") if colon else mocked
    name = name.strip().strip("\"'")
    return name if name.isidentifier() and name not in COMPONENTS else None
