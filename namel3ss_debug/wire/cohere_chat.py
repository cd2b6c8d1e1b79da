"""Cohere's chat, `POST .../v2/chat`."""

from __future__ import annotations

from namel3ss_debug.wire import lenient, parts, sse
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_function_calls, decode_tools, encode_function_calls

_REQUEST = {"model", "messages", "tools"}
_MESSAGE = {"role", "content", "tool_plan", "tool_calls", "tool_call_id"}


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
            response=parts.decode_tool_result(message.get("content"), _part),
        )
        return parts.make_message("tool", [response], rest)
    content = []
    if plan := lenient.string(message.get("tool_plan")):
        content.append(parts.make("reasoning", content=plan))
    content += parts.decode_content(message.get("content"), _part)
    content += [parts.make_call_part(call) for call in decode_function_calls(message)]
    return parts.make_message(message.get("role"), content, rest)


def _part(block: Json) -> parts.Part:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return parts.make_text(block["text"], block)
    if kind == "thinking" and isinstance(block.get("thinking"), str):
        return parts.make("reasoning", block, ("thinking",), content=block["thinking"])
    if kind == "image_url":
        return parts.make_media(lenient.mapping(block.get("image_url")).get("url"), "image")
    return parts.make_unknown(block)


# --- the response


def decode_response(body: object) -> Answer:
    """The answer; the model's plan for using its tools counts as reasoning."""
    response = lenient.mapping(body)
    message = lenient.mapping(response.get("message"))
    content = parts.decode_content(message.get("content"), _part)
    texts, thoughts = parts.select_texts(content), parts.select_texts(content, "reasoning")
    if plan := lenient.string(message.get("tool_plan")):
        thoughts.append(plan)
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=decode_function_calls(message),
        finish_reason=lenient.string(response.get("finish_reason")),
        usage=decode_usage(response.get("usage")),
        reasoning="\n\n".join(thoughts) if thoughts else None,
        response_id=lenient.string(response.get("id")),
    )


def decode_usage(usage: object) -> dict[str, int]:
    """Token counts under the names of the event format: the billed tokens, where the response has these.

    Cohere's count of cached tokens includes text that it adds to a prompt itself, which is not billed.
    """
    told = lenient.mapping(usage)
    billed, counted = lenient.mapping(told.get("billed_units")), lenient.mapping(told.get("tokens"))
    given = lenient.count(billed.get("input_tokens", counted.get("input_tokens")))
    cached = lenient.count(told.get("cached_tokens"))
    counts = {
        "input_tokens": given,
        "output_tokens": lenient.count(billed.get("output_tokens", counted.get("output_tokens"))),
        "cache_read_tokens": cached if given is None or cached is None else min(cached, given),
    }
    return lenient.drop_none(counts)


# --- the stream


def _delta(event: object) -> Json:
    return lenient.mapping(lenient.mapping(lenient.mapping(event).get("delta")).get("message"))


def is_content(event: object) -> bool:
    """Whether an event contains text, thoughts, a plan or a tool call."""
    delta = _delta(event)
    content = lenient.mapping(delta.get("content"))
    return bool(
        content.get("text") or content.get("thinking") or delta.get("tool_plan") or delta.get("tool_calls")
    )


def join_events(events: list[Json]) -> Json:
    """The events of a stream as one response; an error becomes its `error`."""
    whole: Json = {}
    plan: Json = {}
    blocks: dict[int, Json] = {}
    calls: dict[int, Json] = {}
    texts = sse.GrowingTexts()
    for event in events:
        kind, index = event.get("type"), lenient.count(event.get("index")) or 0
        delta = _delta(event)
        if kind == "message-start":
            whole |= {"id": event["id"]} if "id" in event else {}
        elif kind == "message-end":
            whole |= lenient.mapping(event.get("delta"))
        elif "error" in event:
            whole["error"] = event["error"]
        texts.add(plan, "tool_plan", delta.get("tool_plan"))
        if isinstance(content := delta.get("content"), dict):
            _add(blocks.setdefault(index, {}), content, texts)
        if isinstance(call := delta.get("tool_calls"), dict):
            have = calls.setdefault(index, {"function": {}})
            have |= {name: value for name, value in call.items() if name != "function"}
            _add(have["function"], lenient.mapping(call.get("function")), texts)
    texts.finish()
    message: Json = {"role": "assistant", **lenient.drop_empty(plan)}
    message["content"] = [blocks[index] for index in sorted(blocks)]
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**whole, "message": message}


def _add(whole: Json, piece: Json, texts: sse.GrowingTexts) -> None:
    for name, value in piece.items():
        if name in ("text", "thinking", "arguments"):
            texts.add(whole, name, value)
        else:
            whole[name] = value


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """The answer as the response to a chat request."""
    del request, created
    message: Json = {"role": "assistant"}
    content: list[Json] = []
    if answer.reasoning is not None:
        content.append({"type": "thinking", "thinking": answer.reasoning})
    said = answer.text if answer.text is not None else answer.refusal
    if said is not None:
        content.append({"type": "text", "text": said})
    if content:
        message["content"] = content
    if answer.tool_calls:
        message["tool_calls"] = encode_function_calls(answer.tool_calls, response_id)
    given, made = answer.usage.get("input_tokens", 0), answer.usage.get("output_tokens", 0)
    counts = {"input_tokens": given, "output_tokens": made}
    usage: Json = {"billed_units": counts, "tokens": counts}
    if "cache_read_tokens" in answer.usage:
        usage["cached_tokens"] = answer.usage["cache_read_tokens"]
    reason = answer.finish_reason or ("TOOL_CALL" if answer.tool_calls else "COMPLETE")
    return {"id": response_id, "finish_reason": reason, "message": message, "usage": usage}


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as the events of a stream."""
    whole = encode_response(answer, request, response_id=response_id, created=created)
    message = whole["message"]
    begun: Json = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[Json] = [{"id": response_id, "type": "message-start", "delta": {"message": begun}}]
    for index, block in enumerate(message.get("content", ())):
        name = block["type"]
        empty = {"content": {"type": name, name: ""}}
        events.append({"type": "content-start", "index": index, "delta": {"message": empty}})
        events += [
            {"type": "content-delta", "index": index, "delta": {"message": {"content": {name: piece}}}}
            for piece in sse.split_text(block[name])
        ]
        events.append({"type": "content-end", "index": index})
    for index, call in enumerate(message.get("tool_calls", ())):
        start = {**call, "function": {**call["function"], "arguments": ""}}
        events.append(
            {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": start}}}
        )
        events += [
            {
                "type": "tool-call-delta",
                "index": index,
                "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}},
            }
            for piece in sse.split_text(call["function"]["arguments"])
        ]
        events.append({"type": "tool-call-end", "index": index})
    ended = {"finish_reason": whole["finish_reason"], "usage": whole["usage"]}
    events.append({"type": "message-end", "delta": ended})
    return [sse.encode(event, event["type"]) for event in events]


def encode_error(status: int, kind: str, message: str) -> Json:
    """The body of an HTTP error as Cohere sends it."""
    del status, kind
    return {"message": message}
