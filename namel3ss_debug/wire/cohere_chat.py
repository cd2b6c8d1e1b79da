"""Read and write Cohere's chat, `POST .../v2/chat`."""

from __future__ import annotations

from namel3ss_debug.wire import framing, lenient, parts
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_function_calls, decode_tools, encode_function_calls

_REQUEST_KEYS = {"model", "messages", "tools"}
_MESSAGE_KEYS = {"role", "content", "tool_plan", "tool_calls", "tool_call_id"}


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
            response=parts.decode_tool_result(message.get("content"), _decode_block),
        )
        return parts.make_message("tool", [response], rest)
    content = []
    if plan := lenient.string(message.get("tool_plan")):
        content.append(parts.make("reasoning", content=plan))
    content += parts.decode_content(message.get("content"), _decode_block)
    content += [parts.make_call_part(call) for call in decode_function_calls(message)]
    return parts.make_message(message.get("role"), content, rest)


def _decode_block(block: Json) -> parts.Part:
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
    """Return the answer; the model's plan for using its tools counts as reasoning."""
    response = lenient.mapping(body)
    message = lenient.mapping(response.get("message"))
    content = parts.decode_content(message.get("content"), _decode_block)
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
    """Return token counts under the names of the event format: the billed tokens, if the response has these.

    Cohere's count of cached tokens includes text that it adds to a prompt itself, which is not billed.
    """
    fields = lenient.mapping(usage)
    billed, processed = lenient.mapping(fields.get("billed_units")), lenient.mapping(fields.get("tokens"))
    input_count = lenient.count(billed.get("input_tokens", processed.get("input_tokens")))
    cached = lenient.count(fields.get("cached_tokens"))
    counts = {
        "input_tokens": input_count,
        "output_tokens": lenient.count(billed.get("output_tokens", processed.get("output_tokens"))),
        "cache_read_tokens": cached if input_count is None or cached is None else min(cached, input_count),
    }
    return lenient.drop_none(counts)


# --- the stream


def _find_delta(event: object) -> Json:
    """Return the part of a message that an event adds."""
    return lenient.mapping(lenient.mapping(lenient.mapping(event).get("delta")).get("message"))


def is_content(event: object) -> bool:
    """Return whether an event contains text, thoughts, a plan or a tool call."""
    delta = _find_delta(event)
    content = lenient.mapping(delta.get("content"))
    return bool(
        content.get("text") or content.get("thinking") or delta.get("tool_plan") or delta.get("tool_calls")
    )


def join_events(events: list[Json]) -> Json:
    """Join the events of a stream into one response; an error becomes its `error`."""
    response: Json = {}
    plan: Json = {}
    blocks: dict[int, Json] = {}
    calls: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        kind, index = event.get("type"), lenient.count(event.get("index")) or 0
        delta = _find_delta(event)
        if kind == "message-start":
            response |= {"id": event["id"]} if "id" in event else {}
        elif kind == "message-end":
            response |= lenient.mapping(event.get("delta"))
        elif "error" in event:
            response["error"] = event["error"]
        texts.add(plan, "tool_plan", delta.get("tool_plan"))
        if isinstance(content := delta.get("content"), dict):
            _add_fields(blocks.setdefault(index, {}), content, texts)
        if isinstance(call := delta.get("tool_calls"), dict):
            joined = calls.setdefault(index, {"function": {}})
            joined |= {name: value for name, value in call.items() if name != "function"}
            _add_fields(joined["function"], lenient.mapping(call.get("function")), texts)
    texts.finish()
    message: Json = {"role": "assistant", **lenient.drop_empty(plan)}
    message["content"] = [blocks[index] for index in sorted(blocks)]
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**response, "message": message}


def _add_fields(whole: Json, piece: Json, texts: framing.GrowingTexts) -> None:
    """Append the growing texts of `piece`, and copy its other fields."""
    for name, value in piece.items():
        if name in ("text", "thinking", "arguments"):
            texts.add(whole, name, value)
        else:
            whole[name] = value


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as the response to a chat request."""
    del request, created
    message: Json = {"role": "assistant"}
    content: list[Json] = []
    if answer.reasoning is not None:
        content.append({"type": "thinking", "thinking": answer.reasoning})
    text = answer.text if answer.text is not None else answer.refusal
    if text is not None:
        content.append({"type": "text", "text": text})
    if content:
        message["content"] = content
    if answer.tool_calls:
        message["tool_calls"] = encode_function_calls(answer.tool_calls, response_id)
    counts = {name: answer.usage.get(name, 0) for name in ("input_tokens", "output_tokens")}
    usage: Json = {"billed_units": counts, "tokens": counts}
    if "cache_read_tokens" in answer.usage:
        usage["cached_tokens"] = answer.usage["cache_read_tokens"]
    reason = answer.finish_reason or ("TOOL_CALL" if answer.tool_calls else "COMPLETE")
    return {"id": response_id, "finish_reason": reason, "message": message, "usage": usage}


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as the events of a stream."""
    response = encode_response(answer, request, response_id=response_id, created=created)
    message = response["message"]
    started: Json = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[Json] = [{"id": response_id, "type": "message-start", "delta": {"message": started}}]
    for index, block in enumerate(message.get("content", ())):
        name = block["type"]
        empty = {"content": {"type": name, name: ""}}
        events.append({"type": "content-start", "index": index, "delta": {"message": empty}})
        events += [
            {"type": "content-delta", "index": index, "delta": {"message": {"content": {name: piece}}}}
            for piece in framing.split_text(block[name])
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
            for piece in framing.split_text(call["function"]["arguments"])
        ]
        events.append({"type": "tool-call-end", "index": index})
    ended = {"finish_reason": response["finish_reason"], "usage": response["usage"]}
    events.append({"type": "message-end", "delta": ended})
    return [framing.encode_sse(event, event["type"]) for event in events]


def encode_error(status: int, kind: str, message: str) -> Json:
    """Return the body of an HTTP error as Cohere sends it."""
    del status, kind
    return {"message": message}
