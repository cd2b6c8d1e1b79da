"""Read and write OpenAI responses, `POST .../responses`.

Input and output are lists of items (message, reasoning, function_call, function_call_output, ...); each item becomes
one message.
"""

from __future__ import annotations

from namel3ss_debug.wire import billing, framing, lenient, openai_shared, parts
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_tools, find_custom_input, find_tool

_REQUEST_KEYS = {"model", "input", "instructions", "tools"}
_TEXT_TYPES = {"input_text", "output_text", "text", "summary_text", "reasoning_text"}
_CLIENT_CALLS = {
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Calls of built-in tools that the client runs -> the key of their input."""


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; `instructions` are a first message of role system."""
    request = lenient.mapping(body)
    items = [{"role": "system", "content": request["instructions"]}] if request.get("instructions") else []
    sent = request.get("input")
    for item in sent if isinstance(sent, list) else [sent]:
        if isinstance(item, dict):
            items.append(item)
        elif isinstance(item, str):
            items.append({"role": "user", "content": item})
    tools = decode_tools(request)
    for item in items:
        # The program has found these tools itself; tools that OpenAI finds were offered before.
        if item.get("type") == "tool_search_output" and item.get("execution") == "client":
            tools += decode_tools({"tools": item.get("tools")})
    return parts.make_request(request, _REQUEST_KEYS, parts.decode_messages(items, _decode_item), tools)


def _decode_item(item: Json) -> parts.Part:
    """Return one input item as a message."""
    kind = lenient.string(item.get("type")) or "message"
    if kind == "message":
        rest = {name: value for name, value in item.items() if name not in ("type", "role", "content")}
        return parts.make_message(
            item.get("role"), parts.decode_content(item.get("content"), _decode_block), rest
        )
    if kind.endswith("_output") and "output" in item:
        response = parts.make(
            "tool_call_response",
            item,
            ("call_id", "output", "id"),
            id=lenient.string(item.get("call_id")) or lenient.string(item.get("id")),
            name=lenient.string(item.get("name")),
            response=parts.decode_tool_result(item["output"], _decode_block),
        )
        return parts.make_message("tool", [response])
    if kind == "reasoning":
        reasoning = parts.make("reasoning", item, ("summary", "content"), content=_join_reasoning(item) or "")
        return parts.make_message("assistant", [reasoning])
    call = _decode_call(item)
    role = lenient.string(item.get("role")) or "assistant"
    return parts.make_message(
        role, [parts.make_unknown(item) if call is None else parts.make_call_part(call)]
    )


def _decode_block(block: Json) -> parts.Part:
    """Return one block of an item's content as a part."""
    kind = block.get("type")
    if kind in ("input_image", "input_file"):
        modality = "image" if kind == "input_image" else None
        for name in ("image_url", "file_data", "file_url"):
            if isinstance(block.get(name), str):
                return parts.make_media(block[name], modality, block, (name,))
        file_id = lenient.string(block.get("file_id"))
        return parts.make("file", block, ("file_id",), modality=modality, file_id=file_id)
    if isinstance(kind, str) and kind in _TEXT_TYPES and isinstance(block.get("text"), str):
        return parts.make_text(block["text"], block)
    return parts.make_unknown(block)


def _decode_call(item: Json) -> parts.Part | None:
    """Return the tool call in an item, or None if the client runs none in it."""
    kind, call_id = item.get("type"), item.get("call_id") or item.get("id")
    if kind == "function_call":
        return parts.make_call(call_id, item.get("name"), lenient.load_arguments(item.get("arguments")))
    if kind == "custom_tool_call":
        return parts.make_call(call_id, item.get("name"), item.get("input"))
    if isinstance(kind, str) and kind in _CLIENT_CALLS:
        arguments = item.get(_CLIENT_CALLS[kind]) or item.get(f"{_CLIENT_CALLS[kind]}s")
        return parts.make_call(call_id, kind.removesuffix("_call"), arguments)
    return None


def _join_reasoning(item: Json) -> str | None:
    """Return the text of a reasoning item: its summaries, then its full reasoning."""
    blocks = lenient.mappings(item.get("summary")) + lenient.mappings(item.get("content"))
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    return "\n\n".join(texts) if texts else None


def encode_request(request: Json) -> Json:
    """Return the body of a request that was decoded; parts that this API does not know are passed on as they are."""
    items = [item for message in request["messages"] for item in _encode_message(message)]
    body: Json = {"model": request["model"], "input": items}
    if request.get("tools"):
        body["tools"] = request["tools"]
    return body | lenient.mapping(request.get("params"))


def _encode_message(message: parts.Part) -> list[Json]:
    """Return the items of one message; a message holds one call, one result, one reasoning, or content."""
    role, content = message["role"], message["parts"]
    if len(content) == 1:
        part = content[0]
        if part["type"] == "tool_call":
            arguments = lenient.dump_arguments(part.get("arguments"))
            return [
                {
                    "type": "function_call",
                    "call_id": part.get("id"),
                    "name": part.get("name"),
                    "arguments": arguments,
                }
            ]
        if part["type"] == "tool_call_response":
            output = parts.encode_tool_result(part.get("response"), _encode_block)
            result = {"type": "function_call_output", "call_id": part.get("id"), "output": output}
            return [result | parts.rest_of(part, "id", "response")]
        if part["type"] == "reasoning":
            thought = part.get("content")
            summary = [{"type": "summary_text", "text": thought}] if thought else []
            return [{"type": "reasoning", "summary": summary, **parts.rest_of(part, "content", "summary")}]
    encoded = parts.encode_content(content, lambda part: _encode_block(part, role))
    return [{"role": role, **parts.rest_of(message, "role", "parts"), "content": encoded}]


def _encode_block(part: parts.Part, role: str = "user") -> Json:
    kind, rest = part["type"], parts.rest_of(part, "modality", "mime_type", "content", "uri")
    if kind == "text":
        named = "output_text" if role == "assistant" else "input_text"
        return {"type": named, "text": part.get("content"), **parts.rest_of(part, "content")}
    image = part.get("modality") == "image"
    if kind == "blob":
        return {
            "type": "input_image" if image else "input_file",
            "image_url" if image else "file_data": parts.data_url(part),
        } | rest
    if kind == "uri":
        return {
            "type": "input_image" if image else "input_file",
            "image_url" if image else "file_url": part.get("uri"),
        } | rest
    if kind == "file":
        return {"type": "input_image" if image else "input_file", **rest}
    return part


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer in a response body, finished or in progress."""
    response = lenient.mapping(body)
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[parts.Part] = []
    for item in lenient.mappings(response.get("output")):
        kind = item.get("type")
        if kind == "message":
            for block in lenient.mappings(item.get("content")):
                if isinstance(block.get("text"), str):
                    texts.append(block["text"])
                if isinstance(block.get("refusal"), str):
                    refusals.append(block["refusal"])
        elif kind == "reasoning":
            if text := _join_reasoning(item):
                thoughts.append(text)
        elif (call := _decode_call(item)) is not None:
            calls.append(call)
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=_finish_reason(response),
        response_model=lenient.string(response.get("model")),
        usage=_decode_usage(response),
        reasoning="\n\n".join(thoughts) if thoughts else None,
        response_id=lenient.string(response.get("id")),
        refusal="".join(refusals) if refusals else None,
        billing=_decode_terms(response),
        cost=billing.read_cost(response.get("usage")),
    )


def _decode_usage(response: Json) -> dict[str, int]:
    """Return token counts, and how many searches are billed."""
    usage = openai_shared.decode_usage(response.get("usage"))
    if not usage:
        return usage
    items = [item for item in lenient.mappings(response.get("output")) if item.get("status") != "failed"]
    web_search = lenient.mapping(lenient.mapping(response.get("tool_usage")).get("web_search"))
    web_searches = lenient.count(web_search.get("num_requests"))
    if web_searches is None:  # OpenAI did not report how many it bills
        actions = [item.get("action") for item in items if item.get("type") == "web_search_call"]
        web_searches = sum(lenient.mapping(action).get("type", "search") == "search" for action in actions)
    file_searches = sum(item.get("type") == "file_search_call" for item in items)
    return usage | billing.drop_zeros({"web_searches": web_searches, "file_searches": file_searches})


def _decode_terms(response: Json) -> dict[str, str]:
    """Return the billing terms, and a term `tool` if another model made pictures, because these are billed separately."""
    items = lenient.mappings(response.get("output"))
    has_image = any(item.get("type") == "image_generation_call" for item in items)
    return openai_shared.decode_terms(response) | ({"tool": "image_generation"} if has_image else {})


def _finish_reason(response: Json) -> str | None:
    """Return the status, or the reason if the response is incomplete; None while it is not finished."""
    status = lenient.string(response.get("status"))
    if status == "incomplete":
        return lenient.string(lenient.mapping(response.get("incomplete_details")).get("reason")) or status
    return None if status in ("queued", "in_progress") else status


# --- the stream


def is_content(event: object) -> bool:
    """Return whether an event contains text, reasoning, a refusal, or the beginning or a piece of a tool call."""
    fields = lenient.mapping(event)
    kind = lenient.string(fields.get("type")) or ""
    if kind == "response.output_item.added":
        return _decode_call(lenient.mapping(fields.get("item"))) is not None
    return kind.endswith(".delta") and bool(fields.get("delta"))


def join_events(events: list[Json]) -> Json:
    """Join the events of a stream into one response object.

    The result is the response in the last event that contains one. If its output items are missing, because the stream
    was cut or a gateway leaves them out, they are joined from their own events.
    """
    response: Json = {}
    items: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        kind = lenient.string(event.get("type")) or ""
        if isinstance(event.get("response"), dict):
            response = event["response"]
        elif kind == "error" or (not kind and "error" in event):
            response = {**response, "error": event.get("error") or {**event, "type": event.get("code")}}
        elif isinstance(event.get("item"), dict):
            items[lenient.count(event.get("output_index")) or 0] = _copy_item(event["item"])
        elif kind.endswith(".delta"):
            _add_delta(
                items.setdefault(lenient.count(event.get("output_index")) or 0, {}), kind, event, texts
            )
    texts.finish()
    if items and not response.get("output"):
        response = {**response, "output": [items[index] for index in sorted(items)]}
    return response


def _copy_item(item: Json) -> Json:
    """Return a copy of an output item whose blocks can grow without changing the event."""
    lists = {name: item[name] for name in ("content", "summary") if isinstance(item.get(name), list)}
    return item | {
        name: [dict(block) if isinstance(block, dict) else block for block in blocks]
        for name, blocks in lists.items()
    }


_TEXT_DELTAS: dict[str, tuple[str, str, str]] = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""Events with a delta of a text inside an item -> the item's list, the type of the block, the key of the text."""

_MOST_BLOCKS = 1000
"""How many blocks one list may have, so that a hostile index does not fill the memory."""

_ITEM_DELTAS = {
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
}
"""Events with a delta of a text that is a field of the item itself -> the type of the item, the key."""


def _add_delta(item: Json, kind: str, event: Json, texts: framing.GrowingTexts) -> None:
    """Add the text of one delta event to its output item."""
    if kind in _ITEM_DELTAS:
        item_type, key = _ITEM_DELTAS[kind]
        item.setdefault("type", item_type)
        texts.add(item, key, event.get("delta"))
    elif kind in _TEXT_DELTAS:
        list_name, block_type, key = _TEXT_DELTAS[kind]
        item.setdefault("type", "message" if block_type in ("output_text", "refusal") else "reasoning")
        index = lenient.count(event.get("summary_index" if list_name == "summary" else "content_index")) or 0
        texts.add(_find_block(item, list_name, index, block_type), key, event.get("delta"))


def _find_block(item: Json, list_name: str, index: int, block_type: str) -> Json:
    """Return the block of an item at `index` in one of its lists; append blocks up to there if it is missing."""
    blocks = lenient.mappings(item.get(list_name))
    while len(blocks) <= min(index, _MOST_BLOCKS):
        blocks.append({"type": block_type})
    item[list_name] = blocks
    return blocks[min(index, len(blocks) - 1)]


# --- writing

_STATUSES = {"completed", "failed", "cancelled", "incomplete"}
_CALL_EVENTS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
"""Type of a tool call -> the events for its input, and the field of the input."""

_ECHOED_FIELDS: Json = {
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
"""Fields of the request that a response repeats, with their values if the request does not set them."""


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as a response object."""
    echoed = {name: request[name] for name in _ECHOED_FIELDS if request.get(name) is not None}
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
        "output": _encode_items(answer, request, response_id),
        "usage": openai_shared.encode_usage(counts | answer.usage, "input", "output"),
        **_ECHOED_FIELDS,
        **echoed,
    }


def _encode_items(answer: Answer, request: Json, response_id: str) -> list[Json]:
    """Return the output items: reasoning, a message if there is text or a refusal, and tool calls."""
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
    for index, call in enumerate(answer.tool_calls):
        named = {"call_id": call.get("id") or f"call_{response_id}_{index}", "name": call.get("name") or ""}
        namespace = lenient.string(find_tool(call.get("name"), request).get("namespace"))
        named |= {} if namespace is None else {"namespace": namespace}
        text = find_custom_input(call, request)
        if text is None:
            item = {
                "id": f"fc_{response_id}_{index}",
                "type": "function_call",
                "status": "completed",
                **named,
            }
            items.append(item | {"arguments": lenient.dump_arguments(call.get("arguments"))})
        else:
            item = {"id": f"ctc_{response_id}_{index}", "type": "custom_tool_call", **named}
            items.append(item | {"input": text})
    return items


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as the events of a stream, numbered in their order."""
    response = encode_response(answer, request, response_id=response_id, created=created)
    started = response | {
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    last = response["status"] if response["status"] in ("failed", "incomplete") else "completed"
    events: list[Json] = [
        # The order is that of the API: created, in progress; for each output item added, its deltas, done; the response.
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for index, item in enumerate(response["output"]):
        events += [event | {"output_index": index} for event in _encode_item_events(item)]
    events.append({"type": f"response.{last}", "response": response})
    return [
        framing.encode_sse(event | {"sequence_number": number}, event["type"])
        for number, event in enumerate(events)
    ]


def _encode_item_events(item: Json) -> list[Json]:
    """Return the events of one output item."""
    item_id = {"item_id": item["id"]}
    if item["type"] in _CALL_EVENTS:
        kind, field = _CALL_EVENTS[item["type"]]
        empty = item | {field: ""} | ({"status": "in_progress"} if "status" in item else {})
        events: list[Json] = [
            {"type": f"{kind}.delta", **item_id, "delta": piece} for piece in framing.split_text(item[field])
        ]
        events.append({"type": f"{kind}.done", **item_id, "name": item["name"], field: item[field]})
    elif item["type"] == "reasoning":
        empty = item | {"summary": []}
        text = item["summary"][0]["text"]
        events = _encode_text_events(
            "response.reasoning_summary_text", "text", text, {**item_id, "summary_index": 0}
        )
        events = _wrap_in_part("response.reasoning_summary_part", item["summary"][0], "text", events)
    else:
        empty = item | {"content": [], "status": "in_progress"}
        events = []
        for index, part in enumerate(item["content"]):
            key, kind = (
                ("refusal", "response.refusal") if "refusal" in part else ("text", "response.output_text")
            )
            location = {**item_id, "content_index": index}
            events += _wrap_in_part(
                "response.content_part", part, key, _encode_text_events(kind, key, part[key], location)
            )
    added = {"type": "response.output_item.added", "item": empty}
    return [added, *events, {"type": "response.output_item.done", "item": item}]


def _encode_text_events(kind: str, key: str, text: str, location: Json) -> list[Json]:
    """Return the deltas of a text and the event that repeats the whole text; those of output text also have `logprobs`."""
    extra: Json = {"logprobs": []} if kind == "response.output_text" else {}
    deltas = [
        {"type": f"{kind}.delta", **location, "delta": piece, **extra} for piece in framing.split_text(text)
    ]
    return [*deltas, {"type": f"{kind}.done", **location, key: text, **extra}]


def _wrap_in_part(kind: str, part: Json, key: str, events: list[Json]) -> list[Json]:
    """Return the events of a text between the events that begin and end its part."""
    location = {
        name: value
        for name, value in events[-1].items()
        if name in ("item_id", "content_index", "summary_index")
    }
    begin = {"type": f"{kind}.added", **location, "part": part | {key: ""}}
    return [begin, *events, {"type": f"{kind}.done", **location, "part": part}]


encode_error = openai_shared.encode_error
