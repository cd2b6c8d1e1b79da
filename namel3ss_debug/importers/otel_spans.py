"""Read one span of OpenTelemetry, whatever file it stands in: its attributes, events, status and times."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from namel3ss_debug.importers.langfuse import read_observation
from namel3ss_debug.importers.langsmith import read_run
from namel3ss_debug.importers.values import parse_count, parse_number, parse_time, read_nanoseconds, rest_of
from namel3ss_debug.traces.decoding import component_of
from namel3ss_debug.traces.events import EVENT_TYPES, Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts, read_span
from namel3ss_debug.wire import conventions, lenient, parts
from namel3ss_debug.wire.conventions import Attributes, Meaning

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{16}|[0-9a-fA-F]{32})\Z")
_ERRORS: Final = frozenset({"2", "ERROR", "STATUS_CODE_ERROR"})
_GENERIC: Final = "span"
"""The component of a span that no convention of AI programs knows."""

_BY_NAME: Final = {"agent": "agent", "tool": "tool", "llm": "model", "chain": "chain", "workflow": "chain"}
"""How the name of a span begins, before a dot -> its kind, where no convention of its attributes says it."""

_OUR_STATUSES: Final = frozenset({"completed", "failed", "cancelled", "timeout", "skipped", "partial"})
_PROVIDERS: Final = {theirs: ours for ours, theirs in conventions.PROVIDERS.items()}
_MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_LANGFUSE: Final = "langfuse.observation."
_OBSERVATION: Final = {
    **{name: name for name in ("type", "input", "output", "level")},
    "model.name": "model",
    "model.parameters": "modelParameters",
    "status_message": "statusMessage",
    "usage_details": "usageDetails",
    "cost_details": "costDetails",
}
"""Attributes of Langfuse's SDK, without their beginning -> the field of the API."""

_LANGSMITH: Final = "langsmith.metadata."
KEPT_RESOURCE: Final = (
    "service.name",
    "service.version",
    "openinference.project.name",
    "telemetry.sdk.language",
)
_READ: Final = re.compile(
    r"gen_ai\.|llm\.|embedding\.|input\.|output\.|tool\.|ai\.|openinference\.span|traceloop\.(?:span|entity)|namel3ss\."
    r"|session\.id|otel\.status_|error\.type\Z|thread\.name\Z|langfuse\.observation\.(?!metadata)"
    r"|mlflow\.(?:span|chat|llm|traceRequestId)|code\.(?:file\.path|line\.number)\Z"
)
"""Attributes that the fields of the events have."""


