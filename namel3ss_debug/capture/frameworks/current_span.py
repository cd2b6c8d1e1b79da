"""Find which span of a framework the running code is inside. The context may still hold spans that were left."""

from __future__ import annotations

from collections.abc import Container
from contextvars import Token
from types import FrameType
from typing import NamedTuple

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.callsite import on_stack
from namel3ss_debug.capture.core.context import CURRENT, SpanLike
from namel3ss_debug.capture.core.tracer import OpenSpan

GENERATOR = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""


def is_generator(frame: FrameType | None) -> bool:
    """Return whether a frame is that of a generator."""
    return frame is not None and bool(frame.f_code.co_flags & GENERATOR)


class Inside:
    """A position inside a span, as a value of the context. It is left at the end of the span, and while its generator is suspended."""

    __slots__ = (
        "_code",
        "_frame_id",
        "_task_id",
        "_token",
        "event_id",
        "generates",
        "lost",
        "may_be_outside",
        "outer",
        "session_id",
        "span",
    )

    def __init__(self, span: OpenSpan, outer: SpanLike | None, frame: FrameType | None) -> None:
        self.span = span
        self.event_id = span.event_id
        self.session_id = span.session_id
        self.may_be_outside = True
        self._token: Token[SpanLike | None] | None = None
        self.lost = False  # whether it ended in another context than the one that it began in
        self.outer = outer
        self._frame_id = id(frame)
        self._code = None if frame is None else frame.f_code
        self.generates = is_generator(frame)
        self._task_id: int | None = context.task_or_thread_id()  # None: the first that asks

    def enter(self) -> None:
        """Make the span current."""
        self._token = CURRENT.set(self)

    def leave(self) -> None:
        """Restore the context of before the span, if the span began in this context."""
        self.lost = CURRENT.get() is not self
        if self.lost or self._token is None:
            return
        try:
            CURRENT.reset(self._token)
        except ValueError:  # this is a copy of the context that it began in
            self.lost = True
        CURRENT.set(self.outer)

    def here(self) -> SpanLike | None:
        """Return the span, or the nearest outer one that the running code really is inside."""
        span = self.span
        if (span.is_open and not self.generates) or self.holds():  # as in `holds`, without a call
            return span
        return None if self.outer is None else self.outer.here()

    def holds(self) -> bool:
        """Return whether the running code is inside the span.

        Tasks and threads that were started inside the span stay inside it after its end.
        """
        if self.span.is_open and not self.generates:  # the most frequent case
            return True
        if self.lost and not self.span.is_open:
            return False
        task_id = context.task_or_thread_id()
        if self._task_id != task_id:
            if self._task_id is not None:
                return True
            self._task_id = task_id
        if not self.span.is_open:
            return False
        if self.generates and self._code is not None:
            return on_stack(self._frame_id, self._code)
        return True

    def is_here(self, frame: FrameType | None) -> bool:
        """Return whether this frame is directly inside this open span: a quick test for the most frequent case."""
        return CURRENT.get() is self and not self.generates and not self.is_beside(frame)

    def is_beside(self, frame: FrameType | None) -> bool:
        """Return whether a span that begins in this frame is a sibling of this one, because one call began both."""
        return frame is not None and self._frame_id == id(frame) and self._code is frame.f_code

    def elsewhere(self) -> Inside:
        """Return this position for a task or thread that is made outside the span.

        Only the generator's own code is inside the span there.
        """
        place = Inside(self.span, elsewhere(self.outer), None)
        place._frame_id, place._code, place.generates = self._frame_id, self._code, self.generates
        place._task_id = None
        return place


def elsewhere(holder: SpanLike | None) -> SpanLike | None:
    """Return a position for a task or thread that the running code makes, unchanged if the code is inside it."""
    return holder.elsewhere() if isinstance(holder, Inside) and not holder.holds() else holder


class ContextChange(NamedTuple):
    """A change of the context for one call: its value during the call and before it; both `None` for no change."""

    to: SpanLike | None = None
    before: SpanLike | None = None

    def undo(self) -> None:
        """Undo the change, unless the context has another value by now."""
        if self.to is not None and CURRENT.get() is self.to:
            CURRENT.set(self.before)


UNCHANGED = ContextChange()
"""No change."""


def find_position() -> SpanLike | None:
    """Return the value of the context without positions that the running code is not inside."""
    return skip_left(_read_context())


def find_open_position() -> SpanLike | None:
    """Return the value of the context without spans that have ended. That of a suspended generator may go on, and stays."""
    holder = _read_context()
    while isinstance(holder, Inside) and not holder.span.is_open:
        holder = holder.outer
    return holder


def _read_context() -> SpanLike | None:
    holder = CURRENT.get()
    if holder is None:
        thread = context.this_thread()
        holder = None if thread is None else thread.__dict__.get(context.ATTRIBUTE)
    return holder


def is_within(inner: SpanLike | None, outer: OpenSpan, between: Container[OpenSpan]) -> bool:
    """Return whether `inner` is `outer` or inside it, with no span of `between` on the way."""
    while isinstance(inner, OpenSpan):
        if inner is outer:
            return True
        if inner in between:
            return False
        inner = inner._parent
    return False


def skip_left(holder: SpanLike | None) -> SpanLike | None:
    """Return a holder, or the nearest outer one that the running code is inside."""
    while isinstance(holder, Inside) and not holder.holds():
        holder = holder.outer
    return holder
