"""LlamaIndex: a span handler at its root dispatcher, beside those of the program.

A workflow is a chain, and each of its steps is a step. An agent is a workflow too: its internal steps are not shown,
but the turns that they make, each from a request to the model to the results of the tools. In a workflow of several
agents, each is an agent from its first turn to its hand-off. A query is a chain; retrievers, which read the memory, and
synthesizers are steps. Model calls without a request, of models in the process, are recorded here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.frameworks.structure import Structure, read_safely

_UUID = 37
"""The length of the hyphen and the UUID at the end of a span's id, which begins with the name of its function."""
_MODEL_STEP = "run_agent_step"
_AGENT_STEPS = frozenset(
    {"init_run", "setup_agent", _MODEL_STEP, "parse_agent_output", "call_tool", "aggregate_tool_results"}
)
"""The internal steps of an agent. One of them calls the model."""
_TURN_ENDINGS = frozenset({"AgentInput", "StopEvent"})
"""The results of internal steps that end a turn: the input of the next one, or the result of the agent."""
_MODEL_METHODS = frozenset({"chat", "achat", "complete", "acomplete"})
_MOST_RUNS = 1024
"""How many runs are remembered. The end of a run whose event loop was closed is never reported."""


class _ClassKind(NamedTuple):
    """How the methods of a class are recorded: as a chain, or with the prefix of a step."""

    methods: tuple[str, ...]
    prefix: str | None = None
    reads_memory: bool = False


_KINDS = {
    "BaseQueryEngine": _ClassKind(("query", "aquery")),
    "BaseChatEngine": _ClassKind(("chat", "achat")),
    "IngestionPipeline": _ClassKind(("run", "arun")),
    "BaseRetriever": _ClassKind(("retrieve", "aretrieve"), "chain_step", reads_memory=True),
    "BaseSynthesizer": _ClassKind(("synthesize", "asynthesize"), "chain_step"),
    "BaseNodePostprocessor": _ClassKind(("postprocess_nodes", "apostprocess_nodes"), "chain_step"),
}
"""Name of a base class -> how its subclasses are recorded."""


