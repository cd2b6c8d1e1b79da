"""Wrap decorated functions. A wrapper has the parameters of the function, and checks whether tracing is on.

A wrapper with `*args, **kwargs` costs 0.1 to 0.2 us a call on current Pythons. One with the function's own parameters
costs a quarter of that, and has the arguments by name already. So a wrapper is compiled for each function from its
parameter names, as the `decorator` package does. While tracing is off, it is one comparison and the call.
"""

from __future__ import annotations

import functools
import inspect
import keyword
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from namel3ss_debug.capture.core import switch, task_paths
from namel3ss_debug.capture.core.delivery import end_turn, extend_turn
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan, add_metadata
from namel3ss_debug.capture.seams.functions.changed_arguments import PassedArguments
from namel3ss_debug.capture.seams.functions.replies import Reply, take_reply

F = TypeVar("F", bound=Callable[..., Any])

Arguments = dict[str, Any]
"""The arguments of one call by parameter name."""


_NO_CALL = nullcontext()


class Opener(Protocol):
    """Makes the span of one call."""

    def __call__(self, tracer: ExecutionTracer, arguments: Arguments) -> OpenSpan:
        """Return a span for a call with these arguments. It is not open yet."""


class Recorder(NamedTuple):
    """How a wrapper records a call while tracing is on.

    Attributes:
        open: makes the span of a call.
        output: records the returned value in the span.
        is_answered: whether a re-run answers such calls instead of making them.
    """

    open: Opener
    output: Callable[[OpenSpan, Arguments, Any], None]
    is_answered: bool = False


