"""How a call of a function is answered without being made: by a value, an exception, or not until it is given up.

A recorded value comes back as it was, from the JSON forms of the recording. Whoever runs the call asks for it where the
function would have run, so that an exception passes the program's own frames.
"""

from __future__ import annotations

from types import FrameType, TracebackType
from typing import Any

from namel3ss_debug.capture.answers import Given, Raised, uncut
from namel3ss_debug.capture.delivery import Delivery, in_turn, never, never_on_loop
from namel3ss_debug.capture.determinism import lineage, stdin
from namel3ss_debug.capture.payloads import holders
from namel3ss_debug.capture.raising import line_in, missing_of, tool_error, traceback_at
from namel3ss_debug.capture.results import add_metadata
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer

NOT_MADE = "not_made"
"""What the end of a call says in its `metadata` where the program has no class for a recorded answer: the name of the class."""

_OF_TOOLS = frozenset({"tool", "mcp"})


def take_reply(tracer: ExecutionTracer, span: Span) -> Reply | None:
    """What becomes of the call of an open span in place of, or beside, being made; `None` where nothing is said of it."""
    answers = tracer.answers
    given = None if answers is None else answers.take(span.event_id)
    if answers is None or given is None:
        return None
    given = uncut(given, tracer.problem)
    turn = in_turn(given, answers.may, span.event_id)
    delay = given.delay + (0.0 if given.effect is None else given.effect.delay_ms / 1000)
    if given.answers:
        stdin.pass_over(lineage.current().path)
    if marks := given.marks():
        add_metadata(span, marks)
    if given.runs and tracer.network is not None:
        tracer.network.open_for(span)
    # a call that is made waits before its head, one that is answered before its end
    return Reply(tracer, given, Delivery(turn, (delay, delay)), span)


class Reply:
    """What becomes of one call.

    Attributes:
        answers: whether something comes in place of it; else it is made once `before` returns.
        outputs: the `outputs` of its end event, where an answer brings its own.
        recorded: whether that answer is a recorded one.
    """

    def __init__(self, tracer: ExecutionTracer, given: Given, delivery: Delivery, span: Span) -> None:
        self.answers = given.answers
        self.outputs = given.outputs
        self.recorded = given.recorded
        self._tracer = tracer
        self._given = given
        self._delivery = delivery
        self._span = span
        self._raised = 0  # the id, because the error itself would hold itself by way of its traceback

    def before(self) -> None:
        """Wait until the call may be made."""
        self._delivery.wait("head")

    async def before_on_loop(self) -> None:
        """The same on a loop."""
        await self._delivery.reach("head")

    def wait(self) -> Any:
        """The answer, when it may come.

        Raises:
            BaseException: what comes in place of an answer.
        """
        if self._given.given_up:
            never()
        self._delivery.wait("end")
        return self._answer()

    async def reach(self) -> Any:
        """The same on a loop."""
        if self._given.given_up:
            await never_on_loop()
        await self._delivery.reach("end")
        return self._answer()

    async def lost(self) -> BaseException | None:
        """What ended the connection while the call waited, as soon as that may come; `None`: nothing did."""
        raised = self._given.raised
        if raised is None or not self._given.given_up:
            return None
        await self._delivery.reach("end")
        return self._recorded(raised)

    def raised_in(self, frame: FrameType, error: BaseException) -> TracebackType | None:
        """The traceback of what came in place of an answer, from the frame of the function on; `None` of any other error."""
        if id(error) != self._raised:
            return None
        raised = self._given.raised
        return traceback_at(frame, line_in(frame.f_code, "" if raised is None else raised.stack))

    def _answer(self) -> Any:
        """The value that the call returns; an answer that is a failure is raised."""
        given, effect = self._given, self._given.effect
        if effect is not None and effect.replaces:
            raise self._marked(self._fault())
        if given.raised is not None:
            raise self._marked(self._recorded(given.raised))
        value = given.value
        if effect is not None and effect.kind == "truncate":
            from namel3ss_debug.wire.faults import cut_value  # noqa: PLC0415  (only here is it needed)

            value = cut_value(value)
        if self._span.component not in _OF_TOOLS:
            return value
        from namel3ss_debug.wire.values import revive  # noqa: PLC0415  (only here is it needed)

        revived = revive(value, holders.make)
        if revived.flaws:
            what = revived.flaws[0].what
            self._tracer.problem(
                f"an answer is given as the JSON that it is written in: no {what} is made here"
            )
            self._not_made(what)
        return value if revived.flaws else revived.value

    def _not_made(self, what: str) -> None:
        """The end of the call says what the program has no class for, so that the answer does not count as the recorded one."""
        if self.recorded:
            add_metadata(self._span, {NOT_MADE: what})

    def _marked(self, error: BaseException) -> BaseException:
        self._raised = id(error)
        return error

    def _fault(self) -> Exception:
        """The exception that a fault stands for; of a class that cannot be had here, RuntimeError."""
        from namel3ss_debug.errors import MockError  # noqa: PLC0415  (only here are they needed)
        from namel3ss_debug.wire.faults import make_exception  # noqa: PLC0415

        effect = self._given.effect
        assert effect is not None
        try:
            return make_exception(effect, holders.find_imported)
        except (MockError, TypeError) as problem:
            self._tracer.problem(f"a fault is raised as RuntimeError: {problem}")
            return RuntimeError(effect.text)

    def _recorded(self, raised: Raised) -> BaseException:
        """The exception that was recorded; of a class that cannot be had here, RuntimeError."""
        error = tool_error(raised)
        if error is None:
            self._tracer.problem(
                f"{raised.type} is raised as RuntimeError: the program has no such class here"
            )
            self._not_made(raised.type)
            return RuntimeError(f"{raised.type}: {raised.text}")
        if missing := missing_of(raised):
            self._tracer.problem(f"{raised.type} is raised without what it held: no {missing} is made here")
            self._not_made(missing)
        if lost := raised.state.get("lost"):
            what = ", ".join(map(str, lost))
            self._tracer.problem(f"{raised.type} is raised without {what}, which the recording does not hold")
        return error
