"""Amazon Bedrock's converse, `POST .../model/MODEL/converse` and `/converse-stream`.

The stream is binary (`event_stream`); a part is an object with one key, which names its kind.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import billing, event_stream, lenient, parts, sse, tokens
from namel3ss_debug.wire.contract import Answer, Json

_REQUEST = {"model", "messages", "system", "toolConfig", "stream"}
_METADATA = {"usage", "metrics", "trace", "serviceTier", "performanceConfig"}
_MEDIA = {"image": "image", "video": "video", "audio": "audio", "document": "document"}


# --- the request


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`; `system` is a first message of role system."""
    request = lenient.mapping(body)
    messages = []
    if system := lenient.mappings(request.get("system")):
        messages += parts.decode_messages([{"role": "system", "content": system}], _message)
    messages += parts.decode_messages(lenient.mappings(request.get("messages")), _message)
    config = lenient.mapping(request.get("toolConfig"))
    tools = [_tool(tool) for tool in lenient.mappings(config.get("tools")) if "cachePoint" not in tool]
    decoded = parts.make_request(request, _REQUEST, messages, tools)
    if config.get("toolChoice"):
        decoded["params"]["toolChoice"] = config["toolChoice"]
    return decoded


def _message(message: Json) -> parts.Part:
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    content = [_part(block) for block in lenient.mappings(message.get("content"))]
    return parts.make_message(message.get("role"), content, rest)


def _tool(tool: Json) -> Json:
    kind = next(iter(tool), "toolSpec")
    told = lenient.mapping(tool.get(kind))
    if kind != "toolSpec":
        return {"name": told.get("name") or kind, "type": kind}
    schema = lenient.mapping(told.get("inputSchema")).get("json")
    known = {"name": told.get("name"), "description": told.get("description"), "parameters": schema}
    return lenient.drop_empty({**known, "type": "function"})


def _part(block: Json) -> parts.Part:
    """One block of a message's content."""
    kind = next(iter(block), "unknown")
    told = block.get(kind)
    if isinstance(told, str) and kind == "text":
        return parts.make_text(told, block)
    if not isinstance(told, dict):
        return parts.make_unknown({"type": kind, **block})
    if kind == "toolUse":
        return parts.make("tool_call", told, ("toolUseId", "name", "input"), **_call(told))
    if kind == "toolResult":
        return parts.make(
            "tool_call_response",
            told,
            ("toolUseId", "content"),
            id=lenient.string(told.get("toolUseId")),
            response=_response(lenient.mappings(told.get("content"))),
        )
    if kind == "reasoningContent":
        said = lenient.mapping(told.get("reasoningText"))
        content = lenient.string(said.get("text")) or ""
        return parts.make("reasoning", said, ("text",), content=content)
    if kind == "citationsContent":
        return parts.make("text", told, ("content",), content=_cited(told))
    if kind in _MEDIA:
        return _media(kind, told)
    return parts.make_unknown({**told, "type": kind})


def _cited(told: Json) -> str:
    """The text of a block that has citations of its sources."""
    said = (each.get("text") for each in lenient.mappings(told.get("content")))
    return "".join(text for text in said if isinstance(text, str))


def _media(kind: str, told: Json) -> parts.Part:
    source, form = lenient.mapping(told.get("source")), lenient.string(told.get("format"))
    location = lenient.mapping(source.get("s3Location")).get("uri")
    if location is not None:
        return parts.make_media(location, _MEDIA[kind], told, ("source", "format"))
    data = source.get("bytes", source.get("text"))
    if data is None:
        return parts.make_unknown({**told, "type": kind})
    mime = None if form is None or kind == "document" else f"{kind}/{form}"
    return parts.make_blob(data, mime, _MEDIA[kind], told, ("source",))


