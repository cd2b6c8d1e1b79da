"""Record the user's own functions as tools: a call becomes a tool span if a model has requested it.

So does a call of the only function that a tool of its name can be (`tool_identity`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import CO_COROUTINE, CO_VARKEYWORDS
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

from namel3ss_debug.capture.core import announced, context, task_paths
from namel3ss_debug.capture.core.delivery import end_turn, extend_turn
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan, is_in_tool, set_result
from namel3ss_debug.capture.seams.functions import hot_calls, registered, rewrite
from namel3ss_debug.capture.seams.functions.changed_arguments import PassedArguments
from namel3ss_debug.capture.seams.functions.code_replacement import FORWARDING, CodeReplacer
from namel3ss_debug.capture.seams.functions.replies import Reply, take_reply
from namel3ss_debug.capture.seams.functions.requested_calls import (
    RequestedCall,
    ToolCalls,
    is_equal,
    is_passed,
)
from namel3ss_debug.capture.seams.functions.tool_identity import ToolIdentity
from namel3ss_debug.traces.clocks import perf_counter_ns

_TOOLS_OF: dict[CodeType, set[str]] = {}
"""Code of a function -> the names of the tools that it runs as, where these differ from its own."""

_ARGUMENTS_IN: dict[CodeType, str] = {}
"""Code of a function that takes all arguments of a tool as one dict -> the name of that parameter."""

_REGISTERED: dict[CodeType, dict[str, Mapping[str, Any]]] = {}
"""Code of a function -> the names of the tools that it seems to be registered as (`registered`).

Each name has the arguments that a partial binds for it.
"""

FRAMEWORK_PACKAGES: set[str] = set()
"""The packages of the frameworks whose tools are registered."""

REPLACER: CodeReplacer | None = None
"""Edits the functions of tools that are outside of the user's modules; set by `install`."""

_SEARCHES: Counter[str] = Counter()
"""How often the functions of a tool were searched."""

_MOST_SEARCHES = 3
"""A tool whose function was not found is searched again, because the program may register it later."""

_HOT_AS_TOOLS: set[str] = set()
"""The names of the functions in `_TOOLS_OF` and `_REGISTERED`."""


def register_functions(
    name: str, *functions: Any, arguments_in: str = "", is_requested: bool = False
) -> None:
    """Note by which functions a framework runs a tool, and make seams of them.

    A method belongs to every tool that is made of its class. Functions of a framework's own package are left as they
    are: a tool such as a hand-off changes the state of the framework, so a re-run has to run it.

    Args:
        name: the name of the tool.
        *functions: the functions; `None` is skipped.
        arguments_in: the parameter that takes all arguments of the tool as one dict, if there is one.
        is_requested: whether the framework does not announce its calls, so that only a request of the model shows them.
            Then functions of its package are seams as well.
    """
    codes = _codes(functions)
    new = {code.co_name for code in codes} - rewrite.HOT - {name}
    if new and rewrite.LOADED is not None:
        rewrite.LOADED(new)
        codes = _codes(functions)
    for code in () if is_requested else codes:
        if code.co_name != name and rewrite.is_edited(code) and code not in _REGISTERED:
            _add_tool(name, code, arguments_in)
    for function in map(registered.unwrap, functions):
        if function is None:
            continue
        code = function.__code__
        is_own = rewrite.is_edited(code) and code not in _REGISTERED
        is_left = is_own or registered.package_of(function.__globals__) in FRAMEWORK_PACKAGES
        if (is_requested or not is_left) and REPLACER is not None and REPLACER.edit(function):
            _add_registered(name, function.__code__)
            if not is_requested:
                _add_tool(name, function.__code__, arguments_in)


def _add_registered(name: str, code: CodeType, bound: Mapping[str, Any] | None = None) -> None:
    """Note that the program seems to run a tool by an edited function, with the arguments that a partial binds."""
    _REGISTERED.setdefault(code, {})[name] = bound or {}
    rewrite.HOT.update((code.co_name, FORWARDING))
    _HOT_AS_TOOLS.add(code.co_name)
    _SEARCHES[name] = _MOST_SEARCHES


