"""Read and write Ollama's own chat, `POST .../api/chat`; apart from `/api/generate`, its other formats are OpenAI's.

It streams lines of JSON unless the request has `"stream": false`. Ollama's tool calls have no ids.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import framing, lenient, parts
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_function_calls, decode_tools

_REQUEST_KEYS = {"model", "messages", "tools", "stream"}
_MESSAGE_KEYS = {"role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"}
_TEXT_KEYS = ("content", "thinking", "response")


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`."""
    request = lenient.mapping(body)
    messages = parts.decode_messages(lenient.mappings(request.get("messages")), _decode_message)
    return parts.make_request(request, _REQUEST_KEYS, messages, decode_tools(request))


def _decode_message(message: Json) -> parts.Part:
    rest = {name: value for name, value in message.items() if name not in _MESSAGE_KEYS}
    if message.get("role") == "tool":
        response = parts.make(
            "tool_call_response",
            id=lenient.string(message.get("tool_call_id")),
            name=lenient.string(message.get("tool_name")),
            response=message.get("content"),
        )
        return parts.make_message("tool", [response], rest)
    content = decode_content(message) + [
        parts.make_call_part(call) for call in decode_function_calls(message)
    ]
    return parts.make_message(message.get("role"), content, rest)


def decode_content(message: Json) -> list[parts.Part]:
    """Return the parts of a message: its thoughts, its text, its images."""
    content: list[parts.Part] = []
    if thinking := lenient.string(message.get("thinking")):
        content.append(parts.make("reasoning", content=thinking))
    if text := lenient.string(message.get("content")):
        content.append(parts.make_text(text))
    content += [parts.make_blob(image, None, "image") for image in lenient.sequence(message.get("images"))]
    return content


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer, of a chat or of `/api/generate`."""
    response = lenient.mapping(body)
    message = lenient.mapping(response.get("message")) or {
        "content": response.get("response"),
        "thinking": response.get("thinking"),
    }
    calls = decode_function_calls(message)
    thinking = lenient.string(message.get("thinking")) or None
    text = lenient.string(message.get("content"))
    counts = {
        "input_tokens": lenient.count(response.get("prompt_eval_count")),
        "output_tokens": lenient.count(response.get("eval_count")),
    }
    return Answer(
        text=text if text or not (calls or thinking) else None,
        tool_calls=calls,
        finish_reason=lenient.string(response.get("done_reason"))
        or ("stop" if response.get("done") is True else None),
        response_model=lenient.string(response.get("model")),
        usage=lenient.drop_none(counts),
        reasoning=thinking,
    )


# --- the stream


def is_content(event: object) -> bool:
    """Return whether a line contains text, thoughts or a tool call."""
    line = lenient.mapping(event)
    message = lenient.mapping(line.get("message"))
    return any(fields.get(name) for fields in (line, message) for name in (*_TEXT_KEYS, "tool_calls"))


def join_events(events: list[Json]) -> Json:
    """Join the lines of a stream into one response."""
    response: Json = {}
    message: Json = {}
    texts = framing.GrowingTexts()
    for event in events:
        response |= {name: value for name, value in event.items() if name not in ("message", *_TEXT_KEYS)}
        _add_fields(response, {name: event[name] for name in _TEXT_KEYS if name in event}, texts)
        _add_fields(message, lenient.mapping(event.get("message")), texts)
    texts.finish()
    return {**response, "message": message} if message else response


def _add_fields(whole: Json, piece: Json, texts: framing.GrowingTexts) -> None:
    """Append the growing texts and the tool calls of `piece`, and copy its other fields."""
    for name, value in piece.items():
        if name in _TEXT_KEYS:
            texts.add(whole, name, value)
        elif name == "tool_calls":
            whole[name] = [*lenient.sequence(whole.get(name)), *lenient.sequence(value)]
        else:
            whole[name] = value


# --- writing


def make_frame(answer: Answer, request: Json, created: int) -> tuple[Json, Json]:
    """Return the fields of every line, and the further fields of the last one."""
    from datetime import UTC, datetime  # only needed to write an answer

    created_at = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    every = {"model": answer.response_model or request.get("model") or "", "created_at": created_at}
    last = {
        "done": True,
        "done_reason": answer.finish_reason or "stop",
        "prompt_eval_count": answer.usage.get("input_tokens", 0),
        "eval_count": answer.usage.get("output_tokens", 0),
    }
    return every, last


def _encode_message(answer: Answer) -> Json:
    message: Json = {"role": "assistant", "content": answer.text or answer.refusal or ""}
    if answer.reasoning is not None:
        message["thinking"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [_encode_call(call) for call in answer.tool_calls]
    return message


def _encode_call(call: Json) -> Json:
    arguments: Any = call.get("arguments")
    function = {"name": call.get("name") or "", "arguments": arguments if isinstance(arguments, dict) else {}}
    return {"id": call["id"], "function": function} if call.get("id") else {"function": function}


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as one document."""
    del response_id
    every, last = make_frame(answer, request, created)
    return {**every, "message": _encode_message(answer), **last}


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as lines: thoughts, text, tool calls, and the counts in the last."""
    del response_id
    every, last = make_frame(answer, request, created)
    message = _encode_message(answer)
    deltas: list[Json] = [
        {"content": "", "thinking": piece} for piece in framing.split_text(message.get("thinking", ""))
    ]
    deltas += [{"content": piece} for piece in framing.split_text(message["content"])]
    deltas += [{"content": "", "tool_calls": [call]} for call in message.get("tool_calls", ())]
    lines: list[Json] = [
        {**every, "message": {"role": "assistant", **delta}, "done": False} for delta in deltas
    ]
    lines.append({**every, "message": {"role": "assistant", "content": ""}, **last})
    return [lenient.dump(line) + b"\n" for line in lines]


def encode_error(status: int, kind: str, message: str) -> Json:
    """Return the body of an HTTP error as Ollama sends it."""
    del status, kind
    return {"error": message}
