"""Read and write completions of a prompt, `POST .../completions`: OpenAI's older API, also in vLLM, llama.cpp, Together.

A request may contain several prompts, each a text or a list of token numbers; the response has a choice for each.
"""

from __future__ import annotations

from namel3ss_debug.wire import billing, framing, lenient, openai_shared, parts
from namel3ss_debug.wire.contract import Answer, Json

_REQUEST_KEYS = {"model", "prompt"}


# --- the request


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; each prompt is a message of role user."""
    request = lenient.mapping(body)
    prompts = openai_shared.list_inputs(request.get("prompt"))
    messages = [parts.make_message("user", [openai_shared.make_part(item)]) for item in prompts]
    return parts.make_request(request, _REQUEST_KEYS, messages, [])


# --- the response


def decode_response(body: object) -> Answer:
    """Return the answer in a response body: its first choice, with the further ones."""
    response = lenient.mapping(body)
    choice, *further = lenient.mappings(response.get("choices")) or [{}]
    return Answer(
        text=lenient.string(choice.get("text")),
        finish_reason=lenient.string(choice.get("finish_reason")),
        response_model=lenient.string(response.get("model")),
        usage=openai_shared.decode_usage(response.get("usage")),
        response_id=lenient.string(response.get("id")),
        billing=openai_shared.decode_terms(response),
        cost=billing.read_cost(response.get("usage")),
        further_choices=[
            lenient.drop_none({"text": other.get("text"), "finish_reason": other.get("finish_reason")})
            for other in further
        ],
    )


# --- the stream


def is_content(event: object) -> bool:
    """Return whether a chunk contains text."""
    return any(choice.get("text") for choice in lenient.mappings(lenient.mapping(event).get("choices")))


def join_events(events: list[Json]) -> Json:
    """Join the chunks of a stream into one response; an error event becomes its `error`."""
    response: Json = {}
    choices: dict[int, Json] = {}
    texts = framing.GrowingTexts()
    for event in events:
        response |= {name: value for name, value in lenient.drop_none(event).items() if name != "choices"}
        for chunk in lenient.mappings(event.get("choices")):
            index = lenient.count(chunk.get("index")) or 0
            choice = choices.setdefault(index, {"index": index, "finish_reason": None})
            choice["finish_reason"] = chunk.get("finish_reason") or choice["finish_reason"]
            texts.add(choice, "text", chunk.get("text"))
    texts.finish()
    return {**response, "choices": [choices[index] for index in sorted(choices)]}


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer as a `text_completion`, the same for each prompt."""
    finish = answer.finish_reason or "stop"
    text = answer.text or answer.refusal or ""
    return {
        "id": response_id,
        "object": "text_completion",
        "created": created,
        "model": answer.response_model or request.get("model") or "",
        "choices": [
            {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
            for index in range(len(openai_shared.list_inputs(request.get("prompt"))) or 1)
        ],
        "usage": openai_shared.encode_usage(answer.usage, "prompt", "completion"),
    }


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer as chunks with `[DONE]` at the end; token counts are sent as in a stream of a chat."""
    completion = encode_response(answer, request, response_id=response_id, created=created)
    has_usage = bool(lenient.mapping(request.get("stream_options")).get("include_usage"))
    frame = {name: completion[name] for name in ("id", "object", "created", "model")}
    frame |= {"usage": None} if has_usage else {}
    chunks = [
        frame | {"choices": [choice | {"text": piece, "finish_reason": reason}]}
        for choice in completion["choices"]
        for piece, reason in [
            *((piece, None) for piece in framing.split_text(choice["text"])),
            ("", choice["finish_reason"]),
        ]
    ]
    if has_usage:
        chunks.append(frame | {"choices": [], "usage": completion["usage"]})
    return [*map(framing.encode_sse, chunks), b"data: [DONE]\n\n"]


encode_error = openai_shared.encode_error