def _add_tool(name: str, code: CodeType, arguments_in: str) -> None:
    """Note that a framework runs a tool by an edited function, and announces its calls."""
    _TOOLS_OF.setdefault(code, set()).add(name)
    announced.NAMED.add(name)
    rewrite.HOT.add(code.co_name)
    _HOT_AS_TOOLS.add(code.co_name)
    if arguments_in:
        _ARGUMENTS_IN[code] = arguments_in


def _codes(functions: Iterable[Any]) -> list[CodeType]:
    return [code for code in map(_code_of, functions) if code is not None]


def _code_of(function: Any) -> CodeType | None:
    """Return the code that a call runs in the end, also that of a partial or a callable object."""
    while isinstance(function, partial):
        function = function.func
    return hot_calls.code_of(function) or (
        hot_calls.code_of(type(function).__call__) if callable(function) else None
    )


def install(tracer: ExecutionTracer) -> tuple[ToolCalls, Callable[[], None]]:
    """Record calls of functions that models are offered as tools.

    Returns:
        The table of the calls that models request, and a function that removes the seam.
    """
    identity = ToolIdentity()

    def offer(tools: Mapping[str, Any]) -> None:
        fresh = identity.offer(tools)
        rewrite.HOT.update(fresh)
        if fresh and rewrite.LOADED is not None:
            rewrite.LOADED(fresh)

    global REPLACER  # frameworks register functions as long as the seam is installed
    REPLACER = replacer = CodeReplacer(anywhere=True)
    calls = ToolCalls(
        on_offer=offer,
        on_unseen=lambda call, result: _record_unseen(tracer, call, result),
        on_request=lambda names: _reach_functions(tracer, replacer, identity, names),
    )

    starts = _ToolStarts(tracer, calls, identity)
    hot_calls.CALL, hot_calls.TAKE = starts.call, starts.take

    def uninstall() -> None:
        global REPLACER
        REPLACER = None
        hot_calls.CALL = hot_calls.TAKE = None
        replacer.restore()
        _REGISTERED.clear()
        _SEARCHES.clear()
        rewrite.HOT.clear()
        _TOOLS_OF.clear()
        _ARGUMENTS_IN.clear()
        _HOT_AS_TOOLS.clear()
        announced.NAMED.clear()

    return calls, uninstall


