"""OpenAI responses: writes an answer as a response object or as the events of a stream.

The order of events is that of the API: created, in progress, then for each output item added, its parts
and deltas, done; at the end the whole response.
"""

from __future__ import annotations

from namel3ss_debug.wire import lenient, openai_shared, sse
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import find_custom_input, find_tool

_STATUSES = {"completed", "failed", "cancelled", "incomplete"}
_CALLS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
"""Tool calls by type: the events for their input, and the field that holds it."""

_ECHOED: Json = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of the request that a response repeats, with their values where the request does not set them."""


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """The answer as a response object."""
    asked = {name: request[name] for name in _ECHOED if request.get(name) is not None}
    finish = answer.finish_reason or "completed"
    status = finish if finish in _STATUSES else "incomplete"
    counts = {"cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0}
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": status,
        "completed_at": created if status == "completed" else None,
        "error": {"code": "server_error", "message": ""} if status == "failed" else None,
        "incomplete_details": {"reason": finish} if status != finish else None,
        "model": answer.response_model or request.get("model") or "",
        "output": _items(answer, request, response_id),
        "usage": openai_shared.encode_usage(counts | answer.usage, "input", "output"),
        **_ECHOED,
        **asked,
    }


def _items(answer: Answer, request: Json, response_id: str) -> list[Json]:
    """The output items: reasoning, a message where there is text or a refusal, tool calls."""
    items: list[Json] = []
    if answer.reasoning is not None:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"id": f"rs_{response_id}", "type": "reasoning", "summary": summary})
    content: list[Json] = []
    if answer.text is not None:
        content.append({"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text})
    if answer.refusal is not None:
        content.append({"type": "refusal", "refusal": answer.refusal})
    if content:
        message = {"id": f"msg_{response_id}", "type": "message", "status": "completed", "role": "assistant"}
        items.append(message | {"content": content})
    for place, call in enumerate(answer.tool_calls):
        named = {"call_id": call.get("id") or f"call_{response_id}_{place}", "name": call.get("name") or ""}
        grouped = lenient.string(find_tool(call.get("name"), request).get("namespace"))
        named |= {} if grouped is None else {"namespace": grouped}
        given = find_custom_input(call, request)
        if given is None:
            item = {
                "id": f"fc_{response_id}_{place}",
                "type": "function_call",
                "status": "completed",
                **named,
            }
            items.append(item | {"arguments": lenient.dump_arguments(call.get("arguments"))})
        else:
            item = {"id": f"ctc_{response_id}_{place}", "type": "custom_tool_call", **named}
            items.append(item | {"input": given})
    return items


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as the events of a stream, numbered in their order."""
    whole = encode_response(answer, request, response_id=response_id, created=created)
    begun = whole | {
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    last = whole["status"] if whole["status"] in ("failed", "incomplete") else "completed"
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(whole["output"]):
        events += [event | {"output_index": index} for event in _item_events(item)]
    events.append({"type": f"response.{last}", "response": whole})
    return [
        sse.encode(event | {"sequence_number": place}, event["type"]) for place, event in enumerate(events)
    ]


def _item_events(item: Json) -> list[Json]:
    """The events of one output item."""
    here = {"item_id": item["id"]}
    if item["type"] in _CALLS:
        kind, field = _CALLS[item["type"]]
        empty = item | {field: ""} | ({"status": "in_progress"} if "status" in item else {})
        events: list[Json] = [
            {"type": f"{kind}.delta", **here, "delta": piece} for piece in sse.split_text(item[field])
        ]
        events.append({"type": f"{kind}.done", **here, "name": item["name"], field: item[field]})
    elif item["type"] == "reasoning":
        empty = item | {"summary": []}
        text = item["summary"][0]["text"]
        events = _text_events("response.reasoning_summary_text", "text", text, {**here, "summary_index": 0})
        events = _in_part("response.reasoning_summary_part", item["summary"][0], "text", events)
    else:
        empty = item | {"content": [], "status": "in_progress"}
        events = []
        for index, part in enumerate(item["content"]):
            key, kind = (
                ("refusal", "response.refusal") if "refusal" in part else ("text", "response.output_text")
            )
            place = {**here, "content_index": index}
            events += _in_part("response.content_part", part, key, _text_events(kind, key, part[key], place))
    added = {"type": "response.output_item.added", "item": empty}
    return [added, *events, {"type": "response.output_item.done", "item": item}]


def _text_events(kind: str, key: str, text: str, place: Json) -> list[Json]:
    """Deltas of a text and the event that repeats the whole text; those of output text also have `logprobs`."""
    extra: Json = {"logprobs": []} if kind == "response.output_text" else {}
    deltas = [{"type": f"{kind}.delta", **place, "delta": piece, **extra} for piece in sse.split_text(text)]
    return [*deltas, {"type": f"{kind}.done", **place, key: text, **extra}]


def _in_part(kind: str, part: Json, key: str, events: list[Json]) -> list[Json]:
    """The events of a text between those that begin and end its part."""
    place = {
        name: value
        for name, value in events[-1].items()
        if name in ("item_id", "content_index", "summary_index")
    }
    begin = {"type": f"{kind}.added", **place, "part": part | {key: ""}}
    return [begin, *events, {"type": f"{kind}.done", **place, "part": part}]
