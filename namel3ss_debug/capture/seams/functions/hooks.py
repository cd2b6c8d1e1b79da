"""The hooks by which a program reports to the tracer. One mechanism under several names.

Each decorator is a row of `_KINDS`; all of them work bare and with arguments, on functions, methods, coroutine
functions, generators and async generators. While tracing is off a decorated function costs one comparison.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from types import FunctionType
from typing import Any, NamedTuple, Protocol, TypeVar, overload

from namel3ss_debug.capture.core import announced, switch, task_paths
from namel3ss_debug.capture.core.failures import to_failure, type_name
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan, add_metadata, set_result
from namel3ss_debug.capture.seams.functions import hot_calls
from namel3ss_debug.capture.seams.functions.wrapping import Arguments, Recorder, is_used_bare, name_of, wrap
from namel3ss_debug.config import enabled_never

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=type)


class _HookKind(NamedTuple):
    """What a decorator records: the component, its event types, and the form of arguments and result."""

    component: str
    prefix: str | None = None
    name: Callable[[Arguments], str | None] = lambda _arguments: None
    inputs: Callable[[Arguments], Arguments] = lambda arguments: arguments
    outputs: Callable[[Any], Mapping[str, Any]] = lambda result: {"result": result}


class Hook(Protocol):
    """A decorator that is used bare or with arguments."""

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self,
        name: str | None = None,
        /,
        *,
        capture_inputs: bool = True,
        capture_outputs: bool = True,
        **fields: Any,
    ) -> Callable[[F], F]: ...


def _own_name(arguments: Arguments) -> str | None:
    """Return the `name` of the object whose method is called, read without running its code, or else its class."""
    owner = arguments.get("self")
    if owner is None:
        return None
    name = getattr(owner, "__dict__", {}).get("name")
    return name if isinstance(name, str) else type(owner).__name__


def _model(arguments: Arguments) -> str | None:
    owner = getattr(arguments.get("self"), "__dict__", {})
    model = arguments.get("model", owner.get("model"))
    return model if isinstance(model, str) else None


def _llm_inputs(arguments: Arguments) -> Arguments:
    parts = {key: arguments[key] for key in ("model", "messages", "tools") if key in arguments}
    params = {key: value for key, value in arguments.items() if key not in parts}
    return parts | ({"params": params} if params else {})


def _llm_outputs(result: Any) -> Mapping[str, Any]:
    if isinstance(result, str):
        return {"text": result}
    return result if isinstance(result, Mapping) else {"result": result}


_AGENT = _HookKind("agent", name=_own_name)
_STEP = _HookKind("chain", "chain_step")
_PROMPT = _HookKind("prompt")
_CHAIN = _HookKind("chain")
_LLM = _HookKind("llm", name=_model, inputs=_llm_inputs, outputs=_llm_outputs)
_TOOL = _HookKind("tool", inputs=lambda arguments: {"arguments": arguments})


def _hook(kind: _HookKind, purpose: str) -> Hook:
    """Make a decorator for functions of one kind, for use bare or with arguments."""

    def hook(
        name: Any = None, /, *, capture_inputs: bool = True, capture_outputs: bool = True, **fields: Any
    ) -> Any:
        if name is not None and not isinstance(name, str):
            return _decorate(name, kind, None, capture_inputs=True, capture_outputs=True, fields={})
        named = fields.pop("name", None)
        return lambda function: _decorate(
            function,
            kind,
            named if name is None else name,
            capture_inputs=capture_inputs,
            capture_outputs=capture_outputs,
            fields=fields,
        )

    hook.__doc__ = (
        f"{purpose}\n\nUse it bare or with arguments: a name, `capture_inputs`, `capture_outputs`, and further "
        "fields of the start event such as `step_type` or `depends_on`."
    )
    return hook


trace_agent_execution = _hook(_AGENT, "Record each call as the work of an agent.")
trace_prompt_execution = _hook(_PROMPT, "Record each call as a prompt that is filled in and used.")
trace_chain_execution = _hook(_CHAIN, "Record each call as a chain or graph.")
trace_chain_step = _hook(_STEP, "Record each call as a step or node of a chain.")
trace_llm_call = _hook(_LLM, "Record each call as a call of a model.")
trace_tool_call = _hook(_TOOL, "Record each call as a tool call.")


def _decorate(
    function: Any,
    kind: _HookKind,
    name: str | None,
    *,
    capture_inputs: bool,
    capture_outputs: bool,
    fields: dict[str, Any],
) -> Any:
    """Return the function with a wrapper that records its calls as calls of a kind.

    Raises:
        TypeError: it is not a function.
    """
    if isinstance(function, type):
        raise TypeError(f"{function!r} is a class: decorate its methods, or the class with instrument_agent")
    if not is_used_bare(function):
        raise TypeError(f"{function!r} is not a function")
    if enabled_never():
        return function
    own = name_of(function)
    if kind is _TOOL:
        announced.HOOKED.update({own, name or own})
        if (code := hot_calls.code_of(function)) is not None:
            hot_calls.HOOKED.add(code)

    def open_span(tracer: ExecutionTracer, arguments: Arguments) -> OpenSpan:
        label = name or kind.name(arguments) or own
        shown = {key: value for key, value in arguments.items() if key not in {"self", "cls"}}
        inputs = kind.inputs(shown) if capture_inputs else None
        if kind is _TOOL:
            metadata = {**fields.get("metadata", {}), "chain": tracer.sites.chain(0)}
            metadata |= task_paths.call_metadata()
            if (code := hot_calls.code_of(function)) is not None:
                receiver = arguments.get("self", arguments.get("cls"))
                written = tracer.code_of_call(name or own, code, receiver)
                metadata |= {} if written is None else {"code": written}
            if hot_calls.TAKE is not None and (
                requested := hot_calls.TAKE(own, shown) or hot_calls.TAKE(label, shown)
            ):
                metadata["asked_in"] = requested.asked_in
                inputs = {**(inputs or {}), "call_id": requested.call_id}
            expected = announced.find_announced({own, label})
            announced.mark_recorded(announced.TOOL, own if expected is None else expected.name)
            return tracer.span(
                kind.component, label, inputs=inputs, prefix=kind.prefix, **fields | {"metadata": metadata}
            )
        return tracer.span(kind.component, label, inputs=inputs, prefix=kind.prefix, **fields)

    def output(span: OpenSpan, _arguments: Arguments, result: Any) -> None:
        if kind is _TOOL and capture_outputs and switch.ACTIVE is not None:
            set_result(span, switch.ACTIVE, result)
        elif capture_outputs:
            span.set_output(kind.outputs(result))
        elif kind is _TOOL:
            add_metadata(span, {"inexact": ["not recorded"]})

    return wrap(function, Recorder(open_span, output, kind in {_TOOL, _LLM}))


class EventId(str):
    """The id of a recorded event. It can be awaited, so that sync and async code use the same hooks."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, EventId]:
        yield from ()
        return self


