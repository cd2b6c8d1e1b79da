"""Read and write Anthropic messages, `POST .../v1/messages`; on Bedrock and Vertex AI the model is in the path."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import billing, framing, lenient, parts, tokens
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_tools

_REQUEST_KEYS = {"model", "messages", "system", "tools"}
_SERVER_CALLS = ("server_tool_use", "mcp_tool_use")


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; `system` is a first message of role system."""
    request = lenient.mapping(body)
    messages = []
    if request.get("system"):
        messages.append(parts.make_message("system", parts.decode_content(request["system"], _decode_block)))
    messages += parts.decode_messages(lenient.mappings(request.get("messages")), _decode_message)
    return parts.make_request(request, _REQUEST_KEYS, messages, decode_tools(request))


def _decode_message(message: Json) -> parts.Part:
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    return parts.make_message(
        message.get("role"), parts.decode_content(message.get("content"), _decode_block), rest
    )


def _decode_block(block: Json) -> parts.Part:
    """Return one block of a message's content as a part."""
    kind = lenient.string(block.get("type")) or ""
    if kind == "tool_use":
        call = _decode_call(block)
        return parts.make("tool_call", block, ("id", "name", "input"), **call)
    if kind == "tool_result":
        return parts.make(
            "tool_call_response",
            block,
            ("tool_use_id", "content"),
            id=lenient.string(block.get("tool_use_id")),
            response=parts.decode_tool_result(block.get("content"), _decode_plain_block),
        )
    if kind in _SERVER_CALLS:
        payload = {"type": kind} | {name: block[name] for name in ("input", "server_name") if name in block}
        call_id, name = lenient.string(block.get("id")), lenient.string(block.get("name")) or ""
        return parts.make("server_tool_call", id=call_id, name=name, server_tool_call=payload)
    if kind.endswith("_tool_result"):
        payload = {name: value for name, value in block.items() if name != "tool_use_id"}
        call_id = lenient.string(block.get("tool_use_id"))
        return parts.make("server_tool_call_response", id=call_id, server_tool_call_response=payload)
    return _decode_plain_block(block)


def _decode_plain_block(block: Json) -> parts.Part:
    """Return a block without inner blocks as a part; a result inside a result is kept whole, which ends the recursion."""
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return parts.make_text(block["text"], block)
    if kind == "thinking" and isinstance(block.get("thinking"), str):
        return parts.make("reasoning", block, ("thinking",), content=block["thinking"])
    if kind in ("image", "document") and isinstance(block.get("source"), dict):
        return _decode_media(block, block["source"], str(kind))
    return parts.make_unknown(block)


def _decode_media(block: Json, source: Json, modality: str) -> parts.Part:
    """Return an image or a document as a part, by the kind of its source."""
    kind, read = source.get("type"), ("source",)
    if kind in ("base64", "text"):
        return parts.make_blob(source.get("data"), source.get("media_type"), modality, block, read)
    if kind == "url":
        return parts.make_media(source.get("url"), modality, block, read)
    if kind == "file":
        file_id = lenient.string(source.get("file_id"))
        return parts.make("file", block, read, modality=modality, file_id=file_id)
    return parts.make_unknown(block)


def _decode_call(block: Json) -> parts.Part:
    arguments = block.get("input")
    return parts.make_call(block.get("id"), block.get("name"), {} if arguments is None else arguments)


def encode_request(request: Json) -> Json:
    """Return the body of a request that was decoded; parts that this API does not know are passed on as they are."""
    messages = list(request["messages"])
    body: Json = {"model": request["model"]}
    if messages and messages[0]["role"] == "system":
        body["system"] = parts.encode_content(messages.pop(0)["parts"], _encode_block)
    body["messages"] = [
        {
            "role": message["role"],
            **parts.rest_of(message, "role", "parts"),
            "content": parts.encode_content(message["parts"], _encode_block),
        }
        for message in messages
    ]
    if request.get("tools"):
        body["tools"] = [_encode_tool(tool) for tool in request["tools"]]
    return body | lenient.mapping(request.get("params"))


def _encode_block(part: parts.Part) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"type": "text", "text": part.get("content"), **parts.rest_of(part, "content")}
    if kind == "reasoning":
        return {"type": "thinking", "thinking": part.get("content"), **parts.rest_of(part, "content")}
    if kind == "tool_call":
        call = {
            "type": "tool_use",
            "id": part.get("id"),
            "name": part.get("name"),
            "input": part.get("arguments"),
        }
        return call | parts.rest_of(part, "id", "name", "arguments")
    if kind == "tool_call_response":
        content = parts.encode_tool_result(part.get("response"), _encode_block)
        result = {"type": "tool_result", "tool_use_id": part.get("id"), "content": content}
        return lenient.drop_none(result) | parts.rest_of(part, "id", "response")
    if kind == "server_tool_call":
        return lenient.mapping(part.get(kind)) | {"id": part.get("id"), "name": part.get("name")}
    if kind == "server_tool_call_response":
        return lenient.mapping(part.get(kind)) | {"tool_use_id": part.get("id")}
    if kind in ("blob", "uri", "file"):
        return _encode_media(part)
    return part


