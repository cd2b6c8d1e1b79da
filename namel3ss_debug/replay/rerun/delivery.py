"""End recorded answers in their recorded order, so that concurrent work completes as it did.

The end of an answer waits until every start and end recorded before it has been delivered or can no longer happen.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise, takewhile
from typing import Any, Final, NamedTuple

from namel3ss_debug.replay.rerun.decoded_failures import failure_reply, read_failure
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
from namel3ss_debug.replay.rerun.requests import MODEL, VALUED, Request, TaskKey
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import FORMATS, lenient

WAIT_SECONDS: Final = 0.3
"""How long a step waits for an earlier one before it is delivered out of order.

A changed program may never make the call that is waited for, so the wait must end. Time in which the program keeps the
waiting thread from asking again does not count.
"""


class TimedOut(NamedTuple):
    """A call whose answer ended out of order, and the earlier step that did not arrive in time."""

    delivered: int
    waited_for: Step


class DeliveryOrder:
    """Decide which of several waiting answers may end next. The caller holds a lock.

    Args:
        steps: the starts and ends of all calls, in recorded order.
        task_keys: call number -> the task that made the call, for tasks that make one call at a time.
        wait_seconds: how long an answer waits for others that do not arrive.

    Attributes:
        timed_out: the answers that ended out of order.
    """

    def __init__(
        self, steps: Sequence[Step], task_keys: Mapping[int, TaskKey], wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._pending = dict.fromkeys(steps)
        self._delivered: set[Step] = set()
        self._task_keys = task_keys
        self._wait_seconds = wait_seconds
        self.timed_out: list[TimedOut] = []

    def mark_started(self, call_number: int) -> None:
        """Record that the program has started this call."""
        self._deliver(Step(call_number, START))

    def try_deliver(self, call_number: int, waited: float = 0.0) -> bool:
        """End the answer of a call if it is its turn, and return whether it ended.

        Args:
            call_number: the call.
            waited: seconds for which the caller has been waiting.
        """
        step = Step(call_number, END)
        self._deliver(Step(call_number, START))
        if step not in self._pending:
            return True
        blocker = self._first_pending(step)
        if blocker is not None:
            if waited < self._wait_seconds:
                return False
            self.timed_out.append(TimedOut(call_number, blocker))
            self.skip_calls([each.call_number for each in takewhile(step.__ne__, list(self._pending))])
        self._deliver(step)
        return True

    def skip_calls(self, call_numbers: Iterable[int]) -> None:
        """Stop waiting for any step of these calls."""
        for call_number in call_numbers:
            for part in (START, END):
                self._pending.pop(Step(call_number, part), None)

    def out_of_order(self) -> tuple[TimedOut, ...]:
        """Return those of `timed_out` whose missing step arrived after all."""
        return tuple(found for found in self.timed_out if found.waited_for in self._delivered)

    def _deliver(self, step: Step) -> None:
        self._pending.pop(step, None)
        self._delivered.add(step)

    def _first_pending(self, step: Step) -> Step | None:
        """Return the first earlier step that may still happen."""
        task_key = self._task_keys.get(step.call_number)
        for earlier in takewhile(step.__ne__, list(self._pending)):
            started = Step(earlier.call_number, START) in self._delivered
            if started or task_key is None or task_key != self._task_keys.get(earlier.call_number):
                return earlier
            # The waiting task makes its calls one after the other and is already past this one: the program has left it
            # out, and there is nothing to wait for.
            self.skip_calls([earlier.call_number])
        return None


def recorded_reply(
    recorded: RecordedCalls, found: RecordedCall, request: Request, *, realtime: bool = False
) -> dict[str, Any]:
    """Return the reply that gives a live call its recorded answer.

    Args:
        recorded: the recorded calls.
        found: the recorded call.
        request: the live request. If only one of the two wants a stream, or another tool wrote the trace, the reply holds
            the decoded answer, to be encoded anew; not if no model was known to be called.
        realtime: whether the answer takes its recorded time.
    """
    if found.request.kind in VALUED:
        reply = tool_reply(recorded.end(found.number), recorded.lost_by(found.number))
        return reply | ({"delay": sum(delays(recorded, found))} if realtime else {})
    failure = read_failure(recorded.end(found.number)) if recorded.source and request.kind == MODEL else None
    if failure is not None:
        metadata = lenient.mapping((request.event or {}).get("metadata"))
        return failure_reply(failure, FORMATS.get(str(metadata.get("format"))))
    answer = recorded.http_answer(found.number)
    if (recorded.source and request.kind == MODEL) or (
        request.kind == found.request.kind
        and request.streamed != found.request.streamed
        and answer.whole
        and answer.status < HTTPStatus.BAD_REQUEST
    ):
        end = recorded.end(found.number)
        outputs = lenient.mapping(end.get("outputs"))
        if recorded.source:  # programs that count tokens read them in the response
            outputs = outputs | {"usage": lenient.mapping(end.get("usage"))}
        return {"answer": outputs, "outputs": outputs, "recorded": True}
    reply = _response(answer)
    if realtime:
        reply["delays"] = delays(recorded, found)
    return {"http": reply}


def tool_reply(end: Event, lost: Event | None = None) -> dict[str, Any]:
    """Return the reply that gives the recorded value of a tool or command.

    Args:
        end: the end event of the recorded call; {} if it never ended.
        lost: the event of the lost connection that made the program give it up; None for none.
    """
    raised, abandoned = raised_by(end, is_http=False)
    changed = lenient.mapping(lenient.mapping(end.get("metadata")).get("changed_arguments"))
    more = {"changed": changed} if changed else {}
    if raised is not None:
        return _tool_raised(end) | more
    if abandoned or not end:
        return {"given_up": True} | ({} if lost is None else _tool_raised(lost))
    outputs = lenient.mapping(end.get("outputs"))
    return {"answer": outputs.get("result"), "outputs": outputs, "recorded": True} | more


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
    if answer.version:
        reply["version"] = answer.version
    return reply


def _raised(raised: Raised) -> dict[str, Any]:
    values: dict[str, Any] = {"type": raised.type, "text": raised.text}
    if raised.state:
        values["state"] = dict(raised.state)
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