def wrap(function: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """Return a function like `function` whose calls are recorded while tracing is on.

    Works on functions, methods, coroutine functions, generators, async generators, static methods and class methods.
    Any other callable object keeps everything except its call.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(wrap(function.__func__, recorder))
    if _is_kind(function, inspect.isasyncgenfunction):
        wrapper = _wrap_async_generator(function, recorder)
    else:
        call = functools.partial(_choose_runner(function), function, recorder)
        compiled = _compile(function, call) if isinstance(function, FunctionType) else None
        wrapper = _wrap_any_arguments(function, call) if compiled is None else compiled
    return _disguise(function, wrapper, lambda other: wrap(other, recorder))


def _disguise(
    function: Callable[..., Any], wrapper: Callable[..., Any], again: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return the wrapper under the name of its function; for other callable objects, a proxy that calls the wrapper."""
    if isinstance(function, FunctionType):
        return functools.wraps(function)(wrapper)
    # It imports wrapt, which few programs need.
    from namel3ss_debug.capture.seams.functions.callables import CalledOtherwise

    return CalledOtherwise(function, wrapper, again)


def is_used_bare(argument: object) -> bool:
    """Return whether the argument of a decorator is the function itself, and not a name."""
    return callable(argument) or isinstance(argument, staticmethod | classmethod)


def name_of(function: Any) -> str:
    """Return the name of a decorated function, or of the one that a `partial` calls; the class name of other objects."""
    called = _skip_partials(getattr(function, "__func__", function))
    name: str = getattr(called, "__name__", type(called).__name__)
    return name


def _skip_partials(function: Any) -> Any:
    """Return the function that a `partial` calls, or else the function itself."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def enclose(function: F, block: Callable[[], AbstractContextManager[Any]]) -> F:
    """Return a function like `function`, each call of which runs within a block of its own, traced or not.

    The block of a coroutine function, generator or async generator begins and ends with its body.
    """
    if isinstance(function, staticmethod | classmethod):
        return cast("F", type(function)(enclose(function.__func__, block)))

    def call(*args: Any, **kwargs: Any) -> Any:
        with block():
            return function(*args, **kwargs)

    async def run(*args: Any, **kwargs: Any) -> Any:
        with block():
            return await function(*args, **kwargs)

    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with block():
            return (yield from function(*args, **kwargs))

    async def generate_on_loop(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with block():
            generator = function(*args, **kwargs)
            step, value = generator.asend, None
            while True:
                try:
                    item = await step(value)
                except StopAsyncIteration:
                    return
                try:
                    step, value = generator.asend, (yield item)
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:  # the consumer threw it into the generator
                    step, value = generator.athrow, error

    wrapper: Callable[..., Any]
    if _is_kind(function, inspect.isasyncgenfunction):
        wrapper = generate_on_loop
    else:
        runners = {_run_coroutine: run, _run_generator: generate}
        wrapper = runners.get(_choose_runner(function), call)
    return cast("F", _disguise(function, wrapper, lambda other: enclose(other, block)))


def _choose_runner(function: Callable[..., Any]) -> Callable[..., Any]:
    if _is_kind(function, inspect.iscoroutinefunction):
        return _run_coroutine
    if _is_kind(function, inspect.isgeneratorfunction):
        return _run_generator
    return _run_function


def _is_kind(function: Callable[..., Any], kind: Callable[[Any], bool]) -> bool:
    """Return whether a call runs a function of a kind: the function itself, or the `__call__` of an object."""
    called = _skip_partials(function)
    return kind(called) or kind(type(called).__call__)


def _run_function(
    function: Callable[..., Any],
    recorder: Recorder,
    tracer: ExecutionTracer,
    named: Arguments,
    args: tuple[Any, ...],
    kwargs: Arguments,
) -> Any:
    span = _open_span(recorder, tracer, named)
    with task_paths.ToolCallScope(str(span.name)) if recorder.is_answered else _NO_CALL:
        passed = _passed(recorder, tracer, named)
        reply = None if tracer.answers is None else take_reply(tracer, span)
        if reply is not None and reply.answers:
            reply.arguments = passed
            return _answer(span, recorder, named, reply)
        try:
            if reply is not None:
                reply.wait_before()
            result = function(*args, **kwargs)
        except BaseException as error:
            _fail(span, error, passed)
            raise
        _finish(span, recorder, named, result, passed)
        return result


async def _run_coroutine(
    function: Callable[..., Any],
    recorder: Recorder,
    tracer: ExecutionTracer,
    named: Arguments,
    args: tuple[Any, ...],
    kwargs: Arguments,
) -> Any:
    span = _open_span(recorder, tracer, named)
    with task_paths.ToolCallScope(str(span.name)) if recorder.is_answered else _NO_CALL:
        passed = _passed(recorder, tracer, named)
        reply = None if tracer.answers is None else take_reply(tracer, span)
        if reply is not None and reply.answers:
            reply.arguments = passed
            return await _answer_on_loop(span, recorder, named, reply)
        try:
            if reply is not None:
                await reply.wait_before_async()
            result = await function(*args, **kwargs)
        except BaseException as error:
            _fail(span, error, passed)
            raise
        _finish(span, recorder, named, result, passed)
        return result


def _run_generator(
    function: Callable[..., Any],
    recorder: Recorder,
    tracer: ExecutionTracer,
    named: Arguments,
    args: tuple[Any, ...],
    kwargs: Arguments,
) -> Generator[Any, Any, Any]:
    """Drive the generator so that its body runs inside the span, and its consumer outside."""
    span = _open_span(recorder, tracer, named)
    reply = None if tracer.answers is None else take_reply(tracer, span)
    if reply is not None and reply.answers:
        yield from _items(_answer(span, recorder, named, reply, of_items=True))
        return None
    try:
        if reply is not None:
            reply.wait_before()
        generator = function(*args, **kwargs)
    except BaseException as error:
        _fail(span, error)
        raise
    step, value = generator.send, None
    count = 0
    while True:
        try:
            item = step(value)
        except StopIteration as stop:
            _mark_inexact(span)
            _finish(span, recorder, named, {"yielded": count, "returned": stop.value})
            return stop.value
        except BaseException as error:
            _fail(span, error)
            raise
        span.leave()
        count += 1
        try:
            step, value = generator.send, (yield item)
        except GeneratorExit as end:
            span.enter()
            try:
                generator.close()
            except BaseException as error:
                _fail(span, error)
                raise
            _fail(span, end)
            raise
        except BaseException as error:  # the consumer threw it into the generator
            step, value = generator.throw, error
        span.enter()


def _wrap_async_generator(function: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """Drive an async generator as `_run_generator` does. While tracing is off, its span records nothing."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        tracer = switch.ACTIVE
        named = {} if tracer is None else _name_arguments(function, args, kwargs)
        span = switch.OFF_SPAN if tracer is None else _open_span(recorder, tracer, named)
        reply = None if tracer is None or isinstance(span, switch.OffSpan) else take_reply(tracer, span)
        if reply is not None and reply.answers:
            for item in _items(await _answer_on_loop(span, recorder, named, reply, of_items=True)):
                yield item
            return
        try:
            if reply is not None:
                await reply.wait_before_async()
            generator = function(*args, **kwargs)
        except BaseException as error:
            _fail(span, error)
            raise
        step, value = generator.asend, None
        count = 0
        while True:
            try:
                item = await step(value)
            except StopAsyncIteration:
                _mark_inexact(span)
                _finish(span, recorder, named, {"yielded": count})
                return
            except BaseException as error:
                _fail(span, error)
                raise
            span.leave()
            count += 1
            try:
                step, value = generator.asend, (yield item)
            except GeneratorExit as end:
                span.enter()
                try:
                    await generator.aclose()
                except BaseException as error:
                    _fail(span, error)
                    raise
                _fail(span, end)
                raise
            except BaseException as error:  # the consumer threw it into the generator
                step, value = generator.athrow, error
            span.enter()

    return wrapper


def _name_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Arguments) -> Arguments:
    """Return the arguments of a call by parameter name, as far as the signature names them."""
    try:
        return dict(inspect.signature(function).bind_partial(*args, **kwargs).arguments)
    except Exception:  # the program may define `__signature__` itself
        return {f"arg{index}": value for index, value in enumerate(args)} | kwargs


