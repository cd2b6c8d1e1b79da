"""What the recorders of one running app share: the tracer, the location in the app, and how spans are opened and ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan
from namel3ss_debug.capture.namel3ss.locations import Definition, SourceLocation, SourceLocations
from namel3ss_debug.capture.namel3ss.messages import describe_error, error_type

_MOST_IN_CHAIN = 100


class ProblemGuard:
    """A context manager that reports an exception as a problem of tracing, and suppresses it.

    Args:
        tracer: reports the problem.
        problem: the message: what could not be done.
    """

    def __init__(self, tracer: ExecutionTracer, problem: str) -> None:
        self._tracer, self._problem = tracer, problem

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._tracer.problem(self._problem, error)
        return True


class Scope:
    """The current state of a running app.

    The language runs everything in one thread, even its parallel blocks, so a stack of open spans is enough.

    Args:
        tracer: writes the events.
        locations: the source locations of the app.
        shows_variables: whether steps record the variables: at level `comprehensive`, and when the app is stepped.

    Attributes:
        running: the flows, functions and jobs that run, outermost first.
        location: the location of the running statement.
        failure: the id of the exception with which the latest flow failed, which is recorded already.
        explained: the language's message for the latest refusal of a provider, and that message with the provider's.
    """

    def __init__(
        self, tracer: ExecutionTracer, locations: SourceLocations, *, shows_variables: bool = False
    ) -> None:
        self.tracer = tracer
        self.locations = locations
        self.shows_variables = shows_variables
        self.running: list[Definition] = []
        self.location = SourceLocation()
        self.failure = 0
        self.explained = ("", "")
        self._open: list[OpenSpan] = []
        self._turn: OpenSpan | None = None
        self._turns: Counter[str] = Counter()

    @property
    def definition(self) -> Definition | None:
        """Return the definition that contains the running statement."""
        return self.running[-1] if self.running else None

    @property
    def flow(self) -> str | None:
        """Return the name of the innermost running flow."""
        return next(
            (definition.name for definition in reversed(self.running) if definition.kind == "flow"), None
        )

    def line(self, line: Any, column: Any) -> SourceLocation:
        """Return the location of a line in the running definition, or of the running statement if there is none."""
        location = self.locations.line(line, column, self.definition)
        return self.location if location.site is None else location

    def chain(self) -> list[str]:
        """Return the running flows as functions of a call chain: `app.ai:support`."""
        flows = [definition for definition in self.running if definition.kind == "flow"]
        return [
            f"{self.locations.file(definition) or ''}:{definition.name}"
            for definition in flows[-_MOST_IN_CHAIN:]
        ]

    def open(
        self,
        component: str,
        name: str | None,
        location: SourceLocation,
        inputs: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> OpenSpan:
        """Open a span at a location. What runs next is inside it."""
        prefix = fields.pop("prefix", None)
        span = self.tracer.span(
            component,
            name,
            inputs,
            {**(metadata or {}), **location.metadata},
            prefix,
            call_site=location.site or "",
            **fields,
        ).open()
        self._open.append(span)
        return span

    def begin_turn(self) -> None:
        """Begin a turn of an agent, if the model call that follows is the agent's own; its turn before ends here."""
        if self._open and self._open[-1] is self._turn:
            self.close(self._turn)
        agent = self._open[-1] if self._open else None
        if agent is not None and agent.component == "agent":
            self._turns[agent.event_id] += 1
            turn = {"turn": self._turns[agent.event_id]}
            self._turn = self.open("agent", agent.name, self.location, None, turn, prefix="agent_turn")

    def guard(self, problem: str) -> ProblemGuard:
        """Return a context manager that reports an exception as a problem of tracing, and not of the app."""
        return ProblemGuard(self.tracer, problem)

    def close(self, span: OpenSpan | None, error: BaseException | None = None) -> None:
        """End a span, after the spans that are still open inside it."""
        while span is not None and self._open:
            inner = self._open.pop()
            inner.leave()
            if error is not None:
                self.set_failure(inner, error)
            inner.close()
            if inner is span:
                return

    def emit(
        self, event_type: str, component: str, name: str | None, location: SourceLocation, **fields: Any
    ) -> None:
        """Record an event at a location."""
        metadata = {**fields.pop("metadata", {}), **location.metadata}
        self.tracer.emit(
            event_type,
            component=component,
            component_name=name,
            metadata=metadata,
            call_site=location.site or "",
            **fields,
        )

    def set_failure(self, span: OpenSpan, error: BaseException) -> None:
        """Record that a span has failed.

        The frames of the language are left out, because they show nothing of the app.
        """
        status = "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"
        span.set(status=status, error_type=error_type(error), error=self.describe_error(error))

    def describe_error(self, error: BaseException) -> str:
        """Return the message of an exception in one line.

        If it comes from the refusal of a provider, the message includes the provider's reason.
        """
        original, explained = self.explained
        text = describe_error(error)
        return text.replace(original, explained) if original else text
