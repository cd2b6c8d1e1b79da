"""LangChain and LangGraph: a callback handler that `register_configure_hook` adds to the configuration of every run.

The outermost run is a chain, or an agent if it is known as one. A node of a graph and everything else inside is a
step; prompts are prompts. A retriever is a step with a `memory_operation` in it. Runs that LangSmith hides are not
shown. The runs of models are those recorded on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import partial, wraps
from sys import _getframe as frame_at
from sys import modules
from types import FrameType
from typing import Any

from namel3ss_debug.capture.core.failures import control_flow_status
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.seams.functions.tools import register_functions

_HIDDEN = "langsmith:hidden"
_MANAGERS = "langchain_core.callbacks"
_NODE = "langgraph_node"
_AGENT = "lc_agent_name"
_ROLES = {"human": "user", "ai": "assistant"}
_GRAPHS = "langgraph.pregel"
_BRANCHES = "langgraph.graph._branch"
_MOST_FRAMES = 8
_METADATA = (_NODE, "langgraph_step", "langgraph_triggers", _AGENT, "thread_id")
_FUNCTION_ATTRIBUTES = ("func", "coroutine", "_run", "_arun")
"""The attributes of a tool with its code: the functions that it was made of, or the methods of its class."""

_DETAILS = {
    ("input_token_details", "cache_read"): "cache_read_tokens",
    ("input_token_details", "cache_creation"): "cache_write_tokens",
    ("output_token_details", "reasoning"): "reasoning_tokens",
}

_KEPT_FOR = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""The tokens that Anthropic's cache keeps for five minutes, and for an hour."""

_structures: list[Structure] = []
"""The structure to which the handler of this process reports; empty while nothing is traced."""

_installed = False


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Add our handler to every callback manager that is configured from now on.

    Args:
        module: `langchain_core.tracers.context`, which LangChain imports when it first configures one.
        structure: receives the reports.
    """
    global _installed  # langchain has no way to remove a hook
    if not _installed:
        kind = modules["langchain_core.callbacks.base"].BaseCallbackHandler
        handler = type("Namel3ssDebugHandler", (kind,), dict(_CALLBACKS))()
        variable: ContextVar[Any] = ContextVar("namel3ss_debug_langchain", default=handler)
        module.register_configure_hook(variable, inheritable=True)
        _installed = True
    _structures[:] = [structure]
    return [_structures.clear]


_CALLBACKS: dict[str, Any] = {
    "run_inline": True,  # so that what runs next, in the same task, is inside
    "__copy__": lambda self: self,
    "__deepcopy__": lambda self, _memo: self,
}
"""The attributes of the handler's class, which is created when LangChain's base class has been imported."""


def _callback(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function to the handler under these names. It does nothing while nothing is traced."""

    def add(callback: Callable[..., None]) -> Callable[..., None]:
        @wraps(callback)
        def report(_handler: Any, *args: Any, **kwargs: Any) -> None:
            if not _structures:
                return
            structure = _structures[0]
            try:
                callback(structure, *args, **kwargs)
            except Exception as error:
                structure.tracer.problem("what langchain-core reports could not be understood", error)

        _CALLBACKS.update(dict.fromkeys(names, report))
        return callback

    return add


@_callback("on_chain_start")
def _on_chain_start(
    structure: Structure,
    serialized: Any,
    inputs: Any,
    *,
    run_id: Any,
    parent_run_id: Any = None,
    tags: Any = None,
    metadata: Any = None,
    run_type: str | None = None,
    name: str | None = None,
    **_more: Any,
) -> None:
    tags, metadata = tags or (), metadata or {}
    if _HIDDEN in tags:
        structure.skip(run_id, parent_run_id)
        return
    name = name or (serialized or {}).get("name")
    frame = _find_starting_frame()
    kept = {key: metadata[key] for key in _METADATA if metadata.get(key) is not None}
    fields: dict[str, Any] = {"parent": parent_run_id, "frame": frame, "metadata": kept}
    fields["inputs"] = inputs if isinstance(inputs, dict) else {"input": inputs}
    if run_type == "prompt":
        structure.begin(run_id, "prompt", name, **fields)
    elif name and _is_agent(name, metadata, frame):
        structure.begin(run_id, "agent", name, **fields)
    elif structure.parent_of(parent_run_id) is None or _is_graph(frame):
        structure.begin(run_id, "chain", name, **fields)
    else:
        step_type = "condition" if _is_branching(frame) else None
        structure.begin(run_id, "chain", name, prefix="chain_step", step_type=step_type, **fields)


