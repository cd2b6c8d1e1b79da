"""The replies to a process that waits at an event: how the call that begins there is answered.

A reply is one JSON object; `capture.launch.step_channel` reads it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from namel3ss_debug.errors import MockError
from namel3ss_debug.traces.events import Event, is_unseen
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # a program without mocks does not load their grammar
    from namel3ss_debug.replay.overrides.active import Overrides


class CallAnswerer(Protocol):
    """The source of the answers to a program's calls, if they come from more than the user's overrides.

    Attributes:
        listens: returns whether the program waits for connections on a port; set once the program starts a server.
    """

    listens: Callable[[int], bool] | None

    def observe(self, number: int, event: Event) -> None:
        """Note an event of the program, and its number."""

    def reply(self, number: int, event: Event) -> dict[str, Any]:
        """Return the reply to a process that waits at an event: how the call that begins there is answered.

        Raises:
            DebugError: the process cannot go on; it still waits.
        """

    def may_end(self, event_id: str, waited: float) -> bool:
        """Return whether the answer to the call that began with an event may end now, after it has waited for so long."""

    def check_silence(self, seconds: float, find_server: Callable[[], str]) -> None:
        """Refuse that the program has done nothing for so long, if it waits for something that never happens.

        Args:
            seconds: for how long.
            find_server: returns which server of the program listens; "" for none.

        Raises:
            DebugError: it does.
        """


def override_reply(
    overrides: Overrides | None, number: int, event: Event, recorded: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the reply with the mock and the fault for the call that begins with an event; empty if there are none.

    Args:
        overrides: the mocks and faults in force; None for none.
        number: the number of the event.
        event: the event.
        recorded: the recorded `outputs` of the call, if there are any.

    Raises:
        MockError: the call cannot have this answer.
    """
    if overrides is None or lenient.mapping(event.get("metadata")).get("seen") is False:
        return {}
    mock, fault = overrides.mock_for(number, event), overrides.fault_for(number, event)
    reply: dict[str, Any] = {} if fault is None else {"fault": fault.effect.to_json()}
    if mock is None or (fault is not None and fault.replaces):
        return reply
    outputs = mock.outputs(number, event, recorded)
    whole = outputs.get("result", outputs) if mock.changes else mock.answer
    return reply | {"answer": whole, "outputs": outputs}


def refuse_unreached(overrides: Overrides, number: int, event: Event) -> None:
    """Refuse the override of a live call that no seam can answer.

    Args:
        overrides: the mocks and faults in force.
        number: the number of the event.
        event: the event.

    Raises:
        MockError: the user has set an override for this call, and it cannot have an effect.
    """
    if not is_unseen(event):
        return
    for override in (overrides.mock_for(number, event), overrides.fault_for(number, event)):
        if override is not None and not override.optional:
            name = event.get("component_name") or event.get("component")
            raise MockError(
                f"event {number}: the function of {name} could not be reached, so {override.name} cannot be "
                f"overridden; unmock {override.name} to go on"
            )


def describe_exit(status: int) -> str:
    """Return how a program ended, from its exit status or the negative number of a signal."""
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}" if -status in set(signal.Signals) else f"by signal {-status}"


def mocked_tool(name: str) -> str | None:
    """Return the name of the function that a mock's name may mean; None if it cannot be one."""
    from namel3ss_debug.replay.debugger.locations import COMPONENTS  # only mocks need it

    component, colon, rest = name.partition(":")
    tool = (rest if component == "tool" else "") if colon else name
    tool = tool.strip().strip("\"'")
    return tool if tool.isidentifier() and tool not in COMPONENTS else None
