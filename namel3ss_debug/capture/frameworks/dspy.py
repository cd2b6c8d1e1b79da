"""Modules of DSPy, as it reports them to callbacks, which the settings return together with those of the program.

The outermost module is a chain, or an agent if it decides on its own which tools it calls. A module inside another one
is a step with the name of the attribute that has it. The module that asks the model of an agent begins a turn of it.
Model calls without a request, which DSPy answers from its cache or in the process, are recorded here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, read_safely

_AGENTS = {
    "CodeAct": "codeact",
    "RLM": "generate_action",
    "ReAct": "react",
    "ReActV2": "react",
}
"""Class of agents -> its attribute with the module that asks the model what to do next."""

_CALLBACKS = "dspy.utils.callback"
"""The module that calls the callbacks."""


class _Call:
    """A call of a module.

    Attributes:
        instance: the module.
        parent: the call that it is part of, if a module called it.
        asks: the attribute of an agent with the module that begins its turns.
        name: the name of its span.
        turn: the id of the turn of an agent, while there is one.
        turns: the number of turns so far.
    """

    def __init__(self, instance: Any, parent: _Call | None) -> None:
        self.instance = instance
        bases = [base.__name__ for base in type(instance).__mro__]
        self.asks = next((_AGENTS[base] for base in bases if base in _AGENTS), None)
        attribute = None if parent is None else _find_attribute(parent.instance, instance)
        self.name = attribute or type(instance).__name__
        self.turn: Hashable = None
        self.turns = 0
        self.begins_turn = parent is not None and attribute is not None and attribute == parent.asks
        # The module in which a chain of thought asks the model.
        is_inner = (
            attribute == "predict" and type(getattr(parent, "instance", None)).__name__ == "ChainOfThought"
        )
        self.is_shown = not self.begins_turn and not is_inner


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Let the settings return our callback after those of the program, which may set them anew at any time.

    A call of a module gets no frame of ours, because DSPy looks for the program's frame in the stack when it warns.

    Args:
        module: `dspy.dsp.utils.settings`.
        structure: receives the reports.

    Raises:
        AttributeError: the module lacks the class of the settings.
    """
    callback = _Callback(structure)

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def get(self: Any, key: str, default: Any = None) -> Any:
            value = original(self, key, default)
            if key != "callbacks" or not isinstance(value, list):
                return value
            caller = sys._getframe(1).f_globals.get("__name__")  # noqa: SLF001  (the program gets its own list)
            return [*value, callback] if caller == _CALLBACKS else value

        return get

    return [replace(module.Settings, "get", make)]


class _Callback:
    """Reports to a `Structure` what DSPy reports to its callbacks; has the interface of `dspy.utils.callback.BaseCallback`."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._calls: dict[str, _Call] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return a handler that does nothing, for what is not recorded."""
        if not name.startswith("on_"):
            raise AttributeError(name)
        return _ignore

    def __deepcopy__(self, _memo: Any) -> _Callback:
        """Return itself: copies of programs and settings report to the same structure."""
        return self

    def on_module_start(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        """Record the beginning of a module."""
        read_safely(self._structure, self._begin, call_id, instance, inputs)

    def _begin(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        structure, parent = self._structure, self._calls.get(_current_call() or "")
        self._calls[call_id] = call = _Call(instance, parent)
        if parent is not None and call.begins_turn:
            self._end_turn(parent)
            parent.turn, parent.turns = object(), parent.turns + 1
            metadata = {"turn": parent.turns}
            structure.begin(parent.turn, "agent", parent.name, prefix="agent_turn", metadata=metadata)
        elif parent is not None and parent.turn is not None:
            self._end_turn(parent)  # the agent puts its answer together
        if call.is_shown:
            all_inputs = dict(inputs.get("kwargs") or ()) | (
                {"args": inputs["args"]} if inputs.get("args") else {}
            )
            component = "chain" if call.asks is None else "agent"
            prefix = "chain_step" if parent is not None and call.asks is None else None
            metadata = {"class": type(instance).__name__}
            structure.begin(
                call_id, component, call.name, prefix=prefix, inputs=all_inputs, metadata=metadata
            )

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Record the end of a module."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            self._end_turn(call, exception)
        self._end(call_id, outputs, exception)

    def _end_turn(self, call: _Call, error: BaseException | None = None) -> None:
        if call.turn is not None:
            self._structure.end(call.turn, error=error)
            call.turn = None

    def on_lm_start(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        """Announce a model call."""
        model = getattr(instance, "model", None)
        self._structure.begin_model(call_id, model, inputs=lambda: _format_request(model, inputs))

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Record a model call that no seam has recorded."""
        if not self._structure.is_recorded(call_id):
            answer = None if exception else read_safely(self._structure, _format_answer, outputs)
            self._structure.end_model(call_id, answer, exception)

    def _begin_other(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        """Record the beginning of an evaluation, or of a compilation by an optimizer."""
        self._structure.begin(call_id, "chain", type(instance).__name__, inputs=inputs)

    def on_interpreter_execute_start(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        """Record that code which a model wrote begins to run."""
        self._structure.begin(call_id, "chain", type(instance).__name__, prefix="chain_step", inputs=inputs)

    def _end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._structure.end(call_id, read_safely(self._structure, _read_prediction, outputs), exception)

    on_evaluate_start = on_compile_start = _begin_other
    on_evaluate_end = on_compile_end = on_interpreter_execute_end = _end


def _ignore(**_report: Any) -> None:
    """Do nothing."""


def _current_call() -> str | None:
    """Return DSPy's id of the call that the running code is inside; DSPy carries it into its threads."""
    variable = getattr(sys.modules.get(_CALLBACKS), "ACTIVE_CALL_ID", None)
    return None if variable is None else variable.get()


def _find_attribute(module: Any, inner: Any) -> str | None:
    """Return the name of the attribute in which a module has another one, alone or in a list or dict."""
    for name, value in vars(module).items():
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
