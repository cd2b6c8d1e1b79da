"""What the seams of one running app share: the tracer, where in the app it is, and how its spans are opened and ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from namel3ss_debug.capture.namel3ss.messages import kind, words
from namel3ss_debug.capture.namel3ss.places import Place, Places
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
        flows: the names of the running flows, outermost first.
        place: the place of the statement that runs.
        explained: how the language told of the latest refusal of a provider, and the same with what the provider said.
    """

    def __init__(self, tracer: ExecutionTracer, places: Places, *, shows_variables: bool = False) -> None:
        self.tracer = tracer
        self.places = places
        self.shows_variables = shows_variables
        self.flows: list[str] = []
        self.place = Place()
        self.explained = ("", "")
        self._open: list[Span] = []

    @property
    def flow(self) -> str | None:
        """The innermost running flow."""
        return self.flows[-1] if self.flows else None

    def line(self, line: Any, column: Any) -> Place:
        """The place of a line of the running flow; that of the running statement where there is none."""
        place = self.places.line(line, column, self.flow)
        return self.place if place.site is None else place

    def chain(self) -> list[str]:
        """The running flows as functions of a call chain: `app.ai:support`."""
        return [f"{self.places.file(name) or ''}:{name}" for name in self.flows[-_MOST_IN_CHAIN:]]

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
