"""Brings labelled runs of others into events: for each run its events, which step each of them is, and the true step.

All these runs are known to have failed, so the span around each ends as failed: it was judged so. What the labels
say, and what the makers of the data wrote into it about them (`fault.injected`), is left out. Steps are counted as the labels count them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

JUDGED = "the outcome was judged wrong"


class Run(NamedTuple):
    """One labelled run.

    Attributes:
        name: the file it came from.
        events: its events.
        steps: the number of an event -> the step it belongs to.
        true_step: the step that the label names.
    """

    name: str
    events: list[dict[str, Any]]
    steps: dict[int, int]
    true_step: int


class _Recording:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.steps: dict[int, int] = {}

    def add(self, event_type: str, at: float, step: int | None, **fields: Any) -> str:
        number = len(self.events) + 1
        event = {
            "event_type": event_type,
            "event_id": str(number),
            "seq": number - 1,
            "timestamp": at,
            "execution_id": "run",
        }
        self.events.append(event | {key: value for key, value in fields.items() if value is not None})
        if step is not None:
            self.steps[number] = step
        return str(number)

    def start(
        self,
        kind: str,
        component: str,
        name: str,
        at: float,
        step: int | None,
        parent: str | None,
        inputs: Any,
    ) -> str:
        return self.add(
            f"{kind}_start", at, step, component=component, component_name=name, parent_event_id=parent, inputs=inputs, status="started"
        )  # fmt: skip

    def end(self, start: str, at: float, step: int | None, outputs: Any = None, **fields: Any) -> None:
        begun = self.events[int(start) - 1]
        kind = begun["event_type"].removesuffix("_start")
        fields = {"status": "completed", "duration_ms": max(at - begun["timestamp"], 0) * 1000} | fields
        self.add(
            f"{kind}_end", at, step, component=begun["component"], component_name=begun["component_name"],
            parent_event_id=start, outputs=outputs, **fields,
        )  # fmt: skip

    def judged(self, root: str, at: float) -> None:
        self.end(root, at, None, status="failed", error=JUDGED, error_type="Judged")


def read(folder: Path) -> list[Run]:
    """The runs in a folder, whichever of the known forms they have, by name."""
    runs = []
    for path in sorted(folder.rglob("*.json")):
        if path.name.endswith(".truth.json"):
            continue
        document = json.loads(path.read_text())
        truth = path.with_name(path.name.replace(".otel.json", ".json").replace(".json", ".truth.json"))
        if "spans" in document:
            runs.append(otel_run(path.name, document, json.loads(truth.read_text())))
        elif "traj" in document:
            runs.append(tau_run(path.name, document, json.loads(truth.read_text())))
        elif "history" in document:
            runs.append(conversation_run(path.name, document))
    return runs


def otel_run(name: str, document: dict[str, Any], truth: dict[str, Any]) -> Run:
    """A run of OpenTelemetry spans of agents and tools."""
    spans = sorted(
        document["spans"], key=lambda span: (span["start_time_unix_ns"], span["parent_span_id"] is not None)
    )
    recording = _Recording()
    top = next(span for span in spans if span["parent_span_id"] is None)
    begun = top["start_time_unix_ns"] / 1e9
    root = recording.start(
        "chain_execution", "chain", top["name"], begun, None, None, {"task": top["attributes"]["task.input"]}
    )
    for span in spans:
        if span is not top:
            _otel_span(recording, span, root)
    recording.judged(root, top["end_time_unix_ns"] / 1e9)
    return Run(name, recording.events, recording.steps, truth["critical_failure_step"])


def _otel_span(recording: _Recording, span: dict[str, Any], root: str) -> None:
    told = span["attributes"]
    step, name = told["experiment.step_index"], told["gen_ai.agent.name"]
    began, ended = span["start_time_unix_ns"] / 1e9, span["end_time_unix_ns"] / 1e9
    failed = span["status"]["status_code"] == "ERROR"
    error = (
        {"status": "failed", "error": told.get("error.message"), "error_type": told.get("error.type")}
        if failed
        else {}
    )
    if told["experiment.operation_type"] == "tool_call":
        inputs = {"arguments": json.loads(told["tool.args_json"])}
        start = recording.start("tool_call", "tool", told["tool.name"], began, step, root, inputs)
        recording.end(start, ended, step, {"result": told["tool.result_json"]}, **error)
        return
    model = told["gen_ai.request.model"]
    said = {"role": "user", "parts": [{"type": "text", "content": told["agent.input_message"]}]}
    outputs: dict[str, Any] = {"text": told["agent.output_message"], "plan": told.get("plan.query_json")}
    if "tool.args_json" in told:
        outputs["tool_calls"] = [{"name": told["tool.name"], "arguments": json.loads(told["tool.args_json"])}]
    agent = recording.start(
        "agent_execution", "agent", name, began, step, root, {"message": told["agent.input_message"]}
    )
    call = recording.start("llm_call", "llm", model, began, step, agent, {"model": model, "messages": [said]})
    recording.end(call, ended, step, outputs)
    recording.end(agent, ended, step, {"message": told["agent.output_message"]}, **error)


def tau_run(name: str, document: dict[str, Any], truth: dict[str, Any]) -> Run:
    """A conversation of a user with an agent that calls tools; a step is a message."""
    recording = _Recording()
    at = 1_700_000_000.0
    root = recording.start("agent_execution", "agent", "assistant", at, None, None, None)
    calls: dict[str, dict[str, Any]] = {}
    read_so_far: list[dict[str, Any]] = []
    for place, message in enumerate(document["traj"]):
        at, step = at + 1, message.get("index", place + 1)
        role = message["role"]
        if role == "assistant":
            _assistant(recording, message, calls, read_so_far, at, step, root)
        elif role == "tool":
            call = calls.get(message["tool_call_id"], {})
            inputs = {"arguments": call.get("arguments"), "call_id": message["tool_call_id"]}
            start = recording.start("tool_call", "tool", message["name"], at, step, root, inputs)
            recording.end(start, at + 0.5, step, {"result": message["content"]})
            part = {
                "type": "tool_call_response",
                "id": message["tool_call_id"],
                "response": message["content"],
            }
            read_so_far.append({"role": "tool", "parts": [part]})
        else:
            said = {"role": role, "parts": [{"type": "text", "content": message["content"]}]}
            read_so_far.append(said)
            recording.add("agent_message", at, step, component="agent", component_name=role, inputs={"message": message["content"]}, parent_event_id=root)  # fmt: skip
    recording.judged(root, at + 1)
    first = truth["root_cause"]["failure_id"]
    true_step = next(
        failure["step_number"] for failure in truth["failures"] if failure["failure_id"] == first
    )
    return Run(name, recording.events, recording.steps, true_step)


def _assistant(
    recording: _Recording,
    message: dict[str, Any],
    calls: dict[str, dict[str, Any]],
    read_so_far: list[dict[str, Any]],
    at: float,
    step: int,
    root: str,
) -> None:
    asked = [
        {
            "id": call["id"],
            "name": call["function"]["name"],
            "arguments": json.loads(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls") or ()
    ]
    calls.update({call["id"]: call for call in asked})
    start = recording.start("llm_call", "llm", "assistant", at, step, root, {"messages": list(read_so_far)})
    recording.end(start, at + 0.5, step, {"text": message.get("content"), "tool_calls": asked or None})
    parts = [{"type": "text", "content": message["content"]}] if message.get("content") else []
    read_so_far.append(
        {"role": "assistant", "parts": parts + [{"type": "tool_call", **call} for call in asked]}
    )


def conversation_run(name: str, document: dict[str, Any]) -> Run:
    """A conversation of several agents; a step is a message, counted from 0."""
    recording = _Recording()
    at = 1_700_000_000.0
    root = recording.start(
        "chain_execution", "chain", "team", at, None, None, {"task": document.get("question")}
    )
    read_so_far: list[dict[str, Any]] = []
    for step, message in enumerate(document["history"]):
        at += 1
        speaker = str(message.get("name") or message.get("role"))
        content = str(message["content"])
        start = recording.start("llm_call", "llm", speaker, at, step, root, {"messages": list(read_so_far)})
        recording.end(start, at + 0.5, step, {"text": content})
        read_so_far.append({"role": "user", "parts": [{"type": "text", "content": content}]})
    recording.judged(root, at + 1)
    return Run(name, recording.events, recording.steps, int(document["mistake_step"]))


def ranked_steps(run: Run, origins: list[dict[str, Any]]) -> Iterator[int]:
    """The steps that the origins name, each once, best first."""
    named: set[int] = set()
    for cause in origins:
        step = run.steps.get(cause["number"])
        if step is not None and step not in named:
            named.add(step)
            yield step
