"""Read and write Amazon Bedrock's converse, `POST .../model/MODEL/converse` and `/converse-stream`.

The stream is binary (`event_stream`). A block of content is an object with one key, which names its kind.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import billing, event_stream, framing, lenient, parts, tokens
from namel3ss_debug.wire.contract import Answer, Json

_REQUEST_KEYS = {"model", "messages", "system", "toolConfig", "stream"}
_METADATA_KEYS = {"usage", "metrics", "trace", "serviceTier", "performanceConfig"}
_MODALITIES = {"image": "image", "video": "video", "audio": "audio", "document": "document"}


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; `system` is a first message of role system."""
    request = lenient.mapping(body)
    messages = []
    if system := lenient.mappings(request.get("system")):
        messages += parts.decode_messages([{"role": "system", "content": system}], _decode_message)
    messages += parts.decode_messages(lenient.mappings(request.get("messages")), _decode_message)
    config = lenient.mapping(request.get("toolConfig"))
    tools = [_decode_tool(tool) for tool in lenient.mappings(config.get("tools")) if "cachePoint" not in tool]
    decoded = parts.make_request(request, _REQUEST_KEYS, messages, tools)
    if config.get("toolChoice"):
        decoded["params"]["toolChoice"] = config["toolChoice"]
    return decoded


def _decode_message(message: Json) -> parts.Part:
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    content = [_decode_block(block) for block in lenient.mappings(message.get("content"))]
    return parts.make_message(message.get("role"), content, rest)


def _decode_tool(tool: Json) -> Json:
    kind = next(iter(tool), "toolSpec")
    fields = lenient.mapping(tool.get(kind))
    if kind != "toolSpec":
        return {"name": fields.get("name") or kind, "type": kind}
    schema = lenient.mapping(fields.get("inputSchema")).get("json")
    known = {"name": fields.get("name"), "description": fields.get("description"), "parameters": schema}
    return lenient.drop_empty({**known, "type": "function"})


def _decode_block(block: Json) -> parts.Part:
    """Return one block of a message's content as a part."""
    kind = next(iter(block), "unknown")
    content = block.get(kind)
    if isinstance(content, str) and kind == "text":
        return parts.make_text(content, block)
    if not isinstance(content, dict):
        return parts.make_unknown({"type": kind, **block})
    if kind == "toolUse":
        return parts.make("tool_call", content, ("toolUseId", "name", "input"), **_decode_call(content))
    if kind == "toolResult":
        return parts.make(
            "tool_call_response",
            content,
            ("toolUseId", "content"),
            id=lenient.string(content.get("toolUseId")),
            response=_decode_tool_result(lenient.mappings(content.get("content"))),
        )
    if kind == "reasoningContent":
        reasoning = lenient.mapping(content.get("reasoningText"))
        text = lenient.string(reasoning.get("text")) or ""
        return parts.make("reasoning", reasoning, ("text",), content=text)
    if kind == "citationsContent":
        return parts.make("text", content, ("content",), content=_join_cited_text(content))
    if kind in _MODALITIES:
        return _decode_media(kind, content)
    return parts.make_unknown({**content, "type": kind})


def _join_cited_text(content: Json) -> str:
    """Return the text of a block that has citations of its sources."""
    texts = (part.get("text") for part in lenient.mappings(content.get("content")))
    return "".join(text for text in texts if isinstance(text, str))


def _decode_media(kind: str, content: Json) -> parts.Part:
    source, file_format = lenient.mapping(content.get("source")), lenient.string(content.get("format"))
    location = lenient.mapping(source.get("s3Location")).get("uri")
    if location is not None:
        return parts.make_media(location, _MODALITIES[kind], content, ("source", "format"))
    data = source.get("bytes", source.get("text"))
    if data is None:
        return parts.make_unknown({**content, "type": kind})
    mime = None if file_format is None or kind == "document" else f"{kind}/{file_format}"
    return parts.make_blob(data, mime, _MODALITIES[kind], content, ("source",))


def _decode_tool_result(content: list[Json]) -> Any:
    """Return the result of a tool: its JSON or text if it consists of only one of these, otherwise the blocks."""
    if len(content) == 1 and len(content[0]) == 1:
        return next((content[0][kind] for kind in ("json", "text") if kind in content[0]), content)
    return content


