"""Read and write Gemini, `POST .../models/MODEL:generateContent` and `:streamGenerateContent`, on Google AI and Vertex AI.

Field names are read in both spellings that Google's servers take, `functionCall` and `function_call`, and written in
the first. With `alt=sse` a stream is server-sent events, without it one JSON array.
"""

from __future__ import annotations

import re

from namel3ss_debug.wire import billing, framing, gemini_calls, lenient, parts
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.gemini_calls import get_field

_REQUEST_KEYS = {"model", "contents", "systemInstruction", "system_instruction", "tools", "stream"}
_FINISH_REASONS = ("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
"""Finish reasons by number, which some clients ask for; for higher numbers Google AI and Vertex AI differ."""

_COUNT_KEYS = (
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
)
"""The names of the counts in the usage, in the order in which they are read."""

_ROLES = {"model": "assistant", "function": "tool"}
_SCHEMA_KEYS = ("parameters", "parametersJsonSchema", "parameters_json_schema")


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; the system instruction is a first message."""
    request = lenient.mapping(body)
    messages = []
    if instruction := get_field(request, "systemInstruction"):
        content = _list_contents(instruction)[0] if isinstance(instruction, (dict, list)) else instruction
        fields = content if isinstance(content, dict) else {"parts": [{"text": str(content)}]}
        messages += parts.decode_messages([{**fields, "role": "system"}], _decode_content)
    messages += parts.decode_messages(_list_contents(request.get("contents")), _decode_content)
    tools = [tool for group in lenient.mappings(request.get("tools")) for tool in _decode_tools(group)]
    return parts.make_request(request, _REQUEST_KEYS, messages, tools)


def _list_contents(value: object) -> list[Json]:
    return lenient.mappings(value if isinstance(value, list) else [value]) or [{}]


def _decode_content(content: Json) -> parts.Part:
    rest = {name: value for name, value in content.items() if name not in ("role", "parts")}
    role = content.get("role")
    role = _ROLES.get(str(role), role)
    blocks = content.get("parts")
    decoded = [
        _decode_part(block) for block in lenient.mappings(blocks if isinstance(blocks, list) else [blocks])
    ]
    # Google has no role for tool results: a program sends them as a user's message, or without a role.
    if role in (None, "user") and decoded and all(part["type"] == "tool_call_response" for part in decoded):
        role = "tool"
    return parts.make_message(role or "user", decoded, rest)


def _decode_part(block: Json) -> parts.Part:
    """Return one of Google's parts as a part in the form of OpenTelemetry."""
    if isinstance(block.get("text"), str):
        if block.get("thought") is True:
            return parts.make("reasoning", block, ("text", "thought"), content=block["text"])
        return parts.make_text(block["text"], block)
    if isinstance(call := get_field(block, "functionCall"), dict):
        return parts.make("tool_call", block, ("functionCall", "function_call"), **_decode_call(call))
    if isinstance(response := get_field(block, "functionResponse"), dict):
        return parts.make(
            "tool_call_response",
            block,
            ("functionResponse", "function_response"),
            id=lenient.string(response.get("id")),
            name=lenient.string(response.get("name")),
            response=response.get("response"),
        )
    if isinstance(data := get_field(block, "inlineData"), dict):
        read = ("inlineData", "inline_data")
        return parts.make_blob(data.get("data"), get_field(data, "mimeType"), None, block, read)
    if isinstance(file := get_field(block, "fileData"), dict):
        mime = lenient.string(get_field(file, "mimeType"))
        modality = None if mime is None else parts.find_modality(mime)
        return parts.make_media(get_field(file, "fileUri"), modality, block, ("fileData", "file_data"))
    return parts.make_unknown({"type": next(iter(block), "unknown"), **block})


def _decode_call(call: Json) -> parts.Part:
    return parts.make_call(call.get("id"), call.get("name"), lenient.mapping(call.get("args")))


def _decode_tools(group: Json) -> list[Json]:
    """Return the functions in a group of tools, or Google's own tool that the group stands for (`googleSearch`)."""
    declared = get_field(group, "functionDeclarations")
    if not isinstance(declared, list):
        return [
            {"name": name, "type": name, **lenient.drop_empty({"options": value})}
            for name, value in group.items()
        ]
    tools = []
    for function in lenient.mappings(declared):
        schema = next((function[name] for name in _SCHEMA_KEYS if function.get(name)), None)
        known = {"name": function.get("name"), "description": function.get("description") or None}
        tools.append(lenient.drop_empty({**known, "parameters": schema, "type": "function"}))
    return tools


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer: the first candidate, with the further ones."""
    response = lenient.mapping(body)
    first, *further = lenient.mappings(response.get("candidates")) or [{}]
    others = (_decode_candidate(candidate, response) for candidate in further)
    return _decode_candidate(first, response)._replace(
        further_choices=[other.to_choice() for other in others]
    )


def _decode_candidate(candidate: Json, response: Json) -> Answer:
    """Return the answer in one candidate. Thoughts are reasoning, and not part of the text."""
    blocks = lenient.mappings(lenient.mapping(candidate.get("content")).get("parts"))
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        if isinstance(text := block.get("text"), str):
            (thoughts if block.get("thought") is True else texts).append(text)
        if isinstance(call := get_field(block, "functionCall"), dict):
            calls.append(_decode_call(call))
    blocked = lenient.string(lenient.mapping(get_field(response, "promptFeedback")).get("blockReason"))
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=_decode_finish_reason(get_field(candidate, "finishReason")) or blocked,
        response_model=lenient.string(get_field(response, "modelVersion")),
        usage=_decode_usage_and_searches(response),
        reasoning="".join(thoughts) if thoughts else None,
        response_id=lenient.string(get_field(response, "responseId")),
        refusal=blocked,
        billing=_decode_terms(lenient.mapping(get_field(response, "usageMetadata"))),
    )


def _decode_usage_and_searches(response: Json) -> dict[str, int]:
    """Return token counts, and how many of Google's searches are billed."""
    usage = decode_usage(get_field(response, "usageMetadata"))
    candidates = lenient.mappings(response.get("candidates"))
    queries = {
        query
        for candidate in candidates
        for query in lenient.sequence(
            get_field(lenient.mapping(get_field(candidate, "groundingMetadata")), "webSearchQueries")
        )
        if isinstance(query, str) and query
    }
    model = lenient.string(get_field(response, "modelVersion")) or ""
    searches = min(1, len(queries)) if _BILLED_PER_PROMPT.match(model) else len(queries)
    return usage | billing.drop_zeros({"web_searches": searches}) if usage else usage


_BILLED_PER_PROMPT = re.compile(r"(?:.*/)?gemini-[12][.-]")
"""Models whose searches are billed once for each prompt; for later models, each query that is not empty is billed."""

_TRAFFIC_TIERS: dict[object, str] = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "TRAFFIC_TYPE_UNSPECIFIED": "",
    0: "",
    1: "on_demand",
    2: "provisioned_throughput",
}
"""Vertex AI's names and numbers of tiers -> the service tier."""


