"""Gemini, `POST .../models/MODEL:generateContent` and `:streamGenerateContent`, of Google AI and of Vertex AI.

The names of fields are read in both spellings that Google's servers take, `functionCall` and `function_call`, and
written in the first. With `alt=sse` a stream is server-sent events, without it one JSON array.
"""

from __future__ import annotations

import re

from namel3ss_debug.wire import billing, gemini_calls, lenient, parts, sse
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.gemini_calls import either

_REQUEST = {"model", "contents", "systemInstruction", "system_instruction", "tools", "stream"}
_FINISH = ("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
"""Finish reasons by the numbers that some clients ask for; for higher numbers Google AI and Vertex AI differ."""

_COUNTS = (
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
)
"""The names of the counts in the usage, in the order in which they are read."""

_ROLES = {"model": "assistant", "function": "tool"}
_SCHEMAS = ("parameters", "parametersJsonSchema", "parameters_json_schema")


# --- the request


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`; the system instruction is a first message of role system."""
    request = lenient.mapping(body)
    messages = []
    if instruction := either(request, "systemInstruction"):
        content = _contents(instruction)[0] if isinstance(instruction, (dict, list)) else instruction
        told = content if isinstance(content, dict) else {"parts": [{"text": str(content)}]}
        messages += parts.decode_messages([{**told, "role": "system"}], _message)
    messages += parts.decode_messages(_contents(request.get("contents")), _message)
    tools = [tool for group in lenient.mappings(request.get("tools")) for tool in _tools(group)]
    return parts.make_request(request, _REQUEST, messages, tools)


def _contents(value: object) -> list[Json]:
    return lenient.mappings(value if isinstance(value, list) else [value]) or [{}]


def _message(content: Json) -> parts.Part:
    rest = {name: value for name, value in content.items() if name not in ("role", "parts")}
    role = content.get("role")
    role = _ROLES.get(str(role), role)
    blocks = content.get("parts")
    found = [_part(block) for block in lenient.mappings(blocks if isinstance(blocks, list) else [blocks])]
    if role in (None, "user") and found and all(part["type"] == "tool_call_response" for part in found):
        role = "tool"
    return parts.make_message(role or "user", found, rest)


def _part(block: Json) -> parts.Part:
    if isinstance(block.get("text"), str):
        if block.get("thought") is True:
            return parts.make("reasoning", block, ("text", "thought"), content=block["text"])
        return parts.make_text(block["text"], block)
    if isinstance(call := either(block, "functionCall"), dict):
        return parts.make("tool_call", block, ("functionCall", "function_call"), **_call(call))
    if isinstance(answered := either(block, "functionResponse"), dict):
        return parts.make(
            "tool_call_response",
            block,
            ("functionResponse", "function_response"),
            id=lenient.string(answered.get("id")),
            name=lenient.string(answered.get("name")),
            response=answered.get("response"),
        )
    if isinstance(data := either(block, "inlineData"), dict):
        read = ("inlineData", "inline_data")
        return parts.make_blob(data.get("data"), either(data, "mimeType"), None, block, read)
    if isinstance(file := either(block, "fileData"), dict):
        mime = lenient.string(either(file, "mimeType"))
        modality = None if mime is None else parts.find_modality(mime)
        return parts.make_media(either(file, "fileUri"), modality, block, ("fileData", "file_data"))
    return parts.make_unknown({"type": next(iter(block), "unknown"), **block})


def _call(call: Json) -> parts.Part:
    return parts.make_call(call.get("id"), call.get("name"), lenient.mapping(call.get("args")))


def _tools(group: Json) -> list[Json]:
    """The functions in a group of tools, or Google's own tool that the group stands for (`googleSearch`)."""
    declared = either(group, "functionDeclarations")
    if not isinstance(declared, list):
        return [
            {"name": name, "type": name, **lenient.drop_empty({"options": value})}
            for name, value in group.items()
        ]
    tools = []
    for function in lenient.mappings(declared):
        schema = next((function[name] for name in _SCHEMAS if function.get(name)), None)
        known = {"name": function.get("name"), "description": function.get("description") or None}
        tools.append(lenient.drop_empty({**known, "parameters": schema, "type": "function"}))
    return tools


# --- the response


def decode_response(body: object) -> Answer:
    """The answer: the first candidate. Thoughts are reasoning, and not part of the text."""
    response = lenient.mapping(body)
    candidate = next(iter(lenient.mappings(response.get("candidates"))), {})
    blocks = lenient.mappings(lenient.mapping(candidate.get("content")).get("parts"))
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        if isinstance(said := block.get("text"), str):
            (thoughts if block.get("thought") is True else texts).append(said)
        if isinstance(call := either(block, "functionCall"), dict):
            calls.append(_call(call))
    blocked = lenient.string(lenient.mapping(either(response, "promptFeedback")).get("blockReason"))
    return Answer(
        text="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=_finish_reason(either(candidate, "finishReason")) or blocked,
        response_model=lenient.string(either(response, "modelVersion")),
        usage=_usage(response),
        reasoning="".join(thoughts) if thoughts else None,
        response_id=lenient.string(either(response, "responseId")),
        refusal=blocked,
        billing=_terms(lenient.mapping(either(response, "usageMetadata"))),
    )


def _usage(response: Json) -> dict[str, int]:
    """Token counts, and how many of Google's searches are billed."""
    usage = decode_usage(either(response, "usageMetadata"))
    candidates = lenient.mappings(response.get("candidates"))
    queries = {
        query
        for candidate in candidates
        for query in lenient.sequence(
            either(lenient.mapping(either(candidate, "groundingMetadata")), "webSearchQueries")
        )
        if isinstance(query, str) and query
    }
    model = lenient.string(either(response, "modelVersion")) or ""
    searches = len(queries)
    if _PER_PROMPT.match(model):
        searches = min(1, searches)
    return usage | billing.drop_zeros({"web_searches": searches}) if usage else usage


_PER_PROMPT = re.compile(r"(?:.*/)?gemini-[12][.-]")
"""Models that are billed once for each prompt with searches; for later ones each query that is not empty is billed."""

_TRAFFIC: dict[object, str] = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "TRAFFIC_TYPE_UNSPECIFIED": "",
    0: "",
    1: "on_demand",
    2: "provisioned_throughput",
}
"""Vertex AI's names and numbers of tiers."""


def _terms(usage: Json) -> dict[str, str]:
    """The terms other than the standard ones on which it was billed."""
    tier, traffic = either(usage, "serviceTier"), either(usage, "trafficType")
    if tier is None and isinstance(traffic, str | int):
        tier = _TRAFFIC.get(traffic, str(traffic))
    return billing.select_terms(service_tier=tier)


def _finish_reason(value: object) -> str | None:
    number = lenient.count(value)
    if number is None:
        return lenient.string(value)
    return _FINISH[number] if number < len(_FINISH) else str(number)


def decode_usage(usage: object) -> dict[str, int]:
    """Token counts under the names of the event format.

    Google's input count does not include the results of its own tools, and its output count not the thoughts; ours
    include both. A count that Google leaves out because it is 0 follows from the total.
    """
    told = lenient.mapping(usage)
    given, tools, made, thoughts, cached = [lenient.count(either(told, name)) for name in _COUNTS]
    total = lenient.count(either(told, "totalTokenCount"))
    if made is None and thoughts is None and given is not None and total == given + (tools or 0):
        made = 0
    counts = {
        "input_tokens": None if given is None else given + (tools or 0),
        "output_tokens": None if made is None and thoughts is None else (made or 0) + (thoughts or 0),
        "cache_read_tokens": cached,
        "reasoning_tokens": thoughts,
    }
    return lenient.drop_none(counts) | billing.drop_zeros(_media(told))


def _media(told: Json) -> dict[str, int | None]:
    """The tokens for other things than text; those of a document count as image tokens, as they are billed."""
    counts: dict[str, int | None] = {}
    for name, ours in _DETAILS.items():
        for each in lenient.mappings(either(told, name)):
            modality = each.get("modality")
            kind = _KINDS.get(modality) if isinstance(modality, str | int) else None
            if kind is not None:
                into = ours.format(kind)
                counts[into] = (counts.get(into) or 0) + (lenient.count(either(each, "tokenCount")) or 0)
    return counts


_DETAILS = {
    "promptTokensDetails": "input_{}_tokens",
    "toolUsePromptTokensDetails": "input_{}_tokens",
    "candidatesTokensDetails": "output_{}_tokens",
    "cacheTokensDetails": "cache_{}_read_tokens",
}
_KINDS: dict[object, str] = {
    "AUDIO": "audio",
    "IMAGE": "image",
    "DOCUMENT": "image",
    "VIDEO": "video",
    4: "audio",
    2: "image",
    5: "image",
    3: "video",
}
"""Google's names and numbers for the kinds of tokens."""


# --- the stream


def is_content(event: object) -> bool:
    """Whether an event contains text, thoughts or a function call."""
    candidates = lenient.mappings(lenient.mapping(event).get("candidates"))
    return any(
        block.get("text") or either(block, "functionCall")
        for candidate in candidates
        for block in lenient.mappings(lenient.mapping(candidate.get("content")).get("parts"))
    )


def join_events(events: list[Json]) -> Json:
    """The events of a stream as one response: consecutive texts become one; the last counts are taken."""
    whole: Json = {}
    candidates: dict[int, Json] = {}
    texts = sse.GrowingTexts()
    for event in events:
        whole |= {name: value for name, value in lenient.drop_none(event).items() if name != "candidates"}
        for piece in lenient.mappings(event.get("candidates")):
            index = lenient.count(piece.get("index")) or 0
            candidate = candidates.setdefault(index, {"content": {"role": "model", "parts": []}})
            candidate |= {name: value for name, value in piece.items() if name != "content"}
            blocks = lenient.mappings(lenient.mapping(piece.get("content")).get("parts"))
            for block in blocks:
                _add_part(candidate["content"]["parts"], block, texts)
    texts.finish()
    if candidates or "error" not in whole:
        whole["candidates"] = [candidates[index] for index in sorted(candidates)]
    return whole


def _add_part(have: list[Json], block: Json, texts: sse.GrowingTexts) -> None:
    last = have[-1] if have else {}
    call = either(block, "functionCall")
    if isinstance(call, dict):
        going = last.get("functionCall")
        if isinstance(going, dict) and going.get("willContinue"):
            gemini_calls.add(going, call, texts)
        elif gemini_calls.comes_in_pieces(call):
            rest = {name: value for name, value in block.items() if name != "function_call"}
            have.append({**rest, "functionCall": gemini_calls.begun(call, texts)})
        else:
            have.append(dict(block))
    elif (
        isinstance(block.get("text"), str)
        and isinstance(last.get("text"), str)
        and last.get("thought") == block.get("thought")
    ):
        texts.add(last, "text", block["text"])
        last |= {name: value for name, value in block.items() if name != "text"}
    else:
        have.append(dict(block))


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:  # noqa: ARG001
    """The answer as a `GenerateContentResponse`."""
    usage = answer.usage
    given, made = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    counts = {
        "promptTokenCount": given,
        "candidatesTokenCount": max(0, made - usage.get("reasoning_tokens", 0)),
        "totalTokenCount": given + made,
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
        "content": {"role": "model", "parts": _blocks(answer)},
        "finishReason": answer.finish_reason or "STOP",
        "index": 0,
    }
    return {"candidates": [candidate], **frame}


def _blocks(answer: Answer) -> list[Json]:
    """The parts: thoughts, text, function calls."""
    blocks: list[Json] = []
    if answer.reasoning is not None:
        blocks.append({"text": answer.reasoning, "thought": True})
    if answer.text is not None:
        blocks.append({"text": answer.text})
    for call in answer.tool_calls:
        arguments = call.get("arguments")
        named = {"id": call["id"]} if call.get("id") else {}
        blocks.append(
            {
                "functionCall": {
                    **named,
                    "name": call.get("name") or "",
                    "args": arguments if isinstance(arguments, dict) else {},
                }
            }
        )
    return blocks


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as server-sent events, each a response with a piece of the content; the last has the finish reason."""
    whole = encode_response(answer, request, response_id=response_id, created=created)
    candidate = next(iter(whole.get("candidates", ())), None)
    if candidate is None:
        return [sse.encode(whole)]
    frame = {name: value for name, value in whole.items() if name not in ("candidates", "usageMetadata")}
    pieces = [
        {**block, "text": text} if text is not None else block
        for block in candidate["content"]["parts"]
        for text in (sse.split_text(block["text"]) or [""] if "text" in block else [None])
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
    chunks.append({"candidates": [last], "usageMetadata": whole["usageMetadata"], **frame})
    return [sse.encode(chunk) for chunk in chunks]


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
"""The names in google.rpc.Code for HTTP statuses."""


def encode_error(status: int, kind: str, message: str) -> Json:
    """The body of an HTTP error as Google sends it."""
    return {"error": {"code": status, "message": message, "status": kind or _STATUSES.get(status, "UNKNOWN")}}
