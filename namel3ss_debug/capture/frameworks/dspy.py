"""Modules of DSPy: a program is a chain of them, or an agent where one decides on its own which tools it calls.

A module inside another one is a step with the name of the attribute that has it. The module that asks the model of an
agent begins a turn of it. Model calls without a request, which DSPy answers from its cache or in the process, are
recorded here. The methods are followed instead of DSPy's callbacks: with a callback, DSPy takes another path, whose
lines stand in the tracebacks that an agent shows to its model.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar, Token
from functools import partial
from sys import modules
from types import FunctionType
from typing import Any, NamedTuple

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, observe, read_safely

_AGENTS = {
    "CodeAct": "codeact",
    "RLM": "generate_action",
    "ReAct": "react",
    "ReActV2": "react",
}
"""Class of agents -> its attribute with the module that asks the model what to do next."""

_SETTINGS = "dspy.dsp.utils.settings"


class _AgentCall:
    """A call of an agent.

    Attributes:
        agent: the module.
        name: the name of its span.
        asks: the attribute with the module that begins its turns.
        turn: the id of the turn, while there is one.
        turns: the number of turns so far.
        token: restores the call of before this one.
    """

    def __init__(self, agent: Any, name: str, asks: str) -> None:
        self.agent = agent
        self.name = name
        self.asks = asks
        self.turn: Hashable = None
        self.turns = 0
        self.token: Token[_AgentCall | None] | None = None


_agent_call: ContextVar[_AgentCall | None] = ContextVar("namel3ss_debug_dspy", default=None)
"""The innermost call of an agent that the running code is inside."""


class _ModuleCall(NamedTuple):
    """A call of a module: the id of its span, and the call of the agent that the module is, if it is one."""

    key: object
    agent: _AgentCall | None = None


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the calls of modules, evaluations or models, depending on the module.

    Raises:
        AttributeError: the module lacks the class, or one of the methods.
    """
    kind, begin, end = {
        "dspy.primitives.module": ("Module", _begin_module, _end_module),
        "dspy.evaluate.evaluate": ("Evaluate", _begin_evaluation, _end_module),
        "dspy.clients.base_lm": ("BaseLM", _begin_model, _end_model),
    }[module.__name__]
    owner = getattr(module, kind)

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        observed = observe(
            original,
            structure,
            partial(begin, structure),
            lambda state, result: end(structure, state, result, None),
            lambda state, error: end(structure, state, None, error),
        )
        return _as_function_of(module, observed)

    return [replace(owner, method, make) for method in ("__call__", "acall") if method in vars(owner)]


def _as_function_of(module: Any, function: Any) -> Callable[..., Any]:
    """Return a function whose frames pass for those of DSPy, which skips its own when it warns about the program."""
    names = function.__globals__ | {"__name__": module.__name__}
    return FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )


def _begin_module(structure: Structure, module: Any, *args: Any, **kwargs: Any) -> _ModuleCall | None:
    """Record the beginning of a module; return `None` if no span is begun for it."""
    callers = getattr(getattr(modules.get(_SETTINGS), "settings", None), "caller_modules", None)
    parent = callers[-1] if callers else None
    attribute = None if parent is None else _find_attribute(parent, module)
    agent = _agent_call.get()
    if attribute is not None and agent is not None and agent.agent is parent:
        _end_turn(structure, agent)
        if attribute == agent.asks:
            agent.turn, agent.turns = object(), agent.turns + 1
            metadata = {"turn": agent.turns}
            structure.begin(agent.turn, "agent", agent.name, prefix="agent_turn", metadata=metadata)
            return None
    if attribute == "predict" and type(parent).__name__ == "ChainOfThought":
        return None  # the part of it that asks the model
    key, name, kind = object(), attribute or type(module).__name__, type(module)
    asks = next((_AGENTS[base.__name__] for base in kind.__mro__ if base.__name__ in _AGENTS), None)
    component = "chain" if asks is None else "agent"
    prefix = "chain_step" if parent is not None and asks is None else None
    inputs = kwargs | ({"args": args} if args else {})
    structure.begin(key, component, name, prefix=prefix, inputs=inputs, metadata={"class": kind.__name__})
    if asks is None:
        return _ModuleCall(key)
    call = _AgentCall(module, name, asks)
    call.token = _agent_call.set(call)
    return _ModuleCall(key, call)


def _begin_evaluation(structure: Structure, evaluation: Any, *_args: Any, **_kwargs: Any) -> _ModuleCall:
    key = object()
    structure.begin(key, "chain", type(evaluation).__name__)
    return _ModuleCall(key)


def _end_module(
    structure: Structure, call: _ModuleCall | None, result: Any, error: BaseException | None
) -> None:
    if call is None:
        return
    if call.agent is not None:
        _end_turn(structure, call.agent, error)
        if call.agent.token is not None:
            _agent_call.reset(call.agent.token)
    structure.end(call.key, read_safely(structure, _read_prediction, result), error)


def _end_turn(structure: Structure, agent: _AgentCall, error: BaseException | None = None) -> None:
    if agent.turn is not None:
        structure.end(agent.turn, error=error)
        agent.turn = None


def _begin_model(structure: Structure, model: Any, *args: Any, **kwargs: Any) -> object:
    """Announce a model call."""
    key, name = object(), getattr(model, "model", None)
    inputs = {"prompt": args[0] if args else kwargs.get("prompt"), "messages": kwargs.get("messages")}
    structure.begin_model(key, name, inputs=lambda: _format_request(name, inputs))
    return key


def _end_model(structure: Structure, key: object, result: Any, error: BaseException | None) -> None:
    """Record a model call that no seam has recorded."""
    if not structure.is_recorded(key):
        answer = None if error else read_safely(structure, _format_answer, result)
        structure.end_model(key, answer, error)


def _find_attribute(module: Any, inner: Any) -> str | None:
    """Return the name of the attribute in which a module has another one, alone or in a list or dict."""
    attributes: dict[str, Any] = vars(module)
    for name, value in attributes.items():
        if value is inner:
            return name
        items = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
        for key, item in items:
            if item is inner:
                return f"{name}[{key}]"
    return None


def _read_prediction(outputs: Any) -> Any:
    """Return the fields of a prediction as a dict; anything else as it is."""
    fields = vars(outputs).get("_store") if hasattr(outputs, "__dict__") else None
    return fields if isinstance(fields, dict) else outputs


def _format_request(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    messages = inputs.get("messages") or [{"role": "user", "content": inputs.get("prompt")}]
    formatted = [
        {"role": message.get("role"), "parts": _format_content(message.get("content"))}
        for message in messages
        if isinstance(message, Mapping)
    ]
    return {"model": model, "messages": formatted}


def _format_content(content: Any) -> list[Any]:
    return list(content) if isinstance(content, list) else [{"type": "text", "content": content}]


def _format_answer(outputs: Any) -> dict[str, Any]:
    first = outputs[0] if isinstance(outputs, list) and outputs else outputs
    text = first.get("text") if isinstance(first, Mapping) else first
    return {"text": text if isinstance(text, str) else str(text)}
