"""Tools of frameworks of which only the tools are followed: the functions of each tool, by its class.

A tool of agno, camel, dspy, haystack or llama-index is recorded where its class calls it, because the framework does
not report it. Agent Framework, AutoGen, Semantic Kernel and Strands report the calls of their tools as spans of
OpenTelemetry; the functions are registered when a tool is created.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import isasyncgen, isasyncgenfunction, isgenerator, isgeneratorfunction, unwrap
from types import FrameType
from typing import Any, NamedTuple

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.core.tracer import is_in_tool
from namel3ss_debug.capture.frameworks.structure import (
    Structure,
    find_existing_tools,
    observe,
    observe_creation,
    read_safely,
    run_async_in_span,
    run_in_span,
)
from namel3ss_debug.capture.seams.functions.tools import register_functions


class _ToolFunctions(NamedTuple):
    """The functions of a tool.

    Attributes:
        name: the name that a model knows.
        functions: the functions, the user's among them; a `None` among them is ignored.
        arguments_in: the parameter that takes all arguments at once, if there is one.
        is_requested: whether only a request of the model shows that a call of the functions is a tool call.
    """

    name: str
    functions: tuple[Any, ...]
    arguments_in: str = ""
    is_requested: bool = False


class _ToolClass(NamedTuple):
    """A class of tools.

    Attributes:
        name: its name in its module.
        functions_of: returns the functions of a tool; `None` if the tool is not the user's.
        created_by: the methods that create a tool.
        called_by: the methods that call a tool, if nothing else reports its calls.
        arguments_of: returns the arguments by name from the tool and the keyword arguments.
        result_of: returns the result of the tool from what these methods return.
        is_streamed: returns whether the tool works while its result, a generator, is iterated.
    """

    name: str
    functions_of: Callable[[Any], _ToolFunctions | None]
    created_by: tuple[str, ...] = ()
    called_by: tuple[str, ...] = ()
    arguments_of: Callable[[Any, dict[str, Any]], Mapping[str, Any]] = lambda _tool, keywords: keywords
    result_of: Callable[[Any], Any] = lambda returned: returned
    is_streamed: Callable[[Any], bool] = lambda _tool: False


class _StreamedCall(NamedTuple):
    """A call of a tool that has yet to be iterated.

    Attributes:
        tool: the tool.
        begin: records its beginning, as `Structure.begin_tool` does.
    """

    tool: Any
    begin: Callable[..., None]


def _dspy_functions(tool: Any) -> _ToolFunctions | None:
    # ReAct ends with a tool of its own.
    is_internal = tool.name == "finish" and str(getattr(tool.func, "__module__", "")).startswith("dspy.")
    return None if is_internal else _ToolFunctions(tool.name, (tool.func,))


def _haystack_functions(tool: Any) -> _ToolFunctions:
    component = getattr(tool, "_component", None)
    run = [getattr(component, method, None) for method in ("run", "run_async")]
    return _ToolFunctions(tool.name, (tool.function, getattr(tool, "async_function", None), *run))


def _llama_index_functions(tool: Any) -> _ToolFunctions:
    return _ToolFunctions(tool.metadata.get_name(), (getattr(tool, "real_fn", None), tool.fn, tool.async_fn))


def _is_generator(call: Any) -> bool:
    function = unwrap(call.function.entrypoint)  # agno wraps it, to validate the arguments
    return isgeneratorfunction(function) or isasyncgenfunction(function)


def _autogen_functions(tool: Any) -> _ToolFunctions:
    function = getattr(tool, "_func", None)
    if function is not None:
        return _ToolFunctions(tool.name, (function,))
    return _ToolFunctions(tool.name, (type(tool).run,), arguments_in="args")


_CLASSES = {
    "agno.tools.function": _ToolClass(
        "FunctionCall",
        lambda call: _ToolFunctions(call.function.name, (call.function.entrypoint,)),
        called_by=("execute", "aexecute"),
        arguments_of=lambda call, _keywords: call.arguments or {},
        result_of=lambda outcome: outcome.result,
        is_streamed=_is_generator,
    ),
    "agent_framework._tools": _ToolClass(
        "FunctionTool", lambda tool: _ToolFunctions(tool.name, (tool.func,)), created_by=("__init__",)
    ),
    "autogen_core.tools._base": _ToolClass("BaseTool", _autogen_functions, created_by=("__init__",)),
    "camel.toolkits.function_tool": _ToolClass(
        "FunctionTool",
        lambda tool: _ToolFunctions(tool.openai_tool_schema["function"]["name"], (tool.func,)),
        called_by=("__call__", "async_call"),
    ),
    "dspy.adapters.types.tool": _ToolClass("Tool", _dspy_functions, called_by=("__call__", "acall")),
    "haystack.tools.tool": _ToolClass("Tool", _haystack_functions, called_by=("invoke", "invoke_async")),
    "llama_index.core.tools.function_tool": _ToolClass(
        "FunctionTool",
        _llama_index_functions,
        called_by=("call", "acall"),
        arguments_of=lambda tool, keywords: {
            key: keywords[key] for key in keywords if key != tool.ctx_param_name
        },
        result_of=lambda output: output.raw_output,
    ),
    # Its model has one tool, `bash`, which each environment runs by `execute`, whatever the agent is.
    "minisweagent.agents.default": _ToolClass(
        "DefaultAgent",
        lambda agent: _ToolFunctions("bash", (type(agent.env).execute,), is_requested=True),
        created_by=("__init__",),
    ),
    "semantic_kernel.functions.kernel_function_from_method": _ToolClass(
        "KernelFunctionFromMethod",
        lambda tool: _ToolFunctions(tool.fully_qualified_name, (tool.method,)),
        created_by=("__init__", "function_copy"),
    ),
    "strands.tools.decorator": _ToolClass(
        "DecoratedFunctionTool",
        lambda tool: _ToolFunctions(tool.tool_name, (tool._tool_func,)),  # nothing public shows it
        created_by=("__init__",),
    ),
}
"""Module -> the class of tools in it."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Register the functions of the tools of a class, and record their calls if nothing else does.

    Raises:
        AttributeError: the module lacks the class or a method that is followed.
    """
    tool_class = _CLASSES[module.__name__]
    kind, learn = getattr(module, tool_class.name), partial(_learn, tool_class)
    undo = [
        replace(kind, name, lambda original: observe_creation(original, structure, learn))
        for name in tool_class.created_by
        if hasattr(kind, name)
    ]
    for tool in find_existing_tools(kind) if tool_class.created_by else ():
        read_safely(structure, learn, tool)
    begin, end = partial(_begin, structure, tool_class), partial(_end, structure, tool_class)

    def fail(key: object, error: BaseException) -> None:
        if isinstance(key, _StreamedCall):
            streamed, key = key, object()
            streamed.begin(key)
        structure.end_tool(key, error=error)

    undo += [
        replace(kind, name, lambda original: observe(original, structure, begin, end, fail))
        for name in tool_class.called_by
        if name == tool_class.called_by[0] or hasattr(kind, name)  # earlier versions have no second one
    ]
    return undo


def _learn(tool_class: _ToolClass, tool: Any) -> str | None:
    """Register the functions of a tool, and return its name; `None` if the tool is not the user's."""
    functions = tool_class.functions_of(tool)
    if functions is None:
        return None
    register_functions(
        functions.name,
        *functions.functions,
        arguments_in=functions.arguments_in,
        is_requested=functions.is_requested,
    )
    return functions.name


