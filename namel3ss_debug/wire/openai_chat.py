"""OpenAI chat completions, `POST .../chat/completions`, as used by OpenAI and by most other servers.

Follows the API reference and what is seen from Azure, vLLM, Groq, DeepSeek, OpenRouter and Mistral, which
add fields (`reasoning_content`, `reasoning`, `x_groq`) or leave some out.
"""

from __future__ import annotations

from namel3ss_debug.wire import billing, lenient, openai_shared, parts, sse
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_tools, encode_function_calls, find_custom_input

_REQUEST = {"model", "messages", "tools", "functions"}
_MESSAGE = {"role", "content", "tool_calls", "function_call", "tool_call_id", "refusal"}
_REASONING = ("reasoning_content", "reasoning")


# --- the request


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`."""
    request = lenient.mapping(body)
    messages = parts.decode_messages(lenient.mappings(request.get("messages")), _message)
    return parts.make_request(request, _REQUEST, messages, decode_tools(request))


def _message(message: Json) -> parts.Part:
    role = message.get("role")
    rest = {name: value for name, value in message.items() if name not in _MESSAGE and name not in _REASONING}
    if role in ("tool", "function"):
        response = parts.make(
            "tool_call_response",
            id=lenient.string(message.get("tool_call_id")),
            name=lenient.string(message.get("name")),
            response=parts.decode_tool_result(message.get("content"), _part),
        )
        return parts.make_message(role, [response], rest)
    content = [parts.make("reasoning", content=thought) for thought in _reasoning(message)]
    content += parts.decode_content(message.get("content"), _part)
    if isinstance(message.get("refusal"), str):
        content.append({"type": "refusal", "refusal": message["refusal"]})
    content += [parts.make_call_part(call) for call in _tool_calls(message)]
    return parts.make_message(role, content, rest)


def _part(block: Json) -> parts.Part:
    """One block of a message's content."""
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return parts.make_text(block["text"], block)
    if kind == "image_url":
        image = block.get("image_url")
        url = image if isinstance(image, str) else lenient.mapping(image).get("url")
        return parts.make_media(url, "image", lenient.mapping(image), ("url",))
    if kind == "input_audio":
        audio = lenient.mapping(block.get("input_audio"))
        mime = f"audio/{audio['format']}" if isinstance(audio.get("format"), str) else None
        return parts.make_blob(audio.get("data"), mime, "audio", audio, ("data", "format"))
    if kind == "thinking":  # of Mistral
        given = block.get("thinking")
        said = [each.get("text") for each in lenient.mappings(given)] if isinstance(given, list) else [given]
        thought = "".join(text for text in said if isinstance(text, str))
        return parts.make("reasoning", block, ("thinking",), content=thought)
    if kind == "file":
        file = lenient.mapping(block.get("file"))
        if isinstance(file.get("file_data"), str):
            return parts.make_media(file["file_data"], None, file, ("file_data",))
        return parts.make("file", file, ("file_id",), file_id=lenient.string(file.get("file_id")))
    return parts.make_unknown(block)


def _reasoning(message: Json) -> list[str]:
    """The reasoning that some servers send beside the content, under one of two names, never both."""
    found = [message[name] for name in _REASONING if isinstance(message.get(name), str) and message[name]]
    return found[:1]


def _thoughts(content: object) -> list[str]:
    """The reasoning among the blocks of the content."""
    found = (
        parts.select_texts(parts.decode_content(content, _part), "reasoning")
        if isinstance(content, list)
        else []
    )
    return ["".join(found)] if any(found) else []


def _tool_calls(message: Json) -> list[parts.Part]:
    calls = []
    for entry in lenient.mappings(message.get("tool_calls")):
        function, custom = lenient.mapping(entry.get("function")), lenient.mapping(entry.get("custom"))
        arguments = custom.get("input") if custom else lenient.load_arguments(function.get("arguments"))
        calls.append(parts.make_call(entry.get("id"), (function or custom).get("name"), arguments))
    if old := lenient.mapping(message.get("function_call")):
        calls.append(parts.make_call(None, old.get("name"), lenient.load_arguments(old.get("arguments"))))
    return calls


# --- the response


def decode_response(body: object) -> Answer:
    """The answer in a response body: the first choice."""
    response = lenient.mapping(body)
    choice = next(iter(lenient.mappings(response.get("choices"))), {})
    message = lenient.mapping(choice.get("message"))
    calls = _tool_calls(message)
    thoughts = _reasoning(message) or _thoughts(message.get("content"))
    refusal = lenient.string(message.get("refusal"))
    content = message.get("content")
    if content is None:  # a spoken answer has its text beside the sound
        content = lenient.mapping(message.get("audio")).get("transcript")
    groq = lenient.mapping(response.get("x_groq"))
    usage = response.get("usage") or groq.get("usage") or choice.get("usage")
    return Answer(
        text=_text(content, alone=not (calls or thoughts or refusal)),
        tool_calls=calls,
        finish_reason=lenient.string(choice.get("finish_reason")),
        response_model=lenient.string(response.get("model")),
        usage=openai_shared.decode_usage(usage),
        reasoning=thoughts[0] if thoughts else None,
        response_id=lenient.string(response.get("id")),
        refusal=refusal,
        billing=openai_shared.decode_terms(response),
        cost=billing.read_cost(usage),
    )


def _text(content: object, *, alone: bool) -> str | None:
    """The text of a message. Servers send "" beside tool calls when there is no text."""
    if isinstance(content, list):
        texts = parts.select_texts(parts.decode_content(content, _part))
        content = "".join(texts) if texts else None
    found = lenient.string(content)
    return found if found or alone else None


# --- the stream


def is_content(event: object) -> bool:
    """Whether a chunk contains text, reasoning, a refusal, sound or a piece of a tool call."""
    return any(
        delta.get(name)
        for choice in lenient.mappings(lenient.mapping(event).get("choices"))
        for delta in [lenient.mapping(choice.get("delta"))]
        for name in ("content", "tool_calls", "function_call", "refusal", "audio", *_REASONING)
    )


def join_events(events: list[Json]) -> Json:
    """The chunks of a stream as one `chat.completion`; an error event becomes its `error`."""
    whole: Json = {}
    choices: dict[int, Json] = {}
    texts = sse.GrowingTexts()
    for event in events:
        whole |= {
            name: value
            for name, value in event.items()
            if value is not None and name not in ("choices", "obfuscation") and (value or name not in whole)
        }
        for chunk in lenient.mappings(event.get("choices")):
            index = lenient.count(chunk.get("index")) or 0
            _add_choice(choices.setdefault(index, _new_choice(index)), chunk, texts)
    texts.finish()
    if "object" in whole:
        whole["object"] = "chat.completion"
    return {**whole, "choices": [choices[index] for index in sorted(choices)]}


def _new_choice(index: int) -> Json:
    return {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}


def _add_choice(choice: Json, chunk: Json, texts: sse.GrowingTexts) -> None:
    """Add one chunk of a choice to its earlier chunks."""
    choice["finish_reason"] = chunk.get("finish_reason") or choice["finish_reason"]
    if chunk.get("usage"):  # of Moonshot
        choice["usage"] = chunk["usage"]
    for name, tokens in lenient.mapping(chunk.get("logprobs")).items():
        have = choice.setdefault("logprobs", {}).setdefault(name, [])
        have.extend(lenient.sequence(tokens))
    message = choice["message"]
    for name, value in lenient.mapping(chunk.get("delta")).items():
        if value is None:
            continue
        if name == "tool_calls":
            _add_tool_calls(message.setdefault(name, []), lenient.mappings(value), texts)
        elif name in ("function_call", "audio"):
            _add_fields(message.setdefault(name, {}), lenient.mapping(value), texts)
        elif isinstance(have := message.get(name), list):
            have += _blocks(value)
        elif isinstance(value, list):
            texts.finish()
            message[name] = [*_blocks(message.get(name)), *value]
        elif isinstance(value, str) and name != "role":
            texts.add(message, name, value)
        else:
            message[name] = value


def _blocks(content: object) -> list[Json]:
    """Content as a list of blocks: some servers (Mistral) stream blocks before they stream text."""
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []


def _add_fields(whole: Json, piece: Json, texts: sse.GrowingTexts) -> None:
    """Append the texts of `piece`, except those that a server may repeat."""
    for name, value in piece.items():
        if isinstance(value, str) and name not in ("id", "name", "type"):
            texts.add(whole, name, value)
        elif value:
            whole.setdefault(name, value)


def _add_tool_calls(calls: list[Json], deltas: list[Json], texts: sse.GrowingTexts) -> None:
    """Add pieces of tool calls; the place of a call is in `index`, which some servers leave out or repeat."""
    for delta in deltas:
        index = lenient.count(delta.get("index"))
        call = next((c for c in reversed(calls) if index is None or c.get("index") == index), None)
        named = any(lenient.mapping(delta.get(name)).get("name") for name in ("function", "custom"))
        begins = named and delta.get("id") and call is not None and call.get("id") != delta["id"]
        if call is None or begins:
            call = {"index": len(calls) if index is None else index}
            calls.append(call)
        for name in ("id", "type"):
            if delta.get(name):
                call.setdefault(name, delta[name])
        for name in ("function", "custom"):
            if isinstance(delta.get(name), dict):
                _add_fields(call.setdefault(name, {}), delta[name], texts)


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """The answer as a `chat.completion`."""
    message = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
    if answer.reasoning is not None:
        message["reasoning_content"] = answer.reasoning
    calls = _encode_calls(answer, request, response_id)
    choice = {
        "index": 0,
        "message": message | ({"tool_calls": calls} if calls else {}),
        "logprobs": None,
        "finish_reason": _finish_reason(answer),
    }
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": created,
        "model": answer.response_model or request.get("model") or "",
        "choices": [choice],
        "usage": openai_shared.encode_usage(answer.usage, "prompt", "completion"),
        "system_fingerprint": None,
    }


def _encode_calls(answer: Answer, request: Json, response_id: str) -> list[Json]:
    """The tool calls: those of functions, and those of tools that take a text."""
    calls = encode_function_calls(answer.tool_calls, response_id)
    for call, made in zip(calls, answer.tool_calls, strict=True):
        given = find_custom_input(made, request)
        if given is not None:
            name = call.pop("function")["name"]
            call |= {"type": "custom", "custom": {"name": name, "input": given}}
    return calls


def _finish_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as `chat.completion.chunk` events with `[DONE]` at the end.

    Token counts are sent only where the request asks for them with `stream_options.include_usage`: then
    every chunk has `usage`, null in all but the last, which has no choices.
    """
    whole = encode_response(answer, request, response_id=response_id, created=created)
    wanted = bool(lenient.mapping(request.get("stream_options")).get("include_usage"))
    frame = {name: whole[name] for name in ("id", "created", "model", "system_fingerprint")}
    frame |= {"object": "chat.completion.chunk"} | ({"usage": None} if wanted else {})
    chunks = []
    for delta in [*_deltas(answer, whole["choices"][0]["message"].get("tool_calls", [])), {}]:
        reason = None if delta else _finish_reason(answer)
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunks.append(sse.encode(frame | {"choices": [choice]}))
    if wanted:
        chunks.append(sse.encode(frame | {"choices": [], "usage": whole["usage"]}))
    return [*chunks, b"data: [DONE]\n\n"]


def _deltas(answer: Answer, calls: list[Json]) -> list[Json]:
    """The deltas in the order the server sends them: role, reasoning, text, refusal, tool calls.

    A call is sent in one piece, as by Mistral, whose SDK reads nothing else; the SDKs of the others read both forms.
    """
    role: Json = {"role": "assistant", "content": None if answer.text is None else "", "refusal": None}
    deltas = [role]
    deltas += [{"reasoning_content": piece} for piece in sse.split_text(answer.reasoning or "")]
    deltas += [{"content": piece} for piece in sse.split_text(answer.text or "")]
    deltas += [{"refusal": piece} for piece in sse.split_text(answer.refusal or "")]
    deltas += [{"tool_calls": [call | {"index": index}]} for index, call in enumerate(calls)]
    return deltas


encode_error = openai_shared.encode_error
