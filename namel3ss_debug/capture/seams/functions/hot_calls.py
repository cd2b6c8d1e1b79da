"""Run a call of a function that `rewrite` has edited and whose name is hot: the `with` block around its body."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Mapping
from types import CodeType, FrameType, TracebackType
from typing import Any, Protocol

from namel3ss_debug.capture.core import interruptions
from namel3ss_debug.capture.seams.functions.requested_calls import RequestedCall

_VARARGS, _VARKEYWORDS = 0x4, 0x8
"""inspect.CO_VARARGS and CO_VARKEYWORDS."""


class Context(Protocol):
    """One call of a hot function, as `CALL` returns it.

    If `handled` is true, `value` is the answer and the body does not run. Reading `value` may raise the error that is
    the answer, and `traceback_for` makes its traceback. Otherwise `ret` gets the value that the body returns.
    `__enter__` is called first, and `__exit__` last, with the exception of a body that failed. For a coroutine
    function, `ready` is awaited before its body runs, and `value_async` in place of reading `value`.
    """

    handled: bool

    @property
    def value(self) -> Any:
        """Return the answer."""

    def ret(self, value: Any) -> Any:
        """Take the value that the body returned, right before `__exit__`. The result is ignored."""

    async def ready(self) -> None:
        """Return when the body may run."""

    async def value_async(self) -> Any:
        """Return the answer."""

    def traceback_for(self, frame: FrameType, error: BaseException) -> TracebackType | None:
        """Return the traceback of an error that is the answer, from this frame on; None to leave it as it is."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any: ...


ORIGINAL = "n3_original"
"""The variable of a forwarding code (`code_replacement`) that holds the function with the original code."""

HOOKED: weakref.WeakSet[CodeType] = weakref.WeakSet()
"""The code of functions that the seam in `tools` skips.

A hook records their calls as tool calls, or they only make a tool of the same name.
"""

TAKE: Callable[..., RequestedCall | None] | None = None
"""Returns the requested call that a tool of this name with these arguments answers; set by `tools`."""

CALL: Callable[[str, CodeType, dict[str, Any]], Context | None] | None = None
"""Called at each call of a hot function with its name, its code and its arguments by name; None skips the call."""


class Watched:
    """A call of a hot function while it runs. Errors in the context do not reach the program."""

    __slots__ = ("context", "handled")

    def __init__(self, context: Context | None) -> None:
        self.context = context
        self.handled = False
        if context is not None:
            context.__enter__()
            self.handled = bool(context.handled)

    def answer(self) -> Any:
        """Return the answer of the context in place of the body's."""
        assert self.context is not None
        return self.context.value

    async def is_handled(self) -> bool:
        """Wait until the body may run, and return `handled`."""
        try:
            if self.context is not None:
                await self.context.ready()
        except Exception as error:  # the program must not fail by recording; an error may be its own though
            if interruptions.is_from_signal_handler(error):
                raise
        return self.handled

    async def answer_async(self) -> Any:
        """Return the answer, as `answer` does, on an event loop."""
        assert self.context is not None
        return await self.context.value_async()


class HotCall:
    """The one context manager of all calls of hot functions. The state of a call is in the frame of the call."""

    def __enter__(self) -> Watched:
        try:
            frame = sys._getframe(1)  # the edited function
            code = frame.f_code
            context = CALL(code.co_name, code, _arguments(code, frame.f_locals)) if CALL is not None else None
            return Watched(context)
        except Exception as error:  # as above
            if interruptions.is_from_signal_handler(error):
                raise
            return Watched(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            frame = sys._getframe(1)
            variables = frame.f_locals
            watched: Watched = variables["__n3__"]
            if error is not None and trace is not None and not watched.handled and ORIGINAL in variables:
                error.__traceback__ = trace.tb_next  # the program's own frames alone
            if watched.context is not None:
                if error is not None and watched.handled:
                    trace = watched.context.traceback_for(frame, error) or trace
                    error.__traceback__ = trace
                try:
                    if error is None and not watched.handled:
                        watched.context.ret(variables.get("__n3_value__"))
                finally:
                    watched.context.__exit__(kind, error, trace)
        except Exception as problem:  # as above
            if interruptions.is_from_signal_handler(problem):
                raise


def _arguments(code: CodeType, variables: Mapping[str, Any]) -> dict[str, Any]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    return {name: variables[name] for name in code.co_varnames[:count]}


def code_of(function: Any) -> CodeType | None:
    """Return the code that a call of a function, method or decorated function runs in the end; None for other objects."""
    try:
        code = inspect.unwrap(getattr(function, "__func__", function)).__code__
    except (AttributeError, ValueError):  # a callable object; one that wraps itself
        return None
    return code if isinstance(code, CodeType) else None
