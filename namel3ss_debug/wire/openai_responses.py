"""OpenAI responses, `POST .../responses`: reading requests and answers, streamed or not.

Input and output are lists of items (message, reasoning, function_call, function_call_output, ...); each
item becomes one message. Writing is in `openai_responses_encoding`.
"""

from __future__ import annotations

from namel3ss_debug.wire import billing, lenient, openai_responses_encoding, openai_shared, parts, sse
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_tools

_REQUEST = {"model", "input", "instructions", "tools"}
_TEXTS = {"input_text", "output_text", "text", "summary_text", "reasoning_text"}
_CLIENT_CALLS = {
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Built-in tools that the client runs, and the key of their input."""


# --- the request


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`; `instructions` are a first message of role system."""
    request = lenient.mapping(body)
    sent = [{"role": "system", "content": request["instructions"]}] if request.get("instructions") else []
    given = request.get("input")
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, dict):
            sent.append(item)
        elif isinstance(item, str):
            sent.append({"role": "user", "content": item})
    tools = decode_tools(request) + [
        tool for item in sent if _loads_tools(item) for tool in decode_tools({"tools": item.get("tools")})
    ]
    return parts.make_request(request, _REQUEST, parts.decode_messages(sent, _message), tools)


def _loads_tools(item: Json) -> bool:
    """Whether an item offers tools that the program itself has found; those that OpenAI finds were offered before."""
    return item.get("type") == "tool_search_output" and item.get("execution") == "client"


def _message(item: Json) -> parts.Part:
    """One input item as a message."""
    kind = lenient.string(item.get("type")) or "message"
    if kind == "message":
        rest = {name: value for name, value in item.items() if name not in ("type", "role", "content")}
        return parts.make_message(item.get("role"), parts.decode_content(item.get("content"), _part), rest)
    if kind.endswith("_output") and "output" in item:
        response = parts.make(
            "tool_call_response",
            item,
            ("call_id", "output", "id"),
            id=lenient.string(item.get("call_id")) or lenient.string(item.get("id")),
            name=lenient.string(item.get("name")),
            response=parts.decode_tool_result(item["output"], _part),
        )
        return parts.make_message("tool", [response])
    if kind == "reasoning":
        thought = parts.make("reasoning", item, ("summary", "content"), content=_thought(item) or "")
        return parts.make_message("assistant", [thought])
    call = _tool_call(item)
    role = lenient.string(item.get("role")) or "assistant"
    return parts.make_message(
        role, [parts.make_unknown(item) if call is None else parts.make_call_part(call)]
    )


def _part(block: Json) -> parts.Part:
    """One block of an item's content."""
    kind = block.get("type")
    if kind in ("input_image", "input_file"):
        modality = "image" if kind == "input_image" else None
        for name in ("image_url", "file_data", "file_url"):
            if isinstance(block.get(name), str):
                return parts.make_media(block[name], modality, block, (name,))
        file_id = lenient.string(block.get("file_id"))
        return parts.make("file", block, ("file_id",), modality=modality, file_id=file_id)
    if isinstance(kind, str) and kind in _TEXTS and isinstance(block.get("text"), str):
        return parts.make_text(block["text"], block)
    return parts.make_unknown(block)


def _tool_call(item: Json) -> parts.Part | None:
    """The tool call in an item, or None where there is none that the client runs."""
    kind, call_id = item.get("type"), item.get("call_id") or item.get("id")
    if kind == "function_call":
        return parts.make_call(call_id, item.get("name"), lenient.load_arguments(item.get("arguments")))
    if kind == "custom_tool_call":
        return parts.make_call(call_id, item.get("name"), item.get("input"))
    if isinstance(kind, str) and kind in _CLIENT_CALLS:
        asked = item.get(_CLIENT_CALLS[kind]) or item.get(f"{_CLIENT_CALLS[kind]}s")
        return parts.make_call(call_id, kind.removesuffix("_call"), asked)
    return None


def _thought(item: Json) -> str | None:
    """The text of a reasoning item: its summaries, then its full reasoning."""
    blocks = lenient.mappings(item.get("summary")) + lenient.mappings(item.get("content"))
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    return "\n\n".join(texts) if texts else None


# --- the response


def decode_response(body: object) -> Answer:
    """The answer in a response body, finished or in progress."""
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
            thoughts += filter(None, [_thought(item)])
        elif (call := _tool_call(item)) is not None:
            calls.append(call)
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=_finish_reason(response),
        response_model=lenient.string(response.get("model")),
        usage=_usage(response),
        reasoning="\n\n".join(thoughts) if thoughts else None,
        response_id=lenient.string(response.get("id")),
        refusal="".join(refusals) if refusals else None,
        billing=_terms(response),
        cost=billing.read_cost(response.get("usage")),
    )