def trace_agent_turn(
    agent: str, turn: int | None = None, inputs: Mapping[str, Any] | None = None, **fields: Any
) -> OpenSpan | switch.OffSpan:
    """Record a turn of an agent, with `with` or `async with`; `.set_output(...)` takes the result.

    Args:
        agent: the name of the agent.
        turn: the number of the turn.
        inputs: the inputs of the turn.
        **fields: further fields of the start event.
    """
    metadata = None if turn is None else {"turn": turn}
    return _span("agent", agent, inputs=inputs, metadata=metadata, prefix="agent_turn", **fields)


def trace_validation(
    name: str, inputs: Mapping[str, Any] | None = None, **fields: Any
) -> OpenSpan | switch.OffSpan:
    """Record a validation or guardrail, with `with` or `async with`; `.set_output(...)` takes the verdict.

    Args:
        name: the name of the check.
        inputs: the validated values.
        **fields: further fields of the start event.
    """
    return _span("validation", name, inputs=inputs, **fields)


def trace_memory_operation(
    operation: str, *, key: str | None = None, value: Any = None, store: str | None = None, **metadata: Any
) -> EventId:
    """Record that the agent's memory was read or written.

    Args:
        operation: `read`, `write`, `delete`, `search`, or the program's own word.
        key: the key or query.
        value: the value that was found or written.
        store: the name of the memory.
        **metadata: anything else.
    """
    inputs = {name: each for name, each in (("key", key), ("value", value)) if each is not None}
    return _emit(
        "memory_operation",
        component="memory",
        component_name=store or operation,
        inputs=inputs,
        metadata={"operation": operation, **metadata},
    )


def trace_error(
    error: BaseException | type[BaseException] | str,
    *,
    component: str = "app",
    name: str | None = None,
    **metadata: Any,
) -> EventId:
    """Record an error that the program has handled itself.

    Args:
        error: the exception, its class, or a text.
        component: the part of the program that failed.
        name: its name.
        **metadata: anything else.
    """
    tracer = switch.ACTIVE
    if tracer is None:
        return EventId()
    if isinstance(error, BaseException):
        fields = to_failure(error, tracer.payloads).fields()
    elif isinstance(error, type) and issubclass(error, BaseException):
        fields = {"error": "", "error_type": type_name(error)}
    else:
        fields = {"error": tracer.payloads.text(error)}
    fields["status"] = "failed"
    return _emit("error_occurred", component=component, component_name=name, metadata=metadata, **fields)


