"""Deliver recorded answers in their recorded order, so that concurrent work completes as it did.

A call has several steps: its start, the head of its answer, each chunk, and the end. A step waits until every step
recorded before it has been delivered or can no longer happen.
"""

from __future__ import annotations

import base64
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Final, NamedTuple

from namel3ss_debug.replay.rerun.recorded_calls import (
    END,
    START,
    HttpAnswer,
    Raised,
    RecordedCall,
    RecordedCalls,
    Step,
    raised_by,
    state_raised,
)
from namel3ss_debug.replay.rerun.requests import VALUED, Request, TaskKey
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

WAIT_SECONDS: Final = 0.3
"""How long a step waits for an earlier one before it is delivered out of order.

A changed program may never make the call that is waited for, so the wait must end. Time in which the program keeps the
waiting thread from asking again does not count.
"""


_DELIVERED, _SKIPPED = 1, 2
_NO_INDEXES: Final = array("Q")


class TimedOut(NamedTuple):
    """A step delivered out of order, and the earlier step that did not arrive in time."""

    delivered: Step
    waited_for: Step


class DeliveryOrder:
    """Decide which of several waiting steps may be delivered next. The caller holds a lock.

    Args:
        steps: all steps, in recorded order.
        task_keys: call number -> the task that made the call, for tasks that make one call at a time.
        wait_seconds: how long a step waits for others that do not arrive.

    Attributes:
        timed_out: the steps that were delivered out of order.
    """

    def __init__(
        self, steps: Sequence[Step], task_keys: Mapping[int, TaskKey], wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._steps = steps
        self._task_keys = task_keys
        self._wait_seconds = wait_seconds
        self._states = bytearray(len(steps))
        self._next = 0
        self._indexes: dict[int, array[int]] = {}
        for index, step in enumerate(steps):
            self._indexes.setdefault(step.call_number, array("Q")).append(index)
        self.timed_out: list[TimedOut] = []

    def mark_started(self, call_number: int) -> None:
        """Record that the program has started this call."""
        index = self._index_of(Step(call_number, START))
        if index is not None:
            self._states[index] = _DELIVERED

    def try_deliver(self, step: Step, waited: float = 0.0) -> bool:
        """Deliver a step if it is its turn, and return whether it was delivered.

        Args:
            step: the step. One that the trace does not hold is always delivered; earlier steps of the same call are
                delivered with it.
            waited: seconds for which the caller has been waiting with this step.
        """
        index = self._index_of(step)
        if index is None:
            return True
        self._deliver_earlier_steps(step.call_number, index)
        blocker = self._first_pending(index, self._task_keys.get(step.call_number))
        if blocker is not None:
            if waited < self._wait_seconds:
                return False
            self.timed_out.append(TimedOut(step, blocker))
            waited_for = (earlier for earlier in range(self._next, index) if not self._states[earlier])
            self.skip_calls(self._steps[earlier].call_number for earlier in waited_for)
        self._states[index] = _DELIVERED
        return True

    def skip_calls(self, call_numbers: Iterable[int]) -> None:
        """Stop waiting for any step of these calls."""
        for call_number in call_numbers:
            for index in self._indexes.get(call_number, ()):
                self._states[index] = self._states[index] or _SKIPPED

    def out_of_order(self) -> tuple[TimedOut, ...]:
        """Return those of `timed_out` whose missing step arrived after all."""
        return tuple(
            found
            for found in self.timed_out
            if self._states[self._index_of(found.waited_for) or 0] == _DELIVERED
        )

    def _index_of(self, step: Step) -> int | None:
        """Return the index of a step."""
        indexes = self._indexes.get(step.call_number, _NO_INDEXES)
        if step.part == END:
            near = indexes[-1:]
        else:  # chunks follow the start, and the head if there is one
            near = indexes[:2] if step.part < 0 else indexes[step.part + 1 : step.part + 3]
        return next((index for index in near if self._steps[index].part == step.part), None)

    def _deliver_earlier_steps(self, call_number: int, index: int) -> None:
        """Mark the steps of a call before this one as delivered."""
        own = self._indexes[call_number]
        for earlier in reversed(own[: bisect_left(own, index)]):
            if self._states[earlier]:
                break
            self._states[earlier] = _DELIVERED

    def _first_pending(self, index: int, task_key: TaskKey | None) -> Step | None:
        """Return the first earlier step that may still happen."""
        states = self._states
        while self._next < len(states) and states[self._next]:
            self._next += 1
        for earlier in range(self._next, index):
            if states[earlier]:
                continue
            step = self._steps[earlier]
            started = states[self._indexes[step.call_number][0]]
            if started or task_key is None or task_key != self._task_keys.get(step.call_number):
                return step
            # The waiting task makes its calls one after the other and is already past this one: the program has left it
            # out, and there is nothing to wait for.
            self.skip_calls([step.call_number])
        return None


def recorded_reply(
    recorded: RecordedCalls, found: RecordedCall, request: Request, *, realtime: bool = False
) -> dict[str, Any]:
    """Return the reply that gives a live call its recorded answer.

    Args:
        recorded: the recorded calls.
        found: the recorded call.
        request: the live request. If only one of the two wants a stream, the reply holds the decoded answer, to be
            encoded anew; not if no model was known to be called, as in a trace of an older version.
        realtime: whether the answer takes its recorded time.
    """
    if found.request.kind in VALUED:
        reply = _tool_reply(recorded, found.number)
        return reply | ({"delay": sum(delays(recorded, found))} if realtime else {})
    answer = recorded.http_answer(found.number)
    if (
        request.kind == found.request.kind
        and request.streamed != found.request.streamed
        and answer.whole
        and answer.status < HTTPStatus.BAD_REQUEST
    ):
        outputs = lenient.mapping(recorded.end(found.number).get("outputs"))
        return {"answer": outputs, "outputs": outputs, "recorded": True}
    reply = _response(answer)
    if realtime:
        reply["delays"] = delays(recorded, found)
    return {"http": reply}


def _tool_reply(recorded: RecordedCalls, number: int) -> dict[str, Any]:
    end = recorded.end(number)
    raised, abandoned = raised_by(end, is_http=False)
    if raised is not None:
        return _tool_raised(end)
    if abandoned or not end:
        lost = recorded.lost_by(number)
        return {"given_up": True} | ({} if lost is None else _tool_raised(lost))
    outputs = lenient.mapping(end.get("outputs"))
    return {"answer": outputs.get("result"), "outputs": outputs, "recorded": True}


def _tool_raised(end: Event) -> dict[str, Any]:
    """Return the reply that raises the exception of an event."""
    raised, _abandoned = raised_by(end, is_http=False)
    more = {"stack": lenient.string(end.get("stack_trace")), "state": state_raised(end)}
    values = {} if raised is None else _raised(raised)
    return {"raised": values | {name: value for name, value in more.items() if value}}


def _response(answer: HttpAnswer) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "status": answer.status,
        "reason": answer.reason or _reason(answer.status),
        "headers": [[name, value] for name, value in answer.headers],
        "pieces": [base64.b64encode(chunk).decode() for chunk in answer.chunks],
    }
    if isinstance(answer.raised, Raised):
        reply["raised"] = _raised(answer.raised)
    if answer.abandoned:
        reply["given_up"] = True
    if answer.encoding:
        reply["encoding"] = answer.encoding
    return reply


def _raised(raised: Raised) -> dict[str, Any]:
    values: dict[str, Any] = {"type": raised.type, "text": raised.text}
    return values if raised.sent else values | {"sent": False}


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def delays(recorded: RecordedCalls, found: RecordedCall) -> list[float]:
    """Return the recorded seconds before the head of an answer, before each chunk, and before its end."""
    start, end = recorded.start(found.number), recorded.end(found.number)
    pieces = [_time(event) for event in recorded.chunks(found.number)]
    if not pieces:
        lasted = end.get("duration_ms")
        return [max(float(lasted), 0.0) / 1000 if isinstance(lasted, int | float) else 0.0]
    times = [_time(start), pieces[0], *pieces, _time(end)]
    return [max(after - before, 0.0) for before, after in pairwise(times)]


def _time(event: Event) -> float:
    found = event.get("timestamp")
    return float(found) if isinstance(found, int | float) else 0.0