def _decode_terms(usage: Json) -> dict[str, str]:
    """Return the billing terms, without the standard ones."""
    tier, traffic = get_field(usage, "serviceTier"), get_field(usage, "trafficType")
    if tier is None and isinstance(traffic, str | int):
        tier = _TRAFFIC_TIERS.get(traffic, str(traffic))
    return billing.select_terms(service_tier=tier)


def _decode_finish_reason(value: object) -> str | None:
    number = lenient.count(value)
    if number is None:
        return lenient.string(value)
    return _FINISH_REASONS[number] if number < len(_FINISH_REASONS) else str(number)


def decode_usage(usage: object) -> dict[str, int]:
    """Return token counts under the names of the event format.

    Google's input count does not include the results of its own tools, and its output count does not include the
    thoughts; ours include both. Google leaves out a count of 0, which then follows from the total.
    """
    fields = lenient.mapping(usage)
    prompt, tools, output, thoughts, cached = [lenient.count(get_field(fields, name)) for name in _COUNT_KEYS]
    total = lenient.count(get_field(fields, "totalTokenCount"))
    if output is None and thoughts is None and prompt is not None and total == prompt + (tools or 0):
        output = 0
    counts = {
        "input_tokens": None if prompt is None else prompt + (tools or 0),
        "output_tokens": None if output is None and thoughts is None else (output or 0) + (thoughts or 0),
        "cache_read_tokens": cached,
        "reasoning_tokens": thoughts,
    }
    return lenient.drop_none(counts) | billing.drop_zeros(_count_modalities(fields))


def _count_modalities(usage: Json) -> dict[str, int | None]:
    """Return the tokens of other modalities than text; tokens of a document count as image tokens, as they are billed."""
    counts: dict[str, int | None] = {}
    for name, template in _DETAIL_NAMES.items():
        for detail in lenient.mappings(get_field(usage, name)):
            modality = detail.get("modality")
            kind = _MODALITIES.get(modality) if isinstance(modality, str | int) else None
            if kind is not None:
                key = template.format(kind)
                counts[key] = (counts.get(key) or 0) + (lenient.count(get_field(detail, "tokenCount")) or 0)
    return counts


_DETAIL_NAMES = {
    "promptTokensDetails": "input_{}_tokens",
    "toolUsePromptTokensDetails": "input_{}_tokens",
    "candidatesTokensDetails": "output_{}_tokens",
    "cacheTokensDetails": "cache_{}_read_tokens",
}
"""Google's details of a count -> the name of the event format, with a place for the modality."""

_MODALITIES: dict[object, str] = {
    "AUDIO": "audio",
    "IMAGE": "image",
    "DOCUMENT": "image",
    "VIDEO": "video",
    4: "audio",
    2: "image",
    5: "image",
    3: "video",
}
"""Google's names and numbers of modalities -> ours."""


# --- the stream