def _usage(response: Json) -> dict[str, int]:
    """Token counts, and how often OpenAI searched; for the web, the searches that it bills if it says so, else all."""
    usage = openai_shared.decode_usage(response.get("usage"))
    if not usage:
        return usage
    items = [item for item in lenient.mappings(response.get("output")) if item.get("status") != "failed"]
    billed = lenient.mapping(lenient.mapping(response.get("tool_usage")).get("web_search")).get(
        "num_requests"
    )
    web = lenient.count(billed)
    if web is None:
        actions = [item.get("action") for item in items if item.get("type") == "web_search_call"]
        web = sum(lenient.mapping(action).get("type", "search") == "search" for action in actions)
    files = sum(item.get("type") == "file_search_call" for item in items)
    return usage | billing.drop_zeros({"web_searches": web, "file_searches": files})


def _terms(response: Json) -> dict[str, str]:
    """The billing terms, and whether another model made pictures, which is billed separately."""
    items = lenient.mappings(response.get("output"))
    drawn = any(item.get("type") == "image_generation_call" for item in items)
    return openai_shared.decode_terms(response) | ({"tool": "image_generation"} if drawn else {})


def _finish_reason(response: Json) -> str | None:
    """The status, or the reason where the response is incomplete; None while it is not finished."""
    status = lenient.string(response.get("status"))
    if status == "incomplete":
        return lenient.string(lenient.mapping(response.get("incomplete_details")).get("reason")) or status
    return None if status in ("queued", "in_progress") else status


# --- the stream


def is_content(event: object) -> bool:
    """Whether an event contains text, reasoning, a refusal or the beginning or a piece of a tool call."""
    told = lenient.mapping(event)
    kind = lenient.string(told.get("type")) or ""
    if kind == "response.output_item.added":
        return _tool_call(lenient.mapping(told.get("item"))) is not None
    return kind.endswith(".delta") and bool(told.get("delta"))


def join_events(events: list[Json]) -> Json:
    """The events of a stream as one response object.

    It is taken from the last event that holds a whole response; output items that are missing there, because the
    stream was cut or a gateway leaves them out, are put together from their own events.
    """
    whole: Json = {}
    items: dict[int, Json] = {}
    texts = sse.GrowingTexts()
    for event in events:
        kind = lenient.string(event.get("type")) or ""
        if isinstance(event.get("response"), dict):
            whole = event["response"]
        elif kind == "error" or (not kind and "error" in event):
            whole = {**whole, "error": event.get("error") or {**event, "type": event.get("code")}}
        elif isinstance(event.get("item"), dict):
            items[lenient.count(event.get("output_index")) or 0] = _growing(event["item"])
        elif kind.endswith(".delta"):
            _add_delta(
                items.setdefault(lenient.count(event.get("output_index")) or 0, {}), kind, event, texts
            )
    texts.finish()
    if items and not whole.get("output"):
        whole = {**whole, "output": [items[index] for index in sorted(items)]}
    return whole


def _growing(item: Json) -> Json:
    """A copy of an output item, whose blocks can be added to without changing the event."""
    lists = {name: item[name] for name in ("content", "summary") if isinstance(item.get(name), list)}
    return item | {
        name: [dict(block) if isinstance(block, dict) else block for block in blocks]
        for name, blocks in lists.items()
    }


_DELTAS: dict[str, tuple[str, str, str]] = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""Events with a delta of a text inside an item: the list it is in, the type of its block, the key of the text."""

_MOST_BLOCKS = 1000
"""How many blocks are begun in one list at most, so that a hostile index does not fill the memory."""

_ITEM_DELTAS = {
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
}
"""Events with a delta of a text that is a field of the item itself: the type of the item, the key."""


def _add_delta(item: Json, kind: str, event: Json, texts: sse.GrowingTexts) -> None:
    """Add the text of one delta event to its output item."""
    if kind in _ITEM_DELTAS:
        item_type, key = _ITEM_DELTAS[kind]
        item.setdefault("type", item_type)
        texts.add(item, key, event.get("delta"))
    elif kind in _DELTAS:
        listed, block_type, key = _DELTAS[kind]
        item.setdefault("type", "message" if block_type in ("output_text", "refusal") else "reasoning")
        place = lenient.count(event.get("summary_index" if listed == "summary" else "content_index")) or 0
        texts.add(_block(item, listed, place, block_type), key, event.get("delta"))


def _block(item: Json, listed: str, place: int, block_type: str) -> Json:
    """The block of an item at `place` in one of its lists; a new one where there is none."""
    blocks = lenient.mappings(item.get(listed))
    while len(blocks) <= min(place, _MOST_BLOCKS):
        blocks.append({"type": block_type})
    item[listed] = blocks
    return blocks[min(place, len(blocks) - 1)]


# --- writing

encode_response = openai_responses_encoding.encode_response
encode_stream = openai_responses_encoding.encode_stream
encode_error = openai_shared.encode_error
