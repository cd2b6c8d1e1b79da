"""Decorated functions: a wrapper with the signature of the function itself, that looks whether tracing is on.

A wrapper of `*args, **kwargs` costs 0.1 to 0.2 us a call on current Pythons; one with the very parameters of the
function costs a quarter of that and hands over the arguments by name for nothing. So the wrapper is compiled
for each function from its parameter names, as the `decorator` package does. Off, it is one comparison and the call.
"""

from __future__ import annotations

import functools
import inspect
import keyword
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from types import CodeType, FunctionType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from namel3ss_debug.capture import switch
from namel3ss_debug.capture.delivery import hold, see_off
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.replies import Reply, take_reply
from namel3ss_debug.capture.results import add_metadata
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer

F = TypeVar("F", bound=Callable[..., Any])

Arguments = dict[str, Any]
"""The arguments of one call by parameter name."""


_NO_CALL = nullcontext()


class Opener(Protocol):
    """Makes the span of one call."""

    def __call__(self, tracer: ExecutionTracer, arguments: Arguments) -> Span:
        """A span that is not open yet, for a call with these arguments."""


class Recorder(NamedTuple):
    """What a wrapper does with a call while tracing is on.

    Attributes:
        open: makes the span of a call.
        output: puts what a call returned into its span.
        is_answered: whether a re-run answers such calls in place of making them.
    """

    open: Opener
    output: Callable[[Span, Arguments, Any], None]
    is_answered: bool = False