def is_content(event: object) -> bool:
    """Return whether an event contains text, thoughts or a function call."""
    candidates = lenient.mappings(lenient.mapping(event).get("candidates"))
    return any(
        block.get("text") or get_field(block, "functionCall")
        for candidate in candidates
        for block in lenient.mappings(lenient.mapping(candidate.get("content")).get("parts"))
    )


def join_events(events: list[Json]) -> Json:
    """Join the events of a stream into one response: consecutive texts become one; the last counts are taken."""
    response: Json = {}
    candidates: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        response |= {name: value for name, value in lenient.drop_none(event).items() if name != "candidates"}
        for piece in lenient.mappings(event.get("candidates")):
            index = lenient.count(piece.get("index")) or 0
            candidate = candidates.setdefault(index, {"content": {"role": "model", "parts": []}})
            candidate |= {name: value for name, value in piece.items() if name != "content"}
            blocks = lenient.mappings(lenient.mapping(piece.get("content")).get("parts"))
            for block in blocks:
                _join_part(candidate["content"]["parts"], block, texts)
    texts.finish()
    if candidates or "error" not in response:
        response["candidates"] = [candidates[index] for index in sorted(candidates)]
    return response


def _join_part(joined: list[Json], block: Json, texts: framing.GrowingTexts) -> None:
    """Append a part, or add it to the last one if it continues that one's text or function call."""
    last = joined[-1] if joined else {}
    call = get_field(block, "functionCall")
    if isinstance(call, dict):
        open_call = last.get("functionCall")
        if isinstance(open_call, dict) and open_call.get("willContinue"):
            gemini_calls.add_piece(open_call, call, texts)
        elif gemini_calls.is_streamed(call):
            rest = {name: value for name, value in block.items() if name != "function_call"}
            joined.append({**rest, "functionCall": gemini_calls.start_call(call, texts)})
        else:
            joined.append(dict(block))
    elif (
        isinstance(block.get("text"), str)
        and isinstance(last.get("text"), str)
        and last.get("thought") == block.get("thought")
    ):
        texts.add(last, "text", block["text"])
        last |= {name: value for name, value in block.items() if name != "text"}
    else:
        joined.append(dict(block))


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as a `GenerateContentResponse`."""
    del created
    usage = answer.usage
    input_count, output_count = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    counts = {
        "promptTokenCount": input_count,
        "candidatesTokenCount": max(0, output_count - usage.get("reasoning_tokens", 0)),
        "totalTokenCount": input_count + output_count,
        "thoughtsTokenCount": usage.get("reasoning_tokens"),
        "cachedContentTokenCount": usage.get("cache_read_tokens"),
    }
    frame = {
        "usageMetadata": lenient.drop_none(counts),
        "modelVersion": answer.response_model or request.get("model") or "",
        "responseId": response_id,
    }
    if answer.refusal is not None and answer.text is None and not answer.tool_calls:
        return {"promptFeedback": {"blockReason": answer.refusal}, **frame}
    candidate = {
        "content": {"role": "model", "parts": _encode_parts(answer)},
        "finishReason": answer.finish_reason or "STOP",
        "index": 0,
    }
    return {"candidates": [candidate], **frame}


def _encode_parts(answer: Answer) -> list[Json]:
    """Return the parts: thoughts, text, function calls."""
    blocks: list[Json] = []
    if answer.reasoning is not None:
        blocks.append({"text": answer.reasoning, "thought": True})
    if answer.text is not None:
        blocks.append({"text": answer.text})
    for call in answer.tool_calls:
        arguments = call.get("arguments")
        call_id = {"id": call["id"]} if call.get("id") else {}
        blocks.append(
            {
                "functionCall": {
                    **call_id,
                    "name": call.get("name") or "",
                    "args": arguments if isinstance(arguments, dict) else {},
                }
            }
        )
    return blocks


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as server-sent events, each with a piece of the content; the last has the finish reason."""
    response = encode_response(answer, request, response_id=response_id, created=created)
    candidate = next(iter(response.get("candidates", ())), None)
    if candidate is None:
        return [framing.encode_sse(response)]
    frame = {name: value for name, value in response.items() if name not in ("candidates", "usageMetadata")}
    pieces = [
        {**block, "text": text} if text is not None else block
        for block in candidate["content"]["parts"]
        for text in (framing.split_text(block["text"]) or [""] if "text" in block else [None])
    ]
    last = {
        "content": {"role": "model", "parts": pieces[-1:]},
        "finishReason": candidate["finishReason"],
        "index": 0,
    }
    chunks = [
        {"candidates": [{"content": {"role": "model", "parts": [piece]}, "index": 0}], **frame}
        for piece in pieces[:-1]
    ]
    chunks.append({"candidates": [last], "usageMetadata": response["usageMetadata"], **frame})
    return [framing.encode_sse(chunk) for chunk in chunks]


_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""HTTP status -> its name in google.rpc.Code."""


def encode_error(status: int, kind: str, message: str) -> Json:
    """Return the body of an HTTP error as Google sends it."""
    return {"error": {"code": status, "message": message, "status": kind or _STATUSES.get(status, "UNKNOWN")}}