@_callback("on_chain_end")
def _on_chain_end(structure: Structure, outputs: Any, *, run_id: Any, **_more: Any) -> None:
    structure.end(run_id, outputs if isinstance(outputs, dict) else {"output": outputs})


@_callback("on_chain_error", "on_retriever_error")
def _on_error(structure: Structure, error: BaseException, *, run_id: Any, **_more: Any) -> None:
    status = control_flow_status(error)
    if status is None:
        structure.end(run_id, error=error)
    else:  # LangGraph raises it when a node waits for a person, or has sent a command to its parent graph
        structure.end(run_id, {"interrupt": error.args}, status=status)


@_callback("on_tool_start")
def _on_tool_start(
    structure: Structure,
    serialized: Any,
    text: str,
    *,
    run_id: Any,
    parent_run_id: Any = None,
    inputs: Any = None,
    name: str | None = None,
    tool_call_id: str | None = None,
    **_more: Any,
) -> None:
    arguments = inputs if isinstance(inputs, dict) else {"input": text}
    name = name or (serialized or {}).get("name") or "tool"
    frame = _find_starting_frame()
    tool = None if frame is None else frame.f_locals.get("self")
    register_functions(name, *(getattr(tool, attribute, None) for attribute in _FUNCTION_ATTRIBUTES))
    structure.begin_tool(run_id, name, arguments, parent=parent_run_id, call_id=tool_call_id, frame=frame)


@_callback("on_tool_end")
def _on_tool_end(structure: Structure, output: Any, *, run_id: Any, **_more: Any) -> None:
    structure.end_tool(run_id, getattr(output, "content", output))


@_callback("on_tool_error")
def _on_tool_error(structure: Structure, error: BaseException, *, run_id: Any, **_more: Any) -> None:
    structure.end_tool(run_id, error=error)


@_callback("on_retriever_start")
def _on_retriever_start(
    structure: Structure,
    serialized: Any,
    query: str,
    *,
    run_id: Any,
    parent_run_id: Any = None,
    name: str | None = None,
    **_more: Any,
) -> None:
    name = name or (serialized or {}).get("name")
    inputs = {"query": query}
    structure.begin(
        run_id,
        "chain",
        name,
        parent=parent_run_id,
        prefix="chain_step",
        inputs=inputs,
        frame=_find_starting_frame(),
    )


@_callback("on_retriever_end")
def _on_retriever_end(structure: Structure, documents: Any, *, run_id: Any, **_more: Any) -> None:
    metadata = {"framework": structure.framework, "operation": "search"}
    outputs = {"documents": documents}
    structure.record_event(
        "memory_operation",
        parent=run_id,
        component="memory",
        component_name="retriever",
        outputs=outputs,
        metadata=metadata,
    )
    structure.end(run_id)


@_callback("on_chat_model_start")
def _on_chat_model_start(
    structure: Structure,
    serialized: Any,
    messages: Any,
    *,
    run_id: Any,
    parent_run_id: Any = None,
    **more: Any,
) -> None:
    conversation = tuple(messages[0] if messages else ())
    _begin_model(
        structure, serialized, partial(map, _format_message, conversation), run_id, parent_run_id, more
    )


@_callback("on_llm_start")
def _on_llm_start(
    structure: Structure,
    serialized: Any,
    prompts: Any,
    *,
    run_id: Any,
    parent_run_id: Any = None,
    **more: Any,
) -> None:
    texts = tuple(prompts)
    _begin_model(structure, serialized, partial(map, _format_prompt, texts), run_id, parent_run_id, more)