def performance_marker(
    name: str, value: float | None = None, *, unit: str | None = None, **metadata: Any
) -> EventId:
    """Record a measurement that the program made.

    Args:
        name: the name of the figure.
        value: the figure.
        unit: its unit.
        **metadata: anything else.
    """
    figures = {"value": value, "unit": unit}
    known = {key: each for key, each in figures.items() if each is not None}
    return _emit("performance_marker", component="app", component_name=name, metadata=known | metadata)


_ENTRY_POINTS = frozenset(
    {"__call__", "run", "arun", "execute", "aexecute", "invoke", "ainvoke", "chat", "achat"}
)


@overload
def instrument_agent(
    cls: T, /, *, trace_all: bool = False, cost_tracking: bool = False, session_replay: bool = False
) -> T: ...
@overload
def instrument_agent(
    cls: None = None, /, *, trace_all: bool = False, cost_tracking: bool = False, session_replay: bool = False
) -> Callable[[T], T]: ...
def instrument_agent(
    cls: Any = None, /, *, trace_all: bool = False, cost_tracking: bool = False, session_replay: bool = False
) -> Any:
    """Record the work of an agent class; for use bare or with arguments.

    Methods that start the agent's work (`run`, `execute`, `invoke`, `chat`, `__call__`, and the async forms of these)
    are recorded as its executions, inherited ones too.

    Args:
        cls: the class.
        trace_all: record every other public method as a step.
        cost_tracking: add up model calls, tokens and cost of everything inside an execution, at its end.
        session_replay: give all executions of one object the same `session_id`, and record the object's attributes
            as a `state_change` after each.
    """
    if cls is None:
        return lambda decorated: instrument_agent(
            decorated, trace_all=trace_all, cost_tracking=cost_tracking, session_replay=session_replay
        )
    if enabled_never():
        return cls
    options = {"cost_tracking": cost_tracking, "session_replay": session_replay}
    recorder = _agent_recorder(cls.__name__, **options)
    for name, member in _entry_methods(cls):
        setattr(cls, name, wrap(member, recorder))
    for name, member in list(vars(cls).items()) if trace_all else ():
        if name not in _ENTRY_POINTS and not name.startswith("_") and _is_method(member):
            setattr(cls, name, trace_chain_step(member))
    _INSTRUMENTED.add(cls)
    return cls


def _entry_methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the methods that start the work of an agent, without those that a base class records already."""
    for name in sorted(_ENTRY_POINTS):
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if owner is None or (owner is not cls and owner in _INSTRUMENTED):
            continue
        member = vars(owner)[name]
        if _is_method(member) if owner is cls else isinstance(member, FunctionType):
            yield name, member


_INSTRUMENTED: weakref.WeakSet[type] = weakref.WeakSet()
"""The classes whose work is recorded."""


def _is_method(member: Any) -> bool:
    return isinstance(member, staticmethod | classmethod) or (
        callable(member) and not isinstance(member, type)
    )


def _agent_recorder(name: str, *, cost_tracking: bool, session_replay: bool) -> Recorder:
    """Return the recorder for the methods of an agent.

    Args:
        name: the name of the class, for methods that are called without an object.
        cost_tracking: as for `instrument_agent`.
        session_replay: as for `instrument_agent`.
    """

    def open_span(tracer: ExecutionTracer, arguments: Arguments) -> OpenSpan:
        shown = {key: value for key, value in arguments.items() if key != "self"}
        span = tracer.span("agent", _own_name(arguments) or name, inputs=shown)
        if cost_tracking:
            span.totals = Counter()
        if session_replay and "self" in arguments:
            span.session_id = _session_of(arguments["self"], tracer)
        return span

    def output(span: OpenSpan, arguments: Arguments, result: Any) -> None:
        span.set_output({"result": result})
        if session_replay and "self" in arguments:
            attributes = getattr(arguments["self"], "__dict__", {})
            state = {key: value for key, value in attributes.items() if not key.startswith("_")}
            _emit("state_change", component="agent", component_name=span.name, outputs=state)

    return Recorder(open_span, output)


_sessions: dict[int, str] = {}
_numbers = itertools.count(1)


def _session_of(owner: Any, tracer: ExecutionTracer) -> str | None:
    """Return the session of an object. It is forgotten with the object."""
    session = _sessions.get(id(owner))
    if session is None:
        try:
            weakref.finalize(owner, _sessions.pop, id(owner), None)
        except TypeError:  # an object without room for weak references
            return None
        session = _sessions[id(owner)] = f"{tracer.execution_id}-{next(_numbers)}"
    return session


def _span(component: str, name: str, **fields: Any) -> OpenSpan | switch.OffSpan:
    tracer = switch.ACTIVE
    return switch.OFF_SPAN if tracer is None else tracer.span(component, name, **fields)


def _emit(event_type: str, **fields: Any) -> EventId:
    tracer = switch.ACTIVE
    return EventId("" if tracer is None else tracer.emit(event_type, **fields) or "")
