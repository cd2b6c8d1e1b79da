"""OpenAI's completions of a prompt, `POST .../completions`: the older API, also of vLLM, llama.cpp, Together, others.

A request may hold several prompts, each a text or a list of token numbers; each has a choice of its own.
"""

from __future__ import annotations

from namel3ss_debug.wire import billing, lenient, openai_shared, parts, sse
from namel3ss_debug.wire.contract import Answer, Json

_REQUEST = {"model", "prompt"}


# --- the request


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`; each prompt is a message of role user."""
    request = lenient.mapping(body)
    given = openai_shared.texts_or_tokens(request.get("prompt"))
    messages = [parts.make_message("user", [openai_shared.text_or_tokens(item)]) for item in given]
    return parts.make_request(request, _REQUEST, messages, [])


# --- the response


def decode_response(body: object) -> Answer:
    """The answer in a response body: the first choice."""
    response = lenient.mapping(body)
    choice = next(iter(lenient.mappings(response.get("choices"))), {})
    return Answer(
        text=lenient.string(choice.get("text")),
        finish_reason=lenient.string(choice.get("finish_reason")),
        response_model=lenient.string(response.get("model")),
        usage=openai_shared.decode_usage(response.get("usage")),
        response_id=lenient.string(response.get("id")),
        billing=openai_shared.decode_terms(response),
        cost=billing.read_cost(response.get("usage")),
    )


# --- the stream


def is_content(event: object) -> bool:
    """Whether a chunk contains text."""
    return any(choice.get("text") for choice in lenient.mappings(lenient.mapping(event).get("choices")))


def join_events(events: list[Json]) -> Json:
    """The chunks of a stream as one response; an error event becomes its `error`."""
    whole: Json = {}
    choices: dict[int, Json] = {}
    texts = sse.GrowingTexts()
    for event in events:
        whole |= {name: value for name, value in lenient.drop_none(event).items() if name != "choices"}
        for chunk in lenient.mappings(event.get("choices")):
            index = lenient.count(chunk.get("index")) or 0
            choice = choices.setdefault(index, {"index": index, "finish_reason": None})
            choice["finish_reason"] = chunk.get("finish_reason") or choice["finish_reason"]
            texts.add(choice, "text", chunk.get("text"))
    texts.finish()
    return {**whole, "choices": [choices[index] for index in sorted(choices)]}


# --- writing


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """The answer as a `text_completion`: the same to each prompt."""
    finish = answer.finish_reason or "stop"
    said = _said(answer)
    return {
        "id": response_id,
        "object": "text_completion",
        "created": created,
        "model": answer.response_model or request.get("model") or "",
        "choices": [
            {"text": said, "index": index, "logprobs": None, "finish_reason": finish}
            for index in range(len(openai_shared.texts_or_tokens(request.get("prompt"))) or 1)
        ],
        "usage": openai_shared.encode_usage(answer.usage, "prompt", "completion"),
    }


def _said(answer: Answer) -> str:
    return answer.text or answer.refusal or ""


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The answer as chunks with `[DONE]` at the end; token counts are sent as in a stream of a chat."""
    whole = encode_response(answer, request, response_id=response_id, created=created)
    wanted = bool(lenient.mapping(request.get("stream_options")).get("include_usage"))
    frame = {name: whole[name] for name in ("id", "object", "created", "model")}
    frame |= {"usage": None} if wanted else {}
    chunks = [
        frame | {"choices": [choice | {"text": piece, "finish_reason": reason}]}
        for choice in whole["choices"]
        for piece, reason in [
            *((piece, None) for piece in sse.split_text(choice["text"])),
            ("", choice["finish_reason"]),
        ]
    ]
    if wanted:
        chunks.append(frame | {"choices": [], "usage": whole["usage"]})
    return [*map(sse.encode, chunks), b"data: [DONE]\n\n"]


encode_error = openai_shared.encode_error