class _ToolStarts:
    """Decides which calls of hot functions are tool calls, and opens their spans."""

    def __init__(self, tracer: ExecutionTracer, calls: ToolCalls, identity: ToolIdentity) -> None:
        self._tracer, self._calls, self._identity = tracer, calls, identity

    def take(self, name: str, arguments: dict[str, Any], *, served: bool = False) -> RequestedCall | None:
        return self._calls.take(
            name,
            arguments,
            context.current_id(),
            only_inside=is_in_tool(name),
            call_id=announced.call_id_of(name),
            served=served,
        )

    def call(self, name: str, code: CodeType, arguments: dict[str, Any]) -> ToolCall | None:
        """Return the span of a tool call, or None if the call has a span already or is not a tool call."""
        if code in hot_calls.HOOKED:  # its span is open already
            return None
        expected = announced.find_announced(_TOOLS_OF.get(code, ()))
        if expected is not None:
            name = str(expected.name)
            shown = _shown(code, arguments) if expected.arguments is None else dict(expected.arguments)
            requested = self.take(name, shown)
            if requested is None and is_in_tool(name):  # the tool calls itself
                return None
            return ToolCall(self._tracer, name, code, shown, requested, arguments)
        aliases = _REGISTERED.get(code, {})
        is_own = (
            name in self._identity.names
            and name not in aliases
            and not self._identity.is_excluded(name, code)
        )
        shown = _shown(code, arguments)
        if is_own and (expected := announced.find_announced({name})) is not None:
            fits = expected.arguments is not None and is_passed(expected.arguments, shown)
            if fits or self._identity.fits_schema(name, code, shown):
                return self._make_own(name, code, shown, arguments)
        requested = self._take_requested(name, code, shown, aliases, is_own=is_own)
        if requested is not None:
            shown = _shown_as(requested, shown)
            return ToolCall(self._tracer, requested.name, code, shown, requested, arguments)
        if is_own:
            is_tool = self._identity.is_only_candidate(name, code) and self._identity.fits_schema(
                name, code, shown
            )
        else:  # only an override names it, which the hook's span takes, or it is not run as a tool now
            is_tool = not (
                aliases or name in self._identity.names or name in _HOT_AS_TOOLS or _has_span(name)
            )
        return self._make_own(name, code, shown, arguments) if is_tool else None

    def _make_own(
        self, name: str, code: CodeType, shown: dict[str, Any], arguments: dict[str, Any]
    ) -> ToolCall | None:
        """Return the span of a call of the function of a tool, or None for a call inside the tool of this name."""
        requested = self.take(name, shown)
        if requested is None and is_in_tool(name):  # the tool calls itself, or a helper of the same name
            return None
        return ToolCall(self._tracer, name, code, shown, requested, arguments)

    def _take_requested(
        self,
        name: str,
        code: CodeType,
        shown: dict[str, Any],
        aliases: Mapping[str, Mapping[str, Any]],
        *,
        is_own: bool,
    ) -> RequestedCall | None:
        """Take the requested call whose arguments a function got, as the tool of its own name or of another one."""
        span = context.current()
        # A tool may call functions that are tools themselves.
        only_inside = isinstance(span, OpenSpan) and span.component == "tool" if aliases else is_in_tool(name)
        bound = {alias for alias, values in aliases.items() if values and _are_passed(values, shown)}
        unbound = {alias for alias, values in aliases.items() if not values} | ({name} if is_own else set())
        for names in filter(None, (bound, unbound)):
            found = self._calls.take_fitting(
                names,
                shown,
                context.current_id(),
                only_inside=only_inside,
                again=bool(aliases) or self._identity.has_answered(name, code),
                accepts_empty=bool(aliases) or self._identity.is_only_candidate(name, code),
            )
            if found is not None:
                self._identity.add_answering(name, code)
                return found
        return None


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
        requested: RequestedCall | None,
        passed: Mapping[str, Any],
    ) -> None:
        inputs: dict[str, Any] = {"arguments": arguments}
        metadata: dict[str, Any] = {"chain": tracer.sites.chain(0)}
        metadata |= task_paths.call_metadata()
        path = tracer.sites.shown(code.co_filename)
        if path is not None:
            metadata["defined_at"] = f"{path}:{code.co_firstlineno}"
        if requested is not None:
            inputs |= {"call_id": requested.call_id} if requested.call_id else {}
            metadata["asked_in"] = requested.asked_in
        receiver = next(iter(passed.values())) if set(passed) & rewrite.RECEIVERS else None
        written = tracer.code_of_call(name, code, receiver)
        if written is not None:
            metadata["code"] = written
        site = tracer.sites.above(code) or metadata.get("defined_at")
        announced.mark_recorded(announced.TOOL, name)
        self._tracer = tracer
        self._on_loop = bool(code.co_flags & CO_COROUTINE)
        self._span = tracer.span("tool", name, inputs, metadata, call_site=site)
        self._line = task_paths.ToolCallScope(name)
        self._arguments = PassedArguments(tracer, _visible(code, passed))

    def ret(self, value: Any) -> Any:
        """Record the value that the function returned."""
        set_result(self._span, self._tracer, value)
        return value

    def __enter__(self) -> Self:
        self._span.open()
        self._line.__enter__()
        if self._tracer.answers is not None:
            self._reply = reply = take_reply(self._tracer, self._span)
            self.handled = reply is not None and reply.answers
            if reply is not None:
                reply.arguments = self._arguments
            if reply is not None and not self.handled and not self._on_loop:
                try:
                    reply.wait_before()
                except BaseException as error:
                    self.__exit__(None, error, None)
                    raise
        return self

    @property
    def value(self) -> Any:
        """Wait for the answer and return it, or raise the error that comes in its place."""
        assert self._reply is not None
        value = self._reply.wait()
        extend_turn()
        return self.ret(value)

    async def ready(self) -> None:
        """Wait on the event loop until the function may run."""
        if self._reply is not None and not self.handled:
            await self._reply.wait_before_async()

    async def value_async(self) -> Any:
        """Wait for the answer, as `value` does, on the event loop."""
        assert self._reply is not None
        return self.ret(await self._reply.wait_async())

    def traceback_for(self, frame: FrameType, error: BaseException) -> TracebackType | None:
        """Return a traceback with the line on which a recorded error was raised; None for other errors."""
        return None if self._reply is None else self._reply.traceback_for(frame, error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__()
        if not self.handled:
            self._arguments.record(self._span)
        self._span.leave()
        self._span.close(error)
        if self.handled:
            end_turn()


def _shown(code: CodeType, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments as a model names them: without `self`, and with those of `**` among the others."""
    return dict(arguments[_ARGUMENTS_IN[code]]) if code in _ARGUMENTS_IN else _visible(code, arguments)


def _visible(code: CodeType, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that the caller passed. The dict of those of `**` belongs to the function."""
    shown = {key: value for key, value in arguments.items() if key not in rewrite.RECEIVERS}
    if code.co_flags & CO_VARKEYWORDS:
        shown |= shown.pop(list(arguments)[-1], {})
    return shown


def _are_passed(bound: Mapping[str, Any], passed: Mapping[str, Any]) -> bool:
    """Return whether a function got the arguments that a partial binds."""
    return all(
        key in passed
        and (passed[key] is value or (type(passed[key]) is type(value) and is_equal(value, passed[key])))
        for key, value in bound.items()
    )


def _shown_as(requested: RequestedCall, shown: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a requested call by the names that the model knows, with defaults of the function."""
    wanted = requested.arguments
    return shown if not isinstance(wanted, dict) or wanted.keys() <= shown.keys() else wanted


def _reach_functions(
    tracer: ExecutionTracer, replacer: CodeReplacer, identity: ToolIdentity, names: Iterable[str]
) -> None:
    """Make seams of the functions that the program has registered as the tools of these names.

    The functions of the user's own modules are seams already: of these, only the registered one is sought where several
    have the name. Other seams record the tools of hooks, frameworks and servers.
    """
    known = (announced.NAMED, announced.HOOKED)
    searched = [
        name
        for name in names
        if _SEARCHES[name] < _MOST_SEARCHES
        and not any(name in others for others in known)
        and not announced.is_served(name)
        and identity.needs_search(name)
    ]
    if not searched:
        return
    started = perf_counter_ns()
    _SEARCHES.update(searched)
    try:
        for name, candidates in registered.find_functions(searched).items():
            is_own = name in rewrite.EDITED
            for candidate in candidates:
                code = candidate.function.__code__
                if is_own and code.co_name == name and rewrite.is_edited(code):
                    if candidate.is_registered:
                        identity.add_registered(name, code)
                        _SEARCHES[name] = _MOST_SEARCHES
                elif (candidate.is_registered or not is_own) and replacer.edit(candidate.function):
                    _add_registered(name, candidate.function.__code__, candidate.bound)
                    identity.add_rival(name)
    except Exception as error:
        tracer.problem("the functions of tools could not be searched", error)
    tracer.tracing_ns += perf_counter_ns() - started


def _has_span(name: str) -> bool:
    """Return whether the innermost span has this name, as that of a function with a hook has."""
    span = context.current()
    return isinstance(span, OpenSpan) and span.name == name


def _record_unseen(tracer: ExecutionTracer, call: RequestedCall, result: Any) -> None:
    metadata = {"asked_in": call.asked_in, "seen": False}
    inputs = {"arguments": call.arguments, "call_id": call.call_id}
    span = tracer.span("tool", call.name, inputs, metadata).open(enter=False)
    span.set_output({"result": result})
    span.set(duration_ms=None)
    span.close()