class OtelSpan:
    """A span as files have it, its values read.

    Args:
        name: its name.
        trace_id, span_id, parent_id: its ids, in hexadecimal digits or in base64.
        began, ended: its times; 0 for one that is open.
        attributes: its attributes, plain.
        status: its status: the code and the message.
        events: name, time and plain attributes of each.
        about: what is known besides, such as the attributes of the resource.
        has_remote_parent: whether its parent is known to be of another program.
        per_second: how many units of its times a second has; without it, their size decides.
    """

    def __init__(
        self,
        *,
        name: object,
        trace_id: object,
        span_id: object,
        parent_id: object = None,
        began: object = None,
        ended: object = None,
        attributes: Attributes,
        status: tuple[object, object] = (None, None),
        events: Iterable[tuple[str, object, Attributes]] = (),
        about: Mapping[str, Any] | None = None,
        has_remote_parent: bool = False,
        per_second: float | None = None,
    ) -> None:
        self.name = lenient.string(name) or ""
        self.trace_id, self.span_id, self.parent_id = map(read_id, (trace_id, span_id, parent_id))
        self.began, self.ended = parse_time(began, per_second), parse_time(ended, per_second)
        self._nanoseconds = read_nanoseconds(began, per_second), read_nanoseconds(ended, per_second)
        self._per_second = per_second
        self.attributes = attributes
        self.status = status
        self.events = list(events)
        self.about = about or {}
        self.has_remote_parent = has_remote_parent

    def read(self) -> tuple[SpanFacts, list[Event]]:
        """Return the facts of the span, and the events inside of it that are no part of them."""
        attributes = {**self.attributes, **_read_message_events(self.events)}
        meaning = _interpret(self.name, attributes)
        # Our own export keeps what these SDKs wrote besides, and has the inputs and outputs in the attributes of the conventions.
        theirs = "namel3ss.kind" not in attributes and (
            _read_langfuse(self.name, attributes) or _read_langsmith(self.name, attributes)
        )
        facts = theirs or read_span(meaning, attributes)
        failure, points = self._read_events()
        ours = attributes.get("namel3ss.status")
        source = {name: _load_quoted(value) for name, value in attributes.items() if not _READ.match(name)}
        # Our own export names itself where the trace that it had says nothing of its program.
        is_ours = self.about.get("telemetry.sdk.name") == "namel3ss-debug"
        resource = {name: self.about[name] for name in KEPT_RESOURCE if name in self.about and not is_ours}
        provider = conventions.read_provider(attributes) if facts.kind == "model" else None
        provider = None if provider is None else _PROVIDERS.get(provider, provider)
        thread = lenient.string(attributes.get("thread.name"))
        path, line = attributes.get("code.file.path"), attributes.get("code.line.number")
        facts = replace(
            facts,
            span_id=self.span_id,
            parent_id=self.parent_id or None,
            started=self.began,
            ended=self.ended,
            duration_ms=self._duration_ms(),
            is_open=ours == "open" or (self.ended is None and ours not in _OUR_STATUSES),
            failure=failure,
            status=ours if ours in _OUR_STATUSES else None,
            execution_id=self.trace_id or None,
            metadata=lenient.drop_none({"provider": provider})
            | rest_of({**source, "resource": resource}, ()),
            fields=lenient.drop_none(
                {
                    "call_site": f"{path}:{line}" if path is not None and line is not None else None,
                    "thread": thread if thread != "MainThread" else None,
                    "task": lenient.string(attributes.get("namel3ss.task")),
                    "step_type": lenient.string(attributes.get("namel3ss.step_type")),
                    "retry_count": parse_count(attributes.get("namel3ss.retry_count")),
                }
            ),
        )
        if facts.kind != "model" and "namel3ss.kind" in attributes:
            facts = replace(
                facts, usage=conventions.read_usage(attributes), cost=conventions.read_cost(attributes)
            )
        return facts, points

    def _duration_ms(self) -> float | None:
        if self.began is None or self.ended is None:
            return parse_number(self.attributes.get("namel3ss.duration_ms"))
        began, ended = self._nanoseconds
        if began is not None and ended is not None:  # more exact than seconds since 1970 in a float
            return max((ended - began) / 1e6, 0.0)
        return max(round((self.ended - self.began) * 1e3, 3), 0.0)

    def _read_events(self) -> tuple[SpanError | None, list[Event]]:
        code, message = self.status
        if (
            code is None
        ):  # where OpenTelemetry writes its status for formats that have none, such as those of Jaeger and Zipkin
            code = self.attributes.get("otel.status_code")
        message = message or self.attributes.get("otel.status_description")
        failed = str(code) in _ERRORS
        failure: SpanError | None = None
        if failed:
            kind = lenient.string(self.attributes.get("error.type"))
            failure = SpanError(kind, str(message or self.attributes.get("error.message") or ""))
        points: list[Event] = []
        for number, (name, at, fields) in enumerate(self.events, 1):
            if name == "exception":
                if failed:
                    kind, text, trace = (
                        lenient.string(fields.get(f"exception.{part}"))
                        for part in ("type", "message", "stacktrace")
                    )
                    assert failure is not None
                    failure = SpanError(kind or failure.kind, text or failure.text, trace)
                    continue
                name = "exception_handled"  # noqa: PLW2901
            if name in _MESSAGE_EVENTS or name.startswith("gen_ai.c"):
                continue
            points.append(self._make_point(name, parse_time(at, self._per_second), fields, number))
        return failure, points

    def _make_point(self, name: str, at: float | None, fields: Attributes, number: int) -> Event:
        event: Event = {"event_id": f"{self.span_id}.e{number}", "parent_event_id": self.span_id}
        if at is not None:
            event["timestamp"] = at
        if self.trace_id:
            event["execution_id"] = self.trace_id
        if name in EVENT_TYPES and any(key.startswith("namel3ss.") for key in fields):  # of our own export
            ours = {key.removeprefix("namel3ss."): _load(value) for key, value in fields.items()}
            kept = {
                key: ours[key] for key in ("inputs", "outputs", "metadata") if isinstance(ours.get(key), dict)
            }
            kept |= {"error": ours["error"]} if isinstance(ours.get("error"), str) else {}
            kept |= {"component_name": fields["namel3ss.name"]} if "namel3ss.name" in fields else {}
            component = lenient.string(fields.get("namel3ss.component")) or component_of(name)
            return {**event, "event_type": name, "component": component, **kept}
        if name == "exception_handled":
            kind, text = (
                lenient.string(fields.get("exception.type")),
                lenient.string(fields.get("exception.message")),
            )
            known = lenient.drop_none({"error_type": kind, "error": text})
            return {**event, "event_type": name, "component": "app", **known}
        record = {"level": "info", "message": name, **({"extra": dict(fields)} if fields else {})}
        return {
            **event,
            "event_type": "log_record",
            "component": "log",
            "component_name": name,
            "metadata": record,
        }


