"""Which span of a framework the running code is inside, although the context may still hold spans that were left."""

from __future__ import annotations

from collections.abc import Container
from contextvars import Token
from types import FrameType
from typing import NamedTuple

from namel3ss_debug.capture import context
from namel3ss_debug.capture.callsite import on_stack
from namel3ss_debug.capture.context import CURRENT, Holder
from namel3ss_debug.capture.spans import Span

_GENERATOR = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""


class Inside:
    """The place inside a span, a value of the context; left when the span ends, or while its generator is suspended."""

    __slots__ = (
        "_code",
        "_frame_id",
        "_strand",
        "_token",
        "event_id",
        "generates",
        "lost",
        "outer",
        "session_id",
        "span",
        "wanders",
    )

    def __init__(self, span: Span, outer: Holder | None, frame: FrameType | None) -> None:
        self.span = span
        self.event_id = span.event_id
        self.session_id = span.session_id
        self.wanders = True
        self._token: Token[Holder | None] | None = None
        self.lost = False  # whether it ended where it could not be taken from the context that it began in
        self.outer = outer
        self._frame_id = id(frame)
        self._code = None if frame is None else frame.f_code
        self.generates = frame is not None and bool(frame.f_code.co_flags & _GENERATOR)
        self._strand: int | None = context.strand()  # nothing: that which asks first

    def enter(self) -> None:
        """Enter the span: what runs next is inside it."""
        self._token = CURRENT.set(self)

    def leave(self) -> None:
        """Leave the span."""
        self.lost = CURRENT.get() is not self
        if self.lost or self._token is None:
            return
        try:
            CURRENT.reset(self._token)
        except ValueError:  # in a copy of the context that it began in
            self.lost = True
        CURRENT.set(self.outer)

    def here(self) -> Holder | None:
        """The span, or the nearest outer one the running code really is inside."""
        span = self.span
        if (span.is_open and not self.generates) or self.holds():  # the first as in `holds`, without a call
            return span
        return None if self.outer is None else self.outer.here()

    def holds(self) -> bool:
        """Whether the running code is inside the span; what the span has started stays inside it after its end."""
        if self.span.is_open and not self.generates:  # the most frequent
            return True
        if self.lost and not self.span.is_open:
            return False
        strand = context.strand()
        if self._strand != strand:
            if self._strand is not None:
                return True
            self._strand = strand
        if not self.span.is_open:
            return False
        if self.generates and self._code is not None:
            return on_stack(self._frame_id, self._code)
        return True

    def is_here(self, frame: FrameType | None) -> bool:
        """Whether what begins in this frame is directly inside this open span: a test for the most frequent case."""
        return CURRENT.get() is self and not self.generates and not self.is_beside(frame)

    def is_beside(self, frame: FrameType | None) -> bool:
        """Whether a span that begins in this frame is a sibling of this one: one call began them both."""
        return frame is not None and self._frame_id == id(frame) and self._code is frame.f_code

    def elsewhere(self) -> Inside:
        """This place for a task or thread made outside the span: only the generator's own code is inside it there."""
        place = Inside(self.span, elsewhere(self.outer), None)
        place._frame_id, place._code, place.generates = self._frame_id, self._code, self.generates
        place._strand = None
        return place


def elsewhere(holder: Holder | None) -> Holder | None:
    """A place for a task or thread that the running code makes: the same one where the running code is inside it."""
    return holder.elsewhere() if isinstance(holder, Inside) and not holder.holds() else holder


class Moved(NamedTuple):
    """A change of the context for one call: its value during the call and before it; both `None` for no change."""

    to: Holder | None = None
    before: Holder | None = None

    def back(self) -> None:
        """Undo the change, unless the context has another value by now."""
        if self.to is not None and CURRENT.get() is self.to:
            CURRENT.set(self.before)


STAYED = Moved()
"""No change."""


def standing() -> Holder | None:
    """The value of the context, without places that the running code is not inside."""
    return valid(_in_context())


def left_standing() -> Holder | None:
    """The value of the context, without spans that have ended; that of a suspended generator stays: it may go on."""
    holder = _in_context()
    while isinstance(holder, Inside) and not holder.span.is_open:
        holder = holder.outer
    return holder


def _in_context() -> Holder | None:
    holder = CURRENT.get()
    if holder is None:
        thread = context.this_thread()
        holder = None if thread is None else thread.__dict__.get(context.ATTRIBUTE)
    return holder


def is_within(inner: Holder | None, outer: Span, between: Container[Span]) -> bool:
    """Whether `inner` is `outer` or inside it, with no span of `between` on the way."""
    while isinstance(inner, Span):
        if inner is outer:
            return True
        if inner in between:
            return False
        inner = inner._parent  # noqa: SLF001  (a span of our own)
    return False


def valid(holder: Holder | None) -> Holder | None:
    """A holder, or the nearest outer one that the running code is inside."""
    while isinstance(holder, Inside) and not holder.holds():
        holder = holder.outer
    return holder