def _begin(structure: Structure, tool_class: _ToolClass, tool: Any, *args: Any, **keywords: Any) -> object:
    """Begin to record a call, and return its key; `None` if it is known already.

    Positional arguments are left out, because they have no names.
    """
    name = _learn(tool_class, tool)
    # An instrumentation or another method of the tool may have recorded or announced this call.
    if name is None or is_in_tool(name) or announced.find_announced({name}) is not None:
        return None
    key = object()
    arguments = None if args else dict(tool_class.arguments_of(tool, keywords))
    call_id = getattr(tool, "call_id", None)
    # The scope is the module, as for tools in spans of OpenTelemetry.
    scope = {"scope": type(tool).__module__}
    begin = partial(structure.begin_tool, name=name, arguments=arguments, call_id=call_id, metadata=scope)
    if tool_class.is_streamed(tool):
        return _StreamedCall(tool, begin)
    begin(key)
    return key


def _end(structure: Structure, tool_class: _ToolClass, key: object, returned: Any) -> None:
    """Record the result of a tool. Some frameworks report a failure in the result."""
    if isinstance(key, _StreamedCall):
        result = tool_class.result_of(returned)
        if _is_followed(result):  # by another method of the tool
            return
        followed = _follow_stream(structure, key, result)
        if followed is not None:
            # agno takes it from either object
            returned.result = key.tool.result = followed
            return
        begin, key = key.begin, object()
        begin(key)
    if key is not None:
        failure = getattr(returned, "error", None)
        if isinstance(failure, str):
            structure.mark_failed(key, "error", failure)
        structure.end_tool(key, tool_class.result_of(returned))


def _follow_stream(structure: Structure, call: _StreamedCall, result: Any) -> Any:
    """Return a generator like the result of a tool, inside whose span it is iterated; `None` if it is none."""
    texts: list[str] = []

    def note(item: Any) -> None:
        # An event for the consumer may be a part of the result of the member that works.
        text = getattr(item, "content", None) if type(item).__name__ == "RunContentEvent" else item
        if isinstance(text, str):
            texts.append(text)

    def begin(key: object, frame: FrameType) -> None:
        call.begin(key, frame=frame)

    def end(key: object, error: BaseException | None) -> None:
        structure.end_tool(key, "".join(texts), error)

    if isgenerator(result):
        return run_in_span(result, begin, end, note)
    return run_async_in_span(result, begin, end, note) if isasyncgen(result) else None


def _is_followed(result: Any) -> bool:
    code = getattr(result, "gi_code", None) or getattr(result, "ag_code", None)
    return code in {run_in_span.__code__, run_async_in_span.__code__}