def _begin_model(
    structure: Structure,
    serialized: Any,
    format_messages: Callable[[], Iterable[dict[str, Any]]],
    run_id: Any,
    parent: Any,
    more: Mapping[str, Any],
) -> None:
    params = more.get("invocation_params") or {}
    known = (more.get("metadata") or {}).get("ls_model_name")
    model = known or params.get("model") or params.get("model_name") or (serialized or {}).get("name")

    def inputs() -> dict[str, Any]:
        return {"model": model, "messages": list(format_messages())}

    structure.begin_model(run_id, model, parent=parent, inputs=inputs, frame=_find_starting_frame())


def _format_prompt(text: str) -> dict[str, Any]:
    """Return a prompt as a message of an event."""
    return {"role": "user", "parts": [{"type": "text", "content": text}]}


def _format_message(message: Any) -> dict[str, Any]:
    """Return a message as a message of an event."""
    role = _ROLES.get(message.type, message.type)
    calls = [
        {"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": call["args"]}
        for call in getattr(message, "tool_calls", None) or ()
    ]
    content = message.content
    if message.type == "tool":
        return {
            "role": role,
            "parts": [{"type": "tool_call_response", "id": message.tool_call_id, "response": content}],
        }
    text = [{"type": "text", "content": content}] if isinstance(content, str) and content else []
    return {"role": role, "parts": [*text, *calls] if isinstance(content, str) else [*content, *calls]}


@_callback("on_llm_end")
def _on_llm_end(structure: Structure, result: Any, *, run_id: Any, **_more: Any) -> None:
    if structure.is_recorded(run_id):
        return
    generation = result.generations[0][0] if result.generations and result.generations[0] else None
    message = getattr(generation, "message", None)
    outputs: dict[str, Any] = {"text": getattr(generation, "text", None)}
    calls = getattr(message, "tool_calls", None)
    if calls:
        outputs["tool_calls"] = [
            {"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in calls
        ]
    structure.end_model(run_id, outputs, usage=_usage(getattr(message, "usage_metadata", None) or {}))


def _usage(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens of a call; none if its answer came from a cache, which LangChain marks with a cost of 0."""
    if metadata.get("total_cost") == 0:
        return {}
    usage = {name: metadata[name] for name in ("input_tokens", "output_tokens") if name in metadata}
    for (group, detail), field in _DETAILS.items():
        if detail in (metadata.get(group) or {}):
            usage[field] = metadata[group][detail]
    short, long = ((metadata.get("input_token_details") or {}).get(name) or 0 for name in _KEPT_FOR)
    if short or long:  # then LangChain reports the sum of both as 0
        usage |= {"cache_write_tokens": short + long, "cache_write_1h_tokens": long}
    return usage


@_callback("on_llm_error")
def _on_llm_error(structure: Structure, error: BaseException, *, run_id: Any, **_more: Any) -> None:
    structure.end_model(run_id, error=error)


def _find_starting_frame() -> FrameType | None:
    """Return the frame that begins a run: the one that called LangChain's callback managers."""
    frame: FrameType | None = frame_at(1)
    in_managers = False
    while frame is not None:
        is_manager = str(frame.f_globals.get("__name__")).startswith(_MANAGERS)
        if in_managers and not is_manager:
            return frame
        in_managers = in_managers or is_manager
        frame = frame.f_back
    return None


def _is_branching(frame: FrameType | None) -> bool:
    """Return whether a frame runs the function that chooses the next node in LangGraph."""
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == _BRANCHES:
            return True
        frame = frame.f_back
    return False


def _is_agent(name: str, metadata: Mapping[str, Any], frame: FrameType | None) -> bool:
    """Return whether a run with this name is an agent's.

    The metadata of the runs inside an agent contain its name too.

    If the run got the configuration of another agent's run, only the graph itself still has its own name.
    """
    is_graph = _is_graph(frame)
    if metadata.get(_AGENT) == name:
        return is_graph or metadata.get(_NODE) != name
    if frame is None or not is_graph or _AGENT not in metadata:
        return False
    own = getattr(frame.f_locals.get("self"), "config", None) or {}
    return bool((own.get("metadata") or {}).get(_AGENT) == name)


def _is_graph(frame: FrameType | None) -> bool:
    """Return whether a frame runs a whole graph of LangGraph, and not a node of one."""
    return frame is not None and str(frame.f_globals.get("__name__")).startswith(_GRAPHS)
