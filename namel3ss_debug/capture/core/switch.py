"""Hold the tracer of this process, if there is one, and the stand-ins while tracing is off."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:  # the tracer is only imported when tracing starts
    from namel3ss_debug.capture.core.tracer import ExecutionTracer

ACTIVE: ExecutionTracer | None = None
"""The tracer of this process, `None` while tracing is off. The functions that hooks make look here."""


class OffSpan:
    """A span that records nothing."""

    event_id = ""

    def set_output(self, output: Any) -> None:
        """Do nothing."""

    def set(self, **fields: Any) -> None:
        """Do nothing."""

    def enter(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""

    def close(self, error: BaseException | None = None) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class OffTracer:
    """What `get_global_tracer()` returns while tracing is off: the methods of a tracer, doing nothing.

    The two have no class in common: `enabled` tells them apart, and an annotation names both.
    """

    enabled = False

    def __repr__(self) -> str:
        return "<OffTracer, nothing is recorded>"

    def emit(self, event_type: str, **fields: Any) -> str | None:
        """Record nothing, and return no id."""

    async def emit_event(self, event_type: str, **fields: Any) -> str | None:
        """Record nothing, and return no id."""

    def span(self, *_args: Any, **_fields: Any) -> OffSpan:
        """Return a span that records nothing."""
        return OFF_SPAN

    def flush(self) -> None:
        """Do nothing."""


OFF_SPAN = OffSpan()
_OFF_TRACER = OffTracer()


def get_global_tracer() -> ExecutionTracer | OffTracer:
    """Return the tracer of this process, or one that does nothing while tracing is off."""
    return _OFF_TRACER if ACTIVE is None else ACTIVE