def _encode_media(part: parts.Part) -> Json:
    rest = parts.rest_of(part, "modality", "mime_type", "content", "uri", "file_id")
    source = {
        "blob": {"type": "base64", "media_type": part.get("mime_type"), "data": part.get("content")},
        "uri": {"type": "url", "url": part.get("uri")},
        "file": {"type": "file", "file_id": part.get("file_id")},
    }[part["type"]]
    return {"type": part.get("modality") or "document", "source": source, **rest}


def _encode_tool(tool: Json) -> Json:
    kind, schema = tool.get("type"), tool.get("parameters")
    named = {} if kind == "function" else {"type": kind}
    shaped = {} if schema is None else {"input_schema": schema}
    return named | parts.rest_of(tool, "parameters") | shaped


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer in a message, without calls of tools that Anthropic itself runs."""
    response = lenient.mapping(body)
    blocks = lenient.mappings(response.get("content"))
    texts = [
        block["text"]
        for block in blocks
        if block.get("type") == "text" and isinstance(block.get("text"), str)
    ]
    thoughts = [
        block["thinking"] for block in blocks if isinstance(block.get("thinking"), str) and block["thinking"]
    ]
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=[_decode_call(block) for block in blocks if block.get("type") == "tool_use"],
        finish_reason=lenient.string(response.get("stop_reason")),
        response_model=lenient.string(response.get("model")),
        usage=decode_usage(response.get("usage")),
        reasoning="\n\n".join(thoughts) if thoughts else None,
        response_id=lenient.string(response.get("id")),
        refusal=lenient.string(lenient.mapping(response.get("stop_details")).get("explanation")),
        billing=_decode_terms(response.get("usage")),
        cost=billing.read_cost(response.get("usage")),
    )


def decode_usage(usage: object) -> dict[str, int]:
    """Return token counts under the names of the event format.

    Anthropic's counts do not include the tokens for summarising the conversation, which it reports separately; ours do.
    """
    fields = lenient.mapping(usage)
    compactions = [
        iteration
        for iteration in lenient.mappings(fields.get("iterations"))
        if iteration.get("type") == "compaction"
    ]
    uncached, output, written, read = (
        _add_counts(fields.get(name), compactions, name)
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        )
    )
    reasoning = lenient.mapping(fields.get("output_tokens_details")).get("thinking_tokens")
    counts = tokens.add_cache(uncached, output, read=read, written=written, reasoning=reasoning)
    cache_writes = [lenient.mapping(part.get("cache_creation")) for part in (fields, *compactions)]
    server_tools = lenient.mapping(fields.get("server_tool_use"))
    rare_counts = {
        "cache_write_1h_tokens": sum(
            lenient.count(write.get("ephemeral_1h_input_tokens")) or 0 for write in cache_writes
        ),
        "web_searches": lenient.count(server_tools.get("web_search_requests")),
    }
    return counts | billing.drop_zeros(rare_counts) if counts else counts


def _decode_terms(usage: object) -> dict[str, str]:
    """Return the billing terms, and a term `tool` if another model gave advice, because this is billed separately."""
    fields = lenient.mapping(usage)
    iterations = lenient.mappings(fields.get("iterations"))
    has_advice = any(iteration.get("type") == "advisor_message" for iteration in iterations)
    return billing.select_terms(
        service_tier=fields.get("service_tier"),
        speed=fields.get("speed"),
        inference_geo=fields.get("inference_geo"),
        tool="advisor" if has_advice else None,
    )


def _add_counts(count: object, more: list[Json], name: str) -> object:
    """Return the sum of a count and the counts of that name in `more`; without these, the unchanged value."""
    added = sum(lenient.count(usage.get(name)) or 0 for usage in more)
    return (lenient.count(count) or 0) + added if added else count


# --- the stream


def is_content(event: object) -> bool:
    """Return whether an event contains text, reasoning, or the beginning or a piece of a tool call."""
    fields = lenient.mapping(event)
    if fields.get("type") == "content_block_start":
        return lenient.mapping(fields.get("content_block")).get("type") in ("tool_use", *_SERVER_CALLS)
    delta = lenient.mapping(fields.get("delta"))
    return fields.get("type") == "content_block_delta" and any(
        delta.get(name) for name in ("text", "thinking", "partial_json")
    )


def join_events(events: list[Json]) -> Json:
    """Join the events of a stream into one message; an error event becomes its `error`.

    If the stream was cut inside a tool call, the input of that call is the raw text that had arrived.
    """
    message: Json = {}
    blocks: dict[int, Json] = {}
    raw_inputs: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        kind, index = event.get("type"), lenient.count(event.get("index")) or 0
        delta = lenient.mapping(event.get("delta"))
        if kind == "message_start":
            message |= lenient.mapping(event.get("message"))
        elif kind == "content_block_start":
            blocks[index] = dict(lenient.mapping(event.get("content_block")))
        elif kind == "content_block_delta":
            block = blocks.setdefault(index, {"type": str(delta.get("type")).removesuffix("_delta")})
            _add_delta(block, raw_inputs.setdefault(index, {}), delta, texts)
        elif kind == "message_delta":
            # Later counts are totals; counts that the event leaves out or sends as null stay.
            usage = lenient.mapping(message.get("usage")) | lenient.drop_empty(
                lenient.mapping(event.get("usage"))
            )
            message |= delta | ({"usage": usage} if usage else {})
        elif "error" in event:
            message["error"] = event["error"]
    texts.finish()
    for index, text in raw_inputs.items():
        if text.get("partial_json"):
            blocks[index]["input"] = lenient.load_arguments(text["partial_json"])
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def _add_delta(block: Json, raw_input: Json, delta: Json, texts: framing.GrowingTexts) -> None:
    """Add one delta to its content block, and a piece of a tool's JSON input to `raw_input`."""
    for name in ("text", "thinking", "signature"):
        texts.add(block, name, delta.get(name))
    texts.add(raw_input, "partial_json", delta.get("partial_json"))
    if "citation" in delta:
        block["citations"] = [*lenient.sequence(block.get("citations")), delta["citation"]]


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as a message."""
    del created
    usage = answer.usage
    reasoning = usage.get("reasoning_tokens")
    stop_reason = "tool_use" if answer.tool_calls else "end_turn"
    if answer.refusal is not None:
        stop_reason = "refusal"
    stop_details = {"type": "refusal", "category": None, "explanation": answer.refusal}
    counts = {
        "input_tokens": tokens.subtract_cache(usage),
        "cache_creation_input_tokens": usage.get("cache_write_tokens"),
        "cache_read_input_tokens": usage.get("cache_read_tokens"),
        "output_tokens": usage.get("output_tokens", 0),
        "output_tokens_details": None if reasoning is None else {"thinking_tokens": reasoning},
    }
    return {
        "id": response_id,
        "type": "message",
        "role": "assistant",
        "model": answer.response_model or request.get("model") or "",
        "content": _encode_blocks(answer, response_id),
        "stop_reason": answer.finish_reason or stop_reason,
        "stop_sequence": None,
        "stop_details": None if answer.refusal is None else stop_details,
        "usage": lenient.drop_empty(counts),
    }


def _encode_blocks(answer: Answer, response_id: str) -> list[Json]:
    """Return the content blocks: thinking, text, tool calls."""
    blocks: list[Json] = []
    if answer.reasoning is not None:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
    if answer.text is not None:
        blocks.append({"type": "text", "text": answer.text})
    for index, call in enumerate(answer.tool_calls):
        arguments: Any = call.get("arguments")
        block = {
            "type": "tool_use",
            "id": call.get("id") or f"toolu_{response_id}_{index}",
            "name": call.get("name") or "",
            "input": {} if arguments is None else arguments,
        }
        blocks.append(block)
    return blocks


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as the events of a stream: the message begins, its blocks, its end with the token counts."""
    message = encode_response(answer, request, response_id=response_id, created=created)
    started = message | {"content": [], "stop_reason": None, "stop_details": None}
    started["usage"] = {
        name: value for name, value in message["usage"].items() if name != "output_tokens_details"
    } | {"output_tokens": min(1, message["usage"]["output_tokens"])}
    events: list[Json] = [{"type": "message_start", "message": started}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        events += [event | {"index": index} for event in _encode_block_events(block)]
    ended = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    events += [{"type": "message_delta", "delta": ended, "usage": message["usage"]}, {"type": "message_stop"}]
    return [framing.encode_sse(event, event["type"]) for event in events]


def _encode_block_events(block: Json) -> list[Json]:
    """Return the events of one content block."""
    if block["type"] == "tool_use":
        empty: Json = block | {"input": {}}
        text = lenient.dump_arguments(block["input"]) if block["input"] != {} else ""
        deltas: list[Json] = [
            {"type": "input_json_delta", "partial_json": piece} for piece in ["", *framing.split_text(text)]
        ]
    elif block["type"] == "thinking":
        empty = block | {"thinking": ""}
        deltas = [
            {"type": "thinking_delta", "thinking": piece} for piece in framing.split_text(block["thinking"])
        ]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        empty = block | {"text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in framing.split_text(block["text"])]
    return [
        {"type": "content_block_start", "content_block": empty},
        *({"type": "content_block_delta", "delta": delta} for delta in deltas),
        {"type": "content_block_stop"},
    ]


_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def encode_error(status: int, kind: str, message: str) -> Json:
    """Return the body of an HTTP error, which is also the data of an `error` event in a stream."""
    error_type = kind or _ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": error_type, "message": message}}
