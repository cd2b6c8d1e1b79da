"""One call of a function that `rewrite` has edited, and whose name is hot: what the `with` block around its body does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType, TracebackType
from typing import Any, Protocol

from namel3ss_debug.capture import interruptions

_VARARGS, _VARKEYWORDS = 0x4, 0x8
"""inspect.CO_VARARGS and CO_VARKEYWORDS."""


class Context(Protocol):
    """One call of a hot function, as `CALL` returns it.

    `handled` says that `value` is the answer and the body shall not run; reading `value` may raise, which is how an
    error is answered; `raised_in` makes the traceback of such an error. Otherwise `ret` is told what the body returns.
    `__enter__` is called first, and `__exit__` last, with the exception of a body that failed. Of a coroutine function
    `ready` is awaited before its body runs, and `reach` in the place of `value`.
    """

    handled: bool

    @property
    def value(self) -> Any:
        """The answer."""

    def ret(self, value: Any) -> Any:
        """Take what the body returned; called right before `__exit__`, its own result is ignored."""

    async def ready(self) -> None:
        """Return when the body may run."""

    async def reach(self) -> Any:
        """The answer."""

    def raised_in(self, frame: FrameType, error: BaseException) -> TracebackType | None:
        """The traceback of an error that was answered, from the frame of the function on; `None`: as it is."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any: ...


CALL: Callable[[str, CodeType, dict[str, Any]], Context | None] | None = None
"""Asked at each call of a hot function: its name, its code and its arguments by name; `None`: of no interest."""


class Watched:
    """A call of a hot function while it runs; mistakes in the context do not reach the program."""

    __slots__ = ("context", "handled")

    def __init__(self, context: Context | None) -> None:
        self.context = context
        self.handled = False
        if context is not None:
            context.__enter__()
            self.handled = bool(context.handled)

    def answer(self) -> Any:
        """What the context answers instead of the body."""
        assert self.context is not None
        return self.context.value

    async def is_handled(self) -> bool:
        """`handled`, once the body may run."""
        try:
            if self.context is not None:
                await self.context.ready()
        except Exception as error:  # recording must not fail the program, whose own it may be
            if interruptions.is_of_the_program(error):
                raise
        return self.handled

    async def reach(self) -> Any:
        """As `answer`."""
        assert self.context is not None
        return await self.context.reach()


class HotCall:
    """The context manager of every call of a hot function; what is its own stands in the frame of the call."""

    def __enter__(self) -> Watched:
        try:
            frame = sys._getframe(1)  # noqa: SLF001  (the edited function)
            code = frame.f_code
            context = CALL(code.co_name, code, _arguments(code, frame.f_locals)) if CALL is not None else None
            return Watched(context)
        except Exception as error:  # as above
            if interruptions.is_of_the_program(error):
                raise
            return Watched(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            frame = sys._getframe(1)  # noqa: SLF001  (as above)
            variables = frame.f_locals
            watched: Watched = variables["__n3__"]
            if watched.context is not None:
                if error is not None and watched.handled:
                    trace = watched.context.raised_in(frame, error) or trace
                    error.__traceback__ = trace
                try:
                    if error is None and not watched.handled:
                        watched.context.ret(variables.get("__n3_value__"))
                finally:
                    watched.context.__exit__(kind, error, trace)
        except Exception as problem:  # as above
            if interruptions.is_of_the_program(problem):
                raise


def _arguments(code: CodeType, variables: Mapping[str, Any]) -> dict[str, Any]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    return {name: variables[name] for name in code.co_varnames[:count]}