def _open_span(recorder: Recorder, tracer: ExecutionTracer, named: Arguments) -> OpenSpan:
    try:
        return recorder.open(tracer, named).open()
    except Exception as error:
        tracer.problem("the arguments of a call could not be read", error)
        return tracer.span("app").open(enter=False)


def _passed(recorder: Recorder, tracer: ExecutionTracer, named: Arguments) -> PassedArguments | None:
    """Return the arguments of a call that a re-run answers."""
    if not recorder.is_answered:
        return None
    return PassedArguments(tracer, {name: named[name] for name in named if name not in ("self", "cls")})


def _finish(
    span: OpenSpan | switch.OffSpan,
    recorder: Recorder,
    named: Arguments,
    result: Any,
    passed: PassedArguments | None = None,
) -> None:
    """Record the result of a successful call, inside its span, and end the span."""
    if isinstance(span, OpenSpan) and span.is_open:
        if passed is not None:
            passed.record(span)
        try:
            recorder.output(span, named, result)
        except (
            Exception
        ):  # reading the result may run code of the program; the call has succeeded all the same
            span.set(status="completed")
    span.leave()
    span.close()


def _fail(
    span: OpenSpan | switch.OffSpan, error: BaseException, passed: PassedArguments | None = None
) -> None:
    """End the span of a call that has raised."""
    if passed is not None and isinstance(span, OpenSpan) and span.is_open:
        passed.record(span)
    span.leave()
    span.close(error)


def _answer(
    span: OpenSpan | switch.OffSpan,
    recorder: Recorder,
    named: Arguments,
    reply: Reply,
    *,
    of_items: bool = False,
) -> Any:
    """Return the answer of a call that is not made, and end its span."""
    try:
        value = reply.wait()
        extend_turn()
    except BaseException as error:
        _fail(span, error)
        raise
    value = _finish_answered(span, recorder, named, value, of_items=of_items)
    end_turn()
    return value


async def _answer_on_loop(
    span: OpenSpan | switch.OffSpan,
    recorder: Recorder,
    named: Arguments,
    reply: Reply,
    *,
    of_items: bool = False,
) -> Any:
    """Return the answer, as `_answer` does, on an event loop."""
    try:
        value = await reply.wait_async()
    except BaseException as error:
        _fail(span, error)
        raise
    return _finish_answered(span, recorder, named, value, of_items=of_items)