def _decode_call(tool_use: Json) -> parts.Part:
    arguments = tool_use.get("input")
    return parts.make_call(
        tool_use.get("toolUseId"), tool_use.get("name"), {} if arguments is None else arguments
    )


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer in a response, without calls of tools that the server itself runs."""
    response = lenient.mapping(body)
    message = lenient.mapping(lenient.mapping(response.get("output")).get("message"))
    blocks = lenient.mappings(message.get("content"))
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        if isinstance(text := block.get("text"), str):
            texts.append(text)
        if isinstance(cited := block.get("citationsContent"), dict):
            texts.append(_join_cited_text(cited))
        if isinstance(tool_use := block.get("toolUse"), dict) and tool_use.get("type") != "server_tool_use":
            calls.append(_decode_call(tool_use))
        if thought := _find_reasoning(block):
            thoughts.append(thought)
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=lenient.string(response.get("stopReason")),
        usage=decode_usage(response.get("usage")),
        reasoning="\n\n".join(thoughts) if thoughts else None,
        billing=billing.select_terms(
            service_tier=lenient.mapping(response.get("serviceTier")).get("type"),
            latency=lenient.mapping(response.get("performanceConfig")).get("latency"),
        ),
    )


def _find_reasoning(block: Json) -> str | None:
    """Return the reasoning in a block, if it is text."""
    reasoning = lenient.mapping(lenient.mapping(block.get("reasoningContent")).get("reasoningText"))
    return lenient.string(reasoning.get("text"))


def decode_usage(usage: object) -> dict[str, int]:
    """Return token counts under the names of the event format."""
    fields = lenient.mapping(usage)
    counts = tokens.add_cache(
        fields.get("inputTokens"),
        fields.get("outputTokens"),
        read=fields.get("cacheReadInputTokens"),
        written=fields.get("cacheWriteInputTokens"),
    )
    one_hour = sum(
        lenient.count(detail.get("inputTokens")) or 0
        for detail in lenient.mappings(fields.get("cacheDetails"))
        if detail.get("ttl") == "1h"
    )
    return counts | billing.drop_zeros({"cache_write_1h_tokens": one_hour})


# --- the stream


def is_content(event: object) -> bool:
    """Return whether an event contains text, reasoning, or the beginning or a piece of a tool call."""
    fields = lenient.mapping(event)
    if "contentBlockStart" in fields:
        return "toolUse" in lenient.mapping(lenient.mapping(fields["contentBlockStart"]).get("start"))
    delta = lenient.mapping(lenient.mapping(fields.get("contentBlockDelta")).get("delta"))
    return any(delta.get(name) for name in ("text", "toolUse", "reasoningContent"))


def join_events(events: list[Json]) -> Json:
    """Join the events of a stream into one response; an exception becomes its `error`."""
    response: Json = {}
    role = "assistant"
    blocks: dict[int, Json] = {}
    raw_inputs: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        kind = next(iter(event), "")
        data = lenient.mapping(event.get(kind))
        index = lenient.count(data.get("contentBlockIndex")) or 0
        if kind == "messageStart":
            role = lenient.string(data.get("role")) or role
        elif kind == "contentBlockStart":
            blocks[index] = _copy_start(lenient.mapping(data.get("start")))
        elif kind == "contentBlockDelta":
            delta = lenient.mapping(data.get("delta"))
            _add_delta(blocks.setdefault(index, {}), raw_inputs.setdefault(index, {}), delta, texts)
        elif kind == "messageStop":
            response |= {name: value for name, value in data.items() if name != "p"}
        elif kind == "metadata":
            response |= {name: value for name, value in data.items() if name in _METADATA_KEYS}
        elif kind == "error":
            response["error"] = data
    texts.finish()
    for index, raw_input in raw_inputs.items():
        if raw_input.get("input"):
            blocks[index].setdefault("toolUse", {})["input"] = lenient.load_arguments(raw_input["input"])
    content = [blocks[index] for index in sorted(blocks) if blocks[index]]
    return {**response, "output": {"message": {"role": role, "content": content}}}


def _copy_start(start: Json) -> Json:
    """Return a copy of the beginning of a block, which can grow without changing the event."""
    block = {name: dict(lenient.mapping(value)) for name, value in start.items()}
    if "reasoningContent" in block:
        reasoning = lenient.mapping(block["reasoningContent"].get("reasoningText"))
        block["reasoningContent"]["reasoningText"] = dict(reasoning)
    return block


def _add_delta(block: Json, raw_input: Json, delta: Json, texts: framing.GrowingTexts) -> None:
    """Add one delta to its content block, and a piece of a tool's JSON input to `raw_input`."""
    texts.add(block, "text", delta.get("text"))
    texts.add(raw_input, "input", lenient.mapping(delta.get("toolUse")).get("input"))
    reasoning_delta = lenient.mapping(delta.get("reasoningContent"))
    if reasoning_delta:
        reasoning = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {})
        for name in ("text", "signature"):
            texts.add(reasoning, name, reasoning_delta.get(name))


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as the response to a `converse` request."""
    del request, created
    usage = answer.usage
    input_count, output_count = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    counts = {
        "inputTokens": tokens.subtract_cache(usage),
        "outputTokens": output_count,
        "totalTokens": input_count + output_count,
        "cacheReadInputTokens": usage.get("cache_read_tokens"),
        "cacheWriteInputTokens": usage.get("cache_write_tokens"),
    }
    return {
        "output": {"message": {"role": "assistant", "content": _encode_blocks(answer, response_id)}},
        "stopReason": answer.finish_reason or ("tool_use" if answer.tool_calls else "end_turn"),
        "usage": lenient.drop_none(counts),
        "metrics": {"latencyMs": 0},
    }


def _encode_blocks(answer: Answer, response_id: str) -> list[Json]:
    """Return the content blocks: reasoning, text, tool calls."""
    blocks: list[Json] = []
    if answer.reasoning is not None:
        blocks.append({"reasoningContent": {"reasoningText": {"text": answer.reasoning}}})
    text = answer.text if answer.text is not None else answer.refusal
    if text is not None:
        blocks.append({"text": text})
    for index, call in enumerate(answer.tool_calls):
        arguments = call.get("arguments")
        tool_use = {
            "toolUseId": call.get("id") or f"tooluse_{response_id}_{index}",
            "name": call.get("name") or "",
            "input": {} if arguments is None else arguments,
        }
        blocks.append({"toolUse": tool_use})
    return blocks


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as messages of an event stream."""
    response = encode_response(answer, request, response_id=response_id, created=created)
    events: list[tuple[str, Json]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(response["output"]["message"]["content"]):
        events += [(kind, {"contentBlockIndex": index, **data}) for kind, data in _encode_block_events(block)]
    events.append(("messageStop", {"stopReason": response["stopReason"]}))
    events.append(("metadata", {"usage": response["usage"], "metrics": response["metrics"]}))
    return [event_stream.encode_event(kind, data) for kind, data in events]


def _encode_block_events(block: Json) -> list[tuple[str, Json]]:
    """Return the events of one content block."""
    start: list[tuple[str, Json]] = []
    if "toolUse" in block:
        tool_use = block["toolUse"]
        identity = {name: tool_use[name] for name in ("toolUseId", "name")}
        start.append(("contentBlockStart", {"start": {"toolUse": identity}}))
        text = lenient.dump_arguments(tool_use["input"]) if tool_use["input"] != {} else ""
        deltas: list[Json] = [{"toolUse": {"input": piece}} for piece in framing.split_text(text) or [""]]
    elif "reasoningContent" in block:
        reasoning = block["reasoningContent"]["reasoningText"]["text"]
        deltas = [{"reasoningContent": {"text": piece}} for piece in framing.split_text(reasoning) or [""]]
    else:
        deltas = [{"text": piece} for piece in framing.split_text(block["text"]) or [""]]
    return [*start, *(("contentBlockDelta", {"delta": delta}) for delta in deltas), ("contentBlockStop", {})]


_ERROR_TYPES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


def encode_error(status: int, kind: str, message: str) -> Json:
    """Return the body of an HTTP error; its kind is in a header, `x-amzn-errortype`, and here again."""
    error_type = kind or _ERROR_TYPES.get(status)
    return {"message": message, "__type": error_type} if error_type else {"message": message}