def _response(content: list[Json]) -> Any:
    """The result of a tool: its JSON or text where it consists of one of these, else the blocks."""
    if len(content) == 1 and len(content[0]) == 1:
        return next((content[0][kind] for kind in ("json", "text") if kind in content[0]), content)
    return content


def _call(told: Json) -> parts.Part:
    arguments = told.get("input")
    return parts.make_call(told.get("toolUseId"), told.get("name"), {} if arguments is None else arguments)


# --- the response


def decode_response(body: object) -> Answer:
    """The answer in a response; calls of tools that the server itself runs are not the program's."""
    response = lenient.mapping(body)
    message = lenient.mapping(lenient.mapping(response.get("output")).get("message"))
    blocks = lenient.mappings(message.get("content"))
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        if isinstance(said := block.get("text"), str):
            texts.append(said)
        if isinstance(cited := block.get("citationsContent"), dict):
            texts.append(_cited(cited))
        if isinstance(use := block.get("toolUse"), dict) and use.get("type") != "server_tool_use":
            calls.append(_call(use))
        if "reasoningContent" in block and (thought := _thought(block)):
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


def _thought(block: Json) -> str | None:
    """The reasoning in a block, where it is text."""
    said = lenient.mapping(lenient.mapping(block.get("reasoningContent")).get("reasoningText"))
    return lenient.string(said.get("text"))


def decode_usage(usage: object) -> dict[str, int]:
    """Token counts under the names of the event format."""
    told = lenient.mapping(usage)
    known = tokens.add_cache(
        told.get("inputTokens"),
        told.get("outputTokens"),
        read=told.get("cacheReadInputTokens"),
        written=told.get("cacheWriteInputTokens"),
    )
    details = [each for each in lenient.mappings(told.get("cacheDetails")) if each.get("ttl") == "1h"]
    hours = sum(lenient.count(each.get("inputTokens")) or 0 for each in details)
    return known | billing.drop_zeros({"cache_write_1h_tokens": hours})


# --- the stream


def is_content(event: object) -> bool:
    """Whether an event contains text, reasoning, or the beginning or a piece of a tool call."""
    told = lenient.mapping(event)
    if "contentBlockStart" in told:
        return "toolUse" in lenient.mapping(lenient.mapping(told["contentBlockStart"]).get("start"))
    delta = lenient.mapping(lenient.mapping(told.get("contentBlockDelta")).get("delta"))
    return any(delta.get(name) for name in ("text", "toolUse", "reasoningContent"))


def join_events(events: list[Json]) -> Json:
    """The events of a stream as one response; an exception becomes its `error`."""
    whole: Json = {}
    role = "assistant"
    blocks: dict[int, Json] = {}
    inputs: dict[int, Json] = {}
    texts = sse.GrowingTexts()
    for event in events:
        kind = next(iter(event), "")
        told = lenient.mapping(event.get(kind))
        index = lenient.count(told.get("contentBlockIndex")) or 0
        if kind == "messageStart":
            role = lenient.string(told.get("role")) or role
        elif kind == "contentBlockStart":
            blocks[index] = _begun(lenient.mapping(told.get("start")))
        elif kind == "contentBlockDelta":
            delta = lenient.mapping(told.get("delta"))
            _add_delta(blocks.setdefault(index, {}), inputs.setdefault(index, {}), delta, texts)
        elif kind == "messageStop":
            whole |= {name: value for name, value in told.items() if name != "p"}
        elif kind == "metadata":
            whole |= {name: value for name, value in told.items() if name in _METADATA}
        elif kind == "error":
            whole["error"] = told
    texts.finish()
    for index, given in inputs.items():
        if given.get("input"):
            blocks[index].setdefault("toolUse", {})["input"] = lenient.load_arguments(given["input"])
    content = [blocks[index] for index in sorted(blocks) if blocks[index]]
    return {**whole, "output": {"message": {"role": role, "content": content}}}