def _finish_answered(
    span: OpenSpan | switch.OffSpan, recorder: Recorder, named: Arguments, value: Any, *, of_items: bool
) -> Any:
    if (
        isinstance(span, OpenSpan)
        and span.component == "llm"
        and isinstance(value, dict)
        and value.keys() == {"text"}
    ):
        value = value["text"]  # a function that returns a text is recorded like this
    _finish(span, recorder, named, {"yielded": len(_items(value))} if of_items else value)
    return value


def _mark_inexact(span: OpenSpan | switch.OffSpan) -> None:
    """Mark the result of a generator that is a tool: only the number of its items is recorded, so it cannot be replayed."""
    if isinstance(span, OpenSpan) and span.component == "tool":
        add_metadata(span, {"inexact": ["generator"]})


def _items(value: Any) -> list[Any]:
    """Return the items that an answered generator yields: those of a list, or else the one value."""
    return value if isinstance(value, list) else [value]


def _wrap_any_arguments(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        tracer = switch.ACTIVE
        if tracer is None:
            return function(*args, **kwargs)
        return call(tracer, _name_arguments(function, args, kwargs), args, kwargs)

    return wrapper


_NAMES_IN_WRAPPERS = frozenset({"ACTIVE", "_f", "_call", "_d"})
_BODIES = {
    _run_function: "def {name}({params}):\n  if ACTIVE is None: return _f({passed})\n  return _call({record})",
    _run_coroutine: (
        "async def {name}({params}):\n  if ACTIVE is None: return await _f({passed})\n  return await _call({record})"
    ),
    _run_generator: (
        "def {name}({params}):\n  return (yield from (_f({passed}) if ACTIVE is None else _call({record})))"
    ),
}


def _compile(function: FunctionType, call: functools.partial[Any]) -> Callable[..., Any] | None:
    """Return a wrapper with the parameters of `function`, or None if their names cannot be written in source code."""
    template = _BODIES.get(call.func)
    code, defaults = function.__code__, function.__defaults__ or ()
    count, end = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    if template is None or not all(
        name.isidentifier() and not keyword.iskeyword(name) and name not in _NAMES_IN_WRAPPERS
        for name in code.co_varnames[: end + 2]
    ):
        return None
    positional, by_keyword, rest = (
        code.co_varnames[:count], code.co_varnames[count:end], iter(code.co_varnames[end:])
    )  # fmt: skip
    more = [next(rest)] if code.co_flags & inspect.CO_VARARGS else []
    stars = ["**" + next(rest)] if code.co_flags & inspect.CO_VARKEYWORDS else []
    values = dict(zip(positional[count - len(defaults) :], defaults, strict=True)) | (
        function.__kwdefaults__ or {}
    )
    index = {name: f"=_d[{number}]" for number, name in enumerate(values)}

    declared = [name + index.get(name, "") for name in positional]
    if code.co_posonlyargcount:
        declared.insert(code.co_posonlyargcount, "/")
    declared += ["*" + "".join(more)] if more or by_keyword else []
    declared += [name + index.get(name, "") for name in by_keyword]
    in_order = [*positional, *("*" + name for name in more)]
    keywords = [f"{name!r}: {name}" for name in by_keyword]
    named = [*(f"{name!r}: {name}" for name in (*positional, *more)), *keywords]
    source = template.format(
        name="wrapper",
        params=", ".join(declared + stars),
        passed=", ".join([*in_order, *(f"{name}={name}" for name in by_keyword), *stars]),
        # The arguments of `_call`: the tracer, the arguments by name, by position and by keyword.
        record=f"ACTIVE, {{{', '.join(named + stars)}}}, ({''.join(name + ', ' for name in in_order)}), {{{', '.join(keywords + stars)}}}",
    )
    # The globals of the wrapper are those of `switch`, so that each call reads ACTIVE there.
    maker = f"def make(_f, _call, _d):\n {source.replace(chr(10), chr(10) + ' ')}\n return wrapper"
    space: dict[str, Any] = {}
    exec(compile(maker, "<namel3ss_debug wrapper>", "exec"), vars(switch), space)  # noqa: S102  (built from identifiers only)
    made: Callable[..., Any] = space["make"](function, call, list(values.values()))
    return made
