"""The user's own functions as tools: a function becomes a tool span when a model was offered a tool of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from inspect import CO_COROUTINE, CO_VARKEYWORDS
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

from namel3ss_debug.capture import beneath, context, hooks, hot_calls, rewrite
from namel3ss_debug.capture.calls import AskedCall, ToolCalls
from namel3ss_debug.capture.delivery import hold, see_off
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.replies import Reply, take_reply
from namel3ss_debug.capture.results import set_result
from namel3ss_debug.capture.spans import Span, is_in_tool
from namel3ss_debug.capture.tracer import ExecutionTracer

_RUN_AS: dict[CodeType, set[str]] = {}
"""The names of the tools that a function with another name runs as."""

_GIVEN_IN: dict[CodeType, str] = {}
"""Of functions that a framework gives all arguments of a tool as one dict: the name of the parameter that takes it."""

_RECEIVERS = frozenset({"self", "cls"})

_HOT_AS_TOOLS: set[str] = set()
"""The names of these functions."""


def runs_as(name: str, *functions: Any, given_in: str = "") -> None:
    """A framework runs the tool of this name by these functions, whichever of them are the user's.

    A method of a class is one of each tool that is made of the class. `None` among them is none.

    Args:
        name: the name of the tool.
        *functions: the functions.
        given_in: the parameter that takes all arguments of the tool as one dict, where it is so.
    """
    codes = _codes(functions)
    new = {code.co_name for code in codes} - rewrite.HOT - {name}
    if new and rewrite.LOADED is not None:
        rewrite.LOADED(new)
        codes = _codes(functions)
    for code in codes:
        if code.co_name != name and rewrite.is_edited(code):
            _RUN_AS.setdefault(code, set()).add(name)
            beneath.NAMED.add(name)
            rewrite.HOT.add(code.co_name)
            _HOT_AS_TOOLS.add(code.co_name)
            if given_in:
                _GIVEN_IN[code] = given_in


def _codes(functions: Iterable[Any]) -> list[CodeType]:
    return [code for code in map(_code_of, functions) if code is not None]


def _code_of(function: Any) -> CodeType | None:
    """The code that runs in the end, also of a partial, or of an object that is called."""
    while isinstance(function, partial):
        function = function.func
    called = getattr(type(function), "__call__", None)  # noqa: B004  (it is what runs that is asked for)
    return hooks.code_of(function) or hooks.code_of(called)


def install(tracer: ExecutionTracer) -> tuple[ToolCalls, Callable[[], None]]:
    """Record calls of functions that models are offered as tools.

    Returns:
        The table of calls that models ask for, and a function that takes the seam away again.
    """
    offered: set[str] = set()

    def offer(names: Iterable[str]) -> None:
        fresh = set(names) - offered
        offered.update(fresh)
        rewrite.HOT.update(fresh)
        if fresh and rewrite.LOADED is not None:
            rewrite.LOADED(fresh)

    calls = ToolCalls(on_offer=offer, on_unseen=lambda call, result: _record_unseen(tracer, call, result))

    def take(name: str, arguments: dict[str, Any], *, served: bool = False) -> AskedCall | None:
        return calls.take(
            name,
            arguments,
            context.current_id(),
            only_inside=is_in_tool(name),
            call_id=beneath.call_id(name),
            served=served,
        )

    def call(name: str, code: CodeType, arguments: dict[str, Any]) -> ToolCall | None:
        """The span of a call of a tool; None where it has one already, or nobody asked for it."""
        if code in hooks.HOOKED:  # its span is open already
            return None
        expected = beneath.about_to_run(_RUN_AS.get(code, ()))
        if expected is not None:
            name = str(expected.name)
        elif name not in offered and (name in _HOT_AS_TOOLS or _has_span(name)):
            return None  # it runs as no tool now; or only an answer names it, and that is given to its span
        shown = (
            _shown(code, arguments)
            if expected is None or expected.arguments is None
            else dict(expected.arguments)
        )
        asked = take(name, shown)
        if asked is None and is_in_tool(name):  # the tool calls itself, or a helper of the same name
            return None
        receiver = next(iter(arguments.values())) if set(arguments) & _RECEIVERS else None
        return ToolCall(tracer, name, code, shown, asked, receiver)

    hot_calls.CALL = call
    hooks.TAKE = take

    def uninstall() -> None:
        hot_calls.CALL = hooks.TAKE = None
        rewrite.HOT.clear()
        _RUN_AS.clear()
        _GIVEN_IN.clear()
        _HOT_AS_TOOLS.clear()
        beneath.NAMED.clear()

    return calls, uninstall


class ToolCall:
    """One call of a tool function, as the rewritten function runs it."""

    handled = False
    _reply: Reply | None = None

    def __init__(
        self,
        tracer: ExecutionTracer,
        name: str,
        code: CodeType,
        arguments: dict[str, Any],
        asked: AskedCall | None,
        receiver: Any = None,
    ) -> None:
        inputs: dict[str, Any] = {"arguments": arguments}
        metadata: dict[str, Any] = {"chain": tracer.sites.chain(0)}
        metadata |= lineage.told()
        path = tracer.sites.shown(code.co_filename)
        if path is not None:
            metadata["defined_at"] = f"{path}:{code.co_firstlineno}"
        if asked is not None:
            inputs |= {"call_id": asked.call_id} if asked.call_id else {}
            metadata["asked_in"] = asked.asked_in
        written = tracer.code_of_call(name, code, receiver)
        if written is not None:
            metadata["code"] = written
        site = tracer.sites.above(code) or metadata.get("defined_at")
        beneath.recorded(beneath.TOOL, name)
        self._tracer = tracer
        self._on_loop = bool(code.co_flags & CO_COROUTINE)
        self._span = tracer.span("tool", name, inputs, metadata, call_site=site)
        self._line = lineage.Call(name)

    def ret(self, value: Any) -> Any:
        """Take what the function returned."""
        set_result(self._span, self._tracer, value)
        return value

    def __enter__(self) -> Self:
        self._span.open()
        self._line.__enter__()
        if self._tracer.answers is not None:
            self._reply = reply = take_reply(self._tracer, self._span)
            self.handled = reply is not None and reply.answers
            if reply is not None and not self.handled and not self._on_loop:
                try:
                    reply.before()
                except BaseException as error:
                    self.__exit__(None, error, None)
                    raise
        return self

    @property
    def value(self) -> Any:
        """What is answered, when it may come; raises what comes in its place."""
        assert self._reply is not None
        value = self._reply.wait()
        hold()
        return self._answered(value)

    async def ready(self) -> None:
        """Wait on the loop until the function may run."""
        if self._reply is not None and not self.handled:
            await self._reply.before_on_loop()

    async def reach(self) -> Any:
        """As `value`, on a loop."""
        assert self._reply is not None
        return self._answered(await self._reply.reach())

    def _answered(self, value: Any) -> Any:
        set_result(self._span, self._tracer, value)
        return value

    def raised_in(self, frame: FrameType, error: BaseException) -> TracebackType | None:
        """Of an error that came in place of an answer: the line where it was raised when it was recorded."""
        return None if self._reply is None else self._reply.raised_in(frame, error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__()
        self._span.leave()
        self._span.close(error)
        if self.handled:
            see_off()


def _shown(code: CodeType, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as a model would name them: without the object, and what `**` took among the others."""
    if code in _GIVEN_IN:
        return dict(arguments[_GIVEN_IN[code]])
    shown = {key: value for key, value in arguments.items() if key not in _RECEIVERS}
    if code.co_flags & CO_VARKEYWORDS:
        shown |= shown.pop(list(arguments)[-1], {})
    return shown


def _has_span(name: str) -> bool:
    """Whether the innermost span has this name, as that of a function with a hook has."""
    span = context.current()
    return isinstance(span, Span) and span.name == name


def _record_unseen(tracer: ExecutionTracer, call: AskedCall, result: Any) -> None:
    metadata = {"asked_in": call.asked_in, "seen": False}
    inputs = {"arguments": call.arguments, "call_id": call.call_id}
    span = tracer.span("tool", call.name, inputs, metadata).open(enter=False)
    span.set_output({"result": result})
    span.set(duration_ms=None)
    span.close()
