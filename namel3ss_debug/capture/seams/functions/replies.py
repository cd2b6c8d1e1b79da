"""Answer a call of a function in place of making it: with a value, an exception, or never.

A recorded value is rebuilt from its JSON form in the trace. The seam asks for it where the function would have run, so
that an exception passes the program's own frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.answers import CallReply, RecordedError, drop_impossible_cut
from namel3ss_debug.capture.core.delivery import Delivery, delivery_turn, wait_forever, wait_forever_on_loop
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan, add_metadata
from namel3ss_debug.capture.payloads import data_objects
from namel3ss_debug.capture.seams.functions.changed_arguments import PassedArguments
from namel3ss_debug.capture.seams.functions.exceptions import (
    find_missing_class,
    find_raise_line,
    make_recorded_error,
    make_traceback,
)
from namel3ss_debug.capture.seams.inputs import stdin

NOT_MADE = "not_made"
"""The key in the `metadata` of an end event for the class of a recorded answer that the program does not have."""

TRIAL = "trial"
"""The key in the `metadata` of an end event for why a tool that was tried has to be answered; "" if it need not."""

_OF_TOOLS = frozenset({"tool", "mcp", "command"})


def take_reply(tracer: ExecutionTracer, span: OpenSpan, *, has_own_path: bool = True) -> Reply | None:
    """Return what happens to the call of an open span besides or instead of being made, or None.

    Args:
        tracer: the tracer.
        span: the span.
        has_own_path: whether the call has a task path of its own, as a tool has, and may have read standard input there.
    """
    answers = tracer.answers
    call_reply = None if answers is None else answers.take(span.event_id)
    if answers is None or call_reply is None:
        return None
    call_reply = drop_impossible_cut(call_reply, tracer.problem)
    if call_reply.tries:
        from namel3ss_debug.capture.seams.functions.trials import try_call  # only needed here

        reason = try_call(tracer, span, call_reply)
        if reason is None:
            return None
        add_metadata(span, {TRIAL: reason})
    turn = delivery_turn(call_reply, answers.may_end, span.event_id)
    delay = call_reply.delay + (0.0 if call_reply.effect is None else call_reply.effect.delay_ms / 1000)
    if call_reply.answers and has_own_path:
        stdin.skip_lines_of_call(task_paths.current().path)
    if marks := call_reply.to_metadata():
        add_metadata(span, marks)
    if call_reply.runs and tracer.network is not None:
        tracer.network.open_for(span)
    # A call that is made waits before its head, one that is answered before its end.
    return Reply(tracer, call_reply, Delivery(turn, (delay, delay)), span)


class Reply:
    """What happens to one call.

    Attributes:
        answers: whether the call is answered. Otherwise it is made once `wait_before` returns.
        outputs: the `outputs` of its end event, if the answer has its own.
        recorded: whether the answer is a recorded one.
        arguments: the arguments of a tool, which change as they did when the answer was recorded.
    """

    arguments: PassedArguments | None = None

    def __init__(
        self, tracer: ExecutionTracer, call_reply: CallReply, delivery: Delivery, span: OpenSpan
    ) -> None:
        self.answers = call_reply.answers
        self.outputs = call_reply.outputs
        self.recorded = call_reply.recorded
        self._tracer = tracer
        self._call_reply = call_reply
        self._delivery = delivery
        self._span = span
        self._raised = 0  # the id, because the error would refer to itself through its traceback

    def wait_before(self) -> None:
        """Wait until the call may be made."""
        self._delivery.wait("head")

    async def wait_before_async(self) -> None:
        """Wait on the event loop until the call may be made."""
        await self._delivery.reach("head")

    def answer(self) -> Any:
        """Return the answer now; `wait_for_turn` or `turns` waits until the program may learn of it.

        Raises:
            BaseException: the exception that is raised in place of an answer.
        """
        if self._call_reply.hangs:
            wait_forever()
        return self._answer()

    def wait_for_turn(self) -> None:
        """Wait until the answer may be delivered."""
        self._delivery.wait("end")

    def turns(self) -> Iterator[float]:
        """Yield seconds to wait, again and again, until the answer may be delivered."""
        return self._delivery.pauses("end")

    def wait(self) -> Any:
        """Wait until the answer may be delivered, and return it.

        Raises:
            BaseException: the exception that is raised in place of an answer.
        """
        if self._call_reply.hangs:
            wait_forever()
        self._delivery.wait("end")
        return self._answer()

    async def wait_async(self) -> Any:
        """Wait on the event loop for the answer, as `wait` does."""
        if self._call_reply.hangs:
            await wait_forever_on_loop()
        await self._delivery.reach("end")
        return self._answer()

    async def wait_for_loss(self) -> BaseException | None:
        """Wait for the error that ended the connection while the call waited. Return None at once if there was none."""
        raised = self._call_reply.raised
        if raised is None or not self._call_reply.hangs:
            return None
        await self._delivery.reach("end")
        return self._make_recorded(raised)

    def traceback_for(self, frame: FrameType, error: BaseException) -> TracebackType | None:
        """Return the traceback of an error raised in place of an answer, from this frame on; None for other errors."""
        if id(error) != self._raised:
            return None
        raised = self._call_reply.raised
        return make_traceback(frame, find_raise_line(frame.f_code, "" if raised is None else raised.stack))

    def _answer(self) -> Any:
        """Return the value of the call, or raise its recorded or injected failure."""
        call_reply, effect = self._call_reply, self._call_reply.effect
        if call_reply.changed and self.arguments is not None:
            self.arguments.change(self._span, call_reply.changed)
        if effect is not None and effect.replaces:
            raise self._remember(self._make_fault())
        if call_reply.raised is not None:
            raise self._remember(self._make_recorded(call_reply.raised))
        value = call_reply.value
        if effect is not None and effect.kind == "truncate":
            from namel3ss_debug.wire.faults import cut_value

            value = cut_value(value)
        if self._span.component not in _OF_TOOLS:
            return value
        from namel3ss_debug.wire.values import revive

        revived = revive(value, data_objects.make)
        if revived.flaws:
            what = revived.flaws[0].what
            self._tracer.problem(
                f"a recorded answer is passed as plain JSON: this program has no class {what}"
            )
            self._note_missing_class(what)
        return value if revived.flaws else revived.value

    def _note_missing_class(self, what: str) -> None:
        """Note in the end event that the answer is not quite the recorded one."""
        if self.recorded:
            add_metadata(self._span, {NOT_MADE: what})

    def _remember(self, error: BaseException) -> BaseException:
        self._raised = id(error)
        return error

    def _make_fault(self) -> Exception:
        """Return the exception of a fault; a RuntimeError if the program has no such class."""
        from namel3ss_debug.errors import MockError
        from namel3ss_debug.wire.faults import make_exception

        effect = self._call_reply.effect
        assert effect is not None
        try:
            return make_exception(effect, data_objects.find_imported)
        except (MockError, TypeError) as problem:
            self._tracer.problem(f"a fault is raised as RuntimeError: {problem}")
            return RuntimeError(effect.text)

    def _make_recorded(self, raised: RecordedError) -> BaseException:
        """Return the recorded exception; a RuntimeError if the program has no such class."""
        error = make_recorded_error(raised)
        if error is None:
            self._tracer.problem(
                f"{raised.type} is raised as RuntimeError: the program has no such class here"
            )
            self._note_missing_class(raised.type)
            return RuntimeError(f"{raised.type}: {raised.text}")
        if missing := find_missing_class(raised):
            self._tracer.problem(
                f"{raised.type} is raised without its state: this program has no class {missing}"
            )
            self._note_missing_class(missing)
        if lost := raised.state.get("lost"):
            what = ", ".join(map(str, lost))
            self._tracer.problem(f"{raised.type} is raised without {what}, which the trace does not contain")
        return error
