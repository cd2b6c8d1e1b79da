"""Read trajectories in ATIF 1.0 to 1.7 (Harbor): an agent's steps, each of which is one call of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers import own_fields
from namel3ss_debug.importers.conversation import AgentSession, Draft, finish, make_answer
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import read_message
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_cost, parse_time, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient, parts
from namel3ss_debug.wire.conventions import FURTHER_COUNTS

_USAGE: Final = {
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "cache_read_tokens": ("cached_tokens",),
}
_FURTHER: Final = {name: (name,) for name in ("cache_write_tokens", "reasoning_tokens", *FURTHER_COUNTS)}
_READ: Final = frozenset(
    {
        *("step_id", "timestamp", "source", "message", "model_name", "reasoning_content", "tool_calls", "observation"),
        *("metrics", "is_copied_context", "llm_call_count", "extra"),
    }
)  # fmt: skip


def sniff(head: bytes) -> bool:
    """Return whether a trajectory with its version is near the beginning."""
    return b"ATIF-" in head and any(
        next(_trajectories(value), None) is not None for value in peek_objects(head)
    )


def _trajectories(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the trajectories in a document: itself, those that it embeds, or those under names of the user's."""
    if str(value.get("schema_version")).startswith("ATIF-"):
        yield dict(value)
    for each in value.values():
        for inner in [each] if isinstance(each, dict) else lenient.sequence(each):
            if isinstance(inner, dict) and str(inner.get("schema_version")).startswith("ATIF-"):
                yield inner


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all trajectories in the files."""
    spans: list[Draft] = []
    agents: dict[str, Draft] = {}  # by the id of the session or trajectory
    started: dict[str, str] = {}  # the same -> the span of the call that started it
    for path in files:
        for document in read_documents(path, problems, consumed):
            for trajectory in _trajectories(document):
                agent = _read_trajectory(trajectory, spans, started, len(agents))
                for name in ("trajectory_id", "session_id"):
                    if isinstance(trajectory.get(name), str):
                        agents.setdefault(trajectory[name], agent)
    for trajectory_id, span_id in started.items():
        if trajectory_id in agents:
            agents[trajectory_id]["parent_id"] = span_id
        else:
            problems.left_out["subagents whose trajectory is not in the file"] += 1
    yield from make_trace({"format": "atif"}, finish(spans))


def _read_trajectory(
    trajectory: dict[str, Any], spans: list[Draft], started: dict[str, str], number: int
) -> Draft:
    agent = lenient.mapping(trajectory.get("agent"))
    session_id = lenient.string(trajectory.get("session_id"))
    span_id = f"agent:{number}"
    known = {"steps", "agent", "session_id", "schema_version", "subagent_trajectories"}
    conversation = AgentSession(
        spans,
        lenient.string(agent.get("name")) or "agent",
        span_id,
        session_id=session_id,
        metadata=rest_of({**trajectory, **agent}, known | {"name", "model_name"}),
    )
    counted = False
    steps = lenient.mappings(trajectory.get("steps"))
    for place, step in enumerate(steps):
        at = parse_time(step.get("timestamp"))
        source, text = step.get("source"), step.get("message")
        message = read_message(
            {"role": "assistant" if source == "agent" else source or "user", "content": text}
        )
        if source == "user" and not step.get("is_copied_context"):
            shown = "\n".join(parts.select_texts(message["parts"]))
            conversation.prompt(shown, message, at)
        elif source != "agent" or step.get("is_copied_context"):
            conversation.read(message, at)
        else:
            model = lenient.string(step.get("model_name")) or lenient.string(agent.get("model_name"))
            counted |= _read_step(conversation, step, message, model, f"{span_id}.{place}", at)
        _read_observation(conversation, step, f"{span_id}.{place}", started)
        # Some agents (Terminus) have one result for all calls of a step, which names none of them.
        if "observation" in step or place < len(steps) - 1:
            for call_id, tool in conversation.tools.items():
                if tool["is_open"]:
                    conversation.result(call_id, None, is_read=False)
    final = lenient.mapping(trajectory.get("final_metrics"))
    if not counted:  # the steps state nothing, only the whole does
        names = {"input_tokens": ("total_prompt_tokens",), "output_tokens": ("total_completion_tokens",)}
        conversation.span |= {
            "usage": read_usage(final, names),
            "cost": parse_cost(final.get("total_cost_usd")),
        }
    return conversation.span


def _read_step(
    conversation: AgentSession,
    step: dict[str, Any],
    message: parts.Part,
    model: str | None,
    span_id: str,
    at: float | None,
) -> bool:
    """Take a step of the agent; return whether it states tokens or a cost."""
    metrics = lenient.mapping(step.get("metrics"))
    calls = lenient.mappings(step.get("tool_calls"))
    usage, cost = read_usage(metrics, _USAGE), parse_cost(metrics.get("cost_usd"))
    usage |= read_usage(lenient.mapping(metrics.get("extra")), _FURTHER)
    if step.get("llm_call_count") != 0:  # 1.7: the agent acted without its model
        answer = make_answer(
            message,
            reasoning=lenient.string(step.get("reasoning_content")),
            tool_calls=[
                parts.make_call(call.get("tool_call_id"), call.get("function_name"), call.get("arguments"))
                for call in calls
            ],
            usage=usage,
            cost=cost,
        )
        extra = lenient.mapping(step.get("extra"))
        is_ours = bool(own_fields.select(extra))
        rest = {
            name: value
            for name, value in own_fields.others(extra).items()
            if not (is_ours and name == "error")
        }
        draft = conversation.answer(
            span_id,
            model,
            answer,
            at,
            metadata=rest_of({**rest_of(step, _READ).get("source", {}), **rest}, ()),
        )
        if is_ours:
            _restore(draft, extra)
    for number, call in enumerate(calls):
        call_id = call.get("tool_call_id")
        conversation.call(_call_id(call_id, span_id, number), str(call.get("function_name") or ""), call.get("arguments"), at,
                          shown_id=lenient.string(call_id))  # fmt: skip
    return bool(usage) or cost is not None


def _restore(draft: Draft, extra: Mapping[str, Any]) -> None:
    """Complete the call of a model by what our own export has of it."""
    error = lenient.string(extra.get("error"))
    failure = None if error is None else SpanError(None, error)
    facts = own_fields.restore(SpanFacts(**draft, failure=failure), extra)
    names = ("failure", "status", "is_open", "metadata", "fields")
    draft |= {name: getattr(facts, name) for name in names}


def _call_id(call_id: object, span_id: str, number: int) -> str:
    """Return an id that is unique in the trace, as those of some agents are not."""
    return f"{span_id} {call_id if isinstance(call_id, str) else number}"


def _read_observation(
    conversation: AgentSession, step: dict[str, Any], span_id: str, started: dict[str, str]
) -> None:
    observation = lenient.mapping(step.get("observation"))
    for result in lenient.mappings(observation.get("results")):
        call_id = _call_id(result.get("source_call_id"), span_id, 0)
        content = result.get("content")
        if call_id in conversation.tools:
            conversation.result(call_id, content)
            for reference in lenient.mappings(result.get("subagent_trajectory_ref")):
                for name in ("trajectory_id", "session_id"):
                    if isinstance(reference.get(name), str):
                        started[reference[name]] = conversation.tools[call_id]["span_id"]
                        break
        elif content is not None:
            conversation.read(read_message({"role": "user", "content": content}))
