"""Ollama's own chat, `POST .../api/chat`; its other formats, but for `/api/generate`, are those of OpenAI.

It streams lines of JSON unless the request says otherwise. Ollama's tool calls have no ids.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import lenient, parts, sse
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_function_calls, decode_tools

_REQUEST = {"model", "messages", "tools", "stream"}
_MESSAGE = {"role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"}
_TEXTS = ("content", "thinking", "response")


# --- the request


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`."""
    request = lenient.mapping(body)
    messages = parts.decode_messages(lenient.mappings(request.get("messages")), _message)
    return parts.make_request(request, _REQUEST, messages, decode_tools(request))


def _message(message: Json) -> parts.Part:
    rest = {name: value for name, value in message.items() if name not in _MESSAGE}
    if message.get("role") == "tool":
        response = parts.make(
            "tool_call_response",
            id=lenient.string(message.get("tool_call_id")),
            name=lenient.string(message.get("tool_name")),
            response=message.get("content"),
        )
        return parts.make_message("tool", [response], rest)
    found = content(message) + [parts.make_call_part(call) for call in decode_function_calls(message)]
    return parts.make_message(message.get("role"), found, rest)


def content(message: Json) -> list[parts.Part]:
    """The parts of a message: its thoughts, its text, its images."""
    found: list[parts.Part] = []
    if thinking := lenient.string(message.get("thinking")):
        found.append(parts.make("reasoning", content=thinking))
    if said := lenient.string(message.get("content")):
        found.append(parts.make_text(said))
    return found + [
        parts.make_blob(image, None, "image") for image in lenient.sequence(message.get("images"))
    ]


# --- the response


def decode_response(body: object) -> Answer:
    """The answer, of a chat or of `/api/generate`."""
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
    """Whether a line contains text, thoughts or a tool call."""
    told = lenient.mapping(event)
    message = lenient.mapping(told.get("message"))
    return any(place.get(name) for place in (told, message) for name in (*_TEXTS, "tool_calls"))


def join_events(events: list[Json]) -> Json:
    """The lines of a stream as one response."""
    whole: Json = {}
    message: Json = {}
    texts = sse.GrowingTexts()
    for event in events:
        whole |= {name: value for name, value in event.items() if name not in ("message", *_TEXTS)}
        _add(whole, {name: event[name] for name in _TEXTS if name in event}, texts)
        _add(message, lenient.mapping(event.get("message")), texts)
    texts.finish()
    return {**whole, "message": message} if message else whole


def _add(whole: Json, piece: Json, texts: sse.GrowingTexts) -> None:
    for name, value in piece.items():
        if name in _TEXTS:
            texts.add(whole, name, value)
        elif name == "tool_calls":
            whole[name] = [*lenient.sequence(whole.get(name)), *lenient.sequence(value)]
        else:
            whole[name] = value


# --- writing


def frame(answer: Answer, request: Json, created: int) -> tuple[Json, Json]:
    """The fields of every line, and the further fields of the last one."""
    from datetime import UTC, datetime  # noqa: PLC0415  (needed where an answer is written, which is seldom)

    moment = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    every = {"model": answer.response_model or request.get("model") or "", "created_at": moment}
    last = {
        "done": True,
        "done_reason": answer.finish_reason or "stop",
        "prompt_eval_count": answer.usage.get("input_tokens", 0),
        "eval_count": answer.usage.get("output_tokens", 0),
    }
    return every, last


def _said(answer: Answer) -> Json:
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
    """The answer as one document."""
    del response_id
    every, last = frame(answer, request, created)
    return {**every, "message": _said(answer), **last}


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as lines: thoughts, text, tool calls, and the counts in the last."""
    del response_id
    every, last = frame(answer, request, created)
    said = _said(answer)
    messages: list[Json] = [
        {"content": "", "thinking": piece} for piece in sse.split_text(said.get("thinking", ""))
    ]
    messages += [{"content": piece} for piece in sse.split_text(said["content"])]
    messages += [{"content": "", "tool_calls": [call]} for call in said.get("tool_calls", ())]
    lines: list[Json] = [
        {**every, "message": {"role": "assistant", **message}, "done": False} for message in messages
    ]
    lines.append({**every, "message": {"role": "assistant", "content": ""}, **last})
    return [lenient.dump(line) + b"\n" for line in lines]


def encode_error(status: int, kind: str, message: str) -> Json:
    """The body of an HTTP error as Ollama sends it."""
    del status, kind
    return {"error": message}
