"""The structure that agent frameworks report: agents, turns, chains, graph nodes, hand-offs, guardrails, memory.

`SEAMS` names the modules whose import shows that a framework is used, and the seam for each. The seam gets the module
and a `Structure`, installs an observer where the framework has a public place for one, and returns the functions that
remove it. If a seam fails, the structure is missing, the program runs all the same, and one line reports the problem.

What the framework reports goes to its `Structure`, under the framework's own ids, from any thread or task:

    begin(id, component, name, parent=id, ...)    an agent, a turn (`prefix="agent_turn"`), a chain, a step of one
    end(id, outputs, error)                       (`prefix="chain_step"`), a guardrail (`validation`)
    skip(id, parent)                              something that is not a step, so that its children belong to the parent
    enter(id, parent)                             something that goes on inside a span that another task has begun
    begin_model, end_model                        a model call: recorded only if no request of it is seen on the wire
    begin_tool, end_tool                          a tool: recorded only if the seam of the user's function does not see it
    record_event("agent_message", ...)            a single event: a hand-off, a memory operation

The parent may be left out if the framework uses Python's context variables, threads and tasks, because our context
goes with them. An observer that cannot be removed stays in the framework and does nothing.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.capture.seams.functions.tools import FRAMEWORK_PACKAGES

if TYPE_CHECKING:  # imported with the first framework
    from namel3ss_debug.capture.frameworks.structure import Structure


class Seam(NamedTuple):
    """The seam of a framework.

    Attributes:
        framework: the name of the installed distribution.
        module: the module of this package with a function `follow(module, structure) -> list[Undo]`.
    """

    framework: str
    module: str


SEAMS: dict[str, Seam] = {
    "agent_framework._tools": Seam("agent-framework-core", "tool_classes"),
    "agno.agent.agent": Seam("agno", "agno"),
    "agno.team.team": Seam("agno", "agno"),
    "agno.workflow.condition": Seam("agno", "agno"),
    "agno.workflow.loop": Seam("agno", "agno"),
    "agno.workflow.parallel": Seam("agno", "agno"),
    "agno.workflow.router": Seam("agno", "agno"),
    "agno.workflow.step": Seam("agno", "agno"),
    "agno.workflow.steps": Seam("agno", "agno"),
    "agno.workflow.workflow": Seam("agno", "agno"),
    "agno.tools.function": Seam("agno", "tool_classes"),
    "autogen_agentchat.teams._group_chat._base_group_chat": Seam("autogen-agentchat", "autogen"),
    "autogen_core.tools._base": Seam("autogen-core", "tool_classes"),
    "camel.toolkits.function_tool": Seam("camel-ai", "tool_classes"),
    "dspy.adapters.types.tool": Seam("dspy", "tool_classes"),
    "dspy.clients.base_lm": Seam("dspy", "dspy"),
    "dspy.evaluate.evaluate": Seam("dspy", "dspy"),
    "dspy.primitives.module": Seam("dspy", "dspy"),
    "haystack.tools.tool": Seam("haystack-ai", "tool_classes"),
    "haystack.tracing.tracer": Seam("haystack-ai", "haystack"),
    "instructor.core.hooks": Seam("instructor", "instructor"),
    "instructor.v2.core.hooks": Seam("instructor", "instructor"),
    "llama_index.core.tools.function_tool": Seam("llama-index-core", "tool_classes"),
    "minisweagent.agents.default": Seam("mini-swe-agent", "tool_classes"),
    "llama_index_instrumentation": Seam("llama-index-core", "llama_index"),
    "semantic_kernel.functions.kernel_function_from_method": Seam("semantic-kernel", "tool_classes"),
    "strands.tools.decorator": Seam("strands-agents", "tool_classes"),
    "langchain_core.tracers.context": Seam("langchain-core", "langchain"),
    "agents.tool": Seam("openai-agents", "openai_agents"),
    "agents.handoffs": Seam("openai-agents", "openai_agents"),
    "agents.tracing.provider": Seam("openai-agents", "openai_agents"),
    "crewai.events.event_bus": Seam("crewai", "crewai"),
    "crewai.utilities.events.crewai_event_bus": Seam("crewai", "crewai"),
    "crewai.tools.base_tool": Seam("crewai", "crewai"),
    "google.adk.tools.base_tool": Seam("google-adk", "google_adk"),
    "google.adk.tools.function_tool": Seam("google-adk", "google_adk"),
    "inspect_ai._util.module": Seam("inspect-ai", "inspect_ai"),
    "inspect_ai.log._samples": Seam("inspect-ai", "inspect_ai"),
    "inspect_ai.log._transcript": Seam("inspect-ai", "inspect_ai"),
    "inspect_ai.tool._tool": Seam("inspect-ai", "inspect_ai"),
    "inspect_ai.tool._tool_def": Seam("inspect-ai", "inspect_ai"),
    "langfuse._client.client": Seam("langfuse", "langfuse"),
    "langfuse._client.span": Seam("langfuse", "langfuse"),
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
    "uvicorn.protocols.http.h11_impl": Seam("uvicorn", "asgi"),
    "uvicorn.protocols.http.httptools_impl": Seam("uvicorn", "asgi"),
    "uvicorn.protocols.http.zttp_impl": Seam("uvicorn", "asgi"),
    "uvicorn.protocols.http.zttp_h2_impl": Seam("uvicorn", "asgi"),
    "uvicorn.protocols.websockets.websockets_impl": Seam("uvicorn", "asgi"),
    "uvicorn.protocols.websockets.websockets_sansio_impl": Seam("uvicorn", "asgi"),
    "uvicorn.protocols.websockets.wsproto_impl": Seam("uvicorn", "asgi"),
    "hypercorn.app_wrappers": Seam("hypercorn", "asgi"),
    "httpx._transports.asgi": Seam("httpx", "asgi"),
    "httpx2._transports.asgi": Seam("httpx2", "asgi"),
    "starlette.testclient": Seam("starlette", "asgi"),
}
"""Module whose import installs the seam -> the seam."""


def install(tracer: ExecutionTracer, calls: ToolCalls) -> Undo:
    """Follow each framework when the program imports it. The result stops following all of them.

    Args:
        tracer: writes the spans.
        calls: the tool calls that models requested.
    """
    FRAMEWORK_PACKAGES.update(name.partition(".")[0] for name in SEAMS)
    structures: dict[str, Structure] = {}  # made with the first module of a framework

    def follow(module: Any, seam: Seam) -> list[Undo]:
        from namel3ss_debug.capture.frameworks.structure import Structure

        try:
            structure = structures.setdefault(seam.framework, Structure(tracer, calls, seam.framework))
            undo: list[Undo] = import_module(f"{__name__}.{seam.module}").follow(module, structure)
        except Exception as error:
            tracer.problem(
                f"{seam.framework}{_version(seam.framework)} is not followed, only its traffic: {error}"
            )
            return []
        return undo

    patches = {name: functools.partial(follow, seam=seam) for name, seam in SEAMS.items()}
    undo_patches = when_imported(patches, tracer.problem)

    def undo() -> None:
        undo_patches()
        tasks = sys.modules.get(f"{__name__}.tasks")
        if tasks is not None:
            tasks.stop()

    return undo


def _version(distribution: str) -> str:
    from importlib import metadata  # it is slow to import, and needed only here

    try:
        return f" {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return ""