class _WorkflowRun:
    """A run of one agent, or of a workflow of several.

    Attributes:
        agent: the id of the span of the agent whose turn it is.
        name: its name.
        has_several: whether the agent is one of several in a workflow.
        turn: the id of the turn, while there is one.
        turns: the number of turns so far.
        answer: what the model answered in the turn.
    """

    def __init__(self, key: Hashable, name: str | None) -> None:
        self.agent: Hashable = None if name is None else key
        self.name = name
        self.has_several = name is None
        self.turn: Hashable = None
        self.turns = 0
        self.answer: Any = None


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Add a span handler to the root dispatcher, to which all others pass their spans on.

    Args:
        module: `llama_index_instrumentation`.
        structure: receives the reports.

    Raises:
        AttributeError: the module lacks the dispatcher or the base class of span handlers.
    """
    observer = _DispatcherObserver(structure)

    # Each returns None, so that the base class does not keep the span.
    def begin(_handler: Any, *args: Any, **kwargs: Any) -> None:
        read_safely(structure, observer.begin, *args, **kwargs)

    def end(_handler: Any, *args: Any, **kwargs: Any) -> None:
        read_safely(structure, observer.end, *args, **kwargs)

    methods = {"new_span": begin, "prepare_to_exit_span": end, "prepare_to_drop_span": end}
    base, root = module.span_handlers.BaseSpanHandler, module.root_dispatcher
    handler = type("Namel3ssDebugHandler", (base,), {"__module__": __name__, **methods})()
    root.add_span_handler(handler)

    def remove() -> None:
        root.span_handlers = [each for each in root.span_handlers if each is not handler]

    return [remove]


class _DispatcherObserver:
    """Reports to a `Structure` what the dispatcher reports to its handlers."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._runs: dict[
            str, _WorkflowRun | None
        ] = {}  # by the id of the run; None for a workflow without agents
        self._internal_steps: dict[str, tuple[str, _WorkflowRun]] = {}
        self._models: set[str] = set()

    def begin(
        self,
        id_: str,
        bound_args: Any,
        instance: Any = None,
        parent_span_id: str | None = None,
        **_more: Any,
    ) -> None:
        """Record the beginning of a call."""
        structure, name, arguments = self._structure, _function_name(id_), bound_args.arguments
        kind = _find_kind(instance, name)
        if kind is not None:
            structure.begin(id_, "chain", type(instance).__name__, prefix=kind.prefix, inputs=dict(arguments))
        elif name in _MODEL_METHODS and "BaseLLM" in _base_names(instance):
            if parent_span_id not in self._models:  # one method calls another
                self._models.add(id_)
                model = vars(instance).get("model") or type(instance).__name__
                structure.begin_model(id_, str(model), inputs=lambda: _format_request(str(model), arguments))
        elif name == "run" and "Workflow" in _base_names(instance):
            begin_run = partial(self._begin_run, id_, instance)
            if "init_state" in arguments:  # in the task that runs it
                begin_run(_read_event(arguments["start_event"]))
            else:  # by earlier versions in the task of the program, which goes on outside of it
                started = _read_event(arguments.get("start_event")) or dict(arguments.get("kwargs") or ())
                copy_context().run(begin_run, started)
        elif parent_span_id in self._runs and (instance is None or "Workflow" in _base_names(instance)):
            run = self._runs[parent_span_id]
            event = next((each for each in arguments.values() if "Event" in _base_names(each)), None)
            if run is not None and name in _AGENT_STEPS:
                self._internal_steps[id_] = name, run
                if name == _MODEL_STEP:
                    self._begin_turn(run, parent_span_id, event)
                structure.enter(id_, run.turn or run.agent or parent_span_id)
            else:
                inputs = _read_event(event)
                structure.begin(id_, "chain", name, parent=parent_span_id, prefix="chain_step", inputs=inputs)

    def _begin_run(self, id_: str, workflow: Any, inputs: Mapping[str, Any]) -> None:
        bases = _base_names(workflow)
        name = workflow.name if "BaseWorkflowAgent" in bases else None
        is_agent = name is not None or "AgentWorkflow" in bases
        self._runs[id_] = _WorkflowRun(id_, name) if is_agent else None
        if len(self._runs) > _MOST_RUNS:
            self._runs.pop(next(iter(self._runs)))
        component = "chain" if name is None else "agent"
        self._structure.begin(id_, component, name or type(workflow).__name__, inputs=inputs)

    def _begin_turn(self, run: _WorkflowRun, run_id: Hashable, event: Any) -> None:
        """Begin a turn, and before it the agent, if it is another one of several."""
        structure, name = self._structure, getattr(event, "current_agent_name", None)
        self._end_turn(run)
        if run.has_several and (run.agent is None or name != run.name):
            structure.end(run.agent)
            run.agent, run.name, run.turns = object(), name, 0
            structure.begin(run.agent, "agent", name, parent=run_id)
        run.turn, run.turns = object(), run.turns + 1
        metadata = {"turn": run.turns}
        structure.begin(run.turn, "agent", run.name, parent=run.agent, prefix="agent_turn", metadata=metadata)

    def end(
        self,
        id_: str,
        _bound_args: Any = None,
        instance: Any = None,
        result: Any = None,
        err: BaseException | None = None,
        **_more: Any,
    ) -> None:
        """Record the end of a call."""
        structure, kind = self._structure, _find_kind(instance, _function_name(id_))
        if id_ in self._models:
            self._models.discard(id_)
            if not structure.is_recorded(id_):
                structure.end_model(id_, _format_answer(result), err)
        elif id_ in self._internal_steps:
            name, run = self._internal_steps.pop(id_)
            structure.end(id_)
            if name == _MODEL_STEP:
                run.answer = getattr(getattr(result, "response", None), "content", None)
            if type(result).__name__ in _TURN_ENDINGS or err is not None:
                self._hand_over(run, getattr(result, "current_agent_name", None))
                self._end_turn(run, err)
        elif kind is not None and kind.reads_memory and err is None:
            metadata = {"framework": structure.framework, "operation": "search"}
            structure.record_event(
                "memory_operation",
                parent=id_,
                component="memory",
                component_name="retriever",
                outputs={"documents": result},
                metadata=metadata,
            )
            structure.end(id_)
        else:
            run_ended = self._runs.pop(id_, None)
            if run_ended is not None:
                self._end_turn(run_ended, err)
                if run_ended.has_several:
                    structure.end(run_ended.agent, error=err)
            structure.end(id_, _read_event(result) if "Event" in _base_names(result) else result, err)

    def _hand_over(self, run: _WorkflowRun, receiver: str | None) -> None:
        """Record that the next turn is another agent's."""
        if run.has_several and run.turn is not None and receiver not in {None, run.name}:
            metadata = {
                "framework": self._structure.framework,
                "from": run.name,
                "to": receiver,
                "kind": "handoff",
            }
            self._structure.record_event(
                "agent_message",
                parent=run.turn,
                component="agent",
                component_name=run.name,
                metadata=metadata,
            )

    def _end_turn(self, run: _WorkflowRun, error: BaseException | None = None) -> None:
        if run.turn is not None:
            self._structure.end(run.turn, run.answer, error)
            run.turn = run.answer = None


def _function_name(id_: str) -> str:
    return id_[:-_UUID].rpartition(".")[2]


def _find_kind(instance: Any, method: str) -> _ClassKind | None:
    """Return how a method of an object is recorded, if it is."""
    kinds = (_KINDS.get(name) for name in _base_names(instance))
    return next((kind for kind in kinds if kind is not None and method in kind.methods), None)


def _base_names(value: Any) -> list[str]:
    return [base.__name__ for base in type(value).__mro__]


def _read_event(event: Any) -> dict[str, Any]:
    """Return the fields of an event, and the values that it keeps beside them; its properties may run the program's code."""
    if event is None:
        return {}
    private = getattr(event, "__pydantic_private__", None) or {}
    result = {"result": private["_result"]} if "_result" in private else {}
    return {**vars(event), **private.get("_data", {}), **result}


def _format_request(model: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    messages = arguments.get("messages")
    if messages is None:
        prompt = arguments.get("prompt") or next(iter(arguments.get("args") or ()), None)
        formatted = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
    else:
        formatted = [
            {
                "role": str(getattr(message.role, "value", message.role)),
                "parts": [{"type": "text", "content": message.content}],
            }
            for message in messages
        ]
    return {"model": model, "messages": formatted}


def _format_answer(response: Any) -> dict[str, Any]:
    text = getattr(response, "text", None)
    return {"text": getattr(getattr(response, "message", None), "content", None) if text is None else text}
