"""What the seams of one running app share: the tracer, the place in the app, and how spans are opened and ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from namel3ss_debug.capture.namel3ss.messages import kind, words
from namel3ss_debug.capture.namel3ss.places import Body, Place, Places
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer

_MOST_IN_CHAIN = 100


class Quiet:
    """Notes an exception as a problem inside tracing, and lets nobody else know.

    Args:
        tracer: who notes it.
        what: what could not be done.
    """

    def __init__(self, tracer: ExecutionTracer, what: str) -> None:
        self._tracer, self._what = tracer, what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._tracer.problem(self._what, error)
        return True


class Scope:
    """Where a running app is.

    The language runs everything in one thread, one after the other, its parallel blocks too: a stack is enough.

    Args:
        tracer: where the events go.
        places: the places of the app's source.
        shows_variables: whether steps tell the variables: at level `comprehensive`, and where somebody steps the app.

    Attributes:
        running: the flows, functions and jobs that run, outermost first.
        place: the place of the statement that runs.
        failure: the exception by which the latest flow has failed, by its id; it is told.
        explained: how the language told of the latest refusal of a provider, and the same with what the provider said.
    """

    def __init__(self, tracer: ExecutionTracer, places: Places, *, shows_variables: bool = False) -> None:
        self.tracer = tracer
        self.places = places
        self.shows_variables = shows_variables
        self.running: list[Body] = []
        self.place = Place()
        self.failure = 0
        self.explained = ("", "")
        self._open: list[Span] = []

    @property
    def body(self) -> Body | None:
        """What the running statement stands in."""
        return self.running[-1] if self.running else None

    @property
    def flow(self) -> str | None:
        """The innermost running flow."""
        return next((body.name for body in reversed(self.running) if body.kind == "flow"), None)

    def line(self, line: Any, column: Any) -> Place:
        """The place of a line of what runs; that of the running statement where there is none."""
        place = self.places.line(line, column, self.body)
        return self.place if place.site is None else place

    def chain(self) -> list[str]:
        """The running flows as functions of a call chain: `app.ai:support`."""
        flows = [body for body in self.running if body.kind == "flow"]
        return [f"{self.places.file(body) or ''}:{body.name}" for body in flows[-_MOST_IN_CHAIN:]]

    def open(
        self,
        component: str,
        name: str | None,
        place: Place,
        inputs: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Span:
        """Open a span at a place; what runs next is inside it."""
        prefix = fields.pop("prefix", None)
        span = self.tracer.span(
            component,
            name,
            inputs,
            {**(metadata or {}), **place.metadata},
            prefix,
            call_site=place.site or "",
            **fields,
        ).open()
        self._open.append(span)
        return span

    def quiet(self, what: str) -> Quiet:
        """What goes wrong inside this is a problem of the recording, and not one of the app."""
        return Quiet(self.tracer, what)

    def close(self, span: Span | None, error: BaseException | None = None) -> None:
        """End a span, and before it what is still open inside it."""
        while span is not None and self._open:
            inner = self._open.pop()
            inner.leave()
            if error is not None:
                self.tell(inner, error)
            inner.close()
            if inner is span:
                return

    def emit(self, event_type: str, component: str, name: str | None, place: Place, **fields: Any) -> None:
        """Record an event at a place."""
        metadata = {**fields.pop("metadata", {}), **place.metadata}
        self.tracer.emit(
            event_type,
            component=component,
            component_name=name,
            metadata=metadata,
            call_site=place.site or "",
            **fields,
        )

    def tell(self, span: Span, error: BaseException) -> None:
        """Say that a span has failed. The frames of the language say nothing of the app, so they are left out."""
        status = "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"
        span.set(status=status, error_type=kind(error), error=self.words(error))

    def words(self, error: BaseException) -> str:
        """What an exception says in a line; the refusal of a provider, on its way through the app, with its reason."""
        told, explained = self.explained
        found = words(error)
        return found.replace(told, explained) if told else found