def read_id(value: object) -> str:
    """Return an id in hexadecimal digits: OTLP/JSON has them so, JSON of protobuf has base64, other files have numbers."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = value.removeprefix("0x")
    if _HEX.match(text):
        return text.lower()
    if len(text) in (12, 24):
        try:
            return base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            pass
    return text


def _read_langfuse(name: str, attributes: Attributes) -> SpanFacts | None:
    """Return the facts of a span of Langfuse's SDK, from version 3 on: its attributes are the fields of an observation."""
    if _LANGFUSE + "type" not in attributes:
        return None
    fields = {ours: _load(attributes.get(_LANGFUSE + theirs)) for theirs, ours in _OBSERVATION.items()}
    row = {"id": "", "name": name, **fields, "type": str(fields["type"]).upper()}
    return replace(read_observation(row, {}, Problems()), session_id=conventions.read_session_id(attributes))


def _read_langsmith(name: str, attributes: Attributes) -> SpanFacts | None:
    """Return the facts of a span of LangSmith's SDK that exports to OpenTelemetry: it has the fields of a run."""
    kind = attributes.get("langsmith.span.kind")
    if kind is None:
        return None
    metadata = {
        key.removeprefix(_LANGSMITH): _load(value)
        for key, value in attributes.items()
        if key.startswith(_LANGSMITH)
    }
    run = {
        "id": "",
        "run_type": kind,
        "name": attributes.get("langsmith.trace.name", name),
        "extra": {"metadata": metadata},
    }
    return read_run(
        {
            **run,
            "inputs": _load(attributes.get("gen_ai.prompt")),
            "outputs": _load(attributes.get("gen_ai.completion")),
        }
    )


def _interpret(name: str, attributes: Attributes) -> Meaning:
    """Return the kind and the name of a span; also of one that no convention knows."""
    ours = attributes.get("namel3ss.kind")
    meaning = conventions.interpret(name, attributes)
    if isinstance(ours, str) and ours:
        own_name = attributes.get("namel3ss.name", meaning.name if meaning else None)
        return Meaning(ours, lenient.string(own_name))
    if meaning is not None:
        return meaning
    first, _, rest = name.partition(".")
    kind = _BY_NAME.get(first) if rest else None
    if kind is not None and any(conventions.read_usage(attributes).values()):
        kind = "model"  # its name is that of the agent or the step, but it states what a model used
    if kind == "model":
        return Meaning(kind, lenient.string(attributes.get("gen_ai.request.model")) or name)
    keys = {"agent": "gen_ai.agent.name", "tool": "tool.name"}
    return Meaning(kind or _GENERIC, lenient.string(attributes.get(keys.get(kind or "", ""))) or name)


def _read_message_events(events: Iterable[tuple[str, object, Attributes]]) -> dict[str, Any]:
    """Return attributes with the messages that earlier versions of the GenAI conventions put into events."""
    found: dict[str, Any] = {}
    sent: list[parts.Part] = []
    answers: list[parts.Part] = []
    for name, _, fields in events:
        if name == "gen_ai.client.inference.operation.details":
            found |= fields
        elif name in ("gen_ai.content.prompt", "gen_ai.content.completion"):
            found |= {
                key: value for key, value in fields.items() if key in ("gen_ai.prompt", "gen_ai.completion")
            }
        elif name in _MESSAGE_EVENTS:
            sent.append(_decode_message(fields, _MESSAGE_EVENTS[name]))
        elif name == "gen_ai.choice":
            body = _load(fields.get("message"))
            message = _decode_message(body if isinstance(body, dict) else fields, "assistant")
            reason = lenient.string(fields.get("finish_reason"))
            answers.append(message if reason is None else {**message, "finish_reason": reason})
    if sent:
        found["gen_ai.input.messages"] = sent
    if answers:
        found["gen_ai.output.messages"] = answers
    return found


def _decode_message(fields: Mapping[str, Any], role: str) -> parts.Part:
    content = _load(fields.get("content", fields.get("gen_ai.event.content")))
    if isinstance(content, dict) and "content" in content:
        return _decode_message(content, role)
    role = lenient.string(fields.get("role")) or role
    text = (
        content if isinstance(content, str) else None if content is None else orjson.dumps(content).decode()
    )
    if role == "tool":
        call_id = lenient.string(fields.get("id"))
        return parts.make_message("tool", [parts.make("tool_call_response", id=call_id, response=content)])
    calls = []
    for call in lenient.mappings(_load(fields.get("tool_calls"))):
        function = lenient.mapping(call.get("function")) or call
        arguments = lenient.load_arguments(function.get("arguments"))
        calls.append(parts.make_call_part(parts.make_call(call.get("id"), function.get("name"), arguments)))
    return parts.make_message(role, [*([parts.make_text(text)] if text else []), *calls])


def _load_quoted(value: Any) -> Any:
    """Return the object, the list or the quoted text of an attribute that is a text of JSON; any other as it is."""
    return _load(value) if isinstance(value, str) and value[:1] in ("{", "[", '"') else value


def _load(value: Any) -> Any:
    """Return the value of a text of JSON; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value