def _begun(start: Json) -> Json:
    """A copy of the beginning of a block, which deltas can be added to without changing the event."""
    block = {name: dict(lenient.mapping(value)) for name, value in start.items()}
    if "reasoningContent" in block:
        said = lenient.mapping(block["reasoningContent"].get("reasoningText"))
        block["reasoningContent"]["reasoningText"] = dict(said)
    return block


def _add_delta(block: Json, given: Json, delta: Json, texts: sse.GrowingTexts) -> None:
    texts.add(block, "text", delta.get("text"))
    texts.add(given, "input", lenient.mapping(delta.get("toolUse")).get("input"))
    thought = lenient.mapping(delta.get("reasoningContent"))
    if thought:
        said = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {})
        for name in ("text", "signature"):
            texts.add(said, name, thought.get(name))


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """The answer as the response to a `converse` request."""
    del request, created
    usage = answer.usage
    given, made = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    counts = {
        "inputTokens": tokens.subtract_cache(usage),
        "outputTokens": made,
        "totalTokens": given + made,
        "cacheReadInputTokens": usage.get("cache_read_tokens"),
        "cacheWriteInputTokens": usage.get("cache_write_tokens"),
    }
    return {
        "output": {"message": {"role": "assistant", "content": _blocks(answer, response_id)}},
        "stopReason": _stop_reason(answer),
        "usage": lenient.drop_none(counts),
        "metrics": {"latencyMs": 0},
    }


def _stop_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_use" if answer.tool_calls else "end_turn")


def _blocks(answer: Answer, response_id: str) -> list[Json]:
    """The content blocks: reasoning, text, tool calls."""
    blocks: list[Json] = []
    if answer.reasoning is not None:
        blocks.append({"reasoningContent": {"reasoningText": {"text": answer.reasoning}}})
    said = answer.text if answer.text is not None else answer.refusal
    if said is not None:
        blocks.append({"text": said})
    for place, call in enumerate(answer.tool_calls):
        arguments = call.get("arguments")
        use = {
            "toolUseId": call.get("id") or f"tooluse_{response_id}_{place}",
            "name": call.get("name") or "",
            "input": {} if arguments is None else arguments,
        }
        blocks.append({"toolUse": use})
    return blocks


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as messages of an event stream."""
    whole = encode_response(answer, request, response_id=response_id, created=created)
    events: list[tuple[str, Json]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(whole["output"]["message"]["content"]):
        events += [(kind, {"contentBlockIndex": index, **told}) for kind, told in _block_events(block)]
    events.append(("messageStop", {"stopReason": whole["stopReason"]}))
    events.append(("metadata", {"usage": whole["usage"], "metrics": whole["metrics"]}))
    return [event_stream.encode_event(kind, told) for kind, told in events]


def _block_events(block: Json) -> list[tuple[str, Json]]:
    """The events of one content block."""
    begun: list[tuple[str, Json]] = []
    if "toolUse" in block:
        use = block["toolUse"]
        begun.append(
            ("contentBlockStart", {"start": {"toolUse": {n: use[n] for n in ("toolUseId", "name")}}})
        )
        text = lenient.dump_arguments(use["input"]) if use["input"] != {} else ""
        deltas: list[Json] = [{"toolUse": {"input": piece}} for piece in sse.split_text(text) or [""]]
    elif "reasoningContent" in block:
        said = block["reasoningContent"]["reasoningText"]["text"]
        deltas = [{"reasoningContent": {"text": piece}} for piece in sse.split_text(said) or [""]]
    else:
        deltas = [{"text": piece} for piece in sse.split_text(block["text"]) or [""]]
    return [*begun, *(("contentBlockDelta", {"delta": delta}) for delta in deltas), ("contentBlockStop", {})]


_ERROR_KINDS = {
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
    """The body of an HTTP error; its kind is in a header, `x-amzn-errortype`, and here again."""
    word = kind or _ERROR_KINDS.get(status)
    return {"message": message, "__type": word} if word else {"message": message}
