"""Read and write OpenAI chat completions, `POST .../chat/completions`, the format of OpenAI and most other servers.

Follows the API reference, and the answers of Azure, vLLM, Groq, DeepSeek, OpenRouter and Mistral, which add fields
(`reasoning_content`, `reasoning`, `x_groq`) or leave some out.
"""

from __future__ import annotations

from namel3ss_debug.wire import billing, framing, lenient, openai_shared, parts
from namel3ss_debug.wire.contract import Answer, Json
from namel3ss_debug.wire.tools import decode_tools, encode_function_calls, find_custom_input

_REQUEST_KEYS = {"model", "messages", "tools", "functions"}
_MESSAGE_KEYS = {"role", "content", "tool_calls", "function_call", "tool_call_id", "refusal"}
_REASONING_KEYS = ("reasoning_content", "reasoning")


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`."""
    request = lenient.mapping(body)
    messages = parts.decode_messages(lenient.mappings(request.get("messages")), _decode_message)
    return parts.make_request(request, _REQUEST_KEYS, messages, decode_tools(request))


def _decode_message(message: Json) -> parts.Part:
    role = message.get("role")
    rest = {
        name: value
        for name, value in message.items()
        if name not in _MESSAGE_KEYS and name not in _REASONING_KEYS
    }
    if role in ("tool", "function"):
        response = parts.make(
            "tool_call_response",
            id=lenient.string(message.get("tool_call_id")),
            name=lenient.string(message.get("name")),
            response=parts.decode_tool_result(message.get("content"), _decode_block),
        )
        return parts.make_message(role, [response], rest)
    content = [parts.make("reasoning", content=thought) for thought in _find_reasoning(message)]
    content += parts.decode_content(message.get("content"), _decode_block)
    if isinstance(message.get("refusal"), str):
        content.append({"type": "refusal", "refusal": message["refusal"]})
    content += [parts.make_call_part(call) for call in _decode_tool_calls(message)]
    return parts.make_message(role, content, rest)


def _decode_block(block: Json) -> parts.Part:
    """Return one block of a message's content as a part."""
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
        thinking = block.get("thinking")
        texts = (
            [item.get("text") for item in lenient.mappings(thinking)]
            if isinstance(thinking, list)
            else [thinking]
        )
        content = "".join(text for text in texts if isinstance(text, str))
        return parts.make("reasoning", block, ("thinking",), content=content)
    if kind == "file":
        file = lenient.mapping(block.get("file"))
        if isinstance(file.get("file_data"), str):
            return parts.make_media(file["file_data"], None, file, ("file_data",))
        return parts.make("file", file, ("file_id",), file_id=lenient.string(file.get("file_id")))
    return parts.make_unknown(block)


def _find_reasoning(message: Json) -> list[str]:
    """Return the reasoning that some servers send beside the content, under one of two names, as a list of at most one."""
    texts = [
        message[name] for name in _REASONING_KEYS if isinstance(message.get(name), str) and message[name]
    ]
    return texts[:1]


def _join_thinking_blocks(content: object) -> list[str]:
    """Return the reasoning in the blocks of the content, as a list of at most one text."""
    if not isinstance(content, list):
        return []
    texts = parts.select_texts(parts.decode_content(content, _decode_block), "reasoning")
    return ["".join(texts)] if any(texts) else []


def _decode_tool_calls(message: Json) -> list[parts.Part]:
    """Return the tool calls of a message, with the `function_call` of the older API."""
    calls = []
    for block in lenient.mappings(message.get("tool_calls")):
        function, custom = lenient.mapping(block.get("function")), lenient.mapping(block.get("custom"))
        arguments = custom.get("input") if custom else lenient.load_arguments(function.get("arguments"))
        calls.append(parts.make_call(block.get("id"), (function or custom).get("name"), arguments))
    if legacy := lenient.mapping(message.get("function_call")):
        calls.append(
            parts.make_call(None, legacy.get("name"), lenient.load_arguments(legacy.get("arguments")))
        )
    return calls


def encode_request(request: Json) -> Json:
    """Return the body of a request that was decoded; parts that this API does not know are passed on as they are."""
    body: Json = {
        "model": request["model"],
        "messages": [_encode_message(each) for each in request["messages"]],
    }
    if request.get("tools"):
        body["tools"] = [_encode_tool(tool) for tool in request["tools"]]
    return body | lenient.mapping(request.get("params"))


def _encode_message(message: parts.Part) -> Json:
    role, content, rest = message["role"], message["parts"], parts.rest_of(message, "role", "parts")
    results = [part for part in content if part["type"] == "tool_call_response"]
    if results:
        result = results[0]
        names = {"tool_call_id": result.get("id"), "name": result.get("name")}
        response = parts.encode_tool_result(result.get("response"), _encode_block)
        return {"role": role, **rest, **lenient.drop_none(names), "content": response}
    encoded: Json = {"role": role, **rest}
    blocks = [part for part in content if part["type"] not in ("reasoning", "refusal", "tool_call")]
    encoded["content"] = parts.encode_content(blocks, _encode_block) if blocks else None
    for part in content:
        if part["type"] == "reasoning":
            encoded[_REASONING_KEYS[0]] = part.get("content")
        elif part["type"] == "refusal":
            encoded["refusal"] = part.get("refusal")
    calls = [part for part in content if part["type"] == "tool_call"]
    return encoded | ({"tool_calls": encode_function_calls(calls, "resent")} if calls else {})


def _encode_block(part: parts.Part) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"type": "text", "text": part.get("content"), **parts.rest_of(part, "content")}
    if kind in ("uri", "blob") and part.get("modality") == "image":
        url = part.get("uri") if kind == "uri" else parts.data_url(part)
        return {
            "type": "image_url",
            "image_url": {"url": url, **parts.rest_of(part, "modality", "uri", "mime_type", "content")},
        }
    if kind == "blob" and part.get("modality") == "audio":
        form = str(part.get("mime_type") or "").partition("/")[2]
        rest = parts.rest_of(part, "modality", "mime_type", "content")
        return {"type": "input_audio", "input_audio": {"data": part.get("content"), "format": form, **rest}}
    if kind == "blob":
        rest = parts.rest_of(part, "modality", "mime_type", "content")
        return {"type": "file", "file": {"file_data": parts.data_url(part), **rest}}
    if kind == "file":
        return {"type": "file", "file": parts.rest_of(part)}
    return part


def _encode_tool(tool: Json) -> Json:
    kind = tool.get("type") or "function"
    inner = parts.rest_of(tool)
    if kind == "custom":
        inner = {("format" if name == "parameters" else name): value for name, value in inner.items()}
    return {"type": kind, kind: inner} if kind in ("function", "custom") else tool


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer in a response body: its first choice, with the further ones."""
    response = lenient.mapping(body)
    first, *further = lenient.mappings(response.get("choices")) or [{}]
    answer = _decode_choice(first, response)
    others = (_decode_choice(choice, response) for choice in further)
    return answer._replace(further_choices=[other.to_choice() for other in others])


def _decode_choice(choice: Json, response: Json) -> Answer:
    """Return the answer in one choice of a response."""
    message = lenient.mapping(choice.get("message"))
    calls = _decode_tool_calls(message)
    thoughts = _find_reasoning(message) or _join_thinking_blocks(message.get("content"))
    refusal = lenient.string(message.get("refusal"))
    content = message.get("content")
    if content is None:  # the text of an audio answer is its transcript
        content = lenient.mapping(message.get("audio")).get("transcript")
    groq = lenient.mapping(response.get("x_groq"))
    usage = response.get("usage") or groq.get("usage") or choice.get("usage")
    return Answer(
        text=_join_text(content, alone=not (calls or thoughts or refusal)),
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


def _join_text(content: object, *, alone: bool) -> str | None:
    """Return the text of a message; servers send "" beside tool calls if there is no text."""
    if isinstance(content, list):
        texts = parts.select_texts(parts.decode_content(content, _decode_block))
        content = "".join(texts) if texts else None
    text = lenient.string(content)
    return text if text or alone else None


# --- the stream


def is_content(event: object) -> bool:
    """Return whether a chunk contains text, reasoning, a refusal, audio or a piece of a tool call."""
    return any(
        delta.get(name)
        for choice in lenient.mappings(lenient.mapping(event).get("choices"))
        for delta in [lenient.mapping(choice.get("delta"))]
        for name in ("content", "tool_calls", "function_call", "refusal", "audio", *_REASONING_KEYS)
    )


def join_events(events: list[Json]) -> Json:
    """Join the chunks of a stream into one `chat.completion`; an error event becomes its `error`."""
    completion: Json = {}
    choices: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        # A later empty value does not count: Azure's filter adds chunks without id and model, even as the last.
        completion |= {
            name: value
            for name, value in event.items()
            if value is not None
            and name not in ("choices", "obfuscation")
            and (value or name not in completion)
        }
        for chunk in lenient.mappings(event.get("choices")):
            index = lenient.count(chunk.get("index")) or 0
            empty = {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
            _add_choice(choices.setdefault(index, empty), chunk, texts)
    texts.finish()
    if "object" in completion:
        completion["object"] = "chat.completion"
    return {**completion, "choices": [choices[index] for index in sorted(choices)]}


def _add_choice(choice: Json, chunk: Json, texts: framing.GrowingTexts) -> None:
    """Add one chunk of a choice to its earlier chunks."""
    choice["finish_reason"] = chunk.get("finish_reason") or choice["finish_reason"]
    if chunk.get("usage"):  # of Moonshot
        choice["usage"] = chunk["usage"]
    for name, tokens in lenient.mapping(chunk.get("logprobs")).items():
        entries = choice.setdefault("logprobs", {}).setdefault(name, [])
        entries.extend(lenient.sequence(tokens))
    message = choice["message"]
    for name, value in lenient.mapping(chunk.get("delta")).items():
        if value is None:
            continue
        if name == "tool_calls":
            _add_tool_calls(message.setdefault(name, []), lenient.mappings(value), texts)
        elif name in ("function_call", "audio"):
            _add_fields(message.setdefault(name, {}), lenient.mapping(value), texts)
        elif isinstance(
            blocks := message.get(name), list
        ):  # Mistral's content, OpenRouter's `reasoning_details`
            blocks += _to_blocks(value)
        elif isinstance(value, list):
            texts.finish()
            message[name] = [*_to_blocks(message.get(name)), *value]
        elif isinstance(value, str) and name != "role":
            texts.add(message, name, value)
        else:
            message[name] = value


def _to_blocks(content: object) -> list[Json]:
    """Return content as a list of blocks, because some servers (Mistral) stream blocks before they stream text."""
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []


def _add_fields(whole: Json, piece: Json, texts: framing.GrowingTexts) -> None:
    """Append the texts of `piece`, except those that a server may repeat."""
    for name, value in piece.items():
        if isinstance(value, str) and name not in ("id", "name", "type"):
            texts.add(whole, name, value)
        elif value:
            whole.setdefault(name, value)


def _add_tool_calls(calls: list[Json], deltas: list[Json], texts: framing.GrowingTexts) -> None:
    """Add pieces of tool calls.

    `index` says which call, but some servers leave it out, give all calls the same one, or count the pieces with it.
    """
    for delta in deltas:
        index = lenient.count(delta.get("index"))
        call = next((c for c in reversed(calls) if index is None or c.get("index") == index), None)
        has_name = any(lenient.mapping(delta.get(name)).get("name") for name in ("function", "custom"))
        if call is None and calls and not has_name and not delta.get("id"):
            call = calls[-1]  # the index counts the pieces
        if call is None or (has_name and _is_another_call(call, delta, texts)):
            call = {"index": len(calls) if index is None else index}
            calls.append(call)
        for name in ("id", "type"):
            if delta.get(name):
                call.setdefault(name, delta[name])
        for name in ("function", "custom"):
            if isinstance(delta.get(name), dict):
                _add_fields(call.setdefault(name, {}), delta[name], texts)


def _is_another_call(call: Json, delta: Json, texts: framing.GrowingTexts) -> bool:
    """Return whether a piece with a name begins another call, although it has the index of this one.

    It does if it has another id or name. Servers that give all calls one id, or none, send each call in one piece: then
    arguments that follow complete ones are those of another call.
    """
    if delta.get("id") and call.get("id") != delta["id"]:
        return True
    begun, piece = lenient.mapping(call.get("function")), lenient.mapping(delta.get("function"))
    if not piece.get("name") or not begun.get("name"):
        return False
    if piece["name"] != begun["name"]:
        return True
    texts.finish()
    return (
        bool(piece.get("arguments")) and type(lenient.load_arguments(begun.get("arguments") or "-")) is dict
    )


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as a `chat.completion`."""
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
    """Return the tool calls: calls of functions, and calls of tools that take a text."""
    calls = encode_function_calls(answer.tool_calls, response_id)
    for call, answered in zip(calls, answer.tool_calls, strict=True):
        text = find_custom_input(answered, request)
        if text is not None:
            name = call.pop("function")["name"]
            call |= {"type": "custom", "custom": {"name": name, "input": text}}
    return calls


def _finish_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as `chat.completion.chunk` events with `[DONE]` at the end.

    Token counts are sent only if the request asks for them with `stream_options.include_usage`: then every chunk has
    `usage`, null in all but the last, which has no choices.
    """
    completion = encode_response(answer, request, response_id=response_id, created=created)
    has_usage = bool(lenient.mapping(request.get("stream_options")).get("include_usage"))
    frame = {name: completion[name] for name in ("id", "created", "model", "system_fingerprint")}
    frame |= {"object": "chat.completion.chunk"} | ({"usage": None} if has_usage else {})
    chunks = []
    for delta in [*_encode_deltas(answer, completion["choices"][0]["message"].get("tool_calls", [])), {}]:
        reason = None if delta else _finish_reason(answer)
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunks.append(framing.encode_sse(frame | {"choices": [choice]}))
    if has_usage:
        chunks.append(framing.encode_sse(frame | {"choices": [], "usage": completion["usage"]}))
    return [*chunks, b"data: [DONE]\n\n"]


def _encode_deltas(answer: Answer, calls: list[Json]) -> list[Json]:
    """Return the deltas in the order in which the server sends them: role, reasoning, text, refusal, tool calls.

    A call is sent in one piece, as Mistral does, because its SDK reads nothing else; the other SDKs read both forms.
    """
    role: Json = {"role": "assistant", "content": None if answer.text is None else "", "refusal": None}
    deltas = [role]
    deltas += [{"reasoning_content": piece} for piece in framing.split_text(answer.reasoning or "")]
    deltas += [{"content": piece} for piece in framing.split_text(answer.text or "")]
    deltas += [{"refusal": piece} for piece in framing.split_text(answer.refusal or "")]
    deltas += [{"tool_calls": [call | {"index": index}]} for index, call in enumerate(calls)]
    return deltas


encode_error = openai_shared.encode_error
