"""Tools of frameworks that are followed for their tools only: what each tool runs, by its class.

A tool of agno, camel, dspy, haystack or llama-index is told where its class calls it, for the framework tells nobody.
Calls of those of AutoGen, Semantic Kernel and Strands stand in spans of OpenTelemetry; what they run is learned when
one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, NamedTuple

from namel3ss_debug.capture import beneath
from namel3ss_debug.capture.frameworks.reading import made_before, read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.spans import is_in_tool
from namel3ss_debug.capture.tools import runs_as


class _Runs(NamedTuple):
    """What a tool runs.

    Attributes:
        name: the name that a model knows.
        functions: the functions, the user's among them; `None` is none.
        given_in: the parameter of these that takes all arguments at once, where it is so.
    """

    name: str
    functions: tuple[Any, ...]
    given_in: str = ""


class _Class(NamedTuple):
    """A class of tools.

    Attributes:
        name: what it is called in its module.
        runs: what a tool of it runs; `None` where it is none of the user's.
        made: the methods that make one.
        called: the methods that call one, where nothing else tells of that; awaited, if the last of them is.
        given: what it is called with by name, of the tool and the keywords.
        result: what the tool returned, of what these methods return.
    """

    name: str
    runs: Callable[[Any], _Runs | None]
    made: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    given: Callable[[Any, dict[str, Any]], Mapping[str, Any]] = lambda _tool, keywords: keywords
    result: Callable[[Any], Any] = lambda returned: returned


def _of_dspy(tool: Any) -> _Runs | None:
    # ReAct ends by a tool of its own
    is_own = tool.name == "finish" and str(getattr(tool.func, "__module__", "")).startswith("dspy.")
    return None if is_own else _Runs(tool.name, (tool.func,))


def _of_haystack(tool: Any) -> _Runs:
    component = getattr(tool, "_component", None)
    run = [getattr(component, method, None) for method in ("run", "run_async")]
    return _Runs(tool.name, (tool.function, getattr(tool, "async_function", None), *run))


def _of_llama_index(tool: Any) -> _Runs:
    return _Runs(tool.metadata.get_name(), (getattr(tool, "real_fn", None), tool.fn, tool.async_fn))


def _of_autogen(tool: Any) -> _Runs:
    function = getattr(tool, "_func", None)
    if function is not None:
        return _Runs(tool.name, (function,))
    return _Runs(tool.name, (type(tool).run,), given_in="args")


_CLASSES = {
    "agno.tools.function": _Class(
        "FunctionCall",
        lambda call: _Runs(call.function.name, (call.function.entrypoint,)),
        called=("execute", "aexecute"),
        given=lambda call, _keywords: call.arguments or {},
        result=lambda outcome: outcome.result,
    ),
    "autogen_core.tools._base": _Class("BaseTool", _of_autogen, made=("__init__",)),
    "camel.toolkits.function_tool": _Class(
        "FunctionTool",
        lambda tool: _Runs(tool.openai_tool_schema["function"]["name"], (tool.func,)),
        called=("__call__", "async_call"),
    ),
    "dspy.adapters.types.tool": _Class("Tool", _of_dspy, called=("__call__", "acall")),
    "haystack.tools.tool": _Class("Tool", _of_haystack, called=("invoke", "invoke_async")),
    "llama_index.core.tools.function_tool": _Class(
        "FunctionTool",
        _of_llama_index,
        called=("call", "acall"),
        given=lambda tool, keywords: {key: keywords[key] for key in keywords if key != tool.ctx_param_name},
        result=lambda output: output.raw_output,
    ),
    "semantic_kernel.functions.kernel_function_from_method": _Class(
        "KernelFunctionFromMethod",
        lambda tool: _Runs(tool.fully_qualified_name, (tool.method,)),
        made=("__init__", "function_copy"),
    ),
    "strands.tools.decorator": _Class(
        "DecoratedFunctionTool",
        lambda tool: _Runs(tool.tool_name, (tool._tool_func,)),  # noqa: SLF001  (it tells nobody)
        made=("__init__",),
    ),
}
"""By the module that has it."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Learn what the tools of a class run, and tell of their calls where nothing else does.

    Raises:
        AttributeError: the module has not what is followed there.
    """
    known = _CLASSES[module.__name__]
    kind = getattr(module, known.name)
    undo = [
        replace(kind, name, partial(_making, structure=structure, known=known))
        for name in known.made
        if hasattr(kind, name)
    ]
    for tool in made_before(kind) if known.made else ():
        read(structure, _learn, known, tool)
    for name in known.called:
        follows = _awaiting if iscoroutinefunction(getattr(kind, name)) else _calling
        undo.append(replace(kind, name, partial(follows, structure=structure, known=known)))
    return undo


def _learn(known: _Class, tool: Any) -> str | None:
    """Learn what a tool runs; its name, `None` of one that is none of the user's."""
    runs = known.runs(tool)
    if runs is None:
        return None
    runs_as(runs.name, *runs.functions, given_in=runs.given_in)
    return runs.name


def _making(original: Callable[..., Any], structure: Structure, known: _Class) -> Callable[..., Any]:
    def make(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            made = original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        read(structure, _learn, known, self if made is None else made)
        return made

    return make


def _calling(original: Callable[..., Any], structure: Structure, known: _Class) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        key = read(structure, _begin, structure, known, self, args, kwargs)
        try:
            returned = original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_tool(key, error=error)
            raise
        read(structure, _end, structure, known, key, returned)
        return returned

    return call


def _awaiting(original: Callable[..., Any], structure: Structure, known: _Class) -> Callable[..., Any]:
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        key = read(structure, _begin, structure, known, self, args, kwargs)
        try:
            returned = await original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_tool(key, error=error)
            raise
        read(structure, _end, structure, known, key, returned)
        return returned

    return call


def _begin(
    structure: Structure, known: _Class, tool: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> object:
    """A tool is called: the key of the call; None where it is known already. Positional arguments have no names."""
    name = _learn(known, tool)
    if name is None or _is_told(name):
        return None
    key = object()
    arguments = None if args else dict(known.given(tool, keywords))
    call_id = getattr(tool, "call_id", None)
    # the scope is the module, as where spans of OpenTelemetry tell of a tool
    scope = {"scope": type(tool).__module__}
    structure.begin_tool(key, name, arguments, call_id=call_id, metadata=scope)
    return key


def _is_told(name: str) -> bool:
    """Whether this call is recorded or announced already, by an instrumentation or by another method of the tool."""
    return is_in_tool(name) or beneath.about_to_run({name}) is not None


def _end(structure: Structure, known: _Class, key: object, returned: Any) -> None:
    """The tool has returned; some frameworks say in the result that it failed."""
    if key is not None:
        failure = getattr(returned, "error", None)
        if isinstance(failure, str):
            structure.failed(key, "error", failure)
        structure.end_tool(key, known.result(returned))
