"""The structure that agent frameworks tell of themselves: agents, turns, chains, graph nodes, hand-offs, guardrails, memory.

`SEAMS` names the module whose import tells that a framework is used, and what is done then: the seam is given the
module and a `Structure`, puts an observer where the framework has a public place for one, and returns what takes it
away again. It replaces nothing of the framework. A seam that fails costs structure, never the run, and one line says
so.

What the framework tells goes to its `Structure`, under the framework's own ids, from whatever thread or task:

    begin(id, component, name, parent=id, ...)    an agent, a turn (`prefix="agent_turn"`), a chain, a step of one
    end(id, outputs, error)                       (`prefix="chain_step"`), a guardrail (`validation`)
    skip(id, parent)                              what is no step of its own, so that its children find theirs
    begin_model, end_model                        a model call: recorded only if no request of it is seen on the wire
    begin_tool, end_tool                          a tool: once, by the function seam where that sees the user's function
    tell("agent_message", ...)                    a single event: a hand-off, a memory operation

A parent need not be told where the framework's own context variables, threads and tasks are Python's: ours go with
them. An observer that the framework has no way to take away is left in it, and does nothing any more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from namel3ss_debug.capture.calls import ToolCalls
from namel3ss_debug.capture.frameworks import tasks
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, when_imported
from namel3ss_debug.capture.tracer import ExecutionTracer


class Seam(NamedTuple):
    """How a framework is followed.

    Attributes:
        framework: the distribution, as it is called where it is installed.
        module: the module of this package with a function `follow(module, structure) -> list[Undo]`.
    """

    framework: str
    module: str


SEAMS: dict[str, Seam] = {
    "agno.tools.function": Seam("agno", "tool_classes"),
    "autogen_core.tools._base": Seam("autogen-core", "tool_classes"),
    "camel.toolkits.function_tool": Seam("camel-ai", "tool_classes"),
    "dspy.adapters.types.tool": Seam("dspy", "tool_classes"),
    "haystack.tools.tool": Seam("haystack-ai", "tool_classes"),
    "llama_index.core.tools.function_tool": Seam("llama-index-core", "tool_classes"),
    "semantic_kernel.functions.kernel_function_from_method": Seam("semantic-kernel", "tool_classes"),
    "strands.tools.decorator": Seam("strands-agents", "tool_classes"),
    "langchain_core.tracers.context": Seam("langchain-core", "langchain"),
    "agents.tool": Seam("openai-agents", "openai_agents"),
    "agents.tracing.provider": Seam("openai-agents", "openai_agents"),
    "crewai.events.event_bus": Seam("crewai", "crewai"),
    "crewai.utilities.events.crewai_event_bus": Seam("crewai", "crewai"),
    "crewai.tools.base_tool": Seam("crewai", "crewai"),
    "google.adk.tools.base_tool": Seam("google-adk", "google_adk"),
    "google.adk.tools.function_tool": Seam("google-adk", "google_adk"),
    "litellm": Seam("litellm", "litellm"),
    "opentelemetry.trace": Seam("opentelemetry-api", "opentelemetry"),
    "opentelemetry.sdk.trace": Seam("opentelemetry-api", "opentelemetry"),
    "pydantic_ai.agent": Seam("pydantic-ai-slim", "pydantic_ai"),
    "pydantic_ai.toolsets.function": Seam("pydantic-ai-slim", "pydantic_ai"),
    "pydantic_ai.models.test": Seam("pydantic-ai-slim", "pydantic_ai"),
    "pydantic_ai.models.function": Seam("pydantic-ai-slim", "pydantic_ai"),
    "smolagents.agents": Seam("smolagents", "smolagents"),
    "smolagents.models": Seam("smolagents", "smolagents"),
    "smolagents.tools": Seam("smolagents", "smolagents"),
}
"""Module whose import sets it going -> the seam."""


def install(tracer: ExecutionTracer, calls: ToolCalls) -> Undo:
    """Follow each framework from when the program imports it; the result lets go of all of them.

    Args:
        tracer: where the spans go.
        calls: the tool calls that models asked for.
    """
    structures = {each.framework: Structure(tracer, calls, each.framework) for each in SEAMS.values()}
    patches: dict[str, Callable[[Any], list[Undo]]] = {
        name: functools.partial(_follow, seam=seam, structure=structures[seam.framework])
        for name, seam in SEAMS.items()
    }
    let_go = when_imported(patches, tracer.problem)

    def undo() -> None:
        let_go()
        tasks.stop()

    return undo


def _follow(module: Any, *, seam: Seam, structure: Structure) -> list[Undo]:
    try:
        ours = import_module(f"{__name__}.{seam.module}")
        undo: list[Undo] = ours.follow(module, structure)
    except Exception as error:
        structure.tracer.problem(
            f"{seam.framework}{_version(seam.framework)} is not followed, only its traffic: {error}"
        )
        return []
    return undo


def _version(distribution: str) -> str:
    from importlib import metadata  # noqa: PLC0415  (it is slow to import, and only here is it needed)

    try:
        return f" {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return ""