def wrap(function: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """A function like `function` whose calls are recorded while tracing is on.

    Works on functions, methods, coroutine functions, generators, async generators, and on what `staticmethod` and
    `classmethod` made; any other callable object stays what it is, apart from its calls.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(wrap(function.__func__, recorder))
    return _in_place_of(function, _wrapper(function, recorder), lambda other: wrap(other, recorder))


def _wrapper(function: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    if _runs_as(function, inspect.isasyncgenfunction):
        return _async_generator(function, recorder)
    call = functools.partial(_runner(function), function, recorder)
    wrapper = _compile(function, call) if isinstance(function, FunctionType) else None
    return _taking_anything(function, call) if wrapper is None else wrapper


def _in_place_of(
    function: Callable[..., Any], wrapper: Callable[..., Any], again: Callable[[Any], Any]
) -> Callable[..., Any]:
    """The wrapper of a function under its name; of another callable object something that is only called otherwise."""
    if isinstance(function, FunctionType):
        return functools.wraps(function)(wrapper)
    from namel3ss_debug.capture.callables import CalledOtherwise  # noqa: PLC0415  (only here is it needed)

    return CalledOtherwise(function, wrapper, again)


def is_used_bare(given: object) -> bool:
    """Whether what a decorator is given is the function itself, and no name."""
    return callable(given) or isinstance(given, staticmethod | classmethod)


def name_of(function: Any) -> str:
    """The name of a decorated function, or of the one that a `partial` calls; of another callable that of its class."""
    called = _called(getattr(function, "__func__", function))
    name: str = getattr(called, "__name__", type(called).__name__)
    return name


def _called(function: Any) -> Any:
    """What a `partial` calls, or else the function itself."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def enclose(function: F, block: Callable[[], AbstractContextManager[Any]]) -> F:
    """A function like `function`, each call of which runs within a block of its own, whether tracing is on or not.

    The block of a coroutine function, generator or async generator begins with its body, and ends with it.
    """
    if isinstance(function, staticmethod | classmethod):
        return cast("F", type(function)(enclose(function.__func__, block)))
    wrapper = _enclosed(function, block)
    return cast("F", _in_place_of(function, wrapper, lambda other: enclose(other, block)))


def _enclosed(
    function: Callable[..., Any], block: Callable[[], AbstractContextManager[Any]]
) -> Callable[..., Any]:
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
                except BaseException as error:  # thrown in by the consumer: the generator shall see it
                    step, value = generator.athrow, error

    if _runs_as(function, inspect.isasyncgenfunction):
        return generate_on_loop
    return {_run_coroutine: run, _run_generator: generate}.get(_runner(function), call)


def _runner(function: Callable[..., Any]) -> Callable[..., Any]:
    if _runs_as(function, inspect.iscoroutinefunction):
        return _run_coroutine
    if _runs_as(function, inspect.isgeneratorfunction):
        return _run_generator
    return _run_function


def _runs_as(function: Callable[..., Any], kind: Callable[[Any], bool]) -> bool:
    """Whether a call runs a function of a kind: the function itself, or the `__call__` of an object."""
    called = _called(function)
    return kind(called) or kind(type(called).__call__)


def _run_function(
    function: Callable[..., Any],
    recorder: Recorder,
    tracer: ExecutionTracer,
    named: Arguments,
    args: tuple[Any, ...],
    kwargs: Arguments,
) -> Any:
    span = _opened(recorder, tracer, named)
    with lineage.Call(str(span.name)) if recorder.is_answered else _NO_CALL:
        reply = None if tracer.answers is None else take_reply(tracer, span)
        if reply is not None and reply.answers:
            return _answer(span, recorder, named, reply)
        try:
            if reply is not None:
                reply.before()
            result = function(*args, **kwargs)
        except BaseException as error:
            _fail(span, error)
            raise
        _finish(span, recorder, named, result)
        return result


async def _run_coroutine(
    function: Callable[..., Any],
    recorder: Recorder,
    tracer: ExecutionTracer,
    named: Arguments,
    args: tuple[Any, ...],
    kwargs: Arguments,
) -> Any:
    span = _opened(recorder, tracer, named)
    with lineage.Call(str(span.name)) if recorder.is_answered else _NO_CALL:
        reply = None if tracer.answers is None else take_reply(tracer, span)
        if reply is not None and reply.answers:
            return await _answer_on_loop(span, recorder, named, reply)
        try:
            if reply is not None:
                await reply.before_on_loop()
            result = await function(*args, **kwargs)
        except BaseException as error:
            _fail(span, error)
            raise
        _finish(span, recorder, named, result)
        return result


def _run_generator(
    function: Callable[..., Any],
    recorder: Recorder,
    tracer: ExecutionTracer,
    named: Arguments,
    args: tuple[Any, ...],
    kwargs: Arguments,
) -> Generator[Any, Any, Any]:
    """Drive the generator so that its body runs inside the span, and its consumer outside of it."""
    span = _opened(recorder, tracer, named)
    reply = None if tracer.answers is None else take_reply(tracer, span)
    if reply is not None and reply.answers:
        yield from _items(_answer(span, recorder, named, reply, of_items=True))
        return None
    try:
        if reply is not None:
            reply.before()
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
            _say_that_it_yielded(span)
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
        except BaseException as error:  # thrown in by the consumer: the generator shall see it
            step, value = generator.throw, error
        span.enter()


def _async_generator(function: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """The same for an async generator; off, it passes everything through a span that records nothing."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        tracer = switch.ACTIVE
        named = {} if tracer is None else _named(function, args, kwargs)
        span = switch.OFF_SPAN if tracer is None else _opened(recorder, tracer, named)
        reply = None if tracer is None or isinstance(span, switch.OffSpan) else take_reply(tracer, span)
        if reply is not None and reply.answers:
            for item in _items(await _answer_on_loop(span, recorder, named, reply, of_items=True)):
                yield item
            return
        try:
            if reply is not None:
                await reply.before_on_loop()
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
                _say_that_it_yielded(span)
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
            except BaseException as error:  # thrown in by the consumer: the generator shall see it
                step, value = generator.athrow, error
            span.enter()

    return wrapper


def _named(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Arguments) -> Arguments:
    """The arguments of a call by parameter name, as far as the signature tells."""
    try:
        return dict(inspect.signature(function).bind_partial(*args, **kwargs).arguments)
    except Exception:  # a signature may be the program's own
        return {f"arg{index}": value for index, value in enumerate(args)} | kwargs


def _opened(recorder: Recorder, tracer: ExecutionTracer, named: Arguments) -> Span:
    try:
        return recorder.open(tracer, named).open()
    except Exception as error:
        tracer.problem("the arguments of a call could not be read", error)
        return tracer.span("app").open(enter=False)


def _finish(span: Span | switch.OffSpan, recorder: Recorder, named: Arguments, result: Any) -> None:
    """The call has succeeded: hand its result to the recorder, inside the span, and end the span."""
    if isinstance(span, Span) and span.is_open:
        try:
            recorder.output(span, named, result)
        except Exception:  # the result is the program's own: whatever it does, the call has succeeded
            span.set(status="completed")
    span.leave()
    span.close()


def _fail(span: Span | switch.OffSpan, error: BaseException) -> None:
    """The call has raised: end the span by that."""
    span.leave()
    span.close(error)


def _answer(
    span: Span | switch.OffSpan, recorder: Recorder, named: Arguments, reply: Reply, *, of_items: bool = False
) -> Any:
    """End the span of a call that was answered and not made, and give the answer to the program."""
    try:
        value = reply.wait()
        hold()
    except BaseException as error:
        _fail(span, error)
        raise
    answered = _answered(span, recorder, named, value, of_items=of_items)
    see_off()
    return answered


async def _answer_on_loop(
    span: Span | switch.OffSpan, recorder: Recorder, named: Arguments, reply: Reply, *, of_items: bool = False
) -> Any:
    """The same on a loop."""
    try:
        value = await reply.reach()
    except BaseException as error:
        _fail(span, error)
        raise
    return _answered(span, recorder, named, value, of_items=of_items)


def _answered(
    span: Span | switch.OffSpan, recorder: Recorder, named: Arguments, value: Any, *, of_items: bool
) -> Any:
    if (
        isinstance(span, Span)
        and span.component == "llm"
        and isinstance(value, dict)
        and value.keys() == {"text"}
    ):
        value = value["text"]  # a function that returns a text is recorded so
    _finish(span, recorder, named, {"yielded": len(_items(value))} if of_items else value)
    return value


def _say_that_it_yielded(span: Span | switch.OffSpan) -> None:
    """Of a generator that is a tool only the number of its items is recorded, which is no answer that could be given."""
    if isinstance(span, Span) and span.component == "tool":
        add_metadata(span, {"inexact": ["generator"]})


def _items(value: Any) -> list[Any]:
    """What a generator yields that was answered: the items of a list, else the one value."""
    return value if isinstance(value, list) else [value]


def _taking_anything(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        tracer = switch.ACTIVE
        if tracer is None:
            return function(*args, **kwargs)
        return call(tracer, _named(function, args, kwargs), args, kwargs)

    return wrapper


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
    """A wrapper with the parameters of `function`; `None` where their names would not let it be written."""
    template = _BODIES.get(call.func)
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + 2]
    if template is None or not all(_usable(name) for name in names):
        return None
    parameters = _Parameters(code, function.__defaults__ or (), function.__kwdefaults__ or {})
    source = template.format(
        name="wrapper", params=parameters.declared(), passed=parameters.passed(), record=parameters.recorded()
    )
    # the wrapper's globals are those of `switch`, so that ACTIVE is found there at each call
    maker = f"def make(_f, _call, _d):\n {source.replace(chr(10), chr(10) + ' ')}\n return wrapper"
    space: dict[str, Any] = {}
    exec(compile(maker, "<namel3ss_debug wrapper>", "exec"), vars(switch), space)  # noqa: S102  (names only)
    made: Callable[..., Any] = space["make"](function, call, parameters.default_values())
    return made


def _usable(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and name not in {"ACTIVE", "_f", "_call", "_d"}


class _Parameters:
    """The parameters of a function, written three ways."""

    def __init__(self, code: CodeType, defaults: tuple[Any, ...], kwdefaults: dict[str, Any]) -> None:
        count, keywords = code.co_argcount, code.co_kwonlyargcount
        self.positional = code.co_varnames[:count]
        self.keyword_only = code.co_varnames[count : count + keywords]
        self.only_positional = code.co_posonlyargcount
        rest = list(code.co_varnames[count + keywords :])
        self.varargs = rest.pop(0) if code.co_flags & inspect.CO_VARARGS else None
        self.varkw = rest.pop(0) if code.co_flags & inspect.CO_VARKEYWORDS else None
        self.defaults = (
            dict(zip(self.positional[count - len(defaults) :], defaults, strict=True)) | kwdefaults
        )

    def default_values(self) -> list[Any]:
        """The defaults, in the order in which the declaration names them."""
        return list(self.defaults.values())

    def declared(self) -> str:
        """As in `def f(...)`; a default is an item of the list `_d`."""
        index = {name: f"=_d[{place}]" for place, name in enumerate(self.defaults)}
        parts = [name + index.get(name, "") for name in self.positional]
        if self.only_positional:
            parts.insert(self.only_positional, "/")
        if self.varargs:
            parts.append("*" + self.varargs)
        elif self.keyword_only:
            parts.append("*")
        parts += [name + index.get(name, "") for name in self.keyword_only]
        if self.varkw:
            parts.append("**" + self.varkw)
        return ", ".join(parts)

    def passed(self) -> str:
        """As in a call of `f`."""
        parts = list(self.positional)
        if self.varargs:
            parts.append("*" + self.varargs)
        parts += [f"{name}={name}" for name in self.keyword_only]
        if self.varkw:
            parts.append("**" + self.varkw)
        return ", ".join(parts)

    def recorded(self) -> str:
        """The tracer, the arguments by name, then those to pass on by position and by keyword."""
        names = list(self.positional) + ([self.varargs] if self.varargs else []) + list(self.keyword_only)
        named = "".join(f"{name!r}: {name}, " for name in names)
        more = f"**{self.varkw}" if self.varkw else ""
        args = "".join(f"{name}, " for name in self.positional) + (
            f"*{self.varargs}, " if self.varargs else ""
        )
        kwargs = "".join(f"{name!r}: {name}, " for name in self.keyword_only)
        return f"ACTIVE, {{{named}{more}}}, ({args}), {{{kwargs}{more}}}"
